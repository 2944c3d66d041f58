//! The properties that a reader of trace events relies on, checked on the written text.

use std::collections::BTreeMap;

use super::*;
use crate::xray::tests::sample;

fn events() -> Vec<Value> {
    let mut text = Vec::new();
    write(&sample::recording(), &mut text).unwrap();
    let trace: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(trace["otherData"]["overwritten records"], 7);
    trace["traceEvents"].as_array().unwrap().clone()
}

fn text<'a>(event: &'a Value, member: &str) -> &'a str {
    event[member].as_str().unwrap_or_default()
}

/// Calls `see` with each event and the names of the slices around it, the outermost first.
fn walk(events: &[Value], mut see: impl FnMut(&Value, &[String])) {
    let mut open = Vec::new();
    for event in events {
        if text(event, "ph") == "E" {
            open.pop().expect("a slice ends that has begun");
        }
        see(event, &open);
        if text(event, "ph") == "B" {
            open.push(text(event, "cat").to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?} never ends");
}

#[test]
fn time_never_goes_back() {
    let times: Vec<_> = events().iter().map(|event| event["ts"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn calls_are_within_visits_and_visits_within_turns() {
    let (mut turns, mut visits, mut calls) = (0, 0, 0);
    walk(&events(), |event, around| match (text(event, "ph"), text(event, "cat")) {
        ("B", "turn") => {
            assert!(around.is_empty(), "{around:?}");
            turns += 1;
        }
        ("B", "visit" | "reap") => {
            assert_eq!(around, ["turn"]);
            visits += 1;
        }
        ("B", "wait") => assert_eq!(around, ["turn"]),
        ("B", _) if !around.is_empty() => {
            assert!(matches!(around, [turn, visit] if turn == "turn" && (visit == "visit" || visit == "reap")));
            calls += 1;
        }
        _ => {}
    });
    assert_eq!((turns, visits, calls), (3, 7, 21));
}

#[test]
fn an_arrow_leads_from_each_read_of_a_request_to_the_write_of_its_answer() {
    let mut arrows: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
    walk(&events(), |event, around| {
        if matches!(text(event, "ph"), "s" | "f") {
            let end = (text(event, "ph").to_owned(), around.last().unwrap().clone());
            arrows.entry(event["id"].as_u64().unwrap()).or_default().push(end);
        }
    });
    let ends = |tail: &str, head: &str| vec![("s".to_owned(), tail.to_owned()), ("f".to_owned(), head.to_owned())];
    let arrows: Vec<_> = arrows.into_values().collect();
    // The slow reader, the datagram, and the connection whose job came back a turn later.
    assert_eq!(arrows, [ends("read", "short"), ends("read", "write"), ends("read", "write")]);
}

#[test]
fn lives_and_jobs_and_back_pressure_begin_and_end_once() {
    let mut aside: BTreeMap<(String, u64), String> = BTreeMap::new();
    for event in events() {
        if matches!(text(&event, "ph"), "b" | "e") {
            let key = (text(&event, "cat").to_owned(), event["id"].as_u64().unwrap());
            aside.entry(key).or_default().push_str(text(&event, "ph"));
        }
    }
    let names: Vec<_> = aside.keys().map(|(name, id)| (name.as_str(), *id)).collect();
    assert_eq!(names, [("back-pressure", 3), ("back-pressure", 4), ("connection", 3), ("connection", 4), ("job", 3)]);
    assert!(aside.values().all(|ends| ends == "be"), "{aside:?}");
}

#[test]
fn counters_follow_the_turns() {
    let counters = |name: &str| -> Vec<_> {
        events().into_iter().filter(|event| text(event, "ph") == "C" && text(event, "name") == name).collect()
    };
    let open: Vec<_> = counters("connections").iter().map(|event| event["args"]["open"].as_u64()).collect();
    let pending: Vec<_> = counters("output").iter().map(|event| event["args"]["pending bytes"].as_u64()).collect();
    assert_eq!((open, pending), (vec![Some(1), Some(2), Some(2)], vec![Some(0), Some(25_536), Some(25_536)]));
}
