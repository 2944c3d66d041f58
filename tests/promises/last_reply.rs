//! The last reply arrives: half-close works, and no close destroys an answer under way.

use serde_json::json;

use crate::support::{
    Client, Scratch, Server, Strace, ask, eventually, every_protocol, listener, listener_with, server, strace_works,
};

/// A reset that destroys a reply is a race, which one run may win by luck.
const RUNS: usize = 40;

/// All answers of `listener` to a client that sends `offence` and then a megabyte before it reads.
fn answer_after_a_flood(server: &Server, listener: &str, offence: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(server.address(listener));
    client.send(offence);
    client.send(vec![b'x'; 1024 * 1024]);
    client.rest()
}

#[test]
fn a_request_is_answered_after_the_fin_of_its_client() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let conversations: [(&str, &[u8], &[u8]); 7] = [
        ("sum-tcp", br#"{"A":7,"B":4}"#, b"{\"Sum\":11}\n"),
        ("uppercase-tcp", b"no newline", b"NO NEWLINE"),
        ("file-tcp", b"empty", b"oksaved empty 0\n"),
        ("file-tcp", b"full\ncontents", b"ok\nsaved full 8\n"),
        ("file-sized-tcp", b"sized\n8\ncontents", b"OK\nOK\nOK\n"),
        ("greeting-tcp", b"hello socket", b"This is Server\n"),
        ("sum-tcp", b"", b""),
    ];
    for (listener, request, reply) in conversations {
        let answer = ask(server.address(listener), &[request]);
        assert_eq!(answer.escape_ascii().to_string(), reply.escape_ascii().to_string(), "{listener}");
    }
    assert_eq!(ask(server.address("time-tcp"), &[b""]).len(), 28);
}

#[test]
fn an_error_line_reaches_a_client_that_goes_on_sending_a_megabyte() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let offences: [(&str, &[u8], &[u8]); 4] = [
        ("sum-tcp", b"{\"A\":oops}\n", b"{\"Error\":\"not JSON at byte 6\"}\n"),
        ("file-tcp", b".hidden\n", b"error: the name has a dot at byte 1\n"),
        ("file-sized-tcp", b"a\nten\n", b"OK\nerror: the size has something other than a digit at byte 1\n"),
        ("uppercase-tcp", b"bye\nexit\n", b"BYE\n"),
    ];
    for (listener, offence, reply) in offences {
        for run in 0..RUNS {
            let answer = answer_after_a_flood(&server, listener, offence);
            assert_eq!(answer.escape_ascii().to_string(), reply.escape_ascii().to_string(), "{listener}, run {run}");
        }
    }
}

#[test]
fn an_upload_that_is_refused_in_the_middle_gets_an_error() {
    let directory = Scratch::new();
    let small = json!({ "options": { "directory": directory.path(), "max_size": "64KiB" } });
    let server = server(&json!({ "listeners": [listener_with("file", &small), listener_with("file-sized", &small)] }));
    let refusal = "error: the file is larger than 65536 bytes\n";
    for run in 0..RUNS {
        let answer = answer_after_a_flood(&server, "file-tcp", b"large\n");
        assert_eq!(String::from_utf8(answer).unwrap(), format!("ok\n{refusal}"), "run {run}");
        let answer = answer_after_a_flood(&server, "file-sized-tcp", b"large\n1048576\n");
        assert_eq!(String::from_utf8(answer).unwrap(), format!("OK\n{refusal}"), "run {run}");
    }
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn what_a_refused_client_goes_on_to_send_is_discarded_without_a_copy() {
    const FLOOD: usize = 1024 * 1024;
    if !strace_works() {
        return;
    }
    let server = Strace::start(&[], &json!({ "listeners": [listener("sum", "tcp")] }));
    let mut client = Client::connect(server.process.address("sum-tcp"));
    client.send("oops");
    assert_eq!(client.read_once(100), b"{\"Error\":\"not JSON at byte 1\"}\n");
    client.send(vec![b'x'; FLOOD]);
    assert_eq!(client.try_rest_after_fin().unwrap(), b"");
    let bytes = |flags: &str| -> usize {
        let lines = server.lines();
        let reads = lines.iter().filter(|line| line.begins("recvfrom") && line.text.contains(flags));
        reads.filter_map(|line| line.text.rsplit_once(" = ")?.1.parse::<usize>().ok()).sum()
    };
    eventually("all of it is discarded", || bytes(", MSG_TRUNC, ") == FLOOD);
    assert_eq!(bytes(", 0, "), "oops".len(), "{:#?}", server.lines());
    assert_eq!(server.process.counter("sum-tcp", "bytes in"), ("oops".len() + FLOOD) as u64);
}

#[test]
fn exit_is_answered_only_by_the_end() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    for end in ["exit\n", "exit\r\n"] {
        let mut client = Client::connect(server.address("uppercase-tcp"));
        client.ask("before\n", "BEFORE\n");
        client.send(end);
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_large_answer_arrives_whole_though_its_reader_is_late() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let request = vec![b'a'; 200 * 1024];
    let mut client = Client::connect(server.address("uppercase-tcp"));
    client.send(&request);
    client.finish();
    // By now the server has seen our FIN: it has answered a client that connected after it.
    assert_eq!(ask(server.address("uppercase-tcp"), &["later"]), b"LATER");
    assert!(client.rest() == request.to_ascii_uppercase());
}
