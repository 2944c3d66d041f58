//! The path of a Unix socket: never taken from a living server, always from a dead one, and never without its mode.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::json;

use super::{ask, ask_at};
use crate::support::{Process, Scratch, root_works, server};

/// Starts the command, with its output in pipes.
fn starter(listen: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_reactor"))
        .args(["--listen", listen])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns the exit code of a starter that fails, and what it said.
#[track_caller]
fn failure(listen: &str) -> (Option<i32>, String) {
    let mut starter = starter(listen);
    if won(&mut starter) {
        starter.kill().unwrap();
        panic!("{listen} was bound");
    }
    let output = starter.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Whether a starter has its address, which it prints first; one that fails closes its output.
fn won(starter: &mut Child) -> bool {
    let mut line = String::new();
    BufReader::new(starter.stdout.take().unwrap()).read_line(&mut line).unwrap();
    !line.is_empty()
}

/// A socket of a process that has ended.
fn stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(path.exists());
}

fn sum_at(path: &Path) -> String {
    format!("sum=unix://{}", path.display())
}

fn identity(path: &Path) -> (u64, u64) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.dev(), found.ino())
}

#[test]
fn of_100_starters_on_one_stale_path_one_wins_and_answers() {
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    stale(&path);
    let mut starters: Vec<_> = (0..100).map(|_| starter(&sum_at(&path))).collect();
    let results: Vec<_> = starters.iter_mut().map(won).collect();
    ask_at(&path);
    assert_eq!(results.iter().filter(|won| **won).count(), 1);
    for (mut starter, won) in starters.into_iter().zip(results) {
        if won {
            // A starter that comes later does not take the socket of a living server, either.
            let ours = identity(&path);
            let (code, said) = failure(&sum_at(&path));
            assert_eq!(code, Some(69), "{said}");
            assert!(said.contains(&format!("in use by process {} ", starter.id())), "{said}");
            assert_eq!(identity(&path), ours);
            ask_at(&path);
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(starter.id() as i32), Signal::SIGTERM).unwrap();
            assert!(starter.wait().unwrap().success());
        } else {
            assert_eq!(starter.wait().unwrap().code(), Some(69));
            let mut said = String::new();
            starter.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(said.contains("in use by process") || said.contains("binds it at this moment"), "{said}");
        }
    }
    assert_eq!(directory.names(), [""; 0], "nothing is left");
}

#[test]
fn while_a_starter_holds_the_lock_no_other_decides_about_the_path() {
    let directory = Scratch::new();
    let (path, lock) = (directory.path().join("sum.sock"), directory.path().join("sum.sock.lock"));
    stale(&path);
    let before = identity(&path);
    let file = fs::File::create(&lock).unwrap();
    let held = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let (code, said) = failure(&sum_at(&path));
    assert_eq!((code, identity(&path)), (Some(69), before), "{said}");
    assert!(said.contains("another process binds it at this moment"), "{said}");
    // The lock of a starter that was killed is free, although its file is left.
    drop(held);
    let server = Process::listen(&[&sum_at(&path)]);
    ask_at(&path);
    assert_eq!(directory.names(), ["sum.sock"]);
    drop(server);
}

#[test]
fn a_killed_server_starts_again_on_its_path() {
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    for _ in 0..3 {
        let server = Process::listen(&[&sum_at(&path)]);
        ask_at(&path);
        server.signal(Signal::SIGKILL);
        server.wait();
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket(), "it had no chance to remove it");
    }
    assert_eq!(directory.names(), ["sum.sock"]);
}

#[test]
fn an_old_server_leaves_the_socket_of_its_successor_alone() {
    let directory = Scratch::new();
    let (stream, datagram) = (directory.path().join("sum.sock"), directory.path().join("sum.dgram"));
    let listens = [sum_at(&stream), format!("sum=unixgram://{}", datagram.display())];
    let start = || Process::listen(&[&listens[0], &listens[1]]);
    let old = start();
    fs::remove_file(&stream).unwrap();
    fs::remove_file(&datagram).unwrap();
    let new = start();
    let identities = [identity(&stream), identity(&datagram)];
    old.signal(Signal::SIGTERM);
    assert!(old.wait().0.success());
    assert_eq!([identity(&stream), identity(&datagram)], identities);
    ask_at(&stream);
    new.signal(Signal::SIGTERM);
    assert!(new.wait().0.success());
    assert_eq!(directory.names(), [""; 0], "its own it removes");
}

#[test]
fn what_is_not_a_socket_is_never_replaced() {
    let directory = Scratch::new();
    let path = directory.path().join("notes");
    fs::write(&path, "text").unwrap();
    let (code, said) = failure(&sum_at(&path));
    assert_eq!((code, fs::read(&path).unwrap()), (Some(69), b"text".to_vec()), "{said}");
    assert!(said.contains("not a socket"), "{said}");

    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    stale(&real);
    symlink(&real, &link).unwrap();
    let before = identity(&link);
    assert_eq!(failure(&sum_at(&link)).0, Some(69));
    assert_eq!(identity(&link), before);
    assert_eq!(directory.names(), ["link", "notes", "real"]);
}

#[test]
fn a_living_server_with_a_full_accept_queue_is_not_replaced() {
    let directory = Scratch::new();
    let path = directory.path().join("busy");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(&path).unwrap();
    socket.bind(&address).unwrap();
    socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    let before = identity(&path);
    let (code, said) = failure(&sum_at(&path));
    assert_eq!((code, identity(&path)), (Some(69), before), "{said}");
    // Of another type, it may live as well.
    assert_eq!(failure(&format!("sum=unixgram://{}", path.display())).0, Some(69));
    assert_eq!(identity(&path), before);
}

#[test]
fn a_socket_never_has_another_mode_than_none_and_its_own() {
    const STARTS: usize = 20;
    let directory = Scratch::new();
    let path = |name: &str| directory.path().join(name);
    let listener = |scheme: &str, name: &str| json!({ "listen": format!("{scheme}://{}", path(name).display()), "protocol": "sum", "mode": "0640" });
    let config = json!({ "listeners": [listener("unix", "stream"), listener("unixgram", "datagram")] });
    let done = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut modes = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                for entry in fs::read_dir(directory.path()).unwrap().filter_map(Result::ok) {
                    let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
                    if found.file_type().is_socket() {
                        modes.insert(found.mode() & 0o7777);
                        // Only a socket with its mode listens.
                        if UnixStream::connect(entry.path()).is_ok() {
                            modes.insert(fs::symlink_metadata(path("stream")).map_or(0o640, |now| now.mode() & 0o7777));
                        }
                    }
                }
            }
            modes
        });
        for _ in 0..STARTS {
            // Without a mode of its own the socket would be open to everybody.
            let server = Process::under(&["sh", "-c", "umask 0; exec \"$0\" \"$@\""], &config);
            assert_eq!(fs::symlink_metadata(path("datagram")).unwrap().mode() & 0o7777, 0o640);
            server.signal(Signal::SIGTERM);
            assert!(server.wait().0.success());
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(seen.iter().all(|mode| [0, 0o640].contains(mode)), "{seen:?}");
}

#[test]
fn a_socket_belongs_to_its_configured_owner_and_group() {
    if !root_works() {
        return;
    }
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    let listen = format!("unix://{}", path.display());
    let listener = json!({ "listen": listen, "protocol": "sum", "owner": "54321", "group": "root" });
    let _server = server(&json!({ "listeners": [listener] }));
    let found = fs::symlink_metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (54_321, 0, 0o600));
}

#[test]
fn an_unknown_owner_ends_the_start() {
    let directory = Scratch::new();
    let listen = format!("unix://{}", directory.path().join("sum.sock").display());
    let listener = json!({ "listen": listen, "protocol": "sum", "owner": "no-such-user-here" });
    let file = directory.path().join("reactor.json");
    fs::write(&file, json!({ "listeners": [listener] }).to_string()).unwrap();
    let run =
        |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_reactor")).args(words).arg("-c").arg(&file).output().unwrap();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no user no-such-user-here"));
    // `check` asks nothing of this machine, and binds nothing.
    assert!(run(&["check"]).status.success());
    assert_eq!(directory.names(), ["reactor.json"]);
}

/// A path of this length in a directory.
fn path_of(bytes: usize, directory: &Scratch) -> PathBuf {
    let start = directory.path().as_os_str().len() + 1;
    directory.path().join("x".repeat(bytes - start))
}

#[test]
fn a_path_of_107_bytes_is_served_and_one_of_108_refused() {
    let directory = Scratch::new();
    let path = path_of(107, &directory);
    assert_eq!(path.as_os_str().len(), 107);
    let server = Process::listen(&[&sum_at(&path)]);
    ask_at(&path);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().0.success());
    let (code, said) = failure(&sum_at(&path_of(108, &directory)));
    assert_eq!(code, Some(2));
    assert!(said.contains("a path of at most 107 bytes"), "{said}");
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn an_abstract_name_ends_with_its_last_byte_and_has_one_server() {
    let name = |bytes: usize| {
        let name = format!("reactor-{}-", std::process::id());
        name.clone() + &"x".repeat(bytes - name.len())
    };
    for bytes in [40, 107] {
        let name = name(bytes);
        let listen = format!("sum=unix:@{name}");
        let server = Process::listen(&[&listen]);
        ask(&UnixStream::connect_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
        if bytes < 107 {
            let padded = SocketAddr::from_abstract_name(format!("{name}\0")).unwrap();
            assert!(UnixStream::connect_addr(&padded).is_err());
        }
        let (code, said) = failure(&listen);
        assert_eq!(code, Some(69), "{said}");
        server.signal(Signal::SIGKILL);
        server.wait();
        // Nothing is left of the name of a process that has ended.
        Process::listen(&[&listen]);
    }
    assert_eq!(failure(&format!("sum=unix:@{}", name(108))).0, Some(2));
}
