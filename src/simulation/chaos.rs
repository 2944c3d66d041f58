//! The faults of a simulation and their rates, all drawn from the seed.
//!
//! Each seed turns most faults off and a few far up ("swarm testing", Groce et al., ISSTA 2012): an even mixture would
//! rarely contain many faults of one kind in a row, which some bugs need.

use std::ops::Range;
use std::time::Duration;

use super::pipes::Pipes;
use super::random::Random;
use crate::kernel::Command;
use crate::limits::BULK_BUFFERS_MAX;

/// A kind of fault, and how often it strikes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) what: &'static str,
    /// Per thousand calls that the fault concerns.
    pub(super) per_mille: u32,
}

/// The faults of one simulation.
#[derive(Debug, Clone)]
pub(super) struct Chaos {
    /// When the faults stop; after that everything must recover.
    pub(super) until: Duration,

    // The behaviour of the kernel: not faults, and not limited by `until`.
    /// See [`Transport::short_read_drains`](crate::kernel::Transport::short_read_drains).
    pub(super) short_read_drains: bool,
    /// Edges are reported only for a direction that was drained: a later arrival does not hide a lost wake-up.
    pub(super) strict: bool,
    /// A socket becomes writable only when a third of its buffer is free, as on Linux.
    pub(super) writable_from_a_third: bool,
    /// Readable and writable are reported as two events, as by kqueue.
    pub(super) events_apart: bool,
    /// Events in one batch; further events come in the next.
    pub(super) batch_max: usize,
    /// The longest time that a job takes.
    pub(super) job_millis: u64,
    /// The longest time that bytes, FINs and datagrams travel.
    pub(super) latency_millis: u64,
    /// Buffers for all uploads together: the simulated clients are too few to use all buffers of a real server.
    pub(super) buffers_max: usize,
    /// The pipes of uploads, if the kernel has any.
    pub(super) pipes: Option<Pipes>,
    /// Descriptors that connections and files may take together, if there is a limit.
    pub(super) descriptors: Option<usize>,

    // Faults that no client may notice.
    pub(super) short_reads: Rate,
    pub(super) short_writes: Rate,
    pub(super) would_block: Rate,
    pub(super) interrupted: Rate,
    pub(super) stale_events: Rate,
    pub(super) spurious_events: Rate,
    /// Something happens in the middle of a turn.
    pub(super) preemptions: Rate,
    /// The loop is stalled between two turns.
    pub(super) stalls: Rate,
    /// The work since the last reading of the clock took long.
    pub(super) long_work: Rate,
    pub(super) datagrams_lost: Rate,
    pub(super) datagrams_doubled: Rate,
    pub(super) datagram_errors: Rate,
    /// The whole machine is out of descriptors.
    pub(super) exhaustion: Range<Duration>,

    // Faults that only the clients they hit may notice.
    pub(super) stream_errors: Rate,
    pub(super) accept_errors: Rate,
    pub(super) register_errors: Rate,
    pub(super) disk_errors: Rate,
    pub(super) job_panics: Rate,
    pub(super) jobs_refused: Rate,
    /// Jobs that the workers accept at a time, if there is a limit.
    pub(super) jobs_max: Option<usize>,
    pub(super) disk_full: Range<Duration>,

    // The end of the server.
    /// The power is lost during the disk operation with this number.
    pub(super) crash_at: Option<u64>,
    /// The server is asked to stop, long before all clients are served, and perhaps a second time.
    pub(super) stop_at: Option<(Duration, Command)>,
    pub(super) stop_again_at: Option<(Duration, Command)>,
}

impl Chaos {
    pub(super) fn draw(random: &mut Random) -> Self {
        let until = Duration::from_millis(random.within(500..15_000) as u64);
        let no_client_is_hit = random.flip();
        let short_read_drains = random.flip();
        let stop_at = random.strikes(150).then(|| random.millis(until.as_millis() as u64));
        let jobs_max = (!no_client_is_hit && random.strikes(200)).then(|| random.within(1..4));
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
                // Only jobs that take time pile up.
                (Some(_), _) => 3000,
                (None, BULK_BUFFERS_MAX) => random.pick(&[0, 5, 300, 3000]),
                // With few buffers little is transferred between two jobs, so jobs are short.
                (None, _) => random.pick(&[0, 5, 50]),
            },
            buffers_max,
            latency_millis: random.pick(&[0, 2, 40]),
            // From a stream of its own, so that a seed without them stays the same.
            pipes: Pipes::draw(random.clone()),
            descriptors: random.strikes(250).then(|| random.within(8..24)),
            short_reads: knob(random, "a short read", 400),
            short_writes: knob(random, "a short write", 400),
            would_block: knob(random, "EAGAIN without a reason", 200),
            interrupted: knob(random, "EINTR", 300),
            stale_events: knob(random, "stale events", 300),
            spurious_events: knob(random, "an event without a reason", 300),
            preemptions: knob(random, "time that passes in a turn", 200),
            stalls: knob(random, "a loop that is stalled", 100),
            long_work: knob(random, "a visit that takes long", 1000),
            datagrams_lost: knob(random, "a datagram that is lost", 400),
            datagrams_doubled: knob(random, "a datagram that comes twice", 400),
            datagram_errors: knob(random, "an error about a datagram", 200),
            exhaustion: if random.strikes(250) { window(random, until) } else { Duration::ZERO..Duration::ZERO },
            stream_errors: unless(no_client_is_hit, knob(random, "an error of its socket", 30)),
            accept_errors: unless(no_client_is_hit, knob(random, "an error of accept", 300)),
            register_errors: unless(no_client_is_hit, knob(random, "a failure to register it", 300)),
            disk_errors: unless(no_client_is_hit, knob(random, "an error of its disk", 100)),
            job_panics: unless(no_client_is_hit, knob(random, "a panic of its job", 100)),
            jobs_refused: unless(no_client_is_hit, knob(random, "a worker that cannot be started", 50)),
            jobs_max,
            disk_full: if no_client_is_hit || random.strikes(700) {
                Duration::ZERO..Duration::ZERO
            } else {
                window(random, until)
            },
            crash_at: (!no_client_is_hit && random.strikes(300)).then(|| random.within(1..60) as u64),
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
