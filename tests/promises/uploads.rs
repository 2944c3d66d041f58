//! Files: byte for byte as sent, complete or absent, and durable once confirmed.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Client, Line, Process, Random, Scratch, Strace, ask, eventually, every_protocol, listener, listener_with, server,
    strace_works, watch_for,
};

const KIB: usize = 1024;

fn upload(name: &str, contents: &[u8]) -> Vec<u8> {
    [format!("{name}\n{}\n", contents.len()).as_bytes(), contents].concat()
}

/// `file-sized` and `uppercase`, with files going to `received` in the working directory.
fn slow_and_quick() -> Value {
    json!({ "listeners": [listener("file-sized", "tcp"), listener("uppercase", "tcp")] })
}

#[test]
fn contents_arrive_byte_for_byte_whatever_their_size() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let sizes = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 10_000_000];
    for size in sizes {
        let contents = Random::new(size as u64).bytes(size);
        let answer = ask(server.address("file-sized-tcp"), &[upload("sized", &contents)]);
        assert_eq!(answer, b"OK\nOK\nOK\n", "{size}");
        assert!(directory.contents("sized") == contents, "{size}");
        let answer = ask(server.address("file-tcp"), &[&b"streamed\n"[..], &contents]);
        assert_eq!(String::from_utf8(answer).unwrap(), format!("ok\nsaved streamed {size}\n"));
        assert!(directory.contents("streamed") == contents, "{size}");
    }
    assert_eq!(directory.names(), ["sized", "streamed"]);
}

#[test]
fn many_files_in_one_pipelined_stream_are_kept_apart() {
    let directory = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&directory) }));
    let files: Vec<_> = (0..50).map(|number| (format!("{number:02}"), Random::new(number).bytes(3000))).collect();
    let stream: Vec<_> = files.iter().map(|(name, contents)| upload(name, contents)).collect();
    let answer = ask(server.address("file-sized-tcp"), &Random::new(1).split(&stream.concat(), 5000));
    assert_eq!(String::from_utf8(answer).unwrap(), "OK\n".repeat(150));
    for (name, contents) in &files {
        assert!(directory.contents(name) == *contents, "{name}");
    }
}

#[test]
fn one_of_parallel_uploads_of_one_name_wins_and_the_others_get_an_error() {
    const UPLOADS: u8 = 8;
    let directory = Scratch::new();
    let options = json!({ "options": { "directory": directory.path() } });
    let server = server(&json!({ "listeners": [listener_with("file-sized", &options)] }));
    let mut clients: Vec<_> = (0..UPLOADS).map(|_| Client::connect(server.address("file-sized-tcp"))).collect();
    for client in &mut clients {
        client.ask("same\n100000\n", "OK\nOK\n");
    }
    // All names have been accepted: from here on only linkat(2) decides.
    let answers: Vec<_> = thread::scope(|scope| {
        let finish = |(number, mut client): (u8, Client)| {
            client.send(vec![number; 100_000]);
            client.finish();
            client.rest()
        };
        let threads: Vec<_> = (0..).zip(clients).map(|client| scope.spawn(move || finish(client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<_> = (0..UPLOADS).zip(&answers).filter(|(_, answer)| *answer == b"OK\n").collect();
    let losers = answers.iter().filter(|answer| *answer == b"error: same exists already\n").count();
    assert_eq!((winners.len(), losers), (1, 7), "{answers:?}");
    assert_eq!(directory.names(), ["same"]);
    assert!(directory.contents("same") == vec![winners[0].0; 100_000]);
}

#[test]
fn a_reset_in_the_middle_leaves_neither_a_file_nor_a_descriptor_nor_work() {
    let server = Process::start(&slow_and_quick());
    let received = || std::fs::read_dir(server.directory().path().join("received")).unwrap().count();
    let address = server.address("file-sized-tcp");
    assert_eq!(ask(address, &[upload("first", b"1")]), b"OK\nOK\nOK\n");
    let mut idle = Client::connect(server.address("uppercase-tcp"));
    idle.ask("x", "X");
    let before = server.descriptors();
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask(format!("{number}\n1000000\n"), "OK\nOK\n");
        client.send(vec![0; number * 10_000]);
    }
    assert_eq!(server.descriptors(), before + 40, "a socket and a file for each");
    for client in clients {
        client.reset();
    }
    eventually("all descriptors are closed", || server.descriptors() == before);
    assert_eq!(received(), 1);
    let ticks = server.processor_ticks();
    watch_for(Duration::from_millis(300));
    assert!(server.processor_ticks() - ticks <= 3, "it goes on working for closed connections");
}

#[test]
fn an_upload_is_confirmed_after_contents_name_and_directory_are_synced() {
    if !strace_works() {
        return;
    }
    let server = Strace::start(&["-e", "trace=fsync,linkat,sendto"], &slow_and_quick());
    let before = server.lines().len();
    assert_eq!(ask(server.process.address("file-sized-tcp"), &[upload("durable", b"0123456789")]), b"OK\nOK\nOK\n");
    let confirmed = || server.lines()[before..].iter().filter(|line| line.begins("sendto")).count() == 3;
    eventually("the trace is complete", confirmed);
    let lines = server.lines().split_off(before);
    let after = |from: usize, found: &dyn Fn(&Line) -> bool| {
        let place = lines[from..].iter().position(found).unwrap_or_else(|| panic!("{lines:#?}"));
        from + place
    };
    let contents = after(0, &|line| line.completes("fsync"));
    let link = after(contents, &|line| line.begins("linkat") && line.text.contains("\"durable\""));
    let linked = after(link, &|line| line.completes("linkat"));
    let sync = after(linked, &|line| line.begins("fsync") && line.text.contains("/received>"));
    let synced = after(sync, &|line| line.completes("fsync"));
    let confirmation = lines.iter().rposition(|line| line.begins("sendto")).unwrap();
    assert!(synced < confirmation, "{lines:#?}");
}

#[test]
fn a_slow_disk_delays_only_its_own_upload() {
    if !strace_works() {
        return;
    }
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_enter=1500000"];
    let server = Strace::start(&slow, &slow_and_quick());
    let mut slow = Client::connect(server.process.address("file-sized-tcp"));
    slow.ask("slow\n10\n", "OK\nOK\n");
    slow.send("0123456789");
    let mut quick = Client::connect(server.process.address("uppercase-tcp"));
    for _ in 0..100 {
        quick.ask("quick", "QUICK");
    }
    assert!(!slow.has_answer(), "a hundred answers took longer than the disk");
    slow.expect("OK\n");
}
