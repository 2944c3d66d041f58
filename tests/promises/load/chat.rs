//! `load` as the members of a chat.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use serde_json::json;

use super::{Outcome, load};
use crate::support::{Process, listener_with};

/// A chat for two members. What the second hears is a function of the lines that the first has said so far; what begins with `too
/// busy` goes to the first.
struct Stub {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Stub {
    fn start(hears: fn(&[String]) -> Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, thread: thread::spawn(move || Self::serve(&listener, hears)) }
    }

    /// Until the first member closes.
    fn serve(listener: &TcpListener, hears: fn(&[String]) -> Vec<String>) {
        // The first connection only tries the address.
        let [mut first, mut second]: [TcpStream; 2] =
            listener.incoming().map(Result::unwrap).skip(1).take(2).collect::<Vec<_>>().try_into().unwrap();
        let mut lines = BufReader::new(first.try_clone().unwrap()).lines();
        let name = lines.next().unwrap().unwrap();
        writeln!(first, "What is your name?\n{name} is in hall").unwrap();
        let other = BufReader::new(second.try_clone().unwrap()).lines().next().unwrap().unwrap();
        writeln!(second, "What is your name?\n{other} is in hall").unwrap();
        writeln!(first, "{other} is in hall").unwrap();
        let mut said = Vec::new();
        for line in lines.map_while(Result::ok) {
            said.push(format!("{name}: {line}"));
            for heard in hears(&said) {
                let to = if heard.starts_with("too busy") { &mut first } else { &mut second };
                // A member that has seen an error has left.
                let _ = writeln!(to, "{heard}");
            }
        }
    }

    fn load(self, options: &str) -> Outcome {
        let outcome = load(&format!("chat tcp://{} -c 2 -d 400ms {options}", self.address));
        self.thread.join().unwrap();
        outcome
    }
}

/// The newest line, except that the fourth is heard as `fourth`.
fn except(said: &[String], fourth: &[&str]) -> Vec<String> {
    match said.len() {
        4 => fourth.iter().map(|line| line.replace("{}", &said[3])).collect(),
        _ => vec![said[said.len() - 1].clone()],
    }
}

#[test]
fn every_line_of_a_chat_is_checked_at_every_member() {
    let server = Process::example_under(&[], "chat", &json!({ "listeners": [listener_with("chat", &json!({}))] }));
    let address = server.address("chat-tcp");
    for (options, members) in [("", 30), ("--senders 30 --size 100", 30), ("--senders 3 --pipeline 20 --rate 200", 30)]
    {
        let outcome = load(&format!("chat tcp://{address} -c {members} -d 500ms --timeout 60s {options}"));
        outcome.assert_good();
        assert_eq!(outcome.number("/requests"), outcome.number("/lines") * f64::from(members - 1), "{}", outcome.text);
        assert_eq!(outcome.number("/missed"), 0.0);
        assert!(outcome.text.contains("deliveries "), "{}", outcome.text);
    }
}

#[test]
fn an_open_loop_of_a_chat_says_every_line_that_is_due() {
    let outcome = Stub::start(|said| except(said, &["{}"])).load("--rate 100 --pipeline 40 --timeout 60s");
    outcome.assert_good();
    assert_eq!((outcome.number("/lines"), outcome.number("/requests")), (40.0, 40.0), "{}", outcome.text);
    assert_eq!((&outcome.json["senders"], &outcome.json["deaf"]), (&json!(1), &json!(0)));
}

#[test]
fn a_line_that_is_lost_is_an_error_unless_the_server_says_so() {
    let lost = Stub::start(|said| except(said, &[])).load("--timeout 1s");
    assert_eq!((lost.number("/errors/lost"), lost.number("/requests")), (1.0, 3.0), "{}", lost.text);

    let in_between = Stub::start(|said| except(said, &[])).load("--pipeline 3 --rate 100 --timeout 1s");
    assert!(in_between.number("/errors/lost") >= 1.0, "{}", in_between.text);

    let told = Stub::start(|said| except(said, &["you missed 1 lines"])).load("--timeout 60s");
    told.assert_good();
    assert_eq!(told.number("/missed"), 1.0);
    assert_eq!(told.number("/requests"), told.number("/lines") - 1.0);
}

#[test]
fn a_line_that_is_refused_is_an_error_of_its_sender_alone() {
    let refused = Stub::start(|said| except(said, &["too busy: that line was not sent"])).load("--timeout 60s");
    assert_eq!((refused.number("/errors/refused"), refused.number("/errors/total")), (1.0, 1.0), "{}", refused.text);
    assert!(refused.number("/requests") > 4.0, "the others go on: {}", refused.text);

    let refused_later = |said: &[String]| match said.len() {
        4 => vec![],
        5 => vec![said[4].clone(), "too busy: that line was not sent".to_owned()],
        _ => except(said, &[]),
    };
    let refused = Stub::start(refused_later).load("--pipeline 3 --timeout 60s");
    assert_eq!((refused.number("/errors/refused"), refused.number("/errors/total")), (1.0, 1.0), "{}", refused.text);
}

#[test]
fn lines_that_are_wrong_twice_or_out_of_order_are_errors() {
    type Hears = fn(&[String]) -> Vec<String>;
    let hears: [(&str, Hears); 5] = [
        ("twice", |said| except(said, &["{}", "{}"])),
        ("changed", |said| except(said, &["{}"]).into_iter().map(|line| line.replace("daft", "deft")).collect()),
        ("out of order", |said| match said.len() {
            4 => vec![],
            5 => vec![said[4].clone(), said[3].clone()],
            _ => except(said, &[]),
        }),
        ("missed and there", |said| except(said, &["you missed 1 lines", "{}"])),
        ("missed and never said", |said| except(said, &["you missed 100 lines"])),
    ];
    for (what, hears) in hears {
        let outcome = Stub::start(hears).load("--pipeline 2 --timeout 60s");
        assert!(outcome.number("/errors/wrong") > 0.0, "{what}: {}", outcome.text);
    }
    let unasked = Stub::start(|said| except(said, &["Eve: hello", "{}"])).load("--timeout 60s");
    assert_eq!(unasked.number("/errors/unasked"), 1.0, "{}", unasked.text);
}
