//! The trace events that Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing) open.
//!
//! The format is the [Trace Event Format], as a JSON object. The loop is one thread, on which slices are nested:
//! a turn, in it the visit of a slot, in it system calls and calls of protocols. An action that takes no time is an
//! instant. Each connection has a track of its own, with slices for its lifetime, its jobs and its back-pressure. Two
//! counters follow the turns. An arrow leads from the read that brought a request to the write that sent its answer.
//!
//! [Trace Event Format]: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::answers::answers;
use super::kind::Kind;
use super::record::{LOOP, Record, What};
use super::recording::Recording;
use crate::token::Token;

/// One event of the trace. Members that do not apply are left out.
#[derive(Serialize)]
struct Event<'a> {
    /// The type of the event: `B` and `E` begin and end a slice, `i` is an instant, `C` a counter, `s` and `f` an
    /// arrow.
    ph: &'static str,
    /// Microseconds since the recording began.
    ts: f64,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// The scope of an instant: its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// The binding point of an arrow's head: the slice around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

/// Writes `recording` to `to`.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    let began = humantime::format_rfc3339_micros(recording.began).to_string();
    let about = json!({
        "program": "reactor",
        "version": env!("CARGO_PKG_VERSION"),
        "began": began,
        "overwritten records": recording.overwritten,
    });
    write!(to, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":[")?;
    let mut trace = Trace::new(recording, to);
    trace.introduce()?;
    for place in 0..recording.records.len() {
        trace.record(place)?;
    }
    trace.end()?;
    writeln!(to, "\n]}}")
}

/// The trace that is being written, with what has begun and not ended.
struct Trace<'a> {
    recording: &'a Recording,
    to: &'a mut dyn Write,
    /// Whether the slice of a turn is open on the loop's thread.
    turn: bool,
    /// Whether the slice of a visit or of a reaping is open in it.
    visit: bool,
    /// The time of the last event.
    at: u64,
    /// The open slices on tracks beside the loop, by name and owner.
    aside: HashSet<(&'static str, Token)>,
    /// The arrow that begins at a record, by the index of the record.
    tails: HashMap<usize, u64>,
    /// The arrows that end at a record, by its index.
    heads: HashMap<usize, Vec<u64>>,
    /// The number of events that were written.
    events: u64,
}

const LIFE: &str = "connection";
const BACK_PRESSURE: &str = "back-pressure";
const JOB: &str = "job";

impl<'a> Trace<'a> {
    fn new(recording: &'a Recording, to: &'a mut dyn Write) -> Self {
        let (mut tails, mut heads) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (id, answered) in (1..).zip(answers(&recording.records)) {
            tails.insert(answered.read, id);
            heads.entry(answered.write).or_default().push(id);
        }
        let at = recording.records.first().map_or(0, |record| record.at);
        Self { recording, to, turn: false, visit: false, at, aside: HashSet::new(), tails, heads, events: 0 }
    }

    /// Names the thread, and begins the tracks of connections that were open before the first record.
    fn introduce(&mut self) -> io::Result<()> {
        for (name, args) in [("process_name", json!({ "name": "reactor" })), ("thread_name", json!({ "name": "loop" }))]
        {
            self.put(Event { name, args, ..event("M") })?;
        }
        let endpoints: HashSet<_> = self.recording.endpoints.iter().map(|served| served.who).collect();
        let accepted = |record: &Record| {
            matches!(record.what, What::Accepted { .. } | What::Connects { .. }).then_some(record.who)
        };
        let accepted: HashSet<_> = self.recording.records.iter().filter_map(accepted).collect();
        let full = self.recording.full_before();
        let mut known = HashSet::from([LOOP]);
        let open = self.recording.connections.iter().map(|open| open.who);
        for who in self.recording.records.iter().map(|record| record.who).chain(open) {
            if known.insert(who) && !endpoints.contains(&who) && !accepted.contains(&who) {
                self.begin_aside(LIFE, who)?;
                if full.contains(&who) {
                    self.begin_aside(BACK_PRESSURE, who)?;
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, place: usize) -> io::Result<()> {
        let Record { at, who, what } = self.recording.records[place];
        let kind = Kind::of(&what);
        match what {
            What::Turn { number, connections, pending, .. } => {
                self.leave_turn()?;
                self.at = at;
                self.turn = true;
                let args = json!({ "text": what.to_string() });
                self.put(Event { name: &format!("turn {number}"), cat: kind.name(), args, ..event("B") })?;
                self.put(Event { name: "connections", args: json!({ "open": connections }), ..event("C") })?;
                return self.put(Event { name: "output", args: json!({ "pending bytes": pending }), ..event("C") });
            }
            What::Visit | What::Reap => {
                self.leave_visit(Value::Null)?;
                self.at = at;
                self.visit = true;
                let name = format!("{} {}", kind.name(), name_of(who));
                return self.put(Event { name: &name, cat: kind.name(), ..event("B") });
            }
            What::Left { .. } => {
                self.at = at;
                return self.leave_visit(json!({ "left": what.to_string() }));
            }
            _ if what.takes_time() => self.slice(place, kind)?,
            _ => {
                self.at = at;
                let args = json!({ "who": name_of(who) });
                self.put(Event { name: &what.to_string(), cat: kind.name(), s: Some("t"), args, ..event("i") })?;
            }
        }
        match what {
            What::Accepted { .. } | What::Connects { .. } => self.begin_aside(LIFE, who),
            What::Full { .. } => self.begin_aside(BACK_PRESSURE, who),
            What::Relieved { .. } => self.end_aside(BACK_PRESSURE, who),
            What::JobOut { taken: true } => self.begin_aside(JOB, who),
            What::JobBack { .. } => self.end_aside(JOB, who),
            What::Closed(_) => [BACK_PRESSURE, LIFE].into_iter().try_for_each(|name| self.end_aside(name, who)),
            _ => Ok(()),
        }
    }

    /// Writes the slice of an action that takes time, from the previous record to its own.
    fn slice(&mut self, place: usize, kind: Kind) -> io::Result<()> {
        let Record { at, who, what } = self.recording.records[place];
        let name = match what {
            What::Call { call, .. } => call.name().to_owned(),
            What::Asked { ask, .. } => ask.to_string(),
            _ => kind.name().to_owned(),
        };
        let args = json!({ "who": name_of(who), "text": what.to_string() });
        self.put(Event { name: &name, cat: kind.name(), args, ..event("B") })?;
        // An arrow is bound to the slice around its time, which must not be a neighbouring slice.
        self.at += at.saturating_sub(self.at) / 2;
        if let Some(id) = self.tails.get(&place).copied() {
            self.put(Event { name: "request", cat: "request", id: Some(id), ..event("s") })?;
        }
        for id in self.heads.remove(&place).unwrap_or_default() {
            self.put(Event { name: "request", cat: "request", id: Some(id), bp: Some("e"), ..event("f") })?;
        }
        self.at = at;
        self.put(event("E"))
    }

    fn leave_visit(&mut self, args: Value) -> io::Result<()> {
        if std::mem::take(&mut self.visit) { self.put(Event { args, ..event("E") }) } else { Ok(()) }
    }

    fn leave_turn(&mut self) -> io::Result<()> {
        self.leave_visit(Value::Null)?;
        if std::mem::take(&mut self.turn) { self.put(event("E")) } else { Ok(()) }
    }

    fn begin_aside(&mut self, name: &'static str, who: Token) -> io::Result<()> {
        if self.aside.insert((name, who)) { self.put_aside("b", name, who) } else { Ok(()) }
    }

    fn end_aside(&mut self, name: &'static str, who: Token) -> io::Result<()> {
        if self.aside.remove(&(name, who)) { self.put_aside("e", name, who) } else { Ok(()) }
    }

    fn put_aside(&mut self, ph: &'static str, name: &'static str, who: Token) -> io::Result<()> {
        let label = if name == LIFE { format!("connection {}", name_of(who)) } else { name.to_owned() };
        self.put(Event { name: &label, cat: name, id: Some(u64::from(who.generation)), ..event(ph) })
    }

    /// Ends all open slices.
    fn end(&mut self) -> io::Result<()> {
        self.leave_turn()?;
        let mut aside: Vec<_> = self.aside.drain().collect();
        aside.sort_unstable_by_key(|(name, who)| (who.generation, *name));
        aside.into_iter().try_for_each(|(name, who)| self.put_aside("e", name, who))
    }

    fn put(&mut self, event: Event<'_>) -> io::Result<()> {
        self.to.write_all(if self.events == 0 { b"\n" } else { b",\n" })?;
        self.events += 1;
        serde_json::to_writer(&mut *self.to, &Event { ts: self.at as f64 / 1000.0, ..event })?;
        Ok(())
    }
}

fn event(ph: &'static str) -> Event<'static> {
    Event { ph, ts: 0.0, pid: 1, tid: 1, name: "", cat: "", id: None, s: None, bp: None, args: Value::Null }
}

/// The number of a socket, as in the text view.
fn name_of(who: Token) -> String {
    if who == LOOP { "loop".to_owned() } else { format!("#{}", who.generation) }
}

#[cfg(test)]
mod tests;
