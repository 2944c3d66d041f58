//! Handles `EAGAIN` and `EINTR`, in one place.

use std::io;

/// The result of a non-blocking system call.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// The call returned this.
    Done(T),
    /// The call would block (`EAGAIN`): the kernel will report an edge for this direction.
    WouldBlock,
    /// The call failed.
    Failed(io::Error),
}

/// Repeats `call` while a signal interrupts it (`EINTR`, `signal(7)`). On the hot path: inlined so that the result
/// stays in registers.
#[inline(always)]
pub(crate) fn attempt<T>(mut call: impl FnMut() -> io::Result<T>) -> Attempt<T> {
    loop {
        match call() {
            Ok(value) => return Attempt::Done(value),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Attempt::WouldBlock,
            Err(error) => return Attempt::Failed(error),
        }
    }
}

/// Repeats `call` while a signal interrupts it: for calls that may block, on files and in `poll(2)`.
///
/// # Errors
/// Errors of the call.
pub(crate) fn uninterrupted<T, E: Into<io::Error>>(mut call: impl FnMut() -> Result<T, E>) -> io::Result<T> {
    loop {
        match call().map_err(Into::into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut results =
            [Err(io::ErrorKind::Interrupted.into()), Err(io::ErrorKind::Interrupted.into()), Ok(7)].into_iter();
        assert!(matches!(attempt(|| results.next().expect("three calls")), Attempt::Done(7)));
        let mut results = [Err(io::ErrorKind::Interrupted), Ok(7)].into_iter();
        assert_eq!(uninterrupted(|| results.next().expect("two calls")).expect("the second"), 7);
    }

    #[test]
    fn would_block_is_an_answer_and_not_an_error() {
        assert!(matches!(attempt(|| Err::<(), _>(io::ErrorKind::WouldBlock.into())), Attempt::WouldBlock));
        assert!(matches!(attempt(|| Err::<(), _>(io::ErrorKind::ConnectionReset.into())), Attempt::Failed(_)));
    }
}
