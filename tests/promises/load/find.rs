//! `load find`: the steps of a search against a real server, and its result.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{Load, Outcome, load};
use crate::support::{Scratch, eventually, loopback};

fn knee(outcome: &Outcome) -> (Option<u64>, Option<u64>) {
    let knee = &outcome.json["knee"];
    (knee["holds"].as_u64(), knee["breaks"].as_u64())
}

/// How many requests are due in 300 ms does not depend on the speed of the machine: more than 150 from 501 a second on.
#[test]
fn find_prints_the_curve_and_the_knee_of_a_server() {
    let (_server, address) = loopback("sum");
    let drawings = Scratch::new();
    let svg = drawings.path().join("curve.svg").display().to_string();
    let arguments = "--limit requests<=150,errors=0,p99<60s -c 4 -d 300ms --warmup 0s --from 100 --to 10k";
    let outcome = load(&format!("find sum tcp://{address} {arguments} --svg {svg}"));
    assert_eq!(outcome.code, Some(0), "{} {}", outcome.text, outcome.errors);
    let (Some(holds), Some(breaks)) = knee(&outcome) else { panic!("{}", outcome.json) };
    assert!(holds <= 500 && breaks > holds && breaks - holds <= (holds / 50).max(1), "{}", outcome.text);
    let steps = outcome.json["steps"].as_array().unwrap();
    for (index, step) in steps.iter().enumerate() {
        let is_repeated = steps.get(index + 1).is_some_and(|next| next["offered"] == step["offered"]);
        let (rate, is_held) = (step["offered"].as_u64().unwrap(), step["holds"] == true);
        assert!(if is_held { rate <= holds } else { rate >= breaks || is_repeated }, "{step}");
        assert!(rate <= 500 || !is_held, "{step}");
        assert_eq!(is_held, step["broken"].as_array().unwrap().is_empty(), "{step}");
        assert!(step["p99_us"].as_f64() >= step["p50_us"].as_f64() && step["answered"].as_f64() > Some(0.0), "{step}");
        assert!(outcome.text.contains(&format!("{rate}/s ")), "{}", outcome.text);
    }
    for text in [
        &format!("{holds}/s holds, {breaks}/s breaks"),
        "requests<=150 does not hold: it is ",
        "p99 by rate",
        "/s #",
        "/s x",
    ] {
        assert!(outcome.text.contains(text), "{text}: {}", outcome.text);
    }
    let drawn = String::from_utf8(drawings.contents("curve.svg")).unwrap();
    for text in
        [format!(">{holds}/s</text>"), "p99&lt;60s</text>".into(), format!("{holds}/s holds, {breaks}/s breaks")]
    {
        assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && drawn.contains(&text), "{text}: {drawn}");
    }
    assert!(steps.iter().all(|step| drawn.contains(&format!("{}/s ", step["offered"]))), "{drawn}");
    assert_eq!((&outcome.json["protocol"], &outcome.json["limit"][0]), (&"sum".into(), &"requests<=150".into()));
}

#[test]
fn a_search_without_a_rate_that_holds_fails_and_tells_its_steps() {
    let (_server, address) = loopback("uppercase");
    let send = r"--send a\n --expect A\n --limit rate>=90M -c 2 -d 100ms --from 400";
    let outcome = load(&format!("find raw tcp://{address} {send}"));
    assert!(outcome.code == Some(1) && outcome.errors.contains("no rate keeps the conditions"), "{}", outcome.errors);
    assert_eq!(knee(&outcome), (None, Some(100)), "ten requests at least: {}", outcome.text);
    let mut offered: Vec<_> =
        outcome.json["steps"].as_array().unwrap().iter().map(|step| step["offered"].as_u64()).collect();
    offered.dedup();
    assert_eq!(offered, [Some(400), Some(100)], "{}", outcome.text);
    assert!(outcome.text.contains("below 100/s"), "{}", outcome.text);
}

#[test]
fn the_highest_rate_that_is_tried_bounds_a_search() {
    let (_server, address) = loopback("sum");
    let outcome = load(&format!("find sum tcp://{address} --limit errors=0 -c 2 -d 100ms --from 100 --to 100"));
    let (holds, breaks) = knee(&outcome);
    assert!(holds == Some(100) && breaks.is_none() || breaks == Some(100), "{}", outcome.text);
}

#[test]
fn a_signal_ends_a_search_and_its_steps_so_far_are_reported() {
    let (server, address) = loopback("sum");
    let mut load = Load::start(&format!("find sum tcp://{address} --limit errors=0 -c 2 -d 1h"));
    eventually("requests are answered", || server.stats("sum-tcp").sent_bytes > 0);
    kill(Pid::from_raw(load.child.id() as i32), Signal::SIGINT).unwrap();
    let status = load.child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGINT as i32));
    let outcome = load.wait();
    assert_eq!((&outcome.json["interrupted"], knee(&outcome)), (&Value::Bool(true), (None, None)));
    assert!(outcome.text.contains("ended early"), "{}", outcome.text);
}

#[test]
fn a_drawing_that_cannot_be_written_is_reported_before_the_search() {
    let (server, address) = loopback("sum");
    let outcome = load(&format!("find sum tcp://{address} --limit errors=0 -d 1h --svg /nonexistent/curve.svg"));
    assert!(outcome.code == Some(1) && outcome.errors.contains("/nonexistent/curve.svg"), "{}", outcome.errors);
    assert_eq!(server.stats("sum-tcp").accepted, 0);
}
