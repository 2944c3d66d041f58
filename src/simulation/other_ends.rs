//! The servers that the simulated one connects to, which the world plays, and the protocol that relays to them.
//!
//! An address says what happens to a connect to it, and for which client it is made.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;

use super::network::{Arrival, Network};
use super::random::Random;
use crate::protocol::{ConnectError, ConnectionId, Context, Reply, Step, StreamProtocol, Target, Within};

/// What happens to a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is connected, and every byte comes back.
    Echoes,
    Refuses,
    NeverAnswers,
    /// It is connected, and reset when some bytes have come back.
    Resets,
    FailsAtOnce,
}

const FATES: [Fate; 5] = [Fate::Echoes, Fate::Refuses, Fate::NeverAnswers, Fate::Resets, Fate::FailsAtOnce];

/// The port of all addresses.
const PORT: u16 = 7;

/// The answer to a client when the server has no room for a connection, or is stopping.
pub(super) const NO_ROOM: &[u8] = b"!";
/// The answer to a client when no address was connected to.
pub(super) const NO_SERVER: &[u8] = b"?";

impl Fate {
    /// Draws the fates of the addresses that are tried for one client, in their order.
    pub(super) fn draw(random: &mut Random) -> Vec<Self> {
        let mut fates: Vec<_> = (0..random.within(0..3)).map(|_| random.pick(&FATES)).collect();
        fates.push(random.pick(&[Self::Echoes, Self::Echoes, Self::Echoes, Self::Resets, Self::Refuses]));
        fates
    }

    /// Returns the address with this fate for a client.
    fn address(self, client: usize) -> SocketAddr {
        SocketAddr::from(([198, 18, self as u8, client as u8], PORT))
    }

    /// Returns the fate and the client of an address.
    pub(super) fn of(address: SocketAddr) -> (Self, usize) {
        let octets = if let IpAddr::V4(address) = address.ip() { address.octets() } else { [0; 4] };
        (FATES[usize::from(octets[2])], usize::from(octets[3]))
    }

    /// Returns what is seen when a connect has this fate.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Echoes => "a connect",
            Self::Refuses => "a connect that is refused",
            Self::NeverAnswers => "a connect that is never answered",
            Self::Resets => "another end that resets",
            Self::FailsAtOnce => "a connect that fails at once",
        }
    }

    /// Returns how a connect in progress ends; `None` if it does not.
    pub(super) const fn outcome(self) -> Option<Option<Errno>> {
        match self {
            Self::Echoes | Self::Resets => Some(None),
            Self::Refuses => Some(Some(Errno::ECONNREFUSED)),
            Self::NeverAnswers | Self::FailsAtOnce => None,
        }
    }
}

/// The other end of an outgoing connection.
#[derive(Debug)]
pub(super) struct OtherEnd {
    link: usize,
    fate: Fate,
    /// Bytes that have not been sent back.
    held: Vec<u8>,
    received: usize,
    /// The number of bytes after which it resets.
    patience: usize,
    /// Bytes that it reads at a time.
    appetite: usize,
    pace_millis: u64,
    /// Whether the server has finished, and whether it has.
    ended: bool,
    finished: bool,
}

impl OtherEnd {
    pub(super) fn new(link: usize, fate: Fate, random: &mut Random) -> Self {
        let is_slow = random.strikes(300);
        Self {
            link,
            fate,
            held: Vec::new(),
            received: 0,
            patience: random.pick(&[0, 100, 5000]),
            appetite: if is_slow { 300 } else { 64 * 1024 },
            pace_millis: random.pick(&[0, 1, 20]),
            ended: false,
            finished: false,
        }
    }

    /// Reads, sends back, and finishes after the last byte.
    pub(super) fn go_on(&mut self, number: usize, network: &mut Network, random: &mut Random) {
        let link = self.link;
        if network.links[link].client_closed {
            return;
        }
        let mut goes_on = false;
        if self.held.len() < self.appetite {
            let most = random.within(1..self.appetite + 1);
            match network.receive(link, &mut self.held, most) {
                Arrival::Bytes(count) => {
                    self.received += count;
                    goes_on = true;
                }
                Arrival::End => self.ended = true,
                Arrival::Reset => return,
                Arrival::Nothing => {}
            }
        }
        if !self.held.is_empty() {
            let Some(count) = network.send(link, &self.held) else { return };
            self.held.drain(..count);
            goes_on |= count > 0;
        }
        if self.fate == Fate::Resets && self.received >= self.patience {
            network.hit(link, "another end that resets");
            return network.reset(link);
        }
        if self.ended && self.held.is_empty() && !self.finished {
            self.finished = true;
            network.finish(link);
        }
        if goes_on {
            let pause = random.millis(self.pace_millis);
            network.wake(number, pause);
        }
    }
}

/// The time to connect, for all addresses of a client.
const WITHIN: Duration = Duration::from_secs(9);

/// Relays a client to the first address that is connected to.
pub(super) struct Relay(Target);

impl Relay {
    /// Makes the protocol of a client.
    pub(super) fn new(fates: &[Fate], client: usize) -> Self {
        Self(fates.iter().map(|fate| fate.address(client).into()).collect::<Target>().within(WITHIN))
    }

    fn join(&mut self, server: Result<ConnectionId, ConnectError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let error = match server {
            Ok(server) => return Ok(Step::relay(server)),
            Err(error) => error,
        };
        let is_room = matches!(error, ConnectError::NoRoom | ConnectError::Stopping);
        cx.out.extend_from_slice(if is_room { NO_ROOM } else { NO_SERVER });
        Ok(Step::finish())
    }
}

impl StreamProtocol for Relay {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        // It still waits when the relay begins.
        let _ = cx.post(cx.id(), "dropped");
        Ok(Step::connect(self.0.clone(), |_| Far, Self::join))
    }

    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

/// The protocol of an outgoing connection, which leaves everything to the relay.
struct Far;

impl StreamProtocol for Far {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}
