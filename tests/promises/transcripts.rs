//! Segmentation never changes a transcript: the answers depend on a client's bytes, not on how TCP split them.

use serde_json::json;

use crate::support::{Client, Process, Random, Scratch, ask, every_protocol, server};

/// A listener, the bytes that a client sends to it before its FIN, and all answers.
const CONVERSATIONS: &[(&str, &[u8], &[u8])] = &[
    (
        "sum-tcp",
        b"{\"A\":7,\"B\":4} {\"b\":-2,\"a\":1,\"c\":{}}[1]\"x\"{\"A\":9223372036854775807,\"B\":1}\n",
        b"{\"Sum\":11}\n{\"Sum\":-1}\n{\"Error\":\"not an object\"}\n{\"Error\":\"not an object\"}\n\
          {\"Error\":\"sum overflows\"}\n",
    ),
    (
        "sum-tcp",
        b"{\"A\":7,\"B\":4}{\"A\":oops}{\"A\":7,\"B\":4}",
        b"{\"Sum\":11}\n{\"Error\":\"not JSON at byte 6\"}\n",
    ),
    ("sum-tcp", b"{\"A\":7,", b"{\"Error\":\"cut short after byte 7\"}\n"),
    (
        "uppercase-tcp",
        "straße\nöäü exit\nEXIT\nexit now\nexi\nꭰ\u{1F600}".as_bytes(),
        "STRASSE\nÖÄÜ EXIT\nEXIT\nEXIT NOW\nEXI\nᎠ\u{1F600}".as_bytes(),
    ),
    ("uppercase-tcp", b"a\xff\xc3(\r\nexit\r\nafter\xc3", b"A\xff\xc3(\r\n"),
    ("uppercase-tcp", b"cut \xc3", b"CUT \xc3"),
    ("file-tcp", b"notes.txt\r\none\ntwo\n\x00\xff", b"ok\nsaved notes.txt 10\n"),
    ("file-tcp", b"a/b\nignored", b"error: the name has a slash at byte 2\n"),
    ("file-sized-tcp", b"a\n3\nabcb\n0\nc\n2\nxy", b"OK\nOK\nOK\nOK\nOK\nOK\nOK\nOK\nOK\n"),
    ("file-sized-tcp", b"a\n10\nabc", b"OK\nOK\nerror: the connection ended within the contents\n"),
    ("file-sized-tcp", b"a\n1x\n", b"OK\nerror: the size has something other than a digit at byte 2\n"),
];

fn transcripts_are_the_same_for(split: impl Fn(&'static [u8]) -> Vec<&'static [u8]>, how: &str) {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    for &(listener, input, expected) in CONVERSATIONS {
        let received = ask(server.address(listener), &split(input));
        assert_eq!(
            received.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{listener}, {how}: {}",
            input.escape_ascii()
        );
    }
}

#[test]
fn a_conversation_in_one_segment_has_its_transcript() {
    transcripts_are_the_same_for(|input| vec![input], "in one piece");
}

#[test]
fn the_same_conversation_byte_by_byte_has_the_same_transcript() {
    transcripts_are_the_same_for(|input| input.chunks(1).collect(), "byte by byte");
}

#[test]
fn the_same_conversation_in_random_pieces_has_the_same_transcript() {
    for seed in 0..20 {
        let how = format!("seed {seed}");
        transcripts_are_the_same_for(|input| Random::new(seed ^ input.len() as u64).split(input, 12), &how);
    }
}

#[test]
fn the_time_is_sent_once_whatever_the_client_sends() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let said: [&[&[u8]]; 3] = [&[], &[b"what time is it?\n"], &[b"w", b"h", b"at"]];
    for pieces in said {
        let told = String::from_utf8(ask(server.address("time-tcp"), pieces)).unwrap();
        let shape: String = told.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z\n");
    }
}

/// What a client of `examples/chat.rs` types, and the transcript in the documentation of that file.
const CHATS: [(&str, &str); 2] = [
    (
        "Ada\nhello\n/join library\n",
        "What is your name (1 to 20 letters or digits)?\nAda\nAda is in hall\nhello\n/join library\nAda is in library\n",
    ),
    (
        "Ada Lovelace\n",
        "What is your name (1 to 20 letters or digits)?\nAda Lovelace\nWhat is your name (1 to 20 letters or digits)?\n",
    ),
];

#[test]
fn the_documentation_of_the_chat_shows_what_its_clients_see() {
    let documented: String = include_str!("../../examples/chat.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let chat = Process::example("chat", Scratch::new(), &["chat=tcp://127.0.0.1:0"]);
    let address = chat.address("chat-tcp");
    let mut listens = Client::connect(address);
    listens.ask("Bob\n", "What is your name (1 to 20 letters or digits)?\nBob is in hall\n");
    for (typed, transcript) in CHATS {
        assert!(documented.contains(&format!("```text\n{transcript}```\n")), "{transcript}");
        let answers: String = transcript.split_inclusive('\n').filter(|line| !typed.contains(line)).collect();
        assert_eq!(String::from_utf8(ask(address, &[typed])).unwrap(), answers);
    }
    let too_long = "error: a message has at most 500 bytes\n";
    assert!(documented.contains(&format!("```text\n{too_long}```\n")));
    let long = format!("Eve\n{}\n", "x".repeat(501));
    assert_eq!(
        String::from_utf8(ask(address, &[&long])).unwrap(),
        format!("What is your name (1 to 20 letters or digits)?\nEve is in hall\n{too_long}")
    );
    // Ada has gone to another room before she left, and the nameless one was never there.
    assert!(documented.contains("`NAME has left`"));
    listens.expect("Ada is in hall\nAda: hello\nAda has gone to library\nEve is in hall\nEve has left\n");
}
