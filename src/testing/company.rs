//! Conversations of several connections of one listener: on one clock, with one exchange of messages.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conversation::{Conversation, Transcript, Xray};
use super::script::{Action, Script};
use crate::messages::{Alarm, Attended, Handed, Payload};
use crate::protocol::{ConnectionId, StreamProtocol};
use crate::token::Token;
use crate::xray::SimulatedClock;

/// Steps after which conversations are considered endless.
const STEPS_MAX: usize = 1_000_000;

/// Runs `protocol` against the peer of `script` until the connection has ended.
///
/// # Panics
/// With *lost wake-up* if the driver waits although it could go on, and if the driver breaks another of its rules. A protocol
/// that panics or breaks a rule does not panic here: it ends with [`CloseReason::Bug`](crate::protocol::CloseReason::Bug).
pub fn converse(protocol: impl StreamProtocol + 'static, script: &Script) -> Transcript {
    let _xray = Xray(SimulatedClock::start());
    let mut company = Company::new(vec![protocol.boxed()], slice::from_ref(script));
    company.run().pop().expect("one script has one transcript")
}

/// Runs one connection of the same listener for each script until all have ended, and returns their transcripts in the same
/// order. `protocol` makes the protocol of the connection with that number, counted from 0.
///
/// All connections are open from the start. Their peers do one step each in turn, and a peer that
/// [pauses](Script::pause) does its next step at that time of the common clock: so a test says in which order things
/// happen. Messages between the connections arrive after each step.
///
/// ```
/// use reactor::protocol::{Context, Reply, Step, StreamProtocol, WhenFull, Within};
/// use reactor::testing::{Script, converse_all};
///
/// /// Sends everything to all others.
/// struct Party;
///
/// impl StreamProtocol for Party {
///     fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
///         assert_eq!(cx.join("all", WhenFull::Skip), Ok(()));
///         Ok(Step::wait(Within::Nothing))
///     }
///
///     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
///         assert_eq!(cx.cast("all", input), Ok(()));
///         Ok(Step::again(input.len()))
///     }
/// }
///
/// let heard = converse_all(|_| Party, &[Script::new().send("hello").fin(), Script::new().fin()]);
/// assert_eq!((&heard[0].sent[..], &heard[1].sent[..]), (&b""[..], &b"hello"[..]));
/// ```
///
/// # Panics
/// As [`converse`].
pub fn converse_all<P: StreamProtocol + 'static>(
    mut protocol: impl FnMut(usize) -> P,
    scripts: &[Script],
) -> Vec<Transcript> {
    let _xray = Xray(SimulatedClock::start());
    let protocols = (0..scripts.len()).map(|index| protocol(index).boxed()).collect();
    Company::new(protocols, scripts).run()
}

/// Conversations on one clock.
pub(super) struct Company<'s> {
    all: Vec<Conversation<'s>>,
    exchange: Arc<Attended>,
    elapsed: Duration,
}

impl<'s> Company<'s> {
    pub(super) fn new(protocols: Vec<Box<dyn StreamProtocol>>, scripts: &'s [Script]) -> Self {
        let room = scripts.iter().map(|script| script.limits.max_pending_output).min().unwrap_or(0);
        let exchange = Attended::new(Arc::new(Alarm::new(Box::new(|| ()))), room);
        let origin = Instant::now();
        let one = scripts.len() == 1;
        let all = protocols
            .into_iter()
            .zip(scripts)
            .enumerate()
            .map(|(slot, (protocol, script))| {
                let id = ConnectionId::of(Token { slot: slot as u32, generation: slot as u32 + 1 });
                Conversation::new(protocol, script, if one { script.id } else { id }, &exchange, origin)
            })
            .collect();
        Self { all, exchange, elapsed: Duration::ZERO }
    }

    pub(super) fn run(&mut self) -> Vec<Transcript> {
        for index in 0..self.all.len() {
            self.all[index].open();
            self.deliver();
        }
        for _ in 0..STEPS_MAX {
            if self.all.iter().all(Conversation::is_over) {
                return self.all.drain(..).filter_map(|conversation| conversation.transcript).collect();
            }
            if !self.step() {
                self.pass();
            }
        }
        panic!("the conversation does not end");
    }

    /// Lets each peer do its next step, if its time has come. Returns whether one did.
    fn step(&mut self) -> bool {
        let mut stepped = false;
        for index in 0..self.all.len() {
            match self.all[index].next_step() {
                Some(Action::HoldUp(duration)) => self.set_clock(self.elapsed + *duration),
                Some(Action::Post(bytes)) => {
                    let id = self.all[index].id;
                    self.exchange.admit(id);
                    // A sender that is refused drops the message, as the test can see.
                    let _ = self.exchange.post(None, id, Payload::Bytes(bytes.as_slice().into()));
                }
                Some(Action::Cast(group, bytes)) => {
                    let _ = self.exchange.cast(None, group, bytes);
                }
                Some(step) => self.all[index].act(step),
                None if self.all[index].closes_after_the_server() => {}
                None => continue,
            }
            stepped = true;
            self.deliver();
        }
        stepped
    }

    /// Lets time pass until something happens.
    fn pass(&mut self) {
        let next = self.all.iter().filter_map(Conversation::next_time).min();
        let next = next.expect("a connection always has a deadline, or a job that is out");
        self.set_clock(self.elapsed.max(next));
        for index in 0..self.all.len() {
            self.all[index].wake(next);
            self.deliver();
        }
    }

    fn set_clock(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
        self.all.iter_mut().for_each(|conversation| conversation.elapsed = elapsed);
    }

    /// Delivers messages, and what is sent because of them, until none is left.
    fn deliver(&mut self) {
        for _ in 0..STEPS_MAX {
            if !self.exchange.is_waiting() {
                return;
            }
            let (all, mut receivers) = (&mut self.all, Vec::new());
            self.exchange.deliver(|to, parcel| {
                let Some(place) = all.iter().position(|conversation| conversation.id == to) else {
                    return Handed { taken: false, again: false, goes_on: true };
                };
                let handed = all[place].take(parcel, receivers.contains(&place));
                receivers.push(place);
                handed
            });
            receivers.sort_unstable();
            receivers.dedup();
            receivers.into_iter().for_each(|place| self.all[place].settle());
        }
        panic!("messages cause messages without end");
    }
}
