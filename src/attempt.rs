//! The one place that knows `EAGAIN` and `EINTR`.

use std::io;

/// What became of a system call that does not block.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    /// It gave this.
    Done(T),
    /// It cannot be done now (`EAGAIN`): the kernel owes us an edge for this direction.
    WouldBlock,
    /// It failed.
    Failed(io::Error),
}

/// Makes `call` until it is not interrupted by a signal (`EINTR`, `signal(7)`). It stands on the way of every byte, and
/// inlined it needs no result in memory.
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

/// Makes `call` until it is not interrupted by a signal: for calls that may wait, on files and in `poll(2)`.
///
/// # Errors
/// Those of the call.
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
