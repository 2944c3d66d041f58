//! Requests are answered until a client sends an empty datagram: then the server exits, without an error.
//!
//! ```sh
//! cargo run --example broken -- empty-datagram 8000
//! cargo run --example check -- sum udp://127.0.0.1:8000 --only empty
//! ```
//!
//! Prevented by what 0 means (`docs/protocols.md`, *sum over UDP*: an empty datagram is dropped and counted). On a
//! stream 0 is the end; a datagram may have no bytes (RFC 768: a length of 8, which is the header's), and UDP has no
//! end. Done right in `src/datagram.rs`, which never ends because of a datagram.

use std::io::Result;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::client::if_ready::if_ready;
use crate::right_udp::DATAGRAM_BYTES_MAX;
use crate::sum;

pub(crate) fn serve(mut socket: UdpSocket) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    loop {
        if_ready(|| poll.poll(&mut events, None))?;
        while let Some((count, from)) = if_ready(|| socket.recv_from(&mut buffer))? {
            if count == 0 {
                return Ok(());
            }
            if let Some(answer) = sum::answer(&buffer[..count]) {
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        }
    }
}
