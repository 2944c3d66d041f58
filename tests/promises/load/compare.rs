//! `load compare`: two results beside each other.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::load;
use crate::support::{Scratch, loopback, program};

fn compare(directory: &Path, a: &str, b: &str) -> Output {
    Command::new(program("load")).args(["compare", a, b]).current_dir(directory).output().unwrap()
}

/// The words of the line of a comparison that begins with this one.
fn words(text: &str, name: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
    line[name.len()..].split_whitespace().map(String::from).collect()
}

#[test]
fn compare_tells_the_ratio_of_each_figure_and_the_settings_that_differ() {
    let (_server, address) = loopback("sum");
    let results = Scratch::new();
    let run = |name: &str, options: &str| {
        let outcome = load(&format!("sum tcp://{address} -d 100ms {options}"));
        outcome.assert_good();
        fs::write(results.path().join(name), outcome.json.to_string()).unwrap();
        outcome
    };
    let slow = run("slow.json", "-c 2 --rate 100");
    let fast = run("fast.json", "-c 4 --rate 400 --warmup 50ms");
    run("again.json", "-c 2 --rate 100");

    let output = compare(results.path(), "slow.json", "fast.json");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("slow.json: sum tcp://") && text.contains("fast.json: sum tcp://"), "{text}");
    assert_eq!(
        words(&text, "settings").join(" "),
        "asked_rate 100 and 400, connections 2 and 4, warmup_seconds 0.0 and 0.05"
    );
    for (name, pointer) in
        [("rate", "/rate"), ("p50", "/latency_us/p50"), ("p999", "/latency_us/p999"), ("client CPU", "/client_busy")]
    {
        let ratio = fast.number(pointer) / slow.number(pointer);
        assert_eq!(words(&text, name).last(), Some(&format!("{ratio:.2}")), "{name}: {text}");
    }
    assert_eq!(words(&text, "errors"), ["0", "0", "1.00"]);

    let again = String::from_utf8(compare(results.path(), "slow.json", "again.json").stdout).unwrap();
    assert_eq!(words(&again, "settings").join(" "), "the same");
}

#[test]
fn results_of_different_protocols_and_other_files_are_refused() {
    let results = Scratch::new();
    let result = |protocol: &str| json!({ "protocol": protocol, "url": "tcp://:1", "latency_us": {} }).to_string();
    for (name, text) in [
        ("sum", result("sum")),
        ("uppercase", result("uppercase")),
        ("found", json!({ "protocol": "sum", "knee": {} }).to_string()),
        ("number", "5".into()),
        ("rubbish", "rubbish".into()),
        ("other", json!({ "protocol": "sum" }).to_string()),
        ("long", " ".repeat(2_000_000)),
    ] {
        fs::write(results.path().join(name), text).unwrap();
    }
    for (b, reason) in [
        ("uppercase", "sum is of sum, uppercase of uppercase"),
        ("found", "it is one of load find"),
        ("number", "it is not an object"),
        ("rubbish", "rubbish is not a result of load: expected value"),
        ("other", "\"latency_us\" is missing"),
        ("long", "it is too long"),
        ("nothing", "nothing: No such file"),
    ] {
        let output = compare(results.path(), "sum", b);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && errors.contains(reason), "{b}: {errors}");
        assert_eq!(output.stdout, b"", "{b}");
    }
    let same = compare(results.path(), "sum", "sum");
    let text = String::from_utf8(same.stdout).unwrap();
    assert_eq!((same.status.code(), words(&text, "p99")), (Some(0), ["-"; 3].map(String::from).to_vec()), "{text}");
}
