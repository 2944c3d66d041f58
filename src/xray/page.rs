//! The page: a timeline in one HTML file, which any browser opens without a network.
//!
//! Style, script and recording are in the page itself. Its content security policy forbids the browser to load anything
//! else, and the script inserts data as text only, never as markup.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use super::answers::answers;
use super::kind::Kind;
use super::record::{LOOP, What};
use super::recording::Recording;
use crate::token::Token;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// Each script uses only those before it.
const SCRIPTS: [&str; 4] = [
    include_str!("page/recording.js"),
    include_str!("page/kinds.js"),
    include_str!("page/timeline.js"),
    include_str!("page/page.js"),
];

/// A recording as the script reads it: one column for each field of a record, because a recording has many records.
#[derive(Serialize)]
struct Columns<'a> {
    version: &'static str,
    began: String,
    overwritten: u64,
    /// Names of the kinds; `kind` holds indices into this list.
    kinds: Vec<&'static str>,
    lanes: Vec<Lane>,
    /// Distinct texts of records; `text` holds indices into this list.
    texts: Vec<String>,
    /// Nanoseconds from the start of the recording to each record.
    at: Vec<u64>,
    /// The kind of each record, as an index into `kinds`.
    kind: Vec<u8>,
    /// The lane of each record, as an index into `lanes`.
    lane: Vec<u32>,
    /// The text of each record, as an index into `texts`.
    text: Vec<u32>,
    turns: Vec<Turn>,
    /// For each request the indices of two records: the read that brought it, and the write that sent its answer.
    answers: Vec<[usize; 2]>,
    #[serde(skip)]
    lane_of: HashMap<Token, u32>,
    #[serde(skip)]
    text_of: HashMap<String, u32>,
    #[serde(skip)]
    recording: &'a Recording,
}

/// The loop, a listener, a UDP socket or a connection.
#[derive(Default, Serialize)]
struct Lane {
    number: String,
    /// `loop`, `listener`, `UDP socket` or `connection`.
    sort: &'static str,
    /// The address of the listener, or of the connection's peer.
    address: String,
    /// The name of the listener.
    listener: String,
    /// The name of its protocol.
    protocol: String,
    /// Whether the connection was already under back-pressure at the first record.
    full: bool,
}

#[derive(Serialize)]
struct Turn {
    /// The index of its first record.
    place: usize,
    number: u64,
    connections: u32,
    pending: u32,
}

/// Writes `recording` to `to`.
pub(super) fn write(recording: &Recording, to: &mut dyn Write) -> io::Result<()> {
    // `<` occurs only within JSON strings, where the escape means the same. So the data cannot end the element around
    // it.
    let data = serde_json::to_string(&Columns::new(recording))?.replace('<', "\\u003c");
    let scripts = SCRIPTS.concat();
    let parts = [("{{style}}", STYLE), ("{{recording}}", &data), ("{{script}}", &scripts)];
    // In the order of the page, so that a mark within the recording stays text.
    let mut page = PAGE;
    for (mark, part) in parts {
        let Some((before, after)) = page.split_once(mark) else { continue };
        to.write_all(before.as_bytes())?;
        to.write_all(part.as_bytes())?;
        page = after;
    }
    to.write_all(page.as_bytes())
}

impl<'a> Columns<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut columns = Self {
            version: env!("CARGO_PKG_VERSION"),
            began: humantime::format_rfc3339_micros(recording.began).to_string(),
            overwritten: recording.overwritten,
            kinds: Kind::ALL.map(Kind::name).to_vec(),
            lanes: Vec::new(),
            texts: Vec::new(),
            at: Vec::new(),
            kind: Vec::new(),
            lane: Vec::new(),
            text: Vec::new(),
            turns: Vec::new(),
            answers: answers(&recording.records).iter().map(|answered| [answered.read, answered.write]).collect(),
            lane_of: HashMap::new(),
            text_of: HashMap::new(),
            recording,
        };
        columns.lane(LOOP);
        for (index, served) in recording.endpoints.iter().enumerate() {
            let lane = columns.lane(served.who);
            let sort = if served.url.starts_with("udp") { "UDP socket" } else { "listener" };
            columns.describe(lane, sort, served.url.clone(), index);
        }
        let open = recording.connections.iter().map(|open| open.who);
        let mut connections: Vec<_> = recording.records.iter().map(|record| record.who).chain(open).collect();
        connections.sort_unstable_by_key(|who| who.generation);
        for who in connections {
            columns.lane(who);
        }
        for open in &recording.connections {
            let lane = columns.lane(open.who);
            columns.describe(lane, "connection", open.peer.to_string(), open.endpoint.into());
        }
        for who in recording.full_before() {
            let lane = columns.lane(who);
            columns.lanes[lane as usize].full = true;
        }
        for (place, record) in recording.records.iter().enumerate() {
            let lane = columns.lane(record.who);
            match record.what {
                What::Turn { number, connections, pending, .. } => {
                    columns.turns.push(Turn { place, number, connections, pending });
                }
                What::Accepted { peer, endpoint } | What::Connects { peer, endpoint } => {
                    columns.describe(lane, "connection", peer.to_string(), endpoint.into());
                }
                _ => {}
            }
            let text = columns.text(record.what.to_string());
            columns.at.push(record.at);
            columns.kind.push(Kind::of(&record.what) as u8);
            columns.lane.push(lane);
            columns.text.push(text);
        }
        columns
    }

    /// Returns the lane of `who`; adds one if it has none.
    fn lane(&mut self, who: Token) -> u32 {
        let next = self.lanes.len() as u32;
        *self.lane_of.entry(who).or_insert_with(|| {
            let (number, sort) =
                if who == LOOP { (String::new(), "loop") } else { (format!("#{}", who.generation), "connection") };
            self.lanes.push(Lane { number, sort, ..Lane::default() });
            next
        })
    }

    fn describe(&mut self, lane: u32, sort: &'static str, address: String, endpoint: usize) {
        let lane = &mut self.lanes[lane as usize];
        lane.sort = sort;
        lane.address = address;
        if let Some(served) = self.recording.endpoints.get(endpoint) {
            lane.listener.clone_from(&served.name);
            lane.protocol.clone_from(&served.protocol);
        }
    }

    fn text(&mut self, text: String) -> u32 {
        let next = self.texts.len() as u32;
        let texts = &mut self.texts;
        *self.text_of.entry(text).or_insert_with_key(|text| {
            texts.push(text.clone());
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::xray::tests::sample;

    fn page() -> String {
        let mut page = Vec::new();
        write(&sample::recording(), &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn data_cannot_end_its_element_and_is_read_back_unchanged() {
        let page = page();
        let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
        let (data, _) = rest.split_once("</script>").unwrap();
        assert!(!data.contains('<'));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["lanes"][1]["listener"], sample::NAME);
    }

    #[test]
    fn the_page_has_all_its_parts_and_loads_none() {
        let page = page();
        assert!(!page.contains("{{"), "a part is missing");
        assert!(page.contains("default-src 'none'"));
        for outside in ["src=\"", "href=\"", "url(", "@import", "fetch(", "http:", "https:", "eval(", "innerHTML"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn each_record_has_an_entry_in_every_column() {
        let recording = sample::recording();
        let columns = Columns::new(&recording);
        let count = recording.records.len();
        assert_eq!([columns.at.len(), columns.kind.len(), columns.lane.len(), columns.text.len()], [count; 4]);
        assert_eq!(columns.turns.len(), 3);
        assert_eq!(columns.lanes.len(), 5);
        assert_eq!(columns.lanes[3].address, "192.0.2.1:39999");
        assert_eq!(columns.lanes[4].address, "192.0.2.1:40000");
        assert!(columns.lanes[3].full && !columns.lanes[4].full);
    }
}
