//! The report: counters, and a table of all slots with what each waits for, for the administrator.

use super::Reactor;
use crate::amounts::Rounded;
use crate::kernel::Kernel;
use crate::limits::REPORT_ROWS_MAX;
use crate::snapshot::{Moved, Row, Table, Wanted};
use crate::time::Time;

impl<K: Kernel> Reactor<K> {
    /// Logs the counters of every listener.
    pub fn report(&self) {
        for endpoint in self.endpoints.homes() {
            log::info!("{endpoint}");
        }
    }

    /// Logs the counters of every listener and the table. From now on the bytes of each connection are counted.
    pub(super) fn report_all(&mut self) {
        self.endpoints.gather();
        self.report();
        let since = self.ledger.begin(self.moment.now, self.generation);
        if log::log_enabled!(log::Level::Info) {
            // One record: no other line comes between its lines, and the log's thread is woken once.
            log::info!("what each connection is waiting for:\n{}", self.table(since).join("\n"));
        }
    }

    /// Returns a heading, a row for each slot, a line that counts the slots without a row, and a line of totals.
    fn table(&self, bytes_since: Time) -> Vec<String> {
        let Table { rows, all, rest } = self.rows(&Wanted { listener: None, rows_max: REPORT_ROWS_MAX });
        let mut lines =
            vec![line(["number", "peer", "listener", "age", "state", "in", "out", "pending", "deadline"], "why")];
        lines.extend(rows.iter().map(text));
        if rest.total() > 0 {
            lines.push(format!("… and {rest} more"));
        }
        let pipes = &self.lent.buffers.pipes;
        let pipes = match pipes.lent() {
            0 => String::new(),
            lent => format!(", pipes {lent} of {}", pipes.most()),
        };
        lines.push(format!(
            "in all {all}; output pending {} of {}{}; upload buffers lent {} of {}{pipes}; bytes counted for {}",
            Rounded::bytes(self.totals.pending_bytes as u64),
            Rounded::bytes(self.totals.pending_bytes_max as u64),
            if self.is_pressed() { ", so less is read" } else { "" },
            self.lent.buffers.lent(),
            self.lent.buffers.lent() + self.lent.buffers.free(),
            Rounded(self.moment.now.duration_from(bytes_since)),
        ));
        lines
    }
}

/// Formats the row of a slot.
fn text(row: &Row) -> String {
    let peer = row.peer.as_ref().map(|peer| peer.to_string()).unwrap_or_default();
    let [received, sent] = row.moved.map(bytes).unwrap_or_default();
    let pending =
        if row.pending_bytes > 0 { Rounded::bytes(row.pending_bytes as u64).to_string() } else { String::new() };
    let deadline = row.deadline.map(|left| Rounded(left).to_string()).unwrap_or_default();
    let (number, age) = (row.number.to_string(), Rounded(row.age).to_string());
    let via = row.proxy.as_ref().map(|proxy| format!("; via {proxy}")).unwrap_or_default();
    let why = format!("{}{via}", row.why);
    line([&number, &peer, &row.listener, &age, row.state, &received, &sent, &pending, &deadline], &why)
}

/// Formats the bytes of a connection; a plus says that there were more.
fn bytes(Moved { received, sent, is_part }: Moved) -> [String; 2] {
    let more = if is_part { "+" } else { "" };
    [received, sent].map(|count| format!("{more}{}", Rounded::bytes(count)))
}

/// Formats a row. An empty field becomes a dash, so that all rows have the same number of fields.
fn line(fields: [&str; 9], why: &str) -> String {
    let [number, peer, listener, age, state, received, sent, pending, deadline] =
        fields.map(|field| if field.is_empty() { "-" } else { field });
    format!(
        "{number:<8} {peer:<21} {listener:<14} {age:>7} {state:<9} {received:>9} {sent:>9} {pending:>9} {deadline:>8}  {why}"
    )
}
