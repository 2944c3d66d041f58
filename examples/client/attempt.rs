use std::io::{ErrorKind, Result};

/// Makes a non-blocking call. `None` means `WouldBlock`: nothing can be done now, and an event will tell when to try
/// again. A call that a signal interrupted is made again.
pub(crate) fn attempt<T>(mut call: impl FnMut() -> Result<T>) -> Result<Option<T>> {
    loop {
        match call() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
