//! D and E: numbers, and text without end.

use std::io::Write;

use crate::support::{Client, Process, Random, SUM, Trial, ask, listener};

const MIB: usize = 1024 * 1024;

/// The most bytes that the process may grow by: the buffers of the loop and of the kernel's answers.
const GROWTH: usize = 4 * MIB;

/// Sends `pattern` repeatedly, up to 64 MiB or until the server takes no more.
fn flood(process: &Process, name: &str, first: &str, pattern: &str) -> Client {
    let mut client = Client::connect(process.address(name));
    client.send(first);
    let chunk = pattern.repeat(MIB / pattern.len());
    for _ in 0..64 {
        if client.stream().write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    client
}

#[test]
fn case_43_a_request_without_end_costs_one_error_and_no_memory() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    let before = trial.resident_bytes();
    let too_long = "{\"Error\":\"longer than 4096 bytes\"}\n";
    for (first, pattern) in [("", "1"), ("{\"A\":", "1"), ("{", " "), ("\"", "a"), ("{\"A\":1,", "\"c\":[1,2],")] {
        let mut client = flood(&trial, "sum-tcp", first, pattern);
        // A sender that does not stop may be reset in the end; one that stops can read the error.
        if let Ok(answer) = client.try_rest() {
            assert_eq!(String::from_utf8(answer).unwrap(), too_long, "{first}{pattern}");
        }
        let answer = ask(trial.address("sum-tcp"), &[first, &pattern.repeat(5000)]);
        assert_eq!(String::from_utf8(answer).unwrap(), too_long, "{first}{pattern}");
    }
    // Between requests white space may go on for ever.
    let mut client = flood(&trial, "sum-tcp", "", " \n");
    client.ask(SUM.0, SUM.1);
    drop(client);
    let grown = trial.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
    trial.end();
}

#[test]
fn case_44_a_sum_is_right_or_refused_whatever_the_numbers() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    let mut client = Client::connect(trial.address("sum-tcp"));
    let edges = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let mut random = Random::new(44);
    let mut pairs: Vec<_> = edges.iter().flat_map(|a| edges.map(|b| (*a, b))).collect();
    let mut number = || i64::from_le_bytes(random.bytes(8).try_into().unwrap());
    pairs.extend((0..500).map(|_| (number(), number())));
    for (a, b) in pairs {
        let sum = i128::from(a) + i128::from(b);
        let answer = if i64::try_from(sum).is_ok() {
            format!("{{\"Sum\":{sum}}}\n")
        } else {
            "{\"Error\":\"sum overflows\"}\n".to_owned()
        };
        client.ask(format!(r#"{{"A":{a},"B":{b}}}"#), answer);
    }
    let digits = "9".repeat(4000);
    let refused =
        ["9223372036854775808", "-9223372036854775809", "1.0", "1e2", "1e400", "\"7\"", "null", "true", &digits];
    for number in refused {
        for request in [format!(r#"{{"A":{number},"B":0}}"#), format!(r#"{{"B":0,"A":{number}}}"#)] {
            client.send(&request);
            client.expect("{\"Error\":\"");
            let mut byte = client.read_once(1);
            while byte != b"\n" {
                byte = client.read_once(1);
            }
        }
    }
    client.ask(r#"{"A":-0,"B":-0}"#, "{\"Sum\":0}\n");
    drop(client);
    trial.end();
}

#[test]
fn case_45_each_way_to_be_no_request_has_one_rule_and_no_partial_answer() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    let cases: [(&[u8], &str); 9] = [
        (br#"{"A":7}"#, "Error"),
        (br#"{"A":7,"B":4,"B":4}"#, "Error"),
        (br#"{"A":7,"a":7,"B":4}"#, "Error"),
        (br#"{"A":7,"B":4,"C":null}"#, "Sum"),
        (b"\xef\xbb\xbf{\"A\":7,\"B\":4}", "Error"),
        (b"{\"A\":7,\"B\":4\0}", "Error"),
        (b"{\"A\":7,\"B\":4,\"c\":\"\xff\"}", "Error"),
        (br#"{"A":7,"B":4}garbage"#, "SumError"),
        (br#"{"A":7,"B":4}{"A":1,"B":2}"#, "SumSum"),
    ];
    for (request, expected) in cases {
        let answer = String::from_utf8(ask(trial.address("sum-tcp"), &[request])).unwrap();
        let keys = |line: &str| {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            answer.as_object().unwrap().keys().cloned().collect::<String>()
        };
        assert_eq!(answer.lines().map(keys).collect::<String>(), expected, "{}", request.escape_ascii());
    }
    trial.end();
}

#[test]
fn case_49_a_line_without_end_is_answered_as_it_comes_and_costs_no_memory() {
    let trial = Trial::start(&[listener("uppercase", "tcp")]);
    let before = trial.resident_bytes();
    let answer = ask(trial.address("uppercase-tcp"), &vec!["a".repeat(MIB); 64]);
    assert!(answer == vec![b'A'; 64 * MIB]);
    let grown = trial.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes");
    trial.end();
}

#[test]
fn case_94_the_header_of_a_proxy_is_bad_input_like_any_other() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    let v1 = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n{\"A\":7,\"B\":4}";
    let answer = ask(trial.address("sum-tcp"), &[v1]);
    assert_eq!(answer, b"{\"Error\":\"not JSON at byte 1\"}\n");
    let v2 = b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c".as_slice();
    let answer = ask(trial.address("sum-tcp"), &[v2]);
    assert!(answer.starts_with(b"{\"Error\":\"not JSON at byte "), "{}", answer.escape_ascii());
    trial.end();
}
