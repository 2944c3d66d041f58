//! The views of one recording agree.

use reactor::xray::View;
use serde_json::Value;

use super::recorded::{data, record, view};

/// The texts of trace events, in order: of slices, of instants, and of the state that a visit left.
fn told(events: &[Value]) -> Vec<String> {
    let text = |event: &Value| {
        let text = match (event["ph"].as_str()?, event["cat"].as_str()) {
            ("B", Some(kind @ ("visit" | "reap"))) => kind,
            ("B", _) => event["args"]["text"].as_str()?,
            ("i", _) => event["name"].as_str()?,
            ("E", _) => event["args"]["left"].as_str()?,
            _ => return None,
        };
        Some(text.to_owned())
    };
    events.iter().filter_map(text).collect()
}

#[test]
fn text_trace_events_and_page_tell_the_same_of_one_recording() {
    let recording = record();
    let (data, records) = data(&view(&recording, View::Page));
    assert_eq!(records.len(), recording.records.len());

    let text = view(&recording, View::Text);
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines.len(), records.len());
    for (line, (_, text)) in lines.iter().zip(&records) {
        assert!(line.contains(text), "{line}: {text}");
    }

    let trace: Value = serde_json::from_str(&view(&recording, View::TraceEvents)).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let texts: Vec<_> = records.iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(told(events), texts);

    let arrows = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    let answers = data["answers"].as_array().unwrap().len();
    assert!(answers > 3, "each kind of client was answered");
    assert_eq!((arrows("s"), arrows("f")), (answers, answers));
    for kind in
        ["short", "again", "full", "relieved", "job out", "job back", "fin", "protocol", "accepted", "closed", "failed"]
    {
        assert!(records.iter().any(|(known, _)| known == kind), "{kind} was not tried");
    }
}
