//! Reloads with Unix sockets: a path is taken and freed while the server runs, and who may connect changes.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::{REQUEST, ask, ask_at};
use crate::reload::Reloaded;
use crate::support::{Client, Process, Scratch, eventually, refusing};

/// A configuration with a TCP listener and others.
fn with(others: &[Value]) -> Value {
    let tcp = json!({ "name": "tcp", "listen": "tcp://127.0.0.1:0", "protocol": "sum" });
    let listeners = [&[tcp], others].concat();
    json!({ "listeners": listeners })
}

/// A listener for `sum` at `sum.sock`, with more members.
fn sum(directory: &Scratch, members: &Value) -> Value {
    let path = directory.path().join("sum.sock");
    let mut listener = json!({ "name": "sum", "listen": format!("unix://{}", path.display()), "protocol": "sum" });
    for (name, value) in members.as_object().unwrap() {
        listener[name] = value.clone();
    }
    listener
}

#[test]
fn a_reload_takes_a_path_and_another_one_frees_it() {
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    let mut server = Reloaded::start(&with(&[]));
    let log = server.accepts(&with(&[sum(&directory, &json!({}))]));
    assert!(log.contains(&format!("reload: sum: added sum unix://{}", path.display())), "{log}");
    ask_at(&path);
    server.accepts(&with(&[]));
    eventually("its file is removed", || directory.names().is_empty());
    server.accepts(&with(&[sum(&directory, &json!({}))]));
    ask_at(&path);
}

#[test]
fn a_failed_reload_leaves_no_path_behind() {
    let directory = Scratch::new();
    let (_taken, taken) = refusing();
    let broken = json!({ "name": "broken", "listen": format!("tcp://{taken}"), "protocol": "time" });
    let mut server = Reloaded::start(&with(&[]));
    server.rejects(&with(&[sum(&directory, &json!({})), broken]).to_string());
    assert_eq!(directory.names(), [""; 0]);
    Client::connect(server.process.address("tcp")).ask(REQUEST, super::ANSWER);
}

#[test]
fn a_reload_takes_no_path_from_a_living_server() {
    let directory = Scratch::new();
    let other = Process::start(&with(&[sum(&directory, &json!({}))]));
    let mut server = Reloaded::start(&with(&[]));
    let log = server.rejects(&with(&[sum(&directory, &json!({}))]).to_string());
    assert!(log.contains(&format!("in use by process {}", other.id())), "{log}");
    ask_at(&directory.path().join("sum.sock"));
}

#[test]
fn allowed_users_change_for_new_connections_to_the_same_socket() {
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    let mut server = Reloaded::start(&with(&[sum(&directory, &json!({}))]));
    let file = path.symlink_metadata().unwrap().ino();
    let old = UnixStream::connect(&path).unwrap();
    ask(&old);
    let another_user = json!({ "allow_users": ["4000000000"], "backlog": 7 });
    let log = server.accepts(&with(&[sum(&directory, &another_user)]));
    assert!(log.contains("reload: sum: backlog 1024 -> 7"), "{log}");
    ask(&old);
    let mut refused = UnixStream::connect(&path).unwrap();
    // The server has closed already, or closes over the unread request.
    let _ = refused.write_all(REQUEST);
    assert!(matches!(refused.read(&mut [0; 8]), Ok(0) | Err(_)));
    server.accepts(&with(&[sum(&directory, &json!({}))]));
    ask_at(&path);
    ask(&old);
    assert_eq!(path.symlink_metadata().unwrap().ino(), file);
}

#[test]
fn what_a_living_unix_socket_cannot_change_is_named() {
    let directory = Scratch::new();
    let mut server = Reloaded::start(&with(&[sum(&directory, &json!({}))]));
    for (member, value) in [("mode", "0666"), ("owner", "0"), ("group", "0")] {
        let log = server.rejects(&with(&[sum(&directory, &json!({ member: value }))]).to_string());
        assert!(log.contains(&format!("sum: {member} cannot be changed while the server runs")), "{log}");
    }
    let log = server.rejects(&with(&[sum(&directory, &json!({ "allow_users": ["no-such-user-here"] }))]).to_string());
    assert!(log.contains("sum: allow_users: there is no user no-such-user-here"), "{log}");
    ask_at(&directory.path().join("sum.sock"));
}
