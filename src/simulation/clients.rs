//! Clients: each plays a list of acts, reads at its own pace, and knows the answer that it must get.

pub(super) mod datagram;
pub(super) mod gossip;
pub(super) mod guarded;
pub(super) mod honest;
pub(super) mod hostile;
pub(super) mod relayed;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::guard::TOO_OFTEN;
use super::network::{Arrival, Network, wall_clock_at};
use super::other_ends::{NO_ROOM, NO_SERVER};
use super::random::Random;
use super::settings::Service;

/// One action of a client.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends these bytes, in pieces.
    Send(Vec<u8>),
    /// Waits until it has received this many bytes altogether.
    Await(usize),
    Pause(Duration),
    Urgent,
    Finish,
    /// Waits for the server's FIN.
    End,
    Close,
    Reset,
}

/// The answer that a client must get.
#[derive(Debug, Clone)]
pub(super) enum Expectation {
    /// Exactly these bytes, and at any time a prefix of them.
    Exactly(Vec<u8>),
    /// A line with the time of connecting.
    Time,
    /// These bytes, or an answer that there is no server. `is_there`: it must be connected to, if there is room.
    Echo { sent: Vec<u8>, is_there: bool },
    /// Records of `gossip`.
    Records(gossip::Records),
    /// Any answer is accepted.
    Anything,
}

/// An upload, as its client knows it.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) name: String,
    /// The contents of the file of this name at the start, if it exists.
    pub(super) before: Option<Vec<u8>>,
    pub(super) contents: Vec<u8>,
    /// The number of received bytes that include the confirmation; `None` if the client does not wait for it.
    pub(super) confirmed_at: Option<usize>,
    pub(super) is_confirmed: bool,
}

/// The plan of a client.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) service: Service,
    pub(super) acts: Vec<Act>,
    pub(super) expectation: Expectation,
    pub(super) uploads: Vec<Upload>,
    /// Whether it keeps the rules, so that it must be served.
    pub(super) honest: bool,
    /// Bytes that it reads at a time; 0: it never reads.
    pub(super) appetite: usize,
    /// The longest pause between two actions, in milliseconds.
    pub(super) pace_millis: u64,
    /// Whether its segments are never split: old clients rely on that.
    pub(super) whole: bool,
    /// The time within which the server must close it, from its acceptance.
    pub(super) closed_within: Option<Duration>,
}

/// A client that plays its plan.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) plan: Plan,
    /// Where it comes from, if its plan says so.
    from: Option<IpAddr>,
    act: usize,
    /// Bytes of the current act that were sent.
    sent: usize,
    pub(super) link: Option<usize>,
    pub(super) received: Vec<u8>,
    /// The begin of the turn in which it connected.
    connected_since: Duration,
    ended: bool,
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Busy,
    /// It has played all acts, and got the complete answer.
    Served,
    /// A fault hit it, or it is hostile; all that it received was correct.
    Excused,
    /// It was treated wrongly; the text says how.
    Wronged(String),
}

impl Client {
    pub(super) const fn new(number: usize, plan: Plan) -> Self {
        Self {
            number,
            plan,
            from: None,
            act: 0,
            sent: 0,
            link: None,
            received: Vec::new(),
            connected_since: Duration::ZERO,
            ended: false,
            state: State::Busy,
        }
    }

    /// Makes it come from this address.
    pub(super) fn coming_from(self, from: Option<IpAddr>) -> Self {
        Self { from, ..self }
    }

    fn address(&self) -> SocketAddr {
        let one_of_four = IpAddr::from([192, 0, 2, (self.number % 4) as u8 + 1]);
        SocketAddr::new(self.from.unwrap_or(one_of_four), 20_000 + self.number as u16)
    }

    /// Whether it has played all acts.
    pub(super) fn has_played(&self) -> bool {
        self.act == self.plan.acts.len()
    }

    /// Reads, and plays as many acts as possible. `gone`: no server will start again.
    pub(super) fn go_on(&mut self, network: &mut Network, random: &mut Random, gone: bool) {
        if self.state != State::Busy {
            return;
        }
        let Some(link) = self.link else { return self.connect(network, gone) };
        let read = self.read(network, link, random);
        if self.state != State::Busy || self.link.is_none() {
            return;
        }
        let pause = random.millis(self.plan.pace_millis);
        match self.play(network, link, random) {
            Some(wait) => network.wake(self.number, wait.max(pause)),
            None if read => network.wake(self.number, pause),
            None => {}
        }
        if self.has_played() {
            self.judge_the_end(network, link);
        }
    }

    fn connect(&mut self, network: &mut Network, gone: bool) {
        let (address, to) = (self.address(), self.plan.service.address());
        match network.connect(self.number, address, to, (self.plan.whole, self.plan.honest)) {
            Some(link) => {
                self.link = Some(link);
                self.connected_since = network.turn_began;
                network.links[link].names = self.plan.service.head(b" ") > 0;
                if gone {
                    network.hit(link, "the stop of the server");
                }
                network.wake(self.number, Duration::ZERO);
            }
            None if gone => self.state = State::Excused,
            None => network.wake(self.number, Duration::from_millis(200)),
        }
    }

    /// Reads once, and compares the bytes with the expectation. Returns whether any arrived.
    fn read(&mut self, network: &mut Network, link: usize, random: &mut Random) -> bool {
        if self.plan.appetite == 0 {
            return false;
        }
        let most = random.within(1..self.plan.appetite + 1);
        match network.receive(link, &mut self.received, most) {
            Arrival::Bytes(_) => {
                self.compare(network, link);
                true
            }
            Arrival::Nothing => false,
            Arrival::End => {
                if !std::mem::replace(&mut self.ended, true) && self.needs_an_answer() {
                    self.end_badly(network, link, "the server finished too early");
                }
                false
            }
            Arrival::Reset => {
                let expected = self.has_played() && !self.needs_an_answer();
                self.end_badly(
                    network,
                    link,
                    if expected { "a late reset" } else { "the server reset the connection" },
                );
                false
            }
        }
    }

    /// Whether acts that need an answer of the server are left.
    fn needs_an_answer(&self) -> bool {
        match &self.plan.expectation {
            Expectation::Exactly(expected) => {
                let waits = self.plan.acts[self.act.min(self.plan.acts.len())..]
                    .iter()
                    .any(|act| matches!(act, Act::Await(_) | Act::End));
                waits && self.received.len() < expected.len()
            }
            Expectation::Time => {
                let acts = &self.plan.acts[self.act.min(self.plan.acts.len())..];
                acts.iter().any(|act| matches!(act, Act::Await(count) if self.received.len() < *count))
            }
            Expectation::Echo { sent, .. } => {
                let waits =
                    self.plan.acts[self.act.min(self.plan.acts.len())..].iter().any(|act| matches!(act, Act::End));
                waits && self.received != sent[..] && ![NO_ROOM, NO_SERVER].contains(&&self.received[..])
            }
            Expectation::Records(_) => {
                self.plan.acts[self.act.min(self.plan.acts.len())..].iter().any(|act| matches!(act, Act::Finish))
            }
            Expectation::Anything => false,
        }
    }

    fn compare(&mut self, network: &Network, link: usize) {
        let hit = network.links[link].hit.is_some();
        if let Expectation::Records(records) = &mut self.plan.expectation
            && let Err(wrong) = records.check(&self.received)
        {
            self.state = State::Wronged(wrong);
            return;
        }
        let wrong = match &self.plan.expectation {
            Expectation::Exactly(expected) => {
                let right = expected.starts_with(&self.received);
                let ends_correctly = hit && ends_correctly(&self.received, expected);
                !(right || ends_correctly)
            }
            Expectation::Time => !is_time_between(&self.received, self.connected_since, network.now),
            Expectation::Echo { sent, is_there } => {
                let none = self.received == NO_ROOM || (self.received == NO_SERVER && (hit || !is_there));
                !(none || sent.starts_with(&self.received))
            }
            Expectation::Records(_) | Expectation::Anything => false,
        };
        if wrong {
            let (received, expected) = (excerpt(&self.received), &self.plan.expectation);
            let expected = match expected {
                Expectation::Exactly(expected) | Expectation::Echo { sent: expected, .. } => excerpt(expected),
                _ => "the time of connecting".to_owned(),
            };
            self.state = State::Wronged(format!("it received {received} instead of {expected}"));
        }
    }

    /// Plays the current act, if possible. Returns the pause before the next act; `None` if the client waits for the
    /// network.
    fn play(&mut self, network: &mut Network, link: usize, random: &mut Random) -> Option<Duration> {
        let act = self.plan.acts.get(self.act)?;
        let mut wait = Duration::ZERO;
        match act {
            Act::Send(bytes) => {
                let rest = &bytes[self.sent..];
                let most = if self.plan.whole || random.flip() {
                    rest.len()
                } else {
                    (rest.len() / 3).max(random.within(1..rest.len().clamp(1, 2000) + 1))
                };
                // A name may be sent in two pieces, if there is no silence between them.
                let head = self.plan.service.head(bytes);
                let halved = !self.plan.whole && self.sent == 0 && head > 1 && random.flip();
                let most = match self.sent {
                    0 if halved => head / 2,
                    sent => most.max(head.saturating_sub(sent)),
                };
                match network.send(link, &rest[..most.min(rest.len())]) {
                    None => {
                        self.end_badly(network, link, "the server closed while it was being sent to");
                        return None;
                    }
                    Some(0) if !rest.is_empty() => return None,
                    Some(count) => self.sent += count,
                }
                if self.sent < head {
                    network.wake(self.number, random.millis(20));
                    return None;
                }
                if self.sent < bytes.len() {
                    return Some(wait);
                }
            }
            Act::Await(bytes) if self.received.len() < *bytes => return None,
            Act::End if !self.ended => return None,
            Act::Await(_) | Act::End => {}
            Act::Pause(pause) => wait = *pause,
            Act::Urgent => network.send_urgent(link),
            Act::Finish => network.finish(link),
            Act::Close => network.close(link),
            Act::Reset => network.reset(link),
        }
        self.act += 1;
        self.sent = 0;
        (!self.has_played()).then_some(wait)
    }

    fn judge_the_end(&mut self, network: &mut Network, link: usize) {
        if !self.plan.honest || network.links[link].hit.is_some() {
            self.state = State::Excused;
        } else if self.is_satisfied() {
            if !network.links[link].client_closed {
                network.close(link);
            }
            self.state = State::Served;
        }
    }

    fn is_satisfied(&self) -> bool {
        match &self.plan.expectation {
            Expectation::Exactly(expected) => self.received == *expected || self.plan.acts.iter().all(is_deaf),
            Expectation::Time => !self.received.is_empty(),
            Expectation::Echo { sent, .. } => {
                self.received == *sent || [NO_ROOM, NO_SERVER].contains(&&self.received[..])
            }
            Expectation::Records(_) | Expectation::Anything => true,
        }
    }

    fn end_badly(&mut self, network: &mut Network, link: usize, how: &str) {
        if self.received.is_empty() && comes_again(network, link) {
            return self.start_again(network, link);
        }
        // There is no server: the rest of what it sends is for none.
        let is_alone = matches!(self.plan.expectation, Expectation::Echo { .. })
            && [NO_ROOM, NO_SERVER].contains(&&self.received[..]);
        self.state = if !self.plan.honest || is_alone || network.links[link].hit.is_some() {
            State::Excused
        } else {
            let received = excerpt(&self.received);
            State::Wronged(format!("{how} at act {} of {}, after {received}", self.act, self.plan.acts.len()))
        };
    }

    /// Leaves a connection on which it was refused, and makes another one soon.
    fn start_again(&mut self, network: &mut Network, link: usize) {
        if !network.links[link].client_closed {
            network.close(link);
        }
        (self.act, self.sent, self.link, self.ended) = (0, 0, None, false);
        network.wake(self.number, Duration::from_secs(1));
    }

    /// Describes the state of the client, for a failure.
    pub(super) fn describe(&self) -> String {
        let act = self.plan.acts.get(self.act).map(|act| match act {
            Act::Send(bytes) => format!("sending {} of {} bytes", self.sent, bytes.len()),
            act => format!("{act:?}"),
        });
        format!(
            "client {} of {:?} on link {:?}: {} after {} bytes",
            self.number,
            self.plan.service,
            self.link,
            act.unwrap_or_else(|| "the end".to_owned()),
            self.received.len()
        )
    }
}

/// Whether a client that got no answer comes again later, because it had come too often.
fn comes_again(network: &mut Network, link: usize) -> bool {
    let state = &network.links[link];
    match state.hit {
        None => network.reason_against(link, state.accepted_at) == Some(TOO_OFTEN),
        Some(hit) => state.guarded && hit == TOO_OFTEN,
    }
}

/// Whether a connection that was hit ends correctly: with an error line in place of the rest of `expected`, or with the
/// beginning of a code point or of `exit`, which `uppercase` flushes when the server stops.
fn ends_correctly(received: &[u8], expected: &[u8]) -> bool {
    const ERROR: &[u8] = b"error: ";
    let same = received.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let rest = &received[same..];
    // An error line may also have been expected here, and begins like this one.
    let is_error = (0..=ERROR.len().min(same)).any(|back| {
        let rest = &received[same - back..];
        rest.starts_with(ERROR) || ERROR.starts_with(rest)
    });
    let is_split_letter = rest.len() <= 3 && rest.iter().all(|byte| !byte.is_ascii());
    is_error || is_split_letter || b"EXIT\r".starts_with(rest)
}

/// Whether an act does not wait for the server: a client with only such acts reads nothing.
const fn is_deaf(act: &Act) -> bool {
    !matches!(act, Act::End | Act::Await(_))
}

/// Whether this is (the beginning of) a line with a time between `earliest` and `latest` of the simulation.
fn is_time_between(line: &[u8], earliest: Duration, latest: Duration) -> bool {
    const LENGTH: usize = "2025-01-01T00:00:00.000000Z\n".len();
    if line.len() < LENGTH {
        return line.is_ascii();
    }
    let Ok(text) = str::from_utf8(line) else { return false };
    let Ok(time) = humantime::parse_rfc3339(text.trim_end()) else { return false };
    // The line has microseconds.
    let earliest = wall_clock_at(earliest) - Duration::from_micros(1);
    text.len() == LENGTH && (earliest..=wall_clock_at(latest)).contains(&time)
}

pub(super) fn excerpt(bytes: &[u8]) -> String {
    let tail = &bytes[bytes.len().saturating_sub(60)..];
    format!("{} bytes ending in {:?}", bytes.len(), String::from_utf8_lossy(tail))
}
