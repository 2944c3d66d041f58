//! The text view: one line for each record, grouped by turn.
//!
//! ```text
//! 1.000231 s: turn 4: 1 connection, 0 bytes pending
//!      998.2    epoll_wait(30000) = 1
//!            #5 event: readable, writable
//!            #5 visit
//!        2.1 #5 recvfrom(65536) = 6
//! ```

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use super::record::{LOOP, Record, What};
use super::recording::{Open, Recording, Served};
use crate::amounts::Count;
use crate::token::Token;

/// Writes `recording` to `to`.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    let mut text = Text::default();
    let began = humantime::format_rfc3339_micros(recording.began);
    writeln!(to, "# X-ray of reactor {}, which began at {began}", env!("CARGO_PKG_VERSION"))?;
    writeln!(
        to,
        "# turns: seconds since then; lines: microseconds since the line before, where time passed; #N: a socket"
    )?;
    for served in &recording.endpoints {
        text.serves(served, to)?;
    }
    for open in &recording.connections {
        text.unknown.insert(open.who, open.clone());
    }
    if recording.overwritten > 0 {
        let were = if recording.overwritten == 1 { "was" } else { "were" };
        writeln!(to, "# {} {were} overwritten", Count(recording.overwritten, "older record"))?;
        text.at = recording.records.first().map_or(0, |record| record.at);
    }
    recording.records.iter().try_for_each(|record| text.record(record, to))
}

/// Returns a few records as text, without a heading. `gaps`: records between them are left out.
pub(super) fn lines(records: &[Record], endpoints: &[Served], gaps: bool) -> String {
    let at = records.first().map_or(0, |record| record.at);
    let mut text = Text { at, gaps, endpoints: endpoints.iter().map(called).collect(), ..Text::default() };
    let mut lines = Vec::new();
    // Writing to memory cannot fail.
    let _ = records.iter().try_for_each(|record| text.record(record, &mut lines));
    String::from_utf8_lossy(&lines).into_owned()
}

/// Writes records one by one.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The time of the previous record.
    at: u64,
    /// Records are left out, so the time since the previous line is shown only for an action that takes time.
    gaps: bool,
    /// `NAME (PROTOCOL)` of each endpoint.
    endpoints: Vec<String>,
    /// Connections that were accepted before the first record. A connection is removed and introduced at its first
    /// record.
    unknown: HashMap<Token, Open>,
}

impl Text {
    /// Writes the line that introduces a listener or a UDP socket.
    pub(super) fn serves(&mut self, served: &Served, to: &mut dyn Write) -> io::Result<()> {
        let called = called(served);
        writeln!(to, "# #{} is {called} at {}", served.who.generation, served.url)?;
        self.endpoints.push(called);
        Ok(())
    }

    pub(super) fn record(&mut self, record: &Record, to: &mut dyn Write) -> io::Result<()> {
        let took = record.at.saturating_sub(std::mem::replace(&mut self.at, record.at));
        if let What::Turn { .. } = record.what {
            return writeln!(to, "\n{:.6} s: {}", Duration::from_nanos(record.at).as_secs_f64(), record.what);
        }
        if let Some(open) = self.unknown.remove(&record.who) {
            let endpoint = self.endpoint(open.endpoint);
            writeln!(to, "# #{} is {} at {endpoint}", open.who.generation, open.peer)?;
        }
        match took {
            _ if self.gaps && !record.what.takes_time() => write!(to, "{:10} ", "")?,
            0 => write!(to, "{:10} ", "")?,
            took => write!(to, "{:10.1} ", took as f64 / 1000.0)?,
        }
        match record.who {
            LOOP => write!(to, "   ")?,
            who => write!(to, "#{:<2} ", who.generation)?,
        }
        match record.what {
            What::Accepted { endpoint, .. } | What::Connects { endpoint, .. } => {
                writeln!(to, "{} at {}", record.what, self.endpoint(endpoint))
            }
            what => writeln!(to, "{what}"),
        }
    }

    fn endpoint(&self, index: u16) -> &str {
        self.endpoints.get(index as usize).map_or("?", String::as_str)
    }
}

/// `NAME (PROTOCOL)`.
fn called(served: &Served) -> String {
    format!("{} ({})", served.name, served.protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xray::tests::sample;

    #[test]
    fn records_of_one_connection_name_its_listener_and_their_own_time() {
        let recording = sample::recording();
        let is_accepted = |record: &&Record| matches!(record.what, What::Accepted { .. });
        let who = recording.records.iter().find(is_accepted).expect("a connection is accepted").who;
        let own: Vec<_> = recording.records.iter().filter(|record| record.who == who).copied().collect();
        let text = lines(&own, &recording.endpoints, true);
        assert!(text.contains(&format!("accepted 192.0.2.1:40000 at {} (uppercase)", sample::NAME)), "{text}");
        for (line, record) in text.lines().zip(&own) {
            assert_eq!(!line[..10].trim().is_empty(), record.what.takes_time(), "{line}");
        }
    }
}
