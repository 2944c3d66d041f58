//! Notifies the service manager of the state of the server: `sd_notify(3)`.
//!
//! One non-blocking socket is connected at the start. A manager that is slow never holds the loop: what it does not take is
//! dropped, but for the states, which are sent again after a later turn.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::process;
use std::time::Duration;

use log::warn;

use crate::attempt::{Attempt, attempt};
use crate::kernel::monotonic;
use crate::limits::{NOTIFY_AGAIN, NOTIFY_REASON_BYTES_MAX, NOTIFY_STATUS_EVERY, STOP_EXTENSION, WATCHDOG_EVERY_MIN};

/// The way to the service manager.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: UnixDatagram,
    /// Messages with a state, in their order, that the manager has not taken: at most [`Notifier::owe`] of them.
    owed: VecDeque<(State, String)>,
    /// Feeds the watchdog, if there is one.
    watchdog: Option<Periodic>,
    /// What the first message says about the watchdog.
    no_watchdog: bool,
    /// Extends the time to stop, once the server is stopping.
    extension: Option<Periodic>,
    /// The time of the next look at the status.
    look: Duration,
    /// The status that the manager knows.
    status: String,
    /// Why the last reload failed.
    failed_reload: Option<String>,
    /// Whether a failure has been logged.
    is_logged: bool,
}

/// A state of the server that the manager must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Reloading,
    Stopping,
}

/// A message that is sent again and again.
#[derive(Debug, Clone, Copy)]
struct Periodic {
    every: Duration,
    next: Duration,
}

impl Notifier {
    /// Connects to the manager that the environment names; `None` if it names none. `step`: the loop waits for a key in each
    /// turn, which no watchdog may take for a fault.
    ///
    /// A manager that cannot be reached is logged. The server then starts without it, because clients do not need it.
    pub(super) fn connect(variable: impl Fn(&str) -> Option<OsString>, step: bool) -> Option<Self> {
        let address = variable("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
        let socket = match connected(&address) {
            Ok(socket) => socket,
            Err(error) => {
                warn!("cannot notify the service manager at {}: {error}", address.display());
                return None;
            }
        };
        let every = watchdog(&variable);
        Some(Self {
            socket,
            owed: VecDeque::new(),
            watchdog: every.filter(|_| !step).map(|every| Periodic { every, next: Duration::ZERO }),
            no_watchdog: step && every.is_some(),
            extension: None,
            look: Duration::ZERO,
            status: String::new(),
            failed_reload: None,
            is_logged: false,
        })
    }

    /// Notifies the manager that every listener is bound.
    pub(super) fn ready(&mut self, status: String) {
        let watchdog = if self.no_watchdog { "\nWATCHDOG_USEC=0" } else { "" };
        self.owe(State::Ready, format!("READY=1{watchdog}\nSTATUS={status}"));
        self.status = status;
    }

    /// Notifies the manager that a reload begins.
    pub(super) fn reloading(&mut self) {
        // Both in one message: systemd waits for a time after its signal (`systemd.service(5)`, `Type=notify-reload`).
        self.owe(State::Reloading, format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
    }

    /// Notifies the manager that a reload has ended, and why if it has failed.
    pub(super) fn ready_again(&mut self, result: Result<(), &str>) {
        self.failed_reload = result.err().map(one_line);
        let status = match &self.failed_reload {
            Some(reason) => format!("reload failed: {reason}"),
            None => "reloaded".to_owned(),
        };
        self.owe(State::Ready, format!("READY=1\nSTATUS={status}"));
        self.status = status;
    }

    /// Sends what is due after a turn of the loop. Returns how long the next turn may wait at most; `None` for any time.
    pub(super) fn turned(&mut self, now: Duration, is_stopping: bool, status: impl Fn() -> String) -> Option<Duration> {
        if is_stopping && self.extension.is_none() {
            self.extension = Some(Periodic { every: STOP_EXTENSION / 2, next: now + STOP_EXTENSION / 2 });
            self.status = status();
            self.owe(State::Stopping, format!("STOPPING=1\n{}\nSTATUS={}", extension(), self.status));
        }
        self.send_owed();
        self.watchdog = self.watchdog.map(|watchdog| self.repeat(watchdog, now, || "WATCHDOG=1".to_owned()));
        self.extension = self.extension.map(|periodic| self.repeat(periodic, now, extension));
        let is_looked_at = self.look <= now;
        if is_looked_at {
            self.look = now + NOTIFY_STATUS_EVERY;
            self.send_status(status());
        }

        let periodic = self.watchdog.into_iter().chain(self.extension).map(|periodic| periodic.next);
        // What happens after a look changes the status again, so another look must follow.
        let look = Some(self.look).filter(|_| !is_looked_at);
        let owed = Some(now + NOTIFY_AGAIN).filter(|_| !self.owed.is_empty());
        periodic.chain(look).chain(owed).min().map(|next| next.saturating_sub(now))
    }

    /// Sends a periodic message if it is due.
    fn repeat(&mut self, mut periodic: Periodic, now: Duration, message: impl FnOnce() -> String) -> Periodic {
        if periodic.next <= now {
            let is_sent = self.send(&message());
            periodic.next = now + if is_sent { periodic.every } else { periodic.every.min(NOTIFY_AGAIN) };
        }
        periodic
    }

    fn send_status(&mut self, status: String) {
        let status = match &self.failed_reload {
            Some(reason) => format!("{status}; the last reload failed: {reason}"),
            None => status,
        };
        if status != self.status && self.send(&format!("STATUS={status}")) {
            self.status = status;
        }
    }

    /// Sends a state, now or later. A reload that follows another one replaces what is unsent of it, so that no more than the
    /// first `READY`, one reload with its two messages, and `STOPPING` wait.
    fn owe(&mut self, state: State, message: String) {
        if state == State::Reloading
            && let Some(index) = self.owed.iter().position(|(owed, _)| *owed == State::Reloading)
        {
            self.owed.truncate(index);
        }
        self.owed.push_back((state, message));
        self.send_owed();
    }

    /// Sends states as long as the manager takes them.
    fn send_owed(&mut self) {
        while let Some((state, message)) = self.owed.pop_front() {
            if !self.send(&message) {
                self.owed.push_front((state, message));
                return;
            }
        }
    }

    /// Returns whether the manager has taken the message.
    fn send(&mut self, message: &str) -> bool {
        match attempt(|| self.socket.send(message.as_bytes())) {
            Attempt::Done(_) => true,
            Attempt::WouldBlock => false,
            Attempt::Failed(error) => {
                if !std::mem::replace(&mut self.is_logged, true) {
                    warn!("cannot notify the service manager: {error}");
                }
                false
            }
        }
    }
}

/// Connects to the address of a manager: a path, or `@` and an abstract name (`unix(7)`).
fn connected(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.as_bytes() {
        [b'/', ..] => socket.connect(address)?,
        [b'@', name @ ..] => connect_abstract(&socket, name)?,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path, or @ and an abstract name")),
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn connect_abstract(socket: &UnixDatagram, name: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)
}

#[cfg(not(target_os = "linux"))]
fn connect_abstract(_: &UnixDatagram, _: &[u8]) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract names"))
}

/// Returns half of the time after which the watchdog ends this process (`sd_watchdog_enabled(3)`); `None` without a watchdog.
fn watchdog(variable: &impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let number = |name| variable(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let is_for_us = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process::id().into());
    let limit = number("WATCHDOG_USEC").filter(|limit| is_for_us && *limit > 0)?;
    Some((Duration::from_micros(limit) / 2).max(WATCHDOG_EVERY_MIN))
}

fn extension() -> String {
    format!("EXTEND_TIMEOUT_USEC={}", STOP_EXTENSION.as_micros())
}

/// Returns the beginning of a text as one line: a line break would begin another assignment of the message.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for letter in text.trim_end().chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        if line.len() + letter.len_utf8() > NOTIFY_REASON_BYTES_MAX {
            break;
        }
        line.push(letter);
    }
    line
}

#[cfg(test)]
mod tests;
