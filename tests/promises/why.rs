//! On SIGUSR1 the server logs what each connection is waiting for; and the log says the same when it gives up.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Client, Process, deaf_clients, eventually, listener, listener_with};

/// The table that the server logs on SIGUSR1.
#[track_caller]
fn report(server: &Process) -> Vec<String> {
    let before = server.log().len();
    server.signal(Signal::SIGUSR1);
    let log = || server.log()[before..].to_owned();
    eventually("the report is complete", || log().contains("    in all "));
    log()
        .lines()
        .skip_while(|line| !line.ends_with("what each connection is waiting for:"))
        .skip(1)
        .map(|line| line.trim_start().to_owned())
        .collect()
}

/// The row of a connection.
#[track_caller]
fn row<'a>(report: &'a [String], client: &Client) -> &'a str {
    let peer = client.stream().local_addr().unwrap().to_string();
    report.iter().find(|line| line.contains(&format!(" {peer} "))).unwrap_or_else(|| panic!("{peer}: {report:#?}"))
}

#[test]
fn each_connection_has_a_row_with_what_it_is_waiting_for() {
    let listeners = ["sum", "uppercase", "file-sized"].map(|protocol| listener(protocol, "tcp"));
    let server = Process::start(&json!({ "listeners": listeners }));
    let [deaf] = &deaf_clients(&server, "uppercase-tcp", 1)[..] else { unreachable!("one was asked for") };
    let mut idle = Client::connect(server.address("sum-tcp"));
    idle.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    let mut slow = Client::connect(server.address("sum-tcp"));
    slow.send(r#"{"A":"#);
    let mut upload = Client::connect(server.address("file-sized-tcp"));
    upload.ask("upload.bin\n", "OK\n");
    upload.ask("1000000\n", "OK\n");
    upload.send([b'u'; 1000]);

    let mut rows = Vec::new();
    eventually("everything has arrived", || {
        rows = report(&server);
        row(&rows, &slow).contains("request") && row(&rows, &upload).contains("1000 B so far")
    });
    let says = |client, sentence: &str| {
        let row = row(&rows, client);
        assert!(row.contains(sentence), "{row}");
    };
    says(deaf, " sending ");
    says(deaf, "waiting for the peer to read: ");
    says(deaf, " pending, the last write said EAGAIN ");
    says(deaf, " unless it reads");
    says(&idle, " idle for ");
    says(&idle, " unless a request comes");
    says(&slow, "in the middle of a request: its first byte came ");
    says(&upload, "waiting for more of an upload: 1000 B so far, ");
    assert_eq!(rows.iter().filter(|line| line.ends_with("waiting for connections")).count(), 3, "{rows:#?}");

    // The first report started the counting: at that time there was one connection, and no other.
    let bytes = |client| row(&rows, client).split("  ").map(|field| field.trim().to_owned()).collect::<Vec<_>>();
    assert!(bytes(deaf).contains(&"+0 B".to_owned()), "{:?}", bytes(deaf));
    assert!(bytes(&idle).contains(&"13 B".to_owned()), "{:?}", bytes(&idle));
    assert!(bytes(&idle).contains(&"11 B".to_owned()), "{:?}", bytes(&idle));
}

#[test]
fn waiting_owners_come_first_and_rows_without_room_are_counted() {
    const CROWD: usize = 600;
    let server = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
    let mut crowd: Vec<_> = (0..CROWD).map(|_| Client::connect(server.address("sum-tcp"))).collect();
    for client in &mut crowd {
        client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    }
    crowd[CROWD - 1].send(r#"{"A":"#);
    let mut rows = Vec::new();
    eventually("the request has begun", || {
        rows = report(&server);
        row(&rows, &crowd[CROWD - 1]).contains("in the middle of a request")
    });
    let heading = rows.iter().position(|line| line.starts_with("number ")).unwrap();
    assert_eq!(rows[heading + 1], row(&rows, &crowd[CROWD - 1]));
    let listed = rows.iter().filter(|line| line.contains(" idle for ")).count();
    assert_eq!(listed, 498, "one row is the listener's and one the request's");
    assert!(rows.contains(&"… and 101 (idle 101) more".to_owned()), "{rows:#?}");
    assert!(rows.last().unwrap().starts_with("in all 601 ("), "{rows:#?}");
}

#[test]
fn a_connection_closed_by_its_deadline_logs_the_reported_sentence() {
    let limits = json!({ "limits": { "write_timeout": "300ms", "idle_timeout": "200ms" } });
    let listeners = ["sum", "uppercase"].map(|protocol| listener_with(protocol, &limits));
    let server = Process::under(&["env", "RUST_LOG=debug"], &json!({ "listeners": listeners }));
    let idle = Client::connect(server.address("sum-tcp"));
    let mut deaf = Client::connect_with_little_room(server.address("uppercase-tcp"));
    deaf.send_until_stuck(&[b'a'; 64 * 1024]);
    let says = |client: &Client, sentences: [&str; 2]| {
        let peer = client.stream().local_addr().unwrap();
        eventually("the log says why it was closed", || {
            let log = server.log();
            let line = log.lines().find(|line| line.contains(&format!("{peer}: deadline expired: ")));
            line.is_some_and(|line| sentences.iter().all(|sentence| line.contains(sentence)))
        });
    };
    says(&idle, [": idle for ", ", closed now"]);
    says(&deaf, ["waiting for the peer to read: ", " pending, the last write said EAGAIN "]);
}
