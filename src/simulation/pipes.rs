//! The pipes of uploads in a simulation: small ones, so that few bytes fill them, and some that cannot be used.

use nix::errno::Errno;

use super::random::Random;
use crate::kernel::{OpenPipe, Pipe};

/// What the pipes of a simulation are like.
#[derive(Debug, Clone)]
pub(super) struct Pipes {
    /// The pipes that all uploads may have together.
    pub(super) most: usize,
    /// The bytes of each.
    bytes: usize,
    /// The pieces of each, one for each call.
    pieces: usize,
    /// Calls of `splice(2)` that are not possible, of a thousand.
    pub(super) refusals: u32,
    /// Pipes that cannot be opened, of a thousand.
    unopened: u32,
    random: Random,
}

impl Pipes {
    pub(super) fn draw(mut random: Random) -> Option<Self> {
        let mut random = random.split();
        random.strikes(500).then(|| Self {
            most: random.pick(&[1, 2, 3, 32]),
            // Smaller ones would need more turns for an upload than the checks allow.
            bytes: random.pick(&[2000, 10_000, 100_000]),
            pieces: random.pick(&[1, 2, 5, 256]),
            refusals: if random.strikes(300) { random.within(1..300) as u32 } else { 0 },
            unopened: if random.strikes(300) { random.within(1..700) as u32 } else { 0 },
            random,
        })
    }

    /// Returns the function that opens them.
    pub(super) fn opener(&self) -> OpenPipe {
        let Self { bytes, pieces, unopened, mut random, .. } = self.clone();
        Box::new(move || match random.strikes(unopened) {
            true => Err(random.pick(&[Errno::EMFILE, Errno::ENFILE, Errno::EPERM]).into()),
            false => Ok(Pipe::in_memory(bytes, pieces)),
        })
    }
}
