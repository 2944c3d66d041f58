//! The reaction of a client to a faulty server and to a faulty network.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::{self, JoinHandle};

use super::{fail, print, run};

/// Serves one client on a thread.
fn serve(act: impl FnOnce(TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    (url, thread::spawn(move || act(listener.accept().unwrap().0)))
}

/// Answers the first input with `answer`, and then ends.
fn answers(answer: Vec<u8>) -> (String, JoinHandle<()>) {
    serve(move |mut stream| {
        assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
        // A client that has read enough may close.
        let _ = stream.write_all(&answer).and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn a_servers_text_is_quoted_escaped_and_bounded() {
    let text = b"\x1b[31mred \x07".repeat(6000);
    let path = env!("CARGO_BIN_EXE_reactor");
    for (example, arguments) in [
        ("send", [path, "--timeout=60s"]),
        ("send", [path, "--protocol=file"]),
        ("send", [path, "--bare"]),
        ("sum", ["1", "2"]),
    ] {
        for end in ["\n", ""] {
            let (url, server) = answers([&text, end.as_bytes()].concat());
            let errors = fail(example, &[&arguments[..], &[&url]].concat());
            server.join().unwrap();
            assert!(errors.len() < 1000 && !errors.contains(['\x1b', '\x07']), "{example}: {errors:?}");
            assert!(errors.contains(r"\u{1b}[31mred \u{7}") && errors.contains("(60000 bytes)"), "{example}: {errors}");
        }
    }
}

#[test]
fn a_wrong_answer_without_a_newline_is_reported_not_called_a_timeout() {
    let serve_greeting = || {
        serve(|mut stream| {
            stream.write_all(b"This is Serve").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    for arguments in [["sum", "1", "2"], ["send", env!("CARGO_BIN_EXE_reactor"), "--as=a"]] {
        let (url, server) = serve_greeting();
        let errors = fail(arguments[0], &[arguments[1], arguments[2], &url, "--timeout", "300ms"]);
        server.join().unwrap();
        assert!(errors.contains("This is Serve"), "{errors}");
    }

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (_, client) = socket.recv_from(&mut [0; 100]).unwrap();
        socket.send_to(b"This is Serve", client).unwrap();
        // The socket stays open until the client has exited, so that nothing is refused.
        socket
    });
    let errors = fail("sum", &["1", "2", &url, "--timeout", "300ms"]);
    server.join().unwrap();
    assert!(errors.contains("This is Serve") && errors.contains("answers lost: 1 of 1"), "{errors}");
}

#[test]
fn over_udp_a_request_that_the_network_refuses_counts_as_lost() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = thread::spawn(move || {
        for sum in 3..6 {
            let (_, client) = socket.recv_from(&mut [0; 100]).unwrap();
            socket.send_to(format!("{{\"Sum\":{sum}}}\n").as_bytes(), client).unwrap();
        }
        refuse(&socket);
        socket
    });
    let arguments = ["1", "2", &format!("udp://{address}"), "--every", "5ms", "--count", "10"];
    let output = run("sum", &arguments);
    server.join().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3\n4\n5\n", "{errors}");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("answers lost: 7 of 10") && errors.contains("refused"), "{errors}");
}

#[test]
fn over_udp_one_request_that_is_refused_ends_at_once_with_the_reason() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    refuse(&socket);
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let errors = fail("sum", &["1", "2", &url, "--timeout", "10m"]);
    assert!(errors.contains("refused"), "{errors}");
}

/// Makes the port of this socket refuse all input, and keeps the port: a socket connected to another one accepts
/// nothing from here.
fn refuse(socket: &UdpSocket) {
    socket.connect(SocketAddr::from(([127, 0, 0, 1], 9))).unwrap();
}

#[test]
fn a_span_that_no_clock_can_count_is_wrong_usage() {
    let path = env!("CARGO_BIN_EXE_reactor");
    for span in ["500000000000y", "1000y", "-1s", "x"] {
        for arguments in [
            vec!["sum", "1", "2", "--timeout"],
            vec!["sum", "1", "2", "--every"],
            vec!["uppercase", "--timeout"],
            vec!["send", path, "--timeout"],
            vec!["time", "--timeout"],
            vec!["greeting", "--timeout"],
            vec!["greeting", "--every"],
            vec!["check", "sum", "tcp://127.0.0.1:1", "--timeout"],
            vec!["load", "sum", "tcp://127.0.0.1:1", "--duration"],
            vec!["load", "sum", "tcp://127.0.0.1:1", "--warmup"],
            vec!["load", "sum", "tcp://127.0.0.1:1", "--timeout"],
            vec!["load", "sum", "tcp://127.0.0.1:1", "--assert"],
        ] {
            let (last, others) = arguments.split_last().unwrap();
            let value = if *last == "--assert" { format!("{last}=p99<{span}") } else { format!("{last}={span}") };
            let output = run(others[0], &[&others[1..], &[&value]].concat());
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {span}: {errors}");
        }
    }
}

/// A server of `file-sized` that runs `meanwhile` between the size and its confirmation, and then returns the number of
/// bytes received.
fn sized(between: impl FnOnce() + Send + 'static) -> (String, JoinHandle<()>, std::sync::mpsc::Receiver<usize>) {
    let (sender, came) = std::sync::mpsc::channel();
    let (url, server) = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone().unwrap());
        for between in [None, Some(between)] {
            input.read_line(&mut String::new()).unwrap();
            if let Some(act) = between {
                act();
            }
            stream.write_all(b"OK\n").unwrap();
        }
        sender.send(input.read_to_end(&mut Vec::new()).unwrap()).unwrap();
    });
    (url, server, came)
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_sent_is_never_sent_whole() {
    let scratch = crate::support::Scratch::new();
    let path = scratch.path().join("contents");
    for (before, after) in [(100_000, 100_001), (100_000, 99_999), (10, 1_000_000), (1, 0)] {
        std::fs::write(&path, vec![b'x'; before]).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let (url, server, came) = sized(move || file.set_len(after).unwrap());
        let errors = fail("send", &[path.to_str().unwrap(), &url]);
        server.join().unwrap();
        assert!(came.recv().unwrap() < before, "{before} {after}");
        assert!(errors.contains(&format!("size is {before} ")) && errors.contains("--protocol file"), "{errors}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_the_kernel_makes_up_is_sent_without_a_size_or_not_at_all() {
    let everything = super::Everything::start();
    let errors = fail("send", &["/proc/self/status", &everything.url("file-sized-tcp")]);
    assert!(errors.contains("--protocol file"), "{errors}");
    assert_eq!(everything.received.names(), [""; 0]);
    let said = print("send", &["/proc/self/status", &everything.url("file-tcp"), "--protocol", "file"]);
    assert!(said.starts_with("saved status "), "{said}");
    assert!(everything.received.contents("status").starts_with(b"Name:\tsend\n"));
}
