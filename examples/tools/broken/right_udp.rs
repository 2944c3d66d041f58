//! Sums over UDP without a bug, for the pieces that receive datagrams.

use std::io::Result;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::client::if_ready::if_ready;
use crate::sum;

/// The longest payload over IPv4 (RFC 768, RFC 791).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

pub(crate) fn serve(mut socket: UdpSocket) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    loop {
        if_ready(|| poll.poll(&mut events, None))?;
        while let Some((count, from)) = if_ready(|| socket.recv_from(&mut buffer))? {
            if let Some(answer) = sum::answer(&buffer[..count]) {
                // A datagram may always be lost, so one that cannot be sent is not a reason to exit.
                let _ = socket.send_to(answer.as_bytes(), from);
            }
        }
    }
}
