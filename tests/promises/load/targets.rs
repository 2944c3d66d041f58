//! `load` with several servers: connections are spread over them, and each has its own results.

use std::net::{SocketAddr, UdpSocket};

use serde_json::{Value, json};

use super::{Outcome, Stub, load, refuse_usage};
use crate::support::{Scratch, listener, loopback, server};

/// A figure of a target.
#[track_caller]
fn of(outcome: &Outcome, target: usize, pointer: &str) -> f64 {
    outcome.number(&format!("/targets/{target}{pointer}"))
}

#[test]
fn connections_are_spread_evenly_over_the_servers() {
    let directory = Scratch::new();
    let path = format!("unix://{}", directory.path().join("sum.sock").display());
    let unix = server(&json!({ "listeners": [{ "name": "sum", "listen": path, "protocol": "sum" }] }));
    let (first, first_address) = loopback("sum");
    let (second, second_address) = loopback("sum");
    let outcome = load(&format!("sum tcp://{first_address} tcp://{second_address} {path} -c 8 -d 200ms"));
    outcome.assert_good();
    // Each has one more connection that looked whether it accepts.
    let accepted = [first.stats("sum-tcp"), second.stats("sum-tcp"), unix.stats("sum")].map(|stats| stats.accepted);
    assert_eq!(accepted, [4, 4, 3]);
    let connections = [0, 1, 2].map(|target| of(&outcome, target, "/connections"));
    assert_eq!(connections, [3.0, 3.0, 2.0]);
    let requests = [0, 1, 2].map(|target| of(&outcome, target, "/requests"));
    assert!(requests.iter().all(|requests| *requests > 0.0), "{}", outcome.text);
    assert_eq!(requests.iter().sum::<f64>(), outcome.number("/requests"));
    let urls: Vec<_> = (0..3).map(|target| outcome.json["targets"][target]["url"].as_str().unwrap()).collect();
    assert_eq!(urls, [&format!("tcp://{first_address}"), &format!("tcp://{second_address}"), &path]);
}

#[test]
fn errors_are_counted_for_the_server_that_caused_them() {
    let good = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let wrong = Stub::start(|_, _| Some("{\"Sum\":0}\n".into()));
    let closes = Stub::start(|number, sum| (number < 5).then(|| format!("{{\"Sum\":{sum}}}\n")));
    let urls = [&good, &wrong, &closes].map(|stub| format!("tcp://{}", stub.address));
    let outcome = load(&format!("sum {} -c 6 -d 300ms", urls.join(" ")));
    let errors = |target, kind: &str| of(&outcome, target, &format!("/errors/{kind}"));
    assert_eq!(errors(0, "total"), 0.0, "{}", outcome.text);
    assert!(errors(1, "wrong") > 0.0 && of(&outcome, 1, "/requests") == 0.0, "{}", outcome.text);
    assert!(errors(2, "closed") > 0.0 && of(&outcome, 2, "/requests") > 0.0, "{}", outcome.text);
    for kind in ["wrong", "closed", "total"] {
        let sum: f64 = [0, 1, 2].map(|target| errors(target, kind)).iter().sum();
        assert_eq!(sum, outcome.number(&format!("/errors/{kind}")), "{kind}");
    }
    for (target, url) in urls.iter().enumerate() {
        let line = outcome.text.lines().find(|line| line.trim_start().starts_with(&format!("{url}: connections 2, ")));
        let line = line.unwrap_or_else(|| panic!("no line of {url}: {}", outcome.text));
        assert!(line.contains(&format!("requests {:.0}, reconnects ", of(&outcome, target, "/requests"))), "{line}");
        for kind in ["wrong", "closed"] {
            let count = errors(target, kind);
            assert_eq!(line.contains(&format!(", {kind} {count:.0}")), count > 0.0, "{line}");
        }
    }
}

#[test]
fn datagrams_that_a_server_does_not_answer_are_its_errors_alone() {
    let server = server(&json!({ "listeners": [listener("sum", "udp")] }));
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = |address: SocketAddr| format!("udp://{address}");
    let (answers, lost) = (udp(server.address("sum-udp")), udp(silent.local_addr().unwrap()));
    let outcome = load(&format!("sum {answers} {lost} -c 4 -d 300ms --rate 200 --timeout 1s"));
    assert!(of(&outcome, 0, "/requests") > 0.0 && of(&outcome, 0, "/errors/total") == 0.0, "{}", outcome.text);
    assert!(of(&outcome, 1, "/errors/lost") > 0.0 && of(&outcome, 1, "/requests") == 0.0, "{}", outcome.text);
}

#[test]
fn bad_clients_reach_every_server_and_their_errors_too() {
    let (first, first_address) = loopback("sum");
    let (second, second_address) = loopback("sum");
    let outcome = load(&format!("sum tcp://{first_address} tcp://{second_address} -c 4 -d 200ms --bad resets"));
    assert!(first.stats("sum-tcp").accepted > 2 && second.stats("sum-tcp").accepted > 2, "{}", outcome.text);
    assert!(outcome.text.contains(&format!("  tcp://{second_address}: connections 2, errors 0")), "{}", outcome.text);
}

#[test]
fn the_result_of_one_server_has_no_table_of_servers() {
    let (_server, address) = loopback("sum");
    let outcome = load(&format!("sum tcp://{address} -c 2 -d 100ms"));
    outcome.assert_good();
    assert_eq!(
        (outcome.json.get("targets"), &outcome.json["url"]),
        (None::<&Value>, &json!(format!("tcp://{address}")))
    );
    assert!(!outcome.text.contains("connections 2, "), "{}", outcome.text);
}

#[test]
fn servers_that_cannot_be_loaded_together_are_wrong_usage() {
    for arguments in [
        "sum tcp://127.0.0.1:1 udp://127.0.0.1:1",
        "sum :1 :2 :3 -c 2",
        "chat :1 :2",
        "file :1 :2 --directory received",
    ] {
        refuse_usage(arguments);
    }
}
