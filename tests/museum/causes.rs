//! Of a server with many mistakes the checker names one cause, the page to read, and how the server has ended.

use std::fs;

use crate::checker::Report;
use crate::files::Scratch;
use crate::server::program;
use crate::steps::{is_here, started};

/// A thread for each client, which takes what one `recv` returns for one question. It also ends at EMFILE.
const THREADS: &str = r#"
import json, socket, sys, threading

def serve(client):
    with client:
        while question := client.recv(256):
            numbers = json.loads(question)
            client.send(b'{"Sum":%d}\n' % (numbers["A"] + numbers["B"]))

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
"#;

/// One thread, and sockets that do not block, but a `send` that is expected to take everything.
const SELECT: &str = r#"
import select, socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
clients = []
while True:
    for ready in select.select([listener] + clients, [], [])[0]:
        if ready is listener:
            client, _ = listener.accept()
            client.setblocking(False)
            clients.append(client)
        elif received := ready.recv(4096):
            ready.send(received.upper())
        else:
            clients.remove(ready)
            ready.close()
"#;

/// A run of all demands on a server that misses the one which is named, and probably others.
#[track_caller]
fn names_one_cause(protocol: &str, command: &str, demand: &str, page: &str) -> String {
    let Report { code, text } = started(protocol, command, &["--timeout", "50s"]);
    assert!(code == 1 && text.contains(&format!("MISSED  {demand} ")), "{text}");
    assert_eq!((text.matches("MISSED").count(), text.matches("  cause ").count()), (1, 1), "{text}");
    assert!(text.contains(&format!("          read      {page}\n")), "{text}");
    text
}

/// The same for a server in Python; `None` if this machine has no Python.
#[track_caller]
fn names_one_cause_of(name: &str, source: &str, protocol: &str, demand: &str, page: &str) -> Option<String> {
    if !is_here("python3", "--version") {
        return None;
    }
    let scratch = Scratch::new(name);
    let file = scratch.path().join("server.py");
    fs::write(&file, source).unwrap();
    Some(names_one_cause(protocol, &format!("python3 '{}' PORT", file.display()), demand, page))
}

#[test]
fn of_a_thread_that_takes_a_read_for_a_question_framing_is_named() {
    let page = "docs/framing.md#messages-glued-and-split-a-read-is-not-a-message";
    let Some(text) = names_one_cause_of("threads", THREADS, "sum", "glued", page) else { return };
    assert!(text.contains(" not tried: the cause may be the same; --keep-going tries them\n"), "{text}");
    assert!(!text.contains("has ended"), "it has lost one thread: {text}");
}

#[test]
fn a_loop_that_ends_at_a_partial_write_is_called_dead() {
    let page = "docs/writing.md#partial-writes-a-server-that-loses-bytes";
    let Some(text) = names_one_cause_of("select", SELECT, "uppercase", "late-reader", page) else { return };
    let end = "the server has ended (exit status: 1): BlockingIOError";
    assert!(text.contains(&format!(" not tried: {end}")), "{text}");
}

#[test]
fn a_loop_that_ends_at_emfile_is_called_dead() {
    let command = format!("'{}' dies-of-emfile PORT", program("broken").display());
    let page = "docs/faults.md#emfile-out-of-descriptors";
    let text = names_one_cause("uppercase", &command, "descriptors", page);
    assert!(text.contains(" not tried: the server has ended (exit status: 1)"), "{text}");
}

#[test]
fn a_cause_is_named_once_when_the_checker_goes_on() {
    let command = format!("'{}' read-is-message PORT", program("broken").display());
    let options = ["--only", "glued,split,burst", "--timeout", "50s"];
    let Report { text, .. } = started("sum", &command, &options);
    assert_eq!(text.matches("MISSED").count(), 1, "{text}");
    let Report { code, text } = started("sum", &command, &[&options[..], &["--keep-going"]].concat());
    assert_eq!((code, text.matches("MISSED").count()), (1, 3), "{text}");
    assert_eq!(text.matches("cause     probably: it takes what one read returns for one whole question").count(), 1);
    assert_eq!(text.matches("cause     probably the same as for glued\n").count(), 1, "{text}");
}
