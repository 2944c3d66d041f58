//! H: contents, and faults of the disk.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Client, Fault, Process, Scratch, Trial, ask, eventually, faults_work, listener, listener_with, root_works,
};

const KIB: usize = 1024;

fn sized() -> [Value; 1] {
    [listener("file-sized", "tcp")]
}

fn into(directory: &Path) -> [Value; 1] {
    [listener_with("file-sized", &json!({ "options": { "directory": directory } }))]
}

/// All answers of `file-sized` to one upload.
fn upload(server: &Process, name: &str, contents: &[u8]) -> String {
    let head = format!("{name}\n{}\n", contents.len());
    let answer = ask(server.address("file-sized-tcp"), &[head.as_bytes(), contents]);
    String::from_utf8(answer).unwrap()
}

const STORED: &str = "OK\nOK\nOK\n";

#[test]
fn case_70_an_upload_that_is_cut_anywhere_leaves_nothing() {
    const SIZE: usize = 16 * KIB;
    let trial = Trial::start(&[listener("file-sized", "tcp"), listener("file", "tcp")]);
    let places = (0..=SIZE).step_by(4 * KIB).flat_map(|place| [place.saturating_sub(1), place, place + 1]);
    for (number, place) in places.filter(|place| *place < SIZE).enumerate() {
        let contents = vec![b'x'; place];
        let mut client = Client::connect(trial.address("file-sized-tcp"));
        client.send(format!("fin{number}\n{SIZE}\n"));
        client.send(&contents);
        client.finish();
        let answer = String::from_utf8(client.rest()).unwrap();
        assert_eq!(answer, "OK\nOK\nerror: the connection ended within the contents\n", "{place}");
        for (name, head) in [("file-sized-tcp", format!("rst{number}\n{SIZE}\n")), ("file-tcp", format!("r{number}\n"))]
        {
            let mut client = Client::connect(trial.address(name));
            client.send(head);
            client.expect(if name == "file-tcp" { "ok\n" } else { "OK\nOK\n" });
            client.send(&contents);
            client.reset();
        }
    }
    let process = trial.end();
    assert_eq!(process.received(), [""; 0]);
}

#[test]
fn case_71_a_size_is_digits_within_the_limit_or_refused_before_its_ok() {
    let small = json!({ "options": { "directory": "received", "max_size": "1MiB" } });
    let trial = Trial::start(&[listener_with("file-sized", &small)]);
    let too_many = "9".repeat(20);
    let refused = [
        "",
        "-1",
        "+5",
        "1e9",
        "0x10",
        " 7",
        "7 ",
        "1_000",
        "٣",
        "1.0",
        &too_many,
        "18446744073709551615",
        "1048577",
        "9223372036854775807",
    ];
    for size in refused {
        let answer = ask(trial.address("file-sized-tcp"), &[format!("refused\n{size}\nabc")]);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("OK\nerror: "), "{size}: {answer}");
    }
    for (name, size, contents) in
        [("zero", "0", ""), ("leading", "007", "1234567"), ("wide", "0000000000000000003", "abc")]
    {
        let answer = ask(trial.address("file-sized-tcp"), &[format!("{name}\n{size}\n{contents}")]);
        assert_eq!(String::from_utf8(answer).unwrap(), STORED, "{name}");
    }
    let process = trial.end();
    assert_eq!(process.received(), ["leading", "wide", "zero"]);
}

#[test]
fn case_72_a_file_has_its_size_and_the_bytes_after_it_are_the_next_name() {
    let trial = Trial::start(&sized());
    for (surplus, told) in [
        (1, "error: the connection ended within the name\n"),
        (1024 * KIB, "error: the name is longer than 255 bytes\n"),
    ] {
        let contents = "abc".to_owned() + &"x".repeat(surplus);
        let answer = ask(trial.address("file-sized-tcp"), &[format!("exact{surplus}\n3\n{contents}")]);
        assert_eq!(String::from_utf8(answer).unwrap(), format!("{STORED}{told}"));
    }
    let process = trial.end();
    assert_eq!(process.received(), ["exact1", "exact1048576"]);
    for name in process.received() {
        assert_eq!(fs::read(process.directory().path().join("received").join(name)).unwrap(), b"abc");
    }
}

/// A separate file system of a given size.
struct Tiny(Scratch);

impl Tiny {
    fn mount(options: &str) -> Self {
        let tiny = Self(Scratch::new());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(tiny.0.path());
        assert!(mount.status().unwrap().success(), "no tmpfs can be mounted");
        tiny
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0.path()).status();
    }
}

#[test]
fn case_73_a_full_disk_is_an_error_of_its_upload_and_leaves_nothing() {
    if !root_works() {
        return;
    }
    let tiny = Tiny::mount("size=1m");
    let trial = Trial::start(&into(tiny.0.path()));
    for round in 0..3 {
        let told = upload(&trial, "large", &vec![b'x'; 4096 * KIB]);
        assert_eq!(told, "OK\nOK\nerror: the disk is full\n", "round {round}");
        assert_eq!(tiny.0.names(), [""; 0]);
    }
    assert_eq!(upload(&trial, "small", b"fits"), STORED);
    trial.end();
}

#[test]
fn case_73_a_disk_without_inodes_is_an_error_of_its_upload() {
    if !root_works() {
        return;
    }
    let tiny = Tiny::mount("size=1m,nr_inodes=4");
    let trial = Trial::start(&into(tiny.0.path()));
    let answers: Vec<_> = (0..8).map(|number| upload(&trial, &number.to_string(), b"x")).collect();
    let stored = answers.iter().filter(|answer| *answer == STORED).count();
    assert!((1..8).contains(&stored), "{answers:?}");
    assert!(
        answers.iter().all(|answer| answer == STORED || answer.ends_with("error: the disk is full\n")),
        "{answers:?}"
    );
    assert_eq!(tiny.0.names().len(), stored);
    trial.end();
}

#[test]
fn case_73_a_file_over_rlimit_fsize_is_an_error_and_ends_no_process() {
    let trial = Trial::under(&["prlimit", "--fsize=100000"], &sized());
    // The limit is in the middle of one write: first a short write, then the error.
    let told = upload(&trial, "large", &vec![b'x'; 300 * KIB]);
    assert!(told.starts_with("OK\nOK\nerror: "), "{told}");
    assert_eq!(upload(&trial, "small", &[b'x'; 99_999]), STORED);
    let process = trial.end();
    assert_eq!(process.received(), ["small"]);
}

#[test]
fn case_73_a_directory_that_is_removed_is_an_error_of_its_uploads() {
    let directory = Scratch::new();
    let received = directory.path().join("received");
    let trial = Trial::start(&into(&received));
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    client.ask("begun\n3\n", "OK\nOK\n");
    fs::remove_dir_all(&received).unwrap();
    client.send("abc");
    client.finish();
    let told = String::from_utf8(client.rest()).unwrap();
    assert!(told.starts_with("error: "), "{told}");
    let told = upload(&trial, "later", b"x");
    assert!(told.ends_with("error: the directory for received files is gone\n"), "{told}");
    drop(client);
    trial.end();
}

/// Each upload meets one failing call; then an upload meets none.
#[test]
fn case_73_an_upload_with_any_failing_call_gets_an_error_and_no_file() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    for call in ["openat", "flock", "linkat", "fsync"] {
        for errno in ["ENOSPC", "EDQUOT", "EIO", "EROFS"] {
            let fault = Fault::on(&trial, &[&format!("{call}:error={errno}")]);
            let told = upload(&trial, "failed", b"contents");
            assert!(told.contains("error: ") && !told.ends_with("OK\n"), "{call} {errno}: {told}");
            drop(fault);
            assert_eq!(trial.received(), [""; 0], "{call} {errno}");
        }
    }
    assert_eq!(upload(&trial, "good", b"contents"), STORED);
    trial.end();
}

/// `reactor` on the directory of a killed one.
fn restarted(directory: &Path, existing: &str) -> Process {
    Process::start(&killable(directory, existing))
}

fn killable(directory: &Path, existing: &str) -> Value {
    let options = json!({ "options": { "directory": directory, "existing": existing } });
    json!({ "listeners": [listener_with("file-sized", &options)] })
}

/// Kills the server at the `count`-th call of that name by any of its threads, in the middle of an upload that replaces
/// an older file if there is one. Returns whether the server was killed.
fn killed_at(call: &str, count: usize, existing: &str) -> bool {
    let directory = Scratch::new();
    let (old, new) = (vec![b'o'; 1000], vec![b'n'; 600 * KIB]);
    if existing == "replace" {
        fs::write(directory.path().join("name"), &old).unwrap();
    }
    let mut server = restarted(directory.path(), existing);
    let fault = Fault::on(&server, &[&format!("{call}:signal=SIGKILL:when={count}")]);
    let head = format!("name\n{}\n", new.len());
    // The server may be killed before its client knows that it is connected.
    let connected = TcpStream::connect(server.address("file-sized-tcp")).map(Client::over);
    let confirmed = connected.is_ok_and(|mut client| {
        let parts = [head.as_bytes(), &new];
        let sent = parts.iter().all(|part| client.stream().write_all(part).is_ok());
        sent && client.try_rest_of(STORED.len()).is_ok_and(|answer| answer == STORED.as_bytes())
    });
    drop(fault);
    let survived = confirmed && server.is_running();
    drop(server);
    let server = restarted(directory.path(), existing);
    let names = directory.names();
    let context = format!("{call} {count} {existing}, confirmed: {confirmed}: {names:?}");
    assert!(names.iter().all(|name| name == "name"), "{context}");
    if names.is_empty() {
        assert!(!confirmed && existing == "refuse", "{context}");
    } else {
        let contents = directory.contents("name");
        assert!(contents == new || !confirmed && existing == "replace" && contents == old, "{context}");
    }
    drop(server);
    !survived
}

#[test]
fn case_74_killed_at_any_call_an_upload_is_absent_or_complete() {
    if !faults_work() {
        return;
    }
    for existing in ["refuse", "replace"] {
        let calls = ["accept4", "recvfrom", "openat", "flock", "write", "fsync", "linkat", "sendto", "close"];
        for call in calls.into_iter().chain((existing == "replace").then_some("renameat")) {
            let kills = (1..=8).take_while(|count| killed_at(call, *count, existing)).count();
            assert!(kills > 0, "an upload makes no call {call}");
        }
    }
}

#[test]
fn case_75_a_sync_that_fails_fails_its_upload_and_is_not_tried_again() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    for errno in ["EIO", "ENOSPC"] {
        // Only the first call of each thread fails, so that a second try would succeed.
        let fault = Fault::on(&trial, &[&format!("fsync:error={errno}:when=1")]);
        let told = upload(&trial, "unsynced", b"contents");
        assert!(told.starts_with("OK\nOK\nerror: "), "{errno}: {told}");
        drop(fault);
        assert_eq!(trial.received(), [""; 0]);
    }
    trial.end();
}

#[test]
fn case_76_errors_that_only_close_reports_change_nothing_that_was_synced() {
    if !faults_work() {
        return;
    }
    // A close that the tracer makes fail never happens, so descriptors are lost and no client sees a FIN; the tracer
    // causes that.
    let server = Process::start(&json!({ "listeners": sized() }));
    let mut client = Client::connect(server.address("file-sized-tcp"));
    let fault = Fault::on(&server, &["close:error=EIO"]);
    client.ask("synced\n8\ncontents", STORED);
    drop(fault);
    assert_eq!(fs::read(server.directory().path().join("received/synced")).unwrap(), b"contents");
}

#[test]
fn case_78_without_a_descriptor_an_upload_fails_and_others_are_accepted() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let fault = Fault::on(&trial, &["openat:error=EMFILE"]);
    for _ in 0..3 {
        let told = upload(&trial, "none", b"contents");
        assert!(told.contains("error: ") && !told.ends_with("OK\n"), "{told}");
    }
    drop(fault);
    assert_eq!(upload(&trial, "one", b"contents"), STORED);
    trial.end();
}

#[test]
fn case_79_many_large_uploads_do_not_fill_the_disk_below_its_floor() {
    if !root_works() {
        return;
    }
    let tiny = Tiny::mount("size=64m");
    let options = json!({ "directory": tiny.0.path(), "free_space_floor": "32MiB" });
    let trial = Trial::start(&[listener_with("file-sized", &json!({ "options": options }))]);
    for number in 0..20 {
        let answer = ask(trial.address("file-sized-tcp"), &[format!("large{number}\n1073741824\nabc")]);
        assert!(answer.starts_with(b"OK\nerror: "), "{}", answer.escape_ascii());
    }
    let stored =
        (0..10).filter(|number| upload(&trial, &number.to_string(), &vec![b'x'; 8192 * KIB]) == STORED).count();
    assert_eq!(stored, 4, "{:?}", tiny.0.names());
    trial.end();
}

#[test]
fn case_80_a_sync_that_takes_a_second_delays_only_its_own_upload() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let fault = Fault::on(&trial, &["fsync:delay_enter=1000000"]);
    let mut slow = Client::connect(trial.address("file-sized-tcp"));
    slow.ask("slow\n4\n", "OK\nOK\n");
    slow.send("slow");
    let mut quick = Client::connect(trial.address("canary"));
    for _ in 0..100 {
        quick.ask(crate::support::SUM.0, crate::support::SUM.1);
    }
    assert!(!slow.has_answer(), "a hundred answers took longer than the disk");
    slow.expect("OK\n");
    drop((fault, slow, quick));
    trial.end();
}

#[test]
fn case_81_a_client_lost_after_the_link_leaves_a_complete_file() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let received: PathBuf = trial.directory().path().join("received");
    let fault = Fault::on(&trial, &["linkat:delay_exit=500000"]);
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    client.ask("known\n8\n", "OK\nOK\n");
    client.send("contents");
    eventually("it is linked", || received.join("known").exists());
    client.reset();
    drop(fault);
    eventually("the reset is noticed", || trial.counter("file-sized-tcp", "open") == 0);
    assert_eq!(fs::read(received.join("known")).unwrap(), b"contents");
    assert_eq!(upload(&trial, "known", b"contents"), "error: known exists already\n");
    trial.end();
}
