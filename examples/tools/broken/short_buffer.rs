//! Short requests are answered. A long one is not answered at all; or worse, one that is wrong after some byte is
//! answered as if it were right.
//!
//! ```sh
//! cargo run --example broken -- short-buffer 8000
//! printf '%-600s%s' '{"A":7,"B":4}' 'and more' | nc -u -w1 127.0.0.1 8000     # {"Sum":11}
//! ```
//!
//! Prevented by the contract of `sum` (`docs/protocols.md`: a truncated datagram is dropped and counted). recv(2) drops
//! the bytes that do not fit into its buffer, and only `MSG_TRUNC` reports that. Done right in `src/datagram.rs`: its
//! buffer is one byte longer than the longest datagram it takes.

use std::io::Result;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::client::if_ready::if_ready;
use crate::sum;

pub(crate) fn serve(mut socket: UdpSocket) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut buffer = [0; 512];
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    loop {
        if_ready(|| poll.poll(&mut events, None))?;
        while let Some((count, from)) = if_ready(|| socket.recv_from(&mut buffer))? {
            if let Some(answer) = sum::answer(&buffer[..count]) {
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        }
    }
}
