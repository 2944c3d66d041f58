//! Short requests are answered. A long one is not answered at all; or, what is worse, one that is wrong from some byte on is
//! answered as if it were right.
//!
//! ```sh
//! cargo run --example broken -- short-buffer 8000
//! printf '%-600s%s' '{"A":7,"B":4}' 'and more' | nc -u -w1 127.0.0.1 8000     # {"Sum":11}
//! ```
//!
//! Prevented by the contract of `sum` (`docs/protocols.md`: what is truncated is dropped and counted). What does not fit into
//! the buffer of recv(2) is thrown away, and nothing tells it but `MSG_TRUNC`. Done right in `src/datagram.rs`: its buffer has
//! a byte more than the longest datagram it takes.

use std::io::Result;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::client::attempt::attempt;
use crate::sum;

pub(crate) fn serve(mut socket: UdpSocket) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut buffer = [0; 512];
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    loop {
        attempt(|| poll.poll(&mut events, None))?;
        while let Some((count, from)) = attempt(|| socket.recv_from(&mut buffer))? {
            if let Some(answer) = sum::answer(&buffer[..count]) {
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        }
    }
}
