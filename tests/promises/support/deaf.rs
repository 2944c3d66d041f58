//! Clients that send and do not read.

use std::mem;
use std::thread;

use super::{Client, Process, eventually};

/// Returns `count` clients of a listener that send for as long as the server takes bytes, and read nothing.
#[track_caller]
pub(crate) fn deaf_clients(server: &Process, listener: &str, count: usize) -> Vec<Client> {
    let address = server.address(listener);
    let mut clients: Vec<_> = (0..count).map(|_| Client::connect_with_little_room(address)).collect();
    send_until_all_are_stuck(server, listener, &mut clients);
    clients
}

/// Returns when the server takes no more bytes from any of the clients.
#[track_caller]
pub(crate) fn send_until_all_are_stuck(server: &Process, listener: &str, clients: &mut [Client]) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.send_until_stuck(&[b'a'; 64 * 1024]));
        }
    });
    // Between two reports there is a turn of the loop, which visits at least one of the connections with input.
    let (mut before, mut same) = (u64::MAX, 0);
    eventually("the server takes no more bytes", || {
        let received = server.counter(listener, "bytes in");
        same = if received == mem::replace(&mut before, received) { same + 1 } else { 0 };
        same == 10
    });
}
