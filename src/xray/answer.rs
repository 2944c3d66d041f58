//! The return value of a system call, as `strace(1)` writes it.

use std::fmt;
use std::io;

use crate::errno::Code;

/// The return value of a system call: a number, or an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer(i32);

impl Answer {
    /// The answer of a call that succeeded without a value.
    pub(crate) const ZERO: Self = Self(0);

    /// The answer of a call that succeeded with this value.
    pub(super) const fn returned(number: i32) -> Self {
        Self(number)
    }

    /// The number that the call returned; `None` if it failed.
    #[must_use]
    pub fn count(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }

    /// The error of the call (`errno(3)`); `None` if it succeeded.
    #[must_use]
    pub fn errno(self) -> Option<i32> {
        (self.0 < 0).then_some(-self.0)
    }

    /// Whether the call would have blocked (`EAGAIN`).
    #[must_use]
    pub fn would_block(self) -> bool {
        self.errno().is_some_and(|errno| Code::from_raw(errno).would_block())
    }
}

/// The value of a system call that succeeded.
pub(crate) trait ReturnValue {
    /// The number that strace would show.
    fn number(&self) -> i32;
}

impl ReturnValue for () {
    #[inline(always)]
    fn number(&self) -> i32 {
        0
    }
}

impl ReturnValue for i32 {
    fn number(&self) -> i32 {
        *self
    }
}

/// No socket call returns more than `i32::MAX`.
impl ReturnValue for usize {
    #[inline(always)]
    fn number(&self) -> i32 {
        i32::try_from(*self).unwrap_or(i32::MAX)
    }
}

impl<T: ReturnValue> From<&io::Result<T>> for Answer {
    fn from(result: &io::Result<T>) -> Self {
        match result {
            Ok(value) => Self(value.number()),
            Err(error) => Self::from(error),
        }
    }
}

impl From<&io::Error> for Answer {
    fn from(error: &io::Error) -> Self {
        Self(-Code::of(error).as_raw())
    }
}

/// `5`, or `-1 EAGAIN`.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno() {
            None => write!(f, "{}", self.0),
            Some(errno) => write!(f, "-1 {}", Code::from_raw(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn answers_read_as_those_of_strace() {
        assert_eq!(Answer::from(&Ok(5_usize)).to_string(), "5");
        assert_eq!(Answer::from(&Ok(())).to_string(), "0");
        let failed = |error: io::Error| Answer::from(&Err::<(), _>(error));
        assert_eq!(failed(io::ErrorKind::WouldBlock.into()).to_string(), "-1 EAGAIN");
        assert_eq!(failed(Errno::EPIPE.into()).to_string(), "-1 EPIPE");
        assert!(failed(Errno::EAGAIN.into()).would_block());
    }
}
