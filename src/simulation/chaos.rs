//! What goes wrong in a simulation, and how often: every knob is drawn from the seed.
//!
//! Each seed turns most knobs off and a few far up ("swarm testing", Groce et al., ISSTA 2012): a bug that needs many
//! faults of one kind in a row would drown in an even mixture.

use std::ops::Range;
use std::time::Duration;

use super::random::Random;
use crate::kernel::Command;
use crate::limits::BULK_BUFFERS_MAX;

/// How often a fault strikes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) what: &'static str,
    /// Of the calls that it concerns.
    pub(super) per_mille: u32,
}

/// What goes wrong in one simulation.
#[derive(Debug, Clone)]
pub(super) struct Chaos {
    /// When the faults stop, and everything has to come right.
    pub(super) until: Duration,

    // How the kernel behaves; no fault, and it never ends.
    /// See [`Transport::short_read_drains`](crate::kernel::Transport::short_read_drains).
    pub(super) short_read_drains: bool,
    /// Edges come only for a direction that was drained: nobody is saved by what arrives later.
    pub(super) strict: bool,
    /// A socket becomes writable only when a third of its buffer is free, as on Linux.
    pub(super) writable_from_a_third: bool,
    /// Readable and writable come as two events, as with kqueue.
    pub(super) events_apart: bool,
    /// Events in one batch; the rest comes in the next.
    pub(super) batch_max: usize,
    /// How long jobs take, at most.
    pub(super) job_millis: u64,
    /// How long bytes, FINs and datagrams travel, at most.
    pub(super) latency_millis: u64,
    /// Buffers for all uploads together: of as many as a real server has, so few clients never use up all.
    pub(super) buffers_max: usize,
    /// Descriptors that connections and files may take together, if there is a limit.
    pub(super) descriptors: Option<usize>,

    // Faults that nobody may notice.
    pub(super) short_reads: Rate,
    pub(super) short_writes: Rate,
    pub(super) would_block: Rate,
    pub(super) interrupted: Rate,
    pub(super) stale_events: Rate,
    pub(super) spurious_events: Rate,
    /// Something happens in the middle of a turn.
    pub(super) preemptions: Rate,
    /// The loop is held up between two turns.
    pub(super) stalls: Rate,
    /// What was done since the clock was read took long.
    pub(super) long_work: Rate,
    pub(super) datagrams_lost: Rate,
    pub(super) datagrams_doubled: Rate,
    pub(super) datagram_errors: Rate,
    /// No descriptor can be had, whoever asks.
    pub(super) exhaustion: Range<Duration>,

    // Faults that those whom they hit may notice, and nobody else.
    pub(super) stream_errors: Rate,
    pub(super) accept_errors: Rate,
    pub(super) register_errors: Rate,
    pub(super) disk_errors: Rate,
    pub(super) job_panics: Rate,
    pub(super) jobs_refused: Rate,
    /// Jobs that the workers take at a time, if there is a limit.
    pub(super) jobs_max: Option<usize>,
    pub(super) disk_full: Range<Duration>,

    // The end of the server.
    /// Power is lost in the middle of this operation of the disk.
    pub(super) crash_at: Option<u64>,
    /// The server is told to stop, long before everybody is served; and told something once more.
    pub(super) stop_at: Option<(Duration, Command)>,
    pub(super) stop_again_at: Option<(Duration, Command)>,
}

impl Chaos {
    pub(super) fn draw(random: &mut Random) -> Self {
        let until = Duration::from_millis(random.within(500..15_000) as u64);
        let nobody_is_hit = random.flip();
        let short_read_drains = random.flip();
        let stop_at = random.strikes(150).then(|| random.millis(until.as_millis() as u64));
        let jobs_max = (!nobody_is_hit && random.strikes(200)).then(|| random.within(1..4));
        let few_buffers = jobs_max.is_none() && random.strikes(400);
        let buffers_max = if few_buffers { random.within(1..4) } else { BULK_BUFFERS_MAX };
        let how = [Command::Stop, Command::Terminate, Command::Terminate, Command::Abort];
        Self {
            short_read_drains,
            strict: !short_read_drains && random.flip(),
            writable_from_a_third: random.flip(),
            events_apart: random.flip(),
            batch_max: random.pick(&[1, 3, 1024]),
            job_millis: match (jobs_max, buffers_max) {
                // Only what takes time piles up.
                (Some(_), _) => 3000,
                (None, BULK_BUFFERS_MAX) => random.pick(&[0, 5, 300, 3000]),
                // What a narrow window lets through between two jobs is little, and many take turns.
                (None, _) => random.pick(&[0, 5, 50]),
            },
            buffers_max,
            latency_millis: random.pick(&[0, 2, 40]),
            descriptors: random.strikes(250).then(|| random.within(8..24)),
            short_reads: knob(random, "a short read", 400),
            short_writes: knob(random, "a short write", 400),
            would_block: knob(random, "EAGAIN without a reason", 200),
            interrupted: knob(random, "EINTR", 300),
            stale_events: knob(random, "events for nobody", 300),
            spurious_events: knob(random, "an event without a reason", 300),
            preemptions: knob(random, "time that passes in a turn", 200),
            stalls: knob(random, "a loop that is held up", 100),
            long_work: knob(random, "a visit that takes long", 1000),
            datagrams_lost: knob(random, "a datagram that is lost", 400),
            datagrams_doubled: knob(random, "a datagram that comes twice", 400),
            datagram_errors: knob(random, "an error about a datagram", 200),
            exhaustion: if random.strikes(250) { window(random, until) } else { Duration::ZERO..Duration::ZERO },
            stream_errors: unless(nobody_is_hit, knob(random, "an error of its socket", 30)),
            accept_errors: unless(nobody_is_hit, knob(random, "an error of accept", 300)),
            register_errors: unless(nobody_is_hit, knob(random, "a failure to register it", 300)),
            disk_errors: unless(nobody_is_hit, knob(random, "an error of its disk", 100)),
            job_panics: unless(nobody_is_hit, knob(random, "a panic of its job", 100)),
            jobs_refused: unless(nobody_is_hit, knob(random, "a worker that cannot be started", 50)),
            jobs_max,
            disk_full: if nobody_is_hit || random.strikes(700) {
                Duration::ZERO..Duration::ZERO
            } else {
                window(random, until)
            },
            crash_at: (!nobody_is_hit && random.strikes(300)).then(|| random.within(1..60) as u64),
            stop_at: stop_at.map(|at| (at, random.pick(&how))),
            stop_again_at: stop_at.filter(|_| random.flip()).map(|at| (at + random.millis(2000), random.pick(&how))),
            until,
        }
    }
}

fn knob(random: &mut Random, what: &'static str, most: usize) -> Rate {
    let per_mille = if random.strikes(400) { random.within(1..most + 1) as u32 } else { 0 };
    Rate { what, per_mille }
}

const fn unless(condition: bool, rate: Rate) -> Rate {
    Rate { per_mille: if condition { 0 } else { rate.per_mille }, ..rate }
}

fn window(random: &mut Random, until: Duration) -> Range<Duration> {
    let start = random.millis(until.as_millis() as u64);
    start..(start + random.millis(3000)).min(until)
}
