//! B: the loop itself.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reactor::Registry;
use reactor::kernel::Mio;
use serde_json::{Value, json};

use crate::support::{
    Client, Ended, Fault, Random, SUM, Server, Trial, ask, eventually, faults_work, listener, listener_with, watch_for,
};

const KIB: usize = 1024;

fn uppercase() -> [Value; 1] {
    [listener("uppercase", "tcp")]
}

/// Two clients stream at full speed, and others connect one after the other.
#[track_caller]
fn no_client_loses_data_or_starves(address: SocketAddr, stream: usize) {
    let over = Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        let streams: Vec<_> =
            (0..2).map(|_| scope.spawn(|| ask(address, &vec![[b'a'; 64 * KIB]; stream / (64 * KIB)]))).collect();
        scope.spawn(|| {
            while !over.has_ended() {
                assert_eq!(ask(address, &["new one"]), b"NEW ONE");
            }
        });
        let answers: Vec<_> = streams.into_iter().map(|stream| stream.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| *answer == vec![b'A'; stream]));
    });
}

#[test]
fn case_12_clients_at_full_speed_lose_nothing_and_starve_no_other() {
    let trial = Trial::start(&uppercase());
    no_client_loses_data_or_starves(trial.address("uppercase-tcp"), 16 * 1024 * KIB);
    trial.end();
}

#[test]
fn case_13_data_that_arrives_with_its_fin_is_answered_to_the_last_byte() {
    let trial = Trial::start(&uppercase());
    let sizes = [1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 128 * KIB - 1, 128 * KIB, 128 * KIB + 1];
    trial.pause();
    let clients = sizes.map(|size| {
        let mut client = Client::connect(trial.address("uppercase-tcp"));
        client.send(vec![b'x'; size]);
        client.finish();
        client
    });
    trial.resume();
    for (mut client, size) in clients.into_iter().zip(sizes) {
        assert!(client.rest() == vec![b'X'; size], "{size} bytes");
    }
    trial.end();
}

#[test]
fn case_14_input_before_a_reset_is_read_before_the_error() {
    const CLIENTS: u64 = 20;
    let trial = Trial::start(&uppercase());
    trial.pause();
    for _ in 0..CLIENTS {
        let mut client = Client::connect(trial.address("uppercase-tcp"));
        client.send("hello");
        client.reset();
    }
    trial.resume();
    eventually("all were seen", || trial.counter("uppercase-tcp", "closed") == CLIENTS);
    assert_eq!(trial.counter("uppercase-tcp", "bytes in"), 5 * CLIENTS);
    trial.end();
}

#[test]
fn case_15_a_slot_reused_in_the_same_batch_gets_no_old_event() {
    const PLACES: usize = 30;
    let few = listener_with("uppercase", &json!({ "limits": { "max_connections": PLACES } }));
    let trial = Trial::start(&[few]);
    let connect = |number| {
        let mut client = Client::connect(trial.address("uppercase-tcp"));
        client.send(format!("i am {number}\n"));
        client
    };
    let mut clients: Vec<_> = (0..PLACES).map(connect).collect();
    for round in 1..=20 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.expect(format!("I AM {number}\n"));
        }
        trial.pause();
        // Every slot is full, so new connections get the slots of closed ones.
        for (number, client) in clients.iter_mut().enumerate() {
            client.send("last words");
            let old = std::mem::replace(client, connect(number));
            if (number + round) % 2 == 0 {
                old.reset();
            }
        }
        trial.resume();
    }
    drop(clients);
    trial.end();
}

#[test]
fn case_16_a_deadline_of_a_closed_connection_spares_the_next_in_its_slot() {
    let idle = Duration::from_secs(1);
    let one = listener_with("uppercase", &json!({ "limits": { "max_connections": 1, "idle_timeout": "1s" } }));
    let trial = Trial::start(&[one]);
    for _ in 0..2 {
        let mut old = Client::connect(trial.address("uppercase-tcp"));
        old.ask("a", "A");
        watch_for(idle * 3 / 4);
        drop(old);
        let mut new = Client::connect(trial.address("uppercase-tcp"));
        new.ask("b", "B");
        watch_for(idle / 2);
        // The old deadline has expired by now, and the new one has not.
        new.ask("c", "C");
        drop(new);
    }
    let told = trial.counters().join("\n");
    assert!(!told.contains("idle"), "{told}");
    trial.end();
}

#[test]
fn case_16_a_job_of_a_closed_connection_spares_the_next_in_its_slot() {
    if !faults_work() {
        return;
    }
    let one = listener_with("file-sized", &json!({ "limits": { "max_connections": 1 } }));
    let trial = Trial::start(&[one]);
    let fault = Fault::on(&trial, &["fsync:delay_enter=300000"]);
    for number in 0..3 {
        let mut old = Client::connect(trial.address("file-sized-tcp"));
        old.ask(format!("old{number}\n3\n"), "OK\nOK\n");
        old.send("old");
        old.reset();
        let mut new = Client::connect(trial.address("file-sized-tcp"));
        new.ask(format!("new{number}\n3\n"), "OK\nOK\n");
        new.ask("new", "OK\n");
    }
    drop(fault);
    for number in 0..3 {
        let path = trial.directory().path().join(format!("received/new{number}"));
        assert_eq!(fs::read(path).unwrap(), b"new");
    }
    trial.end();
}

#[test]
fn case_23_with_one_event_a_batch_nothing_is_lost_and_no_client_starves() {
    let kernel = Mio::with_capacity(1).unwrap();
    let server = Server::on(kernel, &Registry::built_in(), &json!({ "listeners": uppercase() }));
    let address = server.address("uppercase-tcp");
    // While the loop is busy with one connection, all others become ready.
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    for round in 0..20 {
        for client in &mut clients {
            client.send(format!("round {round}\n"));
        }
        for client in &mut clients {
            client.expect(format!("ROUND {round}\n"));
        }
    }
    no_client_loses_data_or_starves(address, 4 * 1024 * KIB);
}

/// One wait in three returns these events and no others (`epoll_wait(2)`; on this architecture the structure is
/// packed). After twenty waits no more do: a tracer that detaches during a call which it has replaced makes the call
/// fail with `ENOSYS`.
#[cfg(target_arch = "x86_64")]
fn forged(events: &[(u32, u64)]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let forge = |(kinds, token): &(u32, u64)| hex(&kinds.to_le_bytes()) + &hex(&token.to_le_bytes());
    let batch: String = events.iter().map(forge).collect();
    format!("epoll_wait:retval={}:poke_exit=@arg2={batch}:when=1..20+3", events.len())
}

/// Readable, writable, both closed, and an error: every event of a socket.
const EVERYTHING: u32 = 0x1 | 0x4 | 0x8 | 0x10 | 0x2000;

#[cfg(target_arch = "x86_64")]
#[test]
fn case_17_events_without_an_owner_are_ignored() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&uppercase());
    let mut random = Random::new(17);
    let mut events: Vec<_> = (0..20).map(|_| (EVERYTHING, random.below(usize::MAX) as u64)).collect();
    // Existing slots with wrong generations, and slots that do not exist.
    events.extend((0..4).map(|slot| (EVERYTHING, 0xFFFF << 32 | slot)));
    events.extend((0..4).map(|generation| (EVERYTHING, generation << 32 | 0xFFFF)));
    let fault = Fault::on(&trial, &[&forged(&events)]);
    for _ in 0..20 {
        assert_eq!(ask(trial.address("uppercase-tcp"), &["a", "b"]), b"AB");
    }
    drop(fault);
    trial.end();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn case_18_readiness_that_is_not_true_does_no_harm() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&[listener("uppercase", "tcp"), listener("sum", "udp")]);
    let mut client = Client::connect(trial.address("uppercase-tcp"));
    client.ask("a", "A");
    // The listeners have the first slots and generations, the canary and the client the next.
    let events: Vec<_> = (0..5).map(|slot: u64| (EVERYTHING, (slot + 1) << 32 | slot)).collect();
    let fault = Fault::on(&trial, &[&forged(&events)]);
    for _ in 0..20 {
        client.ask("b", "B");
        assert_eq!(ask(trial.address("uppercase-tcp"), &["c"]), b"C");
        assert_eq!(over_udp(trial.address("sum-udp")), SUM.1.as_bytes());
    }
    drop(fault);
    drop(client);
    trial.end();
}

fn over_udp(address: SocketAddr) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    socket.send_to(SUM.0.as_bytes(), address).unwrap();
    let mut buffer = vec![0; 64];
    let count = socket.recv(&mut buffer).unwrap();
    buffer.truncate(count);
    buffer
}

#[test]
fn case_19_a_wait_that_is_interrupted_is_begun_again() {
    let trial = Trial::start(&uppercase());
    for _ in 0..300 {
        trial.signal(Signal::SIGSTOP);
        trial.resume();
    }
    if faults_work() {
        // Attaching and detaching interrupt the wait as well.
        for _ in 0..3 {
            // No injection is left when the tracer detaches: a tracer that has changed a call and detaches before
            // changing the answer lets ENOSYS through.
            let fault = Fault::on(&trial, &["epoll_wait:error=EINTR:when=1..5+2"]);
            for _ in 0..6 {
                assert_eq!(ask(trial.address("uppercase-tcp"), &["still here"]), b"STILL HERE");
            }
            drop(fault);
        }
    }
    trial.end();
}

#[test]
fn case_20_no_state_of_a_connection_keeps_the_loop_busy() {
    let few = listener_with("sum", &json!({ "limits": { "max_connections": 1 } }));
    let trial =
        Trial::start(&[listener("uppercase", "tcp"), listener("file-sized", "tcp"), listener("time", "tcp"), few]);
    let uppercase = trial.address("uppercase-tcp");
    let mut held = Vec::new();
    // Idle, idle after an answer, and in the middle of a request.
    held.push(Client::connect(uppercase));
    for (name, said, answer) in [("uppercase-tcp", "a", "A"), ("file-sized-tcp", "name\n9\nhalf", "OK\nOK\n")] {
        let mut client = Client::connect(trial.address(name));
        client.ask(said, answer);
        held.push(client);
    }
    // Its output is full, and it is half-closed as well.
    for closed in [false, true] {
        let mut full = Client::connect_with_little_room(uppercase);
        full.send_until_stuck(&[b'a'; 64 * KIB]);
        if closed {
            full.finish();
        }
        held.push(full);
    }
    // The server has sent its FIN and the client does not close: the server lingers.
    let mut lingering = Client::connect(uppercase);
    lingering.send("exit\n");
    assert_eq!(lingering.rest(), b"");
    held.push(lingering);
    // Accepting is paused, and a client waits.
    for _ in 0..2 {
        let mut paused = Client::connect(trial.address("sum-tcp"));
        paused.send(SUM.0);
        held.push(paused);
    }
    // One has sent its FIN, one has reset.
    let gone = Client::connect(trial.address("time-tcp"));
    gone.reset();
    let mut half = Client::connect(trial.address("time-tcp"));
    half.finish();
    half.rest();
    held.push(half);
    let trial = trial.assert_rest();
    drop(held);
    trial.end();
}

#[test]
fn case_22_every_descriptor_is_closed_on_exec() {
    let directory = listener("file", "tcp");
    let trial = Trial::start(&[directory, listener("sum", "udp")]);
    let mut client = Client::connect(trial.address("file-tcp"));
    client.ask("held\n", "ok\n");
    let mut own = 0;
    for info in fs::read_dir(format!("/proc/{}/fdinfo", trial.id())).unwrap().map(Result::unwrap) {
        let number = info.file_name().into_string().unwrap();
        let leads_to = |process: &str| fs::read_link(format!("/proc/{process}/fd/{number}")).ok();
        let what = leads_to(&trial.id().to_string());
        if number.len() == 1 && number.as_str() < "3" || what == leads_to("self") {
            // The server has inherited it.
            continue;
        }
        let text = fs::read_to_string(info.path()).unwrap();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        let close_on_exec = 0o2_000_000;
        assert!(flags & close_on_exec != 0, "{number}: {what:?}");
        own += 1;
    }
    assert!(own > 8, "only {own} descriptors of its own");
    drop(client);
    trial.end();
}

#[test]
fn case_24_the_longest_configurable_times_mean_never_and_not_now() {
    let longest = "36525d";
    let limits = json!({ "limits": { "idle_timeout": longest, "request_timeout": longest, "lifetime": longest,
        "write_timeout": longest, "linger_timeout": longest } });
    let trial = Trial::start(&[listener_with("uppercase", &limits), listener_with("sum", &limits)]);
    let mut client = Client::connect(trial.address("uppercase-tcp"));
    client.ask("a", "A");
    let mut other = Client::connect(trial.address("sum-tcp"));
    other.send("{");
    watch_for(Duration::from_millis(100));
    client.ask("b", "B");
    other.ask(&SUM.0[1..], SUM.1);
    drop((client, other));
    trial.end();
}

/// Serves a client while stderr takes no bytes.
fn survives_a_log_that_goes(nowhere: &str) {
    let shell = format!("export RUST_LOG=trace; {nowhere}; exec \"$@\"");
    let trial = Trial::under(&["sh", "-c", &shell, "sh"], &uppercase());
    for _ in 0..300 {
        assert_eq!(ask(trial.address("uppercase-tcp"), &["a line or two of the log"]), b"A LINE OR TWO OF THE LOG");
    }
    let process = trial.end_without_counters();
    process.signal(Signal::SIGTERM);
    let start = Instant::now();
    assert_eq!(process.wait().0.code(), Some(0), "{nowhere}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn case_26_a_stderr_that_is_stuck_full_or_closed_blocks_no_client() {
    // A pipe that is open but never read.
    survives_a_log_that_goes("mkfifo stuck; exec 2<>stuck");
    survives_a_log_that_goes("exec 2>/dev/full");
    survives_a_log_that_goes("exec 2>&-");
}

#[test]
fn case_27_cheap_rubbish_does_not_flood_the_log() {
    let trial = Trial::start(&[listener("sum", "udp"), listener("sum", "tcp")]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20_000 {
        socket.send_to(b"rubbish", trial.address("sum-udp")).unwrap();
    }
    for _ in 0..500 {
        ask(trial.address("sum-tcp"), &["rubbish"]);
    }
    let mut many = Client::connect(trial.address("sum-tcp"));
    many.stream().write_all(&b"[]".repeat(1000)).unwrap();
    many.finish();
    many.rest();
    drop(many);
    let process = trial.end();
    let lines = process.log().lines().filter(|line| !line.contains("tcp://") && !line.contains("udp://")).count();
    assert!(lines < 100, "{lines} lines");
}
