//! What goes wrong in a simulation, and how often: every knob is drawn from the seed.
//!
//! Each seed turns most knobs off and a few far up ("swarm testing", Groce et al., ISSTA 2012): a bug that needs many
//! faults of one kind in a row would drown in an even mixture.

use std::ops::Range;
use std::time::Duration;

use super::random::Random;

/// The weather of one simulation. Rates are per mille of the calls that they concern.
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
    /// Descriptors that connections and files may take together, if there is a limit.
    pub(super) descriptors: Option<usize>,

    // Faults that nobody may notice.
    pub(super) short_reads: u32,
    pub(super) short_writes: u32,
    pub(super) would_block: u32,
    pub(super) interrupted: u32,
    pub(super) stale_events: u32,
    pub(super) spurious_events: u32,
    /// Something happens in the middle of a turn.
    pub(super) preemptions: u32,
    /// The loop is held up between two turns.
    pub(super) stalls: u32,
    pub(super) datagrams_lost: u32,
    pub(super) datagrams_doubled: u32,
    pub(super) datagram_errors: u32,
    /// No descriptor can be had, whoever asks.
    pub(super) exhaustion: Range<Duration>,

    // Faults that those whom they hit may notice, and nobody else.
    pub(super) stream_errors: u32,
    pub(super) accept_errors: u32,
    pub(super) register_errors: u32,
    pub(super) disk_errors: u32,
    pub(super) job_panics: u32,
    pub(super) jobs_refused: u32,
    pub(super) disk_full: Range<Duration>,

    // The end of the server.
    /// Power is lost in the middle of this operation of the disk.
    pub(super) crash_at: Option<u64>,
    /// The server is told to stop, long before everybody is served.
    pub(super) stop_at: Option<Duration>,
}

impl Chaos {
    pub(super) fn draw(random: &mut Random) -> Self {
        let until = Duration::from_millis(random.within(500..15_000) as u64);
        let nobody_is_hit = random.flip();
        let short_read_drains = random.flip();
        Self {
            short_read_drains,
            strict: !short_read_drains && random.flip(),
            writable_from_a_third: random.flip(),
            events_apart: random.flip(),
            batch_max: random.pick(&[1, 3, 1024]),
            job_millis: random.pick(&[0, 5, 300, 3000]),
            latency_millis: random.pick(&[0, 2, 40]),
            descriptors: random.strikes(250).then(|| random.within(8..24)),
            short_reads: knob(random, 400),
            short_writes: knob(random, 400),
            would_block: knob(random, 200),
            interrupted: knob(random, 300),
            stale_events: knob(random, 300),
            spurious_events: knob(random, 300),
            preemptions: knob(random, 200),
            stalls: knob(random, 100),
            datagrams_lost: knob(random, 400),
            datagrams_doubled: knob(random, 400),
            datagram_errors: knob(random, 200),
            exhaustion: if random.strikes(250) { window(random, until) } else { Duration::ZERO..Duration::ZERO },
            stream_errors: unless(nobody_is_hit, knob(random, 30)),
            accept_errors: unless(nobody_is_hit, knob(random, 300)),
            register_errors: unless(nobody_is_hit, knob(random, 300)),
            disk_errors: unless(nobody_is_hit, knob(random, 100)),
            job_panics: unless(nobody_is_hit, knob(random, 100)),
            jobs_refused: unless(nobody_is_hit, knob(random, 50)),
            disk_full: if nobody_is_hit || random.strikes(700) {
                Duration::ZERO..Duration::ZERO
            } else {
                window(random, until)
            },
            crash_at: (!nobody_is_hit && random.strikes(300)).then(|| random.within(1..60) as u64),
            stop_at: random.strikes(100).then(|| random.millis(until.as_millis() as u64)),
            until,
        }
    }
}

fn knob(random: &mut Random, most: usize) -> u32 {
    if random.strikes(400) { random.within(1..most + 1) as u32 } else { 0 }
}

const fn unless(condition: bool, rate: u32) -> u32 {
    if condition { 0 } else { rate }
}

fn window(random: &mut Random, until: Duration) -> Range<Duration> {
    let start = random.millis(until.as_millis() as u64);
    start..(start + random.millis(3000)).min(until)
}
