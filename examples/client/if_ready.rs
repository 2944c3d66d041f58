use std::io::{ErrorKind, Result};

/// Makes a non-blocking call, again if a signal interrupts it. `None` means `WouldBlock`: try again after the next
/// event.
pub(crate) fn if_ready<T>(mut call: impl FnMut() -> Result<T>) -> Result<Option<T>> {
    loop {
        match call() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
