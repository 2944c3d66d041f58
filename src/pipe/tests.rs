use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::net::UnixStream;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::*;

const CAPACITY: usize = 16 * 4096;

fn pipe() -> Pipe {
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).expect("two descriptors");
    fcntl_setpipe_size(&to, CAPACITY).expect("a small pipe");
    Pipe::of_kernel(from, to, CAPACITY)
}

/// A socket from which `bytes` can be read, and the other end.
fn socket(bytes: &[u8]) -> (UnixStream, UnixStream) {
    let (receiver, mut sender) = UnixStream::pair().expect("two descriptors");
    sender.write_all(bytes).expect("room");
    receiver.set_nonblocking(true).expect("a socket");
    (receiver, sender)
}

fn file() -> File {
    memfd_create("file", MemfdFlags::CLOEXEC).expect("a descriptor").into()
}

fn contents(mut file: File) -> Vec<u8> {
    let mut contents = Vec::new();
    file.rewind().expect("a file");
    file.read_to_end(&mut contents).expect("a file");
    contents
}

fn would_block(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn bytes_of_a_socket_reach_the_file_behind_those_before_them() {
    let ((receiver, sender), mut pipe, mut file) = (socket(b"one two"), pipe(), file());
    file.write_all(b"zero ").expect("a file");
    assert_eq!(pipe.take_from(&receiver, 4).expect("it has come"), 4);
    pipe.move_to(&file).expect("a file");
    assert!(pipe.is_empty());
    assert_eq!(pipe.take_from(&receiver, 100).expect("it has come"), 3);
    assert!(would_block(pipe.take_from(&receiver, 100)));
    drop(sender);
    assert_eq!(pipe.take_from(&receiver, 100).expect("a FIN"), 0);
    pipe.move_to(&file).expect("a file");
    assert_eq!(contents(file), b"zero one two");
}

#[test]
fn a_pipe_can_be_full_of_a_few_small_pieces() {
    let ((receiver, mut sender), mut pipe) = (socket(b""), pipe());
    let mut pieces = 0;
    loop {
        sender.write_all(b"x").expect("room");
        if would_block(pipe.take_from(&receiver, 100)) {
            break;
        }
        pieces += 1;
    }
    assert!((16..CAPACITY).contains(&pieces), "{pieces}");
    let file = file();
    pipe.move_to(&file).expect("a file");
    assert_eq!(contents(file).len(), pieces);
    assert_eq!(pipe.take_from(&receiver, 100).expect("it has come"), 1);
}

#[test]
fn a_file_that_cannot_be_spliced_to_gets_the_bytes_all_the_same() {
    let ((receiver, _sender), mut pipe, file) = (socket(&[7; 5000]), pipe(), file());
    // `splice(2)`: `EINVAL` if the file is opened for appending.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let appending = OpenOptions::new().append(true).open(path).expect("a file");
    assert_eq!(pipe.take_from(&receiver, 5000).expect("it has come"), 5000);
    pipe.move_to(&appending).expect("it is copied");
    assert!(pipe.is_empty());
    assert_eq!(contents(file), [7; 5000]);
}

#[test]
fn the_error_of_the_file_is_the_error_of_the_move() {
    let ((receiver, _sender), mut pipe) = (socket(b"abc"), pipe());
    assert_eq!(pipe.take_from(&receiver, 100).expect("it has come"), 3);
    let full = OpenOptions::new().write(true).open("/dev/full").expect("a device");
    assert_eq!(pipe.move_to(&full).map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
}

#[test]
fn what_is_read_from_a_pipe_is_in_it_no_more() {
    let ((receiver, _sender), mut pipe) = (socket(b"abc"), pipe());
    assert_eq!(pipe.take_from(&receiver, 100).expect("it has come"), 3);
    let mut read = Vec::new();
    pipe.read_to_end(&mut read).expect("a pipe");
    assert_eq!((&read[..], pipe.len()), (&b"abc"[..], 0));
}
