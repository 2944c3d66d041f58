//! Waiting for events up to a deadline, exact to less than a millisecond.
//!
//! An open loop needs that: epoll_wait(2) counts in milliseconds, and most answers take less.

pub(crate) use imp::Timer;

/// With epoll a timer is one more descriptor to wait for (timerfd_create(2)).
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod imp {
    use std::io::{ErrorKind, Result};
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::{Duration, Instant};

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    pub(crate) struct Timer {
        timer: TimerFd,
        armed: Option<Instant>,
    }

    impl Timer {
        pub(crate) fn new(poll: &Poll, token: Token) -> Result<Self> {
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
            poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self { timer, armed: None })
        }

        /// Waits for an event, but not beyond `until`. Setting the timer also clears an earlier expiry.
        pub(crate) fn wait(
            &mut self,
            poll: &mut Poll,
            events: &mut Events,
            now: Instant,
            until: Instant,
        ) -> Result<()> {
            let left = until.saturating_duration_since(now);
            if self.armed != Some(until) && !left.is_zero() {
                let expiration = Expiration::OneShot(TimeSpec::from_duration(left));
                self.timer.set(expiration, TimerSetTimeFlags::empty())?;
                self.armed = Some(until);
            }
            match poll.poll(events, left.is_zero().then_some(Duration::ZERO)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                result => result,
            }
        }
    }
}

/// kevent(2) counts in nanoseconds. poll(2) counts in milliseconds, which must do.
#[cfg(not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))))]
mod imp {
    use std::io::{ErrorKind, Result};
    use std::time::Instant;

    use mio::{Events, Poll, Token};

    pub(crate) struct Timer;

    impl Timer {
        pub(crate) fn new(_: &Poll, _: Token) -> Result<Self> {
            Ok(Self)
        }

        /// Waits for an event, but not beyond `until`.
        pub(crate) fn wait(
            &mut self,
            poll: &mut Poll,
            events: &mut Events,
            now: Instant,
            until: Instant,
        ) -> Result<()> {
            match poll.poll(events, Some(until.saturating_duration_since(now))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
                result => result,
            }
        }
    }
}
