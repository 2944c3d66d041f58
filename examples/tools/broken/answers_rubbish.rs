//! Every datagram that is not a request gets an error. One forged datagram, which seems to come from another server of
//! this kind, is enough for the two servers to answer each other for ever.
//!
//! ```sh
//! cargo run --example broken -- answers-rubbish 8000
//! echo '{"Error":"not two integers"}' | nc -u -w1 127.0.0.1 8000        # {"Error":"not two integers"}, and so on
//! ```
//!
//! Prevented by the contract of `sum` over UDP (`docs/protocols.md`; CVE-2024-2169): rubbish gets no answer, no answer
//! is longer than its request, and no answer is a request. Done right in `src/protocol/sum.rs`; `docs/reliability.md`,
//! promise 8.

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
            let answer = sum::answer(&buffer[..count]).unwrap_or_else(|| sum::error("not two integers"));
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}
