use std::time::Duration;

use crate::random::Random;

/// The shortest pause: without a server, retrying must not use a full core.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pauses before one connection is opened again.
pub(crate) enum Backoff {
    /// They are all the shortest.
    Constant,
    /// Each has twice the bound of the one before it, up to the longest. It lasts at random between half of its bound and the
    /// whole, so that the connections of a server that comes back do not all return at one moment.
    Growing { random: Random, bound: Duration },
}

impl Backoff {
    /// Growing pauses. Those of each connection differ, and the same seed makes the same ones.
    pub(crate) fn growing(seed: u64, connection: usize) -> Self {
        let random = Random::new(seed ^ (connection as u64).rotate_left(32));
        Self::Growing { random, bound: 2 * PAUSE_MIN }
    }

    /// Returns the next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let Self::Growing { random, bound } = self else { return PAUSE_MIN };
        let pause = bound.mul_f64(0.5 + random.uniform() / 2.0);
        *bound = (*bound * 2).min(PAUSE_MAX);
        pause
    }

    /// Begins with a short pause again.
    pub(crate) fn reset(&mut self) {
        if let Self::Growing { bound, .. } = self {
            *bound = 2 * PAUSE_MIN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(seed: u64, connection: usize) -> Vec<Duration> {
        let mut backoff = Backoff::growing(seed, connection);
        (0..12).map(|_| backoff.pause()).collect()
    }

    #[test]
    fn pauses_grow_from_the_shortest_to_the_longest() {
        for seed in 0..100 {
            let mut bound = 2 * PAUSE_MIN;
            for pause in pauses(seed, 3) {
                assert!((bound / 2..=bound).contains(&pause), "{seed}: {pause:?} of {bound:?}");
                assert!((PAUSE_MIN..=PAUSE_MAX).contains(&pause), "{seed}: {pause:?}");
                bound = (bound * 2).min(PAUSE_MAX);
            }
            assert_eq!(bound, PAUSE_MAX);
        }
    }

    #[test]
    fn a_seed_repeats_its_pauses_and_connections_do_not_share_them() {
        assert_eq!(pauses(7, 1), pauses(7, 1));
        assert_ne!(pauses(7, 1), pauses(7, 2));
        assert_ne!(pauses(7, 1), pauses(8, 1));
    }

    #[test]
    fn pauses_are_short_again_after_a_reset_and_constant_ones_never_grow() {
        let mut backoff = Backoff::growing(7, 1);
        (0..12).for_each(|_| _ = backoff.pause());
        backoff.reset();
        assert!(backoff.pause() <= 2 * PAUSE_MIN);
        let mut constant = Backoff::Constant;
        assert!((0..12).all(|_| constant.pause() == PAUSE_MIN));
    }
}
