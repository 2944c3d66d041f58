//! Messages between connections, and from other threads: in order, bounded, and never to a later owner.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use reactor::Registry;
use reactor::protocol::{
    Acceptor, ConnectionId, Context, Event, NoOptions, NotSent, Reply, Sender, Step, StreamProtocol, WhenFull, Within,
};
use serde_json::json;

use crate::load::Load;
use crate::support::{Client, Process, Server, eventually, listener_with, number_after, watch_for};

/// A listener whose connections tell a test their numbers, and the sender that reaches them.
#[derive(Clone)]
struct Meeting {
    numbers: Arc<Mutex<mpsc::Sender<ConnectionId>>>,
    sender: Arc<Mutex<Option<Sender>>>,
}

/// Joins `all`, says its number, sends on every line to the group, and answers with the messages it gets.
struct Member(Meeting);

impl StreamProtocol for Member {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        assert_eq!(cx.join("all", WhenFull::Skip), Ok(()));
        let _ = self.0.numbers.lock().unwrap().send(cx.id());
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(Step::wait(Within::Request)) };
        match &input[..end] {
            b"?" => {
                cx.out.extend_from_slice(b"!");
            }
            // Posts to itself for ever: each message causes the next.
            b"storm" => assert_eq!(cx.post(cx.id(), "storm"), Ok(())),
            line => assert_eq!(cx.cast("all", line), Ok(())),
        }
        Ok(Step::again(end + 1))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => return Ok(Step::finish()),
            Event::Message(message) if message.bytes() == b"storm" => assert_eq!(cx.post(cx.id(), "storm"), Ok(())),
            Event::Message(message) => {
                cx.out.extend_from_slice(message.bytes());
            }
            _ => {}
        }
        Ok(Step::wait(Within::Nothing))
    }
}

/// Starts a server of members. Returns it with the numbers of its connections, in the order in which they open.
fn meeting(limits: serde_json::Value) -> (Server, Sender, mpsc::Receiver<ConnectionId>) {
    let (numbers, opened) = mpsc::channel();
    let meeting = Meeting { numbers: Arc::new(Mutex::new(numbers)), sender: Arc::default() };
    let mut registry = Registry::empty();
    let copy = meeting.clone();
    registry.stream_with("meeting", "Passes lines on.", "true", move |_: NoOptions, setup| {
        *copy.sender.lock().unwrap() = Some(setup.sender());
        let copy = copy.clone();
        Ok(Acceptor::new(move |_| Member(copy.clone())))
    });
    let config = json!({
        "listeners": [{ "name": "meeting", "listen": "tcp://127.0.0.1:0", "protocol": "meeting", "limits": limits }]
    });
    let server = Server::start(&registry, &config);
    let sender = meeting.sender.lock().unwrap().take().unwrap();
    (server, sender, opened)
}

fn join(server: &Server, opened: &mpsc::Receiver<ConnectionId>) -> (Client, ConnectionId) {
    let client = Client::connect(server.address("meeting"));
    (client, opened.recv().unwrap())
}

#[test]
fn what_threads_push_arrives_in_order_or_the_thread_is_refused() {
    const THREADS: u8 = 8;
    const CONNECTIONS: usize = 50;
    const EACH: u32 = 100;
    let (server, sender, opened) = meeting(json!({}));
    let members: Vec<_> = (0..CONNECTIONS).map(|_| join(&server, &opened)).collect();
    let numbers: Vec<_> = members.iter().map(|(_, id)| *id).collect();
    let full = AtomicUsize::new(0);
    let sent: Vec<Vec<Vec<u32>>> = thread::scope(|scope| {
        let push = |thread: u8| {
            let mut sent = vec![Vec::new(); CONNECTIONS];
            for number in 0..EACH {
                for (to, sent) in numbers.iter().zip(&mut sent) {
                    let mut message = vec![thread];
                    message.extend_from_slice(&number.to_be_bytes());
                    match sender.post(*to, message) {
                        Ok(()) => sent.push(number),
                        Err(NotSent::Full) => drop(full.fetch_add(1, Ordering::Relaxed)),
                        Err(why) => panic!("{why}"),
                    }
                }
            }
            sent
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || push(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (place, (mut client, _)) in members.into_iter().enumerate() {
        let expected: usize = sent.iter().map(|sent| sent[place].len()).sum();
        let bytes = client.try_rest_of(expected * 5).unwrap();
        let mut got = vec![Vec::new(); usize::from(THREADS)];
        for message in bytes.chunks(5) {
            got[usize::from(message[0])].push(u32::from_be_bytes(message[1..].try_into().unwrap()));
        }
        let sent: Vec<_> = sent.iter().map(|sent| sent[place].clone()).collect();
        assert_eq!(got, sent, "connection {place}");
    }
    server.handle().stop();
    let stats = server.join("meeting");
    let told = full.into_inner() as u64;
    assert_eq!(stats.messages + told, u64::from(THREADS) * u64::from(EACH) * CONNECTIONS as u64);
    assert_eq!(stats.undelivered.total(), 0);
}

#[test]
fn a_member_that_never_reads_costs_the_others_no_line() {
    let (server, _, opened) = meeting(json!({ "max_pending_output": "16KiB" }));
    let mut members: Vec<_> = (0..10).map(|_| join(&server, &opened).0).collect();
    let deaf = Client::connect_with_little_room(server.address("meeting"));
    opened.recv().unwrap();
    let mut speaker = members.pop().unwrap();
    for batch in 0..300 {
        let lines: Vec<_> = (0..10).map(|number| format!("{:0>999}", 10 * batch + number)).collect();
        speaker.send(lines.join("\n") + "\n");
        // All others read before the next lines, however busy the machine is.
        members.iter_mut().for_each(|member| member.expect(lines.concat()));
    }
    drop((deaf, speaker));
    server.handle().stop();
    let stats = server.join("meeting");
    assert!(stats.undelivered.count("no room") > 0, "{stats:?}");
    assert_eq!(stats.undelivered.total(), stats.undelivered.count("no room"));
}

/// The memory is what docs/reliability.md states: a kibibyte for each connection, and twice the pending output.
#[cfg(target_os = "linux")]
#[test]
fn one_deaf_member_of_hundreds_costs_an_output_and_no_line() {
    const MEMBERS: usize = 200;
    const LINE_BYTES: usize = 450;
    const NAME_BYTES_MAX: usize = 22;
    const UNDER_WAY: usize = 20;
    let limits = json!({ "limits": { "max_pending_output": "64KiB" } });
    let server = Process::example_under(&[], "chat", &json!({ "listeners": [listener_with("chat", &limits)] }));
    let address = server.address("chat-tcp");
    // The loop has its buffers, and the program what its first member needs.
    let mut first = Client::connect(address);
    first.ask("first\n", "What is your name (1 to 20 letters or digits)?\nfirst is in hall\n");
    drop(first);
    let before = server.resident_bytes();
    let load = Load::start(&format!(
        "chat tcp://{address} -c {MEMBERS} --deaf 1 --senders {UNDER_WAY} --size {LINE_BYTES} -d 1h --timeout 60s"
    ));
    eventually("the deaf member misses lines", || {
        // Each look makes the server write a line for each member.
        watch_for(Duration::from_millis(200));
        server.counters().iter().any(|line| line.contains("undelivered") && number_after(line, "undelivered") >= 100)
    });
    let grown = server.peak_bytes() - before;
    let outcome = load.interrupt();
    let (lines, deliveries) = (outcome.number("/lines"), outcome.number("/requests"));
    assert_eq!(outcome.number("/errors/total"), 0.0, "{}", outcome.text);
    assert_eq!((outcome.number("/missed"), deliveries), (0.0, lines * (MEMBERS - 2) as f64), "{}", outcome.text);
    let under_way = MEMBERS * UNDER_WAY * (NAME_BYTES_MAX + LINE_BYTES);
    let bound = MEMBERS * 1024 + 2 * (64 * 1024 + under_way);
    assert!(grown <= bound, "{grown} bytes, of {bound}");
}

#[test]
fn a_storm_of_posts_starves_no_third_connection() {
    let (server, _, opened) = meeting(json!({}));
    let mut storms: Vec<_> = (0..2).map(|_| join(&server, &opened).0).collect();
    storms.iter_mut().for_each(|client| client.send("storm\n".repeat(50)));
    let (mut third, _) = join(&server, &opened);
    for _ in 0..100 {
        third.ask("?\n", "!");
    }
}

#[test]
fn no_message_reaches_a_later_owner_of_the_slot() {
    let (server, sender, opened) = meeting(json!({}));
    let (mut first, old) = join(&server, &opened);
    first.finish();
    assert_eq!(first.rest(), b"");
    let (mut second, new) = join(&server, &opened);
    assert_eq!(old.to_string().split('.').next(), new.to_string().split('.').next(), "the slot is used again");
    assert_eq!(sender.post(old, "old"), Err(NotSent::Gone));
    assert_eq!(sender.post(new, "new"), Ok(()));
    second.expect("new");
}

#[test]
fn a_sender_outlives_its_server() {
    let (server, sender, opened) = meeting(json!({}));
    let (_client, id) = join(&server, &opened);
    assert_eq!((sender.post(id, "x"), sender.cast("all", "x")), (Ok(()), Ok(())));
    server.handle().stop();
    server.join("meeting");
    assert_eq!((sender.post(id, "x"), sender.cast("all", "x")), (Err(NotSent::Gone), Err(NotSent::Gone)));
}

#[test]
fn a_handle_closes_the_connection_that_it_names() {
    let (server, _, opened) = meeting(json!({}));
    let ((mut closed, id), (mut stays, _)) = (join(&server, &opened), join(&server, &opened));
    server.handle().close(id);
    assert_eq!(closed.rest(), b"");
    stays.ask("?\n", "!");
    server.handle().close(id);
    drop(closed);
    stays.ask("?\n", "!");
    drop(stays);
    server.handle().stop();
    assert_eq!(server.join("meeting").closed.count("closed by handle"), 1);
}

#[test]
fn a_service_ticks_while_its_listener_is_open() {
    let mut registry = Registry::empty();
    registry.stream_with("clock", "Sends a line each tick.", "true", |_: NoOptions, _| {
        let mut ticks = 0;
        let (numbers, _) = mpsc::channel();
        let meeting = Meeting { numbers: Arc::new(Mutex::new(numbers)), sender: Arc::default() };
        Ok(Acceptor::new(move |_| Member(meeting.clone())).tick(Duration::from_millis(5), move |_, sender| {
            ticks += 1;
            assert_ne!(ticks, 3, "a tick that panics is not the last one");
            assert_eq!(sender.cast("all", "tick"), Ok(()));
        }))
    });
    let config = json!({ "listeners": [{ "name": "clock", "listen": "tcp://127.0.0.1:0", "protocol": "clock" }] });
    let server = Server::start(&registry, &config);
    let mut client = Client::connect(server.address("clock"));
    client.expect("tick".repeat(5));
}
