//! The old clients work unchanged. They are rebuilt here with their buffer sizes, and without framing.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::thread;

use serde_json::{Value, json};

use crate::support::{
    Client, PATIENCE, Random, Scratch, eventually, every_protocol, listener, listener_with, loopback, server,
};

#[test]
fn the_sum_client_decodes_each_answer_of_a_read_and_asks_again() {
    let (_server, address) = loopback("sum");
    let mut client = Client::connect(address);
    for (request, sum) in [(r#"{"A":7,"B":4}"#, 11), (r#"{"A":-7,"B":4}"#, -3)] {
        client.send(request);
        let answer: Value = serde_json::from_slice(&client.read_once(256)).unwrap();
        assert_eq!(answer, json!({ "Sum": sum }));
    }
}

#[test]
fn ten_threads_that_share_one_connected_udp_socket_get_all_their_answers() {
    const ROUNDS: i64 = 50;
    let server = server(&json!({ "listeners": [listener("sum", "udp")] }));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server.address("sum-udp")).unwrap();
    let ask = |thread: i64| {
        let socket = &socket;
        move || {
            let asked = (0..ROUNDS).map(|round| {
                socket.send(format!(r#"{{"A":{thread},"B":{}}}"#, round * 10).as_bytes()).unwrap();
                let mut buffer = [0; 256];
                let count = socket.recv(&mut buffer).unwrap();
                serde_json::from_slice::<Value>(&buffer[..count]).unwrap()["Sum"].as_i64().unwrap()
            });
            asked.collect::<Vec<_>>()
        }
    };
    // The thread that reads first gets the next answer, whether it is its own or not: only the set of all answers is
    // known.
    let mut sums: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10).map(|thread| scope.spawn(ask(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    sums.sort_unstable();
    assert_eq!(sums, (0..10 * ROUNDS).collect::<Vec<_>>());
}

#[test]
fn the_file_client_names_its_file_without_a_newline_and_closes_at_once() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let contents = Random::new(1).bytes(100_000);
    let mut client = Client::connect(server.address("file-tcp"));
    client.send("old client.bin");
    assert_eq!(client.read_once(16), b"ok");
    for block in contents.chunks(4096) {
        client.send(block);
    }
    drop(client);
    eventually("the file is there", || directory.names() == ["old client.bin"]);
    assert!(directory.contents("old client.bin") == contents);
}

#[test]
fn the_sized_file_client_waits_for_three_answers_and_sends_another_file() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let mut client = Client::connect(server.address("file-sized-tcp"));
    for (name, size) in [("one", 1), ("two", 100_000)] {
        let contents = Random::new(size).bytes(size as usize);
        let size = size.to_string();
        for part in [name.as_bytes(), size.as_bytes(), &contents] {
            client.send(part);
            assert_eq!(client.read_once(16), b"OK");
        }
        assert!(directory.contents(name) == contents);
    }
}

#[test]
fn the_time_client_reads_once_writes_anything_and_waits_for_the_close() {
    let config = json!({ "listeners": [listener_with("time", &json!({ "limits": { "idle_timeout": "200ms" } }))] });
    let server = server(&config);
    let mut client = Client::connect(server.address("time-tcp"));
    let told = client.read_once(1024);
    assert_eq!((told.len(), told.last()), (28, Some(&b'\n')));
    client.send("thank you");
    // Only the client's silence ends this connection, and it ends with a FIN.
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_greeting_client_is_greeted_once_for_each_message() {
    let (_server, address) = loopback("greeting");
    let mut client = Client::connect(address);
    for _ in 0..3 {
        client.send("hello socket");
        assert_eq!(client.read_once(4096), b"This is Server\n");
    }
}

#[test]
fn the_uppercase_client_sends_while_it_reads_and_ends_at_the_close() {
    let (_server, address) = loopback("uppercase");
    let client = Client::connect(address);
    let (mut keyboard, mut screen) = (client.stream(), client.stream());
    let typed = "Twenty-four letters a line.\n".repeat(100_000);
    let shown = thread::scope(|scope| {
        let shown = scope.spawn(move || {
            let mut shown = Vec::new();
            screen.read_to_end(&mut shown).unwrap();
            shown
        });
        keyboard.write_all(typed.as_bytes()).unwrap();
        keyboard.write_all(b"exit\n").unwrap();
        shown.join().unwrap()
    });
    assert!(shown == typed.to_uppercase().as_bytes());
    // The client never sends its FIN before the server does.
    keyboard.shutdown(Shutdown::Write).unwrap();
}
