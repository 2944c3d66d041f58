//! G: names from the network.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Ended, Scratch, Trial, ask, listener, listener_with};

/// Every path below `root`, with its type and contents.
fn snapshot(root: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let contents = kind.is_file().then(|| fs::read(&path).unwrap().escape_ascii().to_string());
        all.push((path.display().to_string(), format!("{kind:?} {contents:?}")));
        if kind.is_dir() {
            all.extend(snapshot(&path));
        }
    }
    all.sort();
    all
}

fn both() -> [Value; 2] {
    [listener("file", "tcp"), listener("file-sized", "tcp")]
}

/// Both protocols refuse a name with the same error, before the contents.
#[track_caller]
fn refusal(trial: &Trial, name: &[u8]) -> String {
    let [plain, sized] = ["file-tcp", "file-sized-tcp"].map(|listener| {
        let answer = ask(trial.address(listener), &[name, b"\n3\nabc"]);
        String::from_utf8(answer).unwrap()
    });
    assert_eq!(plain, sized, "{}", name.escape_ascii());
    assert!(plain.starts_with("error: "), "{}: {plain}", name.escape_ascii());
    plain
}

#[test]
fn case_62_a_name_that_leads_elsewhere_is_refused_and_changes_nothing() {
    let trial = Trial::start(&both());
    let before = snapshot(trial.directory().path());
    for name in ["../x", "/etc/x", "a/b", "a\\b", "C:\\x", ".", "..", "", "x/..", "received/x", "..\\x"] {
        let told = refusal(&trial, name.as_bytes());
        assert!(name.len() < 3 || !told.contains(name), "{told}");
    }
    assert_eq!(snapshot(trial.directory().path()), before);
    trial.end();
}

/// An existing file of each kind.
fn occupy(directory: &Path, outside: &Path) -> [&'static str; 7] {
    fs::write(directory.join("file"), "old").unwrap();
    fs::hard_link(outside.join("target"), directory.join("hard")).unwrap();
    symlink(outside.join("target"), directory.join("outward")).unwrap();
    symlink("file", directory.join("inward")).unwrap();
    symlink(outside.join("missing"), directory.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(directory.join("fifo")).status().unwrap().success());
    drop(UnixListener::bind(directory.join("socket")).unwrap());
    ["file", "hard", "outward", "inward", "dangling", "fifo", "socket"]
}

#[test]
fn case_63_an_existing_name_is_neither_opened_nor_followed_nor_awaited() {
    let (received, outside) = (Scratch::new(), Scratch::new());
    fs::write(outside.path().join("target"), "untouched").unwrap();
    let names = occupy(received.path(), outside.path());
    fs::create_dir(received.path().join("directory")).unwrap();
    let into = |existing| {
        let options = json!({ "directory": received.path(), "existing": existing });
        listener_with("file-sized", &json!({ "name": existing, "options": options }))
    };
    let trial = Trial::start(&["refuse", "number", "replace"].map(into));
    let upload = |listener, name: &str| {
        let answer = ask(trial.address(listener), &[format!("{name}\n3\nnew")]);
        String::from_utf8(answer).unwrap()
    };
    let (before, elsewhere) = (snapshot(received.path()), snapshot(outside.path()));
    for name in names.into_iter().chain(["directory"]) {
        assert_eq!(upload("refuse", name), format!("error: {name} exists already\n"));
    }
    assert_eq!(snapshot(received.path()), before);
    for name in names {
        assert_eq!(upload("number", name), "OK\nOK\nOK\n", "{name}");
        assert_eq!(received.contents(&format!("{name} (2)")), b"new");
        assert_eq!(upload("replace", name), "OK\nOK\nOK\n", "{name}");
        assert!(fs::symlink_metadata(received.path().join(name)).unwrap().is_file(), "{name}");
        assert_eq!(received.contents(name), b"new");
    }
    assert!(upload("replace", "directory").contains("error: "));
    assert_eq!(snapshot(outside.path()), elsewhere);
    trial.end();
}

#[test]
fn case_64_a_directory_that_is_swapped_for_a_link_leads_nowhere_else() {
    let (root, outside) = (Scratch::new(), Scratch::new());
    let [here, aside] = ["here", "aside"].map(|name| root.path().join(name));
    fs::create_dir(&here).unwrap();
    let into = json!({ "options": { "directory": here, "existing": "replace" } });
    let trial = Trial::start(&[listener_with("file-sized", &into)]);
    let over = Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        scope.spawn(|| {
            while !over.has_ended() {
                fs::rename(&here, &aside).unwrap();
                symlink(outside.path(), &here).unwrap();
                fs::remove_file(&here).unwrap();
                fs::rename(&aside, &here).unwrap();
            }
        });
        for number in 0..200 {
            let answer = ask(trial.address("file-sized-tcp"), &[format!("{number}\n3\nabc")]);
            assert_eq!(answer, b"OK\nOK\nOK\n");
        }
    });
    assert_eq!(outside.names(), [""; 0]);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 200);
    trial.end();
}

#[test]
fn case_65_no_terminal_control_byte_gets_into_a_name_or_the_log() {
    let trial = Trial::under(&["env", "RUST_LOG=debug"], &both());
    for byte in (0..0x20).chain(0x7F..=0xFF).filter(|byte| *byte != b'\n') {
        for name in [vec![byte], vec![b'a', byte, b'b'], vec![b'a', b'b', byte, b'\r']] {
            // A carriage return before the newline is part of the newline.
            if byte != b'\r' {
                refusal(&trial, &name);
            }
        }
    }
    for name in ["\u{1B}[2J", "a\u{9B}2J", "a\u{85}"] {
        refusal(&trial, name.as_bytes());
    }
    let process = trial.end();
    assert_eq!(process.received(), [""; 0]);
    assert!(process.log().chars().all(|letter| letter == '\n' || !letter.is_control()));
}

#[test]
fn case_66_a_name_has_at_most_255_bytes_and_no_more_is_buffered() {
    let trial = Trial::start(&both());
    let longest = "n".repeat(255);
    assert_eq!(ask(trial.address("file-sized-tcp"), &[format!("{longest}\n1\nx")]), b"OK\nOK\nOK\n");
    refusal(&trial, &[b'n'; 256]);
    refusal(&trial, "ä".repeat(128).as_bytes());
    let before = trial.resident_bytes();
    refusal(&trial, &vec![b'n'; 1024 * 1024]);
    let grown = trial.resident_bytes().saturating_sub(before);
    assert!(grown < 512 * 1024, "{grown} bytes");
    let process = trial.end();
    assert_eq!(process.received(), [longest]);
}

#[test]
fn case_67_hidden_and_temporary_names_are_refused_others_kept_as_they_are() {
    let trial = Trial::start(&both());
    for name in [".bashrc", ".reactor-0123456789abcdef.tmp", "..."] {
        refusal(&trial, name.as_bytes());
    }
    // No byte is changed: names that are equal on other systems are different here.
    let plain = ["-rf", " x", "CON", "trailing.", "e\u{301}", "\u{E9}", "Twin", "twin"];
    for name in plain {
        assert_eq!(ask(trial.address("file-sized-tcp"), &[format!("{name}\n1\nx")]), b"OK\nOK\nOK\n", "{name}");
    }
    let process = trial.end();
    let mut expected = plain.map(str::to_owned);
    expected.sort();
    assert_eq!(process.received(), expected);
}

#[test]
fn case_68_one_of_a_hundred_uploads_gets_the_name_the_others_an_error() {
    let trial = Trial::start(&both());
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(trial.address("file-sized-tcp"))).collect();
    for client in &mut clients {
        client.ask("wanted\n4\n", "OK\nOK\n");
    }
    trial.pause();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("{number:04}"));
        client.finish();
    }
    trial.resume();
    let mut winners = Vec::new();
    for (number, client) in clients.iter_mut().enumerate() {
        match &client.rest()[..] {
            b"OK\n" => winners.push(number),
            loser => assert_eq!(loser, b"error: wanted exists already\n"),
        }
    }
    drop(clients);
    let process = trial.end();
    assert_eq!(process.received(), ["wanted"]);
    assert_eq!(winners.len(), 1);
    let contents = fs::read_to_string(process.directory().path().join("received/wanted")).unwrap();
    assert_eq!(contents, format!("{:04}", winners[0]));
}
