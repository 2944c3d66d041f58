//! A client over UDP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, iter};

use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{in_words, is_silence, left};
use crate::protocol::Protocol;

/// The time after which a question counts as lost and is asked again.
const LOST: Duration = Duration::from_millis(500);

static ASKED: AtomicUsize = AtomicUsize::new(1000);

/// A socket that is connected to the server's address: the kernel drops datagrams from any other address.
pub(crate) struct Asker {
    socket: UdpSocket,
    deadline: Instant,
}

impl Asker {
    pub(crate) fn new(address: SocketAddr, deadline: Instant) -> Result<Self, Miss> {
        Self::try_new(address, deadline)
            .map_err(|error| Miss::new("nothing", error.to_string(), "a socket for the checker"))
    }

    pub(crate) fn try_new(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(address)?;
        Ok(Self { socket, deadline })
    }

    /// Asks until any datagram comes, whether it is the answer or not. Fails when the network refuses.
    pub(crate) fn hears_something(&self) -> io::Result<()> {
        loop {
            self.send(&Protocol::Sum.question(0));
            match self.receive() {
                Err(error) if is_silence(&error) => left(self.deadline).map(drop)?,
                result => return result.map(drop),
            }
        }
    }

    /// Sends a datagram that may be lost, or refused.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = self.socket.send(bytes);
    }

    pub(crate) fn ask(&self) -> Verdict {
        self.ask_after(&[])
    }

    /// Asks after answers to other questions that may still wait here.
    pub(crate) fn ask_again(&self) -> Verdict {
        let mut buffer = [0; 256];
        let discards = || self.socket.set_nonblocking(true).is_ok() && self.socket.recv(&mut buffer).is_ok();
        iter::repeat_with(discards).take_while(|is_discarded| *is_discarded).for_each(drop);
        let blocks = self.socket.set_nonblocking(false);
        blocks.map_err(|error| Miss::new("nothing", error.to_string(), "a socket for the checker"))?;
        self.ask()
    }

    /// Asks, and gets the answer: the first datagram after `before` was sent, which must get no answer.
    pub(crate) fn ask_after(&self, before: &[u8]) -> Verdict {
        let number = ASKED.fetch_add(1, Ordering::Relaxed);
        let (question, answer) = (Protocol::Sum.question(number), Protocol::Sum.answer(number));
        self.exchange(&question, &answer, before)
    }

    /// Sends a question, again if nothing comes, and expects the answer.
    pub(crate) fn exchange(&self, question: &[u8], answer: &[u8], before: &[u8]) -> Verdict {
        let sent = if before.is_empty() {
            excerpt(question)
        } else {
            format!("{}, then {}", excerpt(before), excerpt(question))
        };
        loop {
            self.send(question);
            let got = match self.receive() {
                Ok(got) if got == answer => return Ok(()),
                Ok(got) => excerpt(&got),
                Err(error) if left(self.deadline).is_ok() && is_silence(&error) => continue,
                Err(error) => in_words(&error),
            };
            return Err(Miss::new(sent, got, excerpt(answer)));
        }
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        self.socket.set_read_timeout(Some(left(self.deadline)?.min(LOST)))?;
        let count = self.socket.recv(&mut buffer)?;
        buffer.truncate(count);
        Ok(buffer)
    }
}
