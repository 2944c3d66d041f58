//! The views of one recording agree, and the page works in a browser.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use reactor::xray::{self, Recording, View};
use reactor::{Config, Reactor, Registry};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Scratch, Shown, chromium_works, every_protocol, open};

/// A recording of a loop that served all kinds of clients, a slow reader among them.
#[track_caller]
fn record() -> Recording {
    let directory = Scratch::new();
    let config = json!({ "listeners": every_protocol(&directory) }).to_string();
    let (ready, started) = mpsc::channel();
    let server = thread::spawn(move || {
        xray::start();
        let registry = Registry::built_in();
        let config = Config::parse("test.json", &config, &registry).unwrap();
        let mut reactor = Reactor::bind(&config, &registry).unwrap();
        let named = reactor.endpoints().iter().map(|endpoint| (endpoint.name().to_owned(), endpoint.address()));
        ready.send((named.collect::<HashMap<String, SocketAddr>>(), reactor.handle())).unwrap();
        reactor.run().unwrap();
        reactor.recording().unwrap()
    });
    let (addresses, handle) = started.recv().unwrap();

    let mut sum = Client::connect(addresses["sum-tcp"]);
    sum.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    let mut gone = Client::connect(addresses["sum-tcp"]);
    gone.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    gone.reset();
    let mut slow = Client::connect_with_little_room(addresses["uppercase-tcp"]);
    let sent = slow.send_until_stuck(&[b'a'; 64 * 1024]);
    let mut upload = Client::connect(addresses["file-sized-tcp"]);
    upload.ask("upload.bin\n", "OK\n");
    upload.ask("600000\n", "OK\n");
    upload.ask([b'u'; 600_000], "OK\n");
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
    datagrams.send_to(br#"{"A":7,"B":4}"#, addresses["sum-udp"]).unwrap();
    assert_eq!(datagrams.recv(&mut [0; 100]).unwrap(), 11);
    assert_eq!(slow.try_rest_of(sent).unwrap().len(), sent);
    for mut client in [sum, slow, upload] {
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    handle.stop();
    server.join().unwrap()
}

fn view(recording: &Recording, view: View) -> String {
    let mut text = Vec::new();
    view.write(recording, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The data in a page: the kind and the text of each record.
fn data(page: &str) -> (Value, Vec<(String, String)>) {
    let (_, rest) = page.split_once("type=\"application/json\">").unwrap();
    let data: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let place = |number: &Value| usize::try_from(number.as_u64().unwrap()).unwrap();
    let name = |list: &str, number: &Value| data[list][place(number)].as_str().unwrap().to_owned();
    let columns = data["kind"].as_array().unwrap().iter().zip(data["text"].as_array().unwrap());
    let records = columns.map(|(kind, text)| (name("kinds", kind), name("texts", text))).collect();
    (data, records)
}

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

#[test]
fn the_page_shows_every_turn_in_a_browser_and_nothing_goes_wrong() {
    if !chromium_works() {
        return;
    }
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
    if !chromium_works() {
        return;
    }
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
    if !chromium_works() {
        return;
    }
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
