//! A million messages from eight threads.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use reactor::Registry;
use reactor::protocol::{ConnectionId, Context, Event, NotSent, Reply, Sender, Step, StreamProtocol, Within};

use super::{CONNECTIONS, Clients, Server, connect};

const THREADS: usize = 8;
const MESSAGES: usize = 1_000_000;
const EACH: usize = MESSAGES / THREADS;
/// A thread, then the number of the message among those of the thread to the connection.
const MESSAGE_BYTES: usize = 5;
/// The wait of a thread that is refused.
const PAUSE: Duration = Duration::from_millis(1);
/// Without a message for this time, the rest is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Passes messages on to its peer.
struct Inbox(mpsc::Sender<(ConnectionId, Sender)>);

impl StreamProtocol for Inbox {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.0.send((cx.id(), cx.sender())).expect("the main thread waits for it");
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let Event::Message(message) = event else { return Ok(Step::finish()) };
        cx.out.extend_from_slice(message.bytes());
        Ok(Step::wait(Within::Nothing))
    }
}

/// A client, and what it should get next.
struct Client {
    stream: TcpStream,
    /// For each thread, the number of its next message.
    next: [u32; THREADS],
    /// The beginning of a message.
    rest: Vec<u8>,
}

pub(crate) fn run() {
    let (opened, opening) = mpsc::channel();
    let mut registry = Registry::empty();
    registry.stream_fn("inbox", "Passes messages on.", "true", move |_| Inbox(opened.clone()));
    let server = Server::start(registry, &["inbox"]);
    let mut clients = Clients::start("push", server.addresses[0]);
    // The clients connect one after the other, and are accepted in that order.
    let (ids, senders): (Vec<_>, Vec<_>) = opening.iter().take(CONNECTIONS).unzip();
    clients.expect("connected");
    let start = Instant::now();
    let refused: usize = thread::scope(|scope| {
        let post = |thread| {
            let (sender, ids) = (&senders[0], &ids);
            scope.spawn(move || push(thread as u8, sender, ids))
        };
        let threads: Vec<_> = (0..THREADS).map(post).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not fail")).sum()
    });
    let posted = start.elapsed();
    clients.expect("received");
    let span = start.elapsed();
    clients.end();
    let busy = server.stop();
    println!("push: {MESSAGES} messages of {THREADS} threads to {CONNECTIONS} connections, each once and in order");
    println!(
        "  posted in {posted:.2?}, arrived in {span:.2?}, {:.0} a second; {refused} times refused (full) and posted again",
        MESSAGES as f64 / span.as_secs_f64()
    );
    println!("  the server's thread: {busy:.2?} on a core, with {CONNECTIONS} connections opened and closed");
}

/// Connects all clients, and receives what is posted to them.
pub(crate) fn receive_all(address: SocketAddr) {
    let mut poll = Poll::new().expect("a descriptor is left");
    let connect = |index| {
        let stream = connect(address);
        stream.set_nonblocking(true).expect("the stream is open");
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(index), Interest::READABLE).expect("the stream is open");
        Client { stream, next: [0; THREADS], rest: Vec::new() }
    };
    let mut clients: Vec<_> = (0..CONNECTIONS).map(connect).collect();
    println!("connected");
    receive(&mut poll, &mut clients);
    for (index, client) in clients.iter().enumerate() {
        assert_eq!(client.next, [sent_to(index); THREADS], "connection {index}");
    }
    println!("received");
}

/// Returns how many messages each thread sends to a connection.
fn sent_to(index: usize) -> u32 {
    (EACH / CONNECTIONS + usize::from(index < EACH % CONNECTIONS)) as u32
}

/// Posts the messages of one thread to all connections in turn. Returns how often it was refused.
fn push(thread: u8, sender: &Sender, ids: &[ConnectionId]) -> usize {
    let mut refused = 0;
    for count in 0..EACH {
        let mut message = [thread, 0, 0, 0, 0];
        message[1..].copy_from_slice(&((count / ids.len()) as u32).to_be_bytes());
        loop {
            match sender.post(ids[count % ids.len()], message) {
                Ok(()) => break,
                Err(NotSent::Full) => {
                    refused += 1;
                    // Nothing tells another thread that there is room again.
                    thread::sleep(PAUSE);
                }
                Err(why) => panic!("{why}"),
            }
        }
    }
    refused
}

/// Reads until all messages have come.
fn receive(poll: &mut Poll, clients: &mut [Client]) {
    let (mut events, mut buffer, mut received) = (Events::with_capacity(1024), vec![0; 64 * 1024], 0);
    while received < MESSAGES {
        poll.poll(&mut events, Some(PATIENCE)).expect("the poll does not fail");
        assert!(!events.is_empty(), "only {received} messages came");
        for event in &events {
            received += clients[event.token().0].read(&mut buffer);
        }
    }
}

impl Client {
    /// Reads and checks all that has come. Returns the number of messages.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("the server has closed"),
                Ok(length) => self.rest.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("{error}"),
            }
            let whole = self.rest.len() / MESSAGE_BYTES * MESSAGE_BYTES;
            for message in self.rest[..whole].chunks(MESSAGE_BYTES) {
                let number = u32::from_be_bytes([message[1], message[2], message[3], message[4]]);
                let next = &mut self.next[usize::from(message[0])];
                assert_eq!(number, *next, "thread {}", message[0]);
                *next += 1;
                count += 1;
            }
            self.rest.drain(..whole);
        }
    }
}
