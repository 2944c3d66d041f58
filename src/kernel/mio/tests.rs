//! The real kernel: what it reports, and when.

use std::io::Write;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;

use super::*;
use crate::kernel::Transport;

#[test]
fn a_token_survives_the_path_through_the_kernel() {
    for (slot, generation) in [(0, 0), (1, 0), (0, 1), (65_535, 65_535)] {
        let token = Token { slot, generation };
        assert_eq!(unpack(pack(token)), token);
    }
}

const TOKEN: Token = Token { slot: 1, generation: 2 };

/// Returns a kernel with a connection that it has accepted and not registered, and the client's end.
fn accepted() -> (Mio, Stream, std::net::TcpStream) {
    let mut kernel = Mio::new().expect("a poll");
    let door = Token { slot: 0, generation: 1 };
    let options = ListenOptions::new(1, None, false);
    let (listener, address) =
        kernel.listen(SocketAddr::from(([127, 0, 0, 1], 0)), &options, door).expect("a free port");
    let client = std::net::TcpStream::connect(address).expect("it listens");
    kernel.wait(&mut Vec::new(), None).expect("a working poll");
    let (stream, _) = kernel.accept(&listener).expect("a connection");
    (kernel, stream, client)
}

/// Waits until something has come, whatever the kernel reports of it.
fn await_input(stream: &mut Stream) {
    poll(&mut [PollFd::new(stream.source(), PollFlags::IN)], None).expect("it comes");
}

/// Returns what is reported of the connection until `timeout`.
fn reported(kernel: &mut Mio, timeout: Option<Duration>) -> Readiness {
    let mut notices = Vec::new();
    kernel.wait(&mut notices, timeout).expect("a working poll");
    notices.iter().fold(Readiness::default(), |all, notice| match notice {
        Notice::Ready(TOKEN, news) => Readiness {
            readable: all.readable | news.readable,
            writable: all.writable | news.writable,
            in_doubt: all.in_doubt | news.in_doubt,
        },
        _ => all,
    })
}

/// Rule 3 needs this: a connection is read from before it is registered.
#[test]
fn bytes_that_have_come_when_a_socket_is_registered_are_reported() {
    let (mut kernel, mut stream, mut client) = accepted();
    let read = stream.read(&mut [0]).expect_err("nothing has come");
    assert_eq!(read.kind(), io::ErrorKind::WouldBlock);
    client.write_all(b"between the read and the registration").expect("a connection");
    await_input(&mut stream);
    kernel.register(&mut stream, TOKEN).expect("room for it");
    assert!(reported(&mut kernel, None).readable);
}

/// `reactor/pause.rs` needs this.
#[test]
fn what_comes_while_reads_are_paused_is_reported_when_they_are_resumed() {
    let (mut kernel, mut stream, mut client) = accepted();
    kernel.register(&mut stream, TOKEN).expect("room for it");
    kernel.reregister(&mut stream, TOKEN, false).expect("it is registered");
    client.write_all(b"while they are paused").expect("a connection");
    await_input(&mut stream);
    assert!(!reported(&mut kernel, Some(Duration::ZERO)).readable);
    kernel.reregister(&mut stream, TOKEN, true).expect("it is registered");
    let news = reported(&mut kernel, None);
    assert!(news.readable && !news.in_doubt);
    stream.read(&mut [0; 100]).expect("they have come");

    kernel.reregister(&mut stream, TOKEN, false).expect("it is registered");
    client.shutdown(std::net::Shutdown::Write).expect("a connection");
    await_input(&mut stream);
    assert!(!reported(&mut kernel, Some(Duration::ZERO)).readable);
    kernel.reregister(&mut stream, TOKEN, true).expect("it is registered");
    assert!(reported(&mut kernel, None).in_doubt);
}

#[test]
fn a_reset_is_reported_while_reads_are_paused() {
    let (mut kernel, mut stream, client) = accepted();
    kernel.register(&mut stream, TOKEN).expect("room for it");
    kernel.reregister(&mut stream, TOKEN, false).expect("it is registered");
    set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket");
    drop(client);
    while !reported(&mut kernel, None).in_doubt {}
}

#[test]
fn commands_from_another_thread_wake_the_loop_and_arrive_in_order() {
    let mut kernel = Mio::new().expect("a poll");
    let handle = kernel.handle();
    std::thread::spawn(move || {
        handle.report();
        handle.stop();
    });
    let mut notices = Vec::new();
    while notices.len() < 2 {
        kernel.wait(&mut notices, None).expect("a working poll");
    }
    assert!(matches!(notices[..], [Notice::Command(Command::Report), Notice::Command(Command::Stop)]));
}
