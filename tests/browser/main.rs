//! The page of the X-ray, the one of `admin` and the book work in a browser: `cargo test --test browser`.
//!
//! Cargo.toml leaves them out of `cargo test`, because they need Chromium. Without Chromium or mdBook they fail.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod book;
mod chromium;
mod live;
#[path = "../promises/xray/recorded.rs"]
mod recorded;
#[path = "../promises/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the promises need more of it")]
mod support;

use std::collections::HashSet;
use std::fs;

use reactor::xray::View;
use serde_json::Value;

use crate::chromium::{Shown, open};
use crate::recorded::{data, record, view};
use crate::support::Scratch;

#[test]
fn the_page_shows_every_turn_in_a_browser_and_nothing_goes_wrong() {
    let recording = record();
    let page = view(&recording, View::Page);
    let (data, records) = data(&page);
    let directory = Scratch::new();
    let file = directory.path().join("xray.html");
    fs::write(&file, &page).unwrap();

    let turns = data["turns"].as_array().unwrap().len();
    let full = records.iter().position(|(kind, _)| kind == "full").unwrap();
    let shown = open(&file, &full.to_string());
    assert_eq!(shown.complaints, [""; 0]);
    let summary = format!("{turns} turns (1 to {turns}), ");
    assert!(shown.text("summary").starts_with(&summary), "{}", shown.text("summary"));
    assert_eq!(shown.text("what"), records[full].1);
    assert!(shown.text("meaning").starts_with("Back-pressure on: "), "{}", shown.text("meaning"));
}

/// Opens the page with an additional script, which runs after its own.
#[track_caller]
fn open_with(page: &str, script: &str) -> Shown {
    let directory = Scratch::new();
    let file = directory.path().join("xray.html");
    fs::write(&file, page.replace("</body>", &format!("<script>{script}</script></body>"))).unwrap();
    let shown = open(&file, "");
    assert_eq!(shown.complaints, [""; 0], "{script}");
    shown
}

fn press(keys: &[&str]) -> String {
    keys.iter()
        .map(|key| format!("document.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}' }}));"))
        .collect()
}

/// The indices at which turns begin, and the end.
fn bounds(data: &Value) -> Vec<usize> {
    let turns = data["turns"].as_array().unwrap().iter().map(|turn| &turn["place"]);
    let mut bounds: Vec<_> = turns.map(|place| usize::try_from(place.as_u64().unwrap()).unwrap()).collect();
    bounds.push(data["at"].as_array().unwrap().len());
    bounds
}

#[test]
fn the_page_opens_where_something_was_done_and_its_keys_step_through_it() {
    let page = view(&record(), View::Page);
    let (data, records) = data(&page);
    let bounds = bounds(&data);
    let next = |kind: &str, after: usize| after + records[after..].iter().position(|(known, _)| known == kind).unwrap();
    let begin = |place: usize| bounds[bounds.partition_point(|begin| *begin <= place) - 1];
    let first = begin(next("accepted", 0));
    let turn = bounds.iter().position(|begin| *begin == first).unwrap();

    // The turns, the longest first: from the end of the wait to the last record.
    let at = |place: usize| data["at"][place].as_u64().unwrap();
    let mut longest = bounds.clone();
    longest.pop();
    let work = |turn: usize| {
        let (from, to) = (bounds[turn], bounds[turn + 1]);
        at(to - 1) - at((from..to).find(|place| records[*place].0 == "wait").unwrap_or(from))
    };
    longest.sort_by_key(|begin| std::cmp::Reverse(work(bounds.binary_search(begin).unwrap())));

    let cases: [(&[&str], usize); 10] = [
        (&[], first),
        (&["ArrowRight", "ArrowRight", "ArrowLeft"], first + 1),
        (&["PageDown", "PageDown", "PageUp"], bounds[turn + 1]),
        (&["End"], records.len() - 1),
        (&["End", "Home"], 0),
        (&["e", "+", "-", "0", "t", "+", "t", "d", "d"], next("again", first)),
        (&["b", "e", "?"], next("again", next("full", first))),
        (&["x"], next("failed", first)),
        (&["l"], longest[0]),
        (&["l", "l"], longest[1]),
    ];
    for (keys, place) in cases {
        let chosen = "document.body.append(Object.assign(document.createElement('p'), { id: 'chosen', \
                      textContent: timeline.chosen }));";
        let shown = open_with(&page, &(press(keys) + chosen));
        assert_eq!(shown.text("what"), records[place].1, "{keys:?}");
        assert_eq!(shown.text("chosen"), place.to_string(), "{keys:?}");
    }
}

#[test]
fn every_axis_of_the_page_has_marks_and_no_two_are_alike() {
    let page = view(&record(), View::Page);
    let zooms = |count| ["+"].repeat(count);
    for keys in [
        vec!["0"],
        vec!["t"],
        vec!["t", "0"],
        [vec!["End", "t"], zooms(6)].concat(),
        [vec!["l", "t"], zooms(20)].concat(),
        [vec!["End", "t", "0"], zooms(12)].concat(),
    ] {
        let script = format!(
            "const labels = [], fill = CanvasRenderingContext2D.prototype.fillText;
            {}
            CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {{
                if (this.canvas.id === 'timeline' && y < RULER && x > timeline.gutter) labels.push(text);
                return fill.call(this, text, x, y);
            }};
            timeline.draw();
            document.body.append(Object.assign(document.createElement('p'), {{ id: 'labels', textContent: labels.join('|') }}));",
            press(&keys)
        );
        let shown = open_with(&page, &script).text("labels");
        // Beside the turns are times: when they began, or of the axis.
        let (turns, times): (Vec<_>, Vec<_>) = shown.split('|').partition(|label| !label.ends_with('s'));
        let is_true_time = keys.contains(&"t");
        assert!(times.len() >= 2 && (is_true_time || turns.len() >= 2), "{keys:?}: {shown}");
        let marks = if is_true_time { times } else { turns };
        assert_eq!(marks.iter().collect::<HashSet<_>>().len(), marks.len(), "{keys:?}: {shown}");
    }
}
