//! `load --ramp-connections`: connections are opened over time.

use serde_json::json;

use super::{Load, load, refuse_usage};
use crate::support::{eventually, listener_with, loopback, server};

#[test]
fn a_ramp_opens_its_first_connections_at_once_and_the_others_later() {
    for options in ["", "--reconnect", "--connect-each"] {
        let (server, address) = loopback("sum");
        let growth = format!("sum tcp://{address} -d 300ms --rate 100 --ramp-connections");
        load(&format!("{growth} 2..5/1h {options}")).assert_good();
        let stats = server.stats("sum-tcp");
        // One more looked whether the server accepts.
        assert!(options == "--connect-each" || stats.accepted == 3, "{options}: {stats:?}");
        let all = load(&format!("{growth} 0..3/100ms {options}"));
        all.assert_good();
        assert!(options == "--connect-each" || server.stats("sum-tcp").accepted == 7, "{}", all.text);
        assert_eq!((&all.json["ramp_connections"], &all.json["connections"]), (&json!("0..3/100ms"), &json!(3)));
        assert!(all.text.contains("0..3/100ms connections, open loop"), "{}", all.text);
    }
}

#[test]
fn requests_wait_for_the_first_connection_and_their_latencies_say_so() {
    let (_server, address) = loopback("sum");
    let outcome = load(&format!("sum tcp://{address} -d 600ms --rate 100 --ramp-connections 0..1/300ms"));
    outcome.assert_good();
    assert_eq!(outcome.number("/requests"), 60.0, "{}", outcome.text);
    assert!(outcome.number("/latency_us/max") >= 290_000.0, "{}", outcome.text);
}

#[test]
fn the_report_says_with_how_many_connections_errors_began() {
    let server =
        server(&json!({ "listeners": [listener_with("sum", &json!({ "limits": { "max_connections": 3 } }))] }));
    let address = server.address("sum-tcp");
    let growth = "-d 2s --rate 200 --timeout 500ms --ramp-connections 1..6/1s";
    let outcome = load(&format!("sum tcp://{address} {growth}"));
    assert!(outcome.number("/requests") > 0.0 && outcome.number("/errors/total") > 0.0, "{}", outcome.text);
    let note = outcome.json["notes"].as_array().unwrap().iter().find_map(|note| note.as_str()?.split_once(" s, with "));
    let (_, connections) = note.unwrap_or_else(|| panic!("{}", outcome.text));
    let count: u32 = connections.strip_suffix(" connections").unwrap().parse().unwrap();
    assert!((4..=6).contains(&count), "{}", outcome.text);
}

#[test]
fn bad_clients_come_one_by_one_on_a_ramp() {
    let (server, address) = loopback("sum");
    let run = Load::start(&format!("sum tcp://{address} -d 1h --bad drips --ramp-connections 1..4/1h"));
    eventually("the first has come", || server.stats("sum-tcp").received_bytes > 3);
    let outcome = run.interrupt();
    assert_eq!(outcome.number("/harm/connections"), 1.0, "{}", outcome.text);
}

#[test]
fn a_ramp_of_connections_is_for_those_that_a_run_opens() {
    let (_server, address) = loopback("sum");
    for arguments in [
        format!("sum tcp://{address} -c 5 --ramp-connections 1..5/1s"),
        format!("sum udp://{address} --ramp-connections 1..5/1s"),
        format!("chat tcp://{address} --ramp-connections 2..5/1s"),
        format!("sum tcp://{address} --ramp-connections 5..1/1s"),
        format!("find sum tcp://{address} --limit errors=0 --ramp-connections 1..5/1s"),
    ] {
        refuse_usage(&arguments);
    }
}
