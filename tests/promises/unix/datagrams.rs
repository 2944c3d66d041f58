//! Unix datagrams: an answer goes only where no stranger can be meant.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::REQUEST;
use crate::support::{PATIENCE, Scratch, Server, server};

const ANSWER: &[u8] = b"{\"Sum\":11}\n";

/// A server for datagrams in its own directory.
fn sum() -> (Scratch, Server) {
    let directory = Scratch::new();
    let listen = format!("unixgram://{}", path(&directory).display());
    let server = server(&json!({ "listeners": [{ "name": "sum", "listen": listen, "protocol": "sum" }] }));
    (directory, server)
}

fn path(directory: &Scratch) -> PathBuf {
    directory.path().join("sum.dgram")
}

/// A client with a name of its own.
fn named() -> UnixDatagram {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("reactor-client-{}-{number}", std::process::id());
    with_patience(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap())
}

fn with_patience(client: UnixDatagram) -> UnixDatagram {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client
}

#[track_caller]
fn ask(client: &UnixDatagram, server: &Path) {
    client.send_to(REQUEST, server).unwrap();
    let mut answer = [0; 64];
    let count = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..count], ANSWER);
}

#[test]
fn an_absolute_path_and_an_abstract_name_are_answered() {
    let (directory, _server) = sum();
    ask(&named(), &path(&directory));
    ask(&with_patience(UnixDatagram::bind(directory.path().join("client")).unwrap()), &path(&directory));
}

/// The relative name is one by which the server would reach the client, if it tried.
#[test]
fn a_relative_name_and_no_name_are_never_answered() {
    let (directory, server) = sum();
    let depth = std::env::current_dir().unwrap().components().count();
    let inside = directory.path().join("client");
    let relative: PathBuf =
        std::iter::repeat_n("..", depth).collect::<PathBuf>().join(inside.strip_prefix("/").unwrap());
    let relative = UnixDatagram::bind(relative).unwrap();
    let nameless = UnixDatagram::unbound().unwrap();
    for client in [&relative, &nameless] {
        client.send_to(REQUEST, path(&directory)).unwrap();
    }
    // They were before this one in the queue of the server.
    ask(&named(), &path(&directory));
    relative.set_nonblocking(true).unwrap();
    assert_eq!(relative.recv(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let stats = server.stats("sum");
    assert_eq!((stats.received_datagrams, stats.sent_datagrams), (3, 1));
    assert_eq!((stats.refused.count("relative address"), stats.refused.count("no address")), (1, 1));
}

#[test]
fn a_client_that_reads_no_answer_delays_no_other() {
    let (directory, server) = sum();
    let deaf = named();
    let asked = 600;
    for _ in 0..asked {
        deaf.send_to(REQUEST, path(&directory)).unwrap();
    }
    ask(&named(), &path(&directory));
    let stats = server.stats("sum");
    assert_eq!(stats.received_datagrams, asked + 1);
    assert!(stats.refused.count("send error") > 0, "{stats:?}");
}

#[test]
fn descriptors_passed_with_a_datagram_are_closed() {
    use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
    use std::io::{IoSlice, Read};

    let (directory, _server) = sum();
    let client = named();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let passed = [writer.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&passed)];
    let to = UnixAddr::new(&path(&directory)).unwrap();
    sendmsg(client.as_raw_fd(), &[IoSlice::new(REQUEST)], &message, MsgFlags::empty(), Some(&to)).unwrap();
    let mut answer = [0; 64];
    let count = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..count], ANSWER);
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the server has no copy");
}
