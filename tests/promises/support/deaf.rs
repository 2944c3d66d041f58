//! Clients that send and do not read.

use std::mem;
use std::thread;

use super::{Client, Process, eventually};

/// So many clients of a listener, each of which sends for as long as anything is taken, and reads nothing.
#[track_caller]
pub(crate) fn deaf_clients(server: &Process, listener: &str, count: usize) -> Vec<Client> {
    let address = server.address(listener);
    let mut clients: Vec<_> = (0..count).map(|_| Client::connect_with_little_room(address)).collect();
    send_until_all_are_stuck(server, listener, &mut clients);
    clients
}

/// Returns when the server takes nothing more from any of them.
#[track_caller]
pub(crate) fn send_until_all_are_stuck(server: &Process, listener: &str, clients: &mut [Client]) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| client.send_until_stuck(&[b'a'; 64 * 1024]));
        }
    });
    // Between two reports there is a turn of the loop, which visits one at least of those that have something to be read.
    let (mut before, mut same) = (u64::MAX, 0);
    eventually("the server takes nothing more", || {
        let received = server.counter(listener, "bytes in");
        same = if received == mem::replace(&mut before, received) { same + 1 } else { 0 };
        same == 10
    });
}
