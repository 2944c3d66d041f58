use super::*;
use crate::testing::MemoryDisk;

fn registry() -> Registry {
    Registry::built_in()
}

fn config(listeners: &str) -> Config {
    Config::parse("test.json", &format!(r#"{{ "listeners": [{listeners}] }}"#), &registry()).expect("a configuration")
}

/// A listener of `sum`, with its name.
fn sum(name: &str, listen: &str) -> String {
    format!(r#"{{ "name": "{name}", "listen": "{listen}", "protocol": "sum" }}"#)
}

/// Pairs listeners, of which those of the old configuration are bound to the addresses that they name.
fn paired(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<Option<usize>> {
    let all = |listeners: &[(&str, &str)]| {
        config(&listeners.iter().map(|(name, listen)| sum(name, listen)).collect::<Vec<_>>().join(","))
    };
    let old = all(old);
    let address = |listener: &ListenerConfig| {
        let is_internet = listener.listen.unix.is_none();
        is_internet.then(|| addresses::resolve(&listener.listen).expect("an address").0[0])
    };
    let bound: Vec<_> = old.listeners.iter().map(address).collect();
    pair(&old, &all(new), &bound)
}

#[test]
fn listeners_are_paired_by_address_whatever_their_names_and_order() {
    let old = [("a", "tcp://127.0.0.1:1"), ("b", "udp://127.0.0.1:1"), ("c", "tcp://:2")];
    let new = [("c", "udp://127.0.0.1:1"), ("x", "tcp://[::]:2"), ("y", "tcp://:3"), ("a", "tcp4://127.0.0.1:1")];
    assert_eq!(paired(&old, &new), [Some(1), Some(2), None, Some(0)]);
}

#[test]
fn an_address_of_one_family_is_not_an_address_of_both() {
    assert_eq!(paired(&[("a", "tcp://:2")], &[("a", "tcp6://:2")]), [None]);
    assert_eq!(paired(&[("a", "tcp4://:2")], &[("a", "tcp://:2")]), [None]);
}

#[test]
fn a_name_that_means_the_address_of_a_listener_is_its_address() {
    assert_eq!(paired(&[("a", "tcp://127.0.0.1:1")], &[("b", "tcp4://localhost:1")]), [Some(0)]);
    assert_eq!(paired(&[("a", "udp://127.0.0.1:1")], &[("b", "tcp4://localhost:1")]), [None]);
}

#[test]
fn a_unix_socket_is_paired_by_its_address_in_upper_and_lower_case() {
    let old = [("a", "unix:///run/Sum"), ("b", "unixgram:@sum")];
    let new = [("x", "unix:///run/sum"), ("y", "unix:/run/Sum"), ("z", "unix:@sum"), ("b", "unixgram://@sum")];
    assert_eq!(paired(&old, &new), [None, Some(0), None, Some(1)]);
}

#[test]
fn listeners_on_port_0_are_paired_by_name_and_then_in_their_order() {
    let any = "tcp://127.0.0.1:0";
    let (old, new) = ([("a", any), ("b", any), ("c", any)], [("x", any), ("c", any), ("y", any), ("z", any)]);
    assert_eq!(paired(&old, &new), [Some(0), Some(2), Some(1), None]);
}

fn alarm() -> Arc<Alarm> {
    Arc::new(Alarm::new(Box::new(|| ())))
}

#[test]
fn all_problems_of_a_preparation_are_found_at_once() {
    let old = config(
        r#"{ "name": "a", "listen": "udp://127.0.0.1:1", "protocol": "sum", "receive_buffer": "1KiB" },
           { "name": "b", "listen": "tcp://127.0.0.1:2", "protocol": "time" }"#,
    );
    let new = config(
        r#"{ "name": "a", "listen": "udp://127.0.0.1:1", "protocol": "sum" },
           { "name": "b", "listen": "tcp://127.0.0.1:2", "protocol": "time", "reuse_port": true },
           { "name": "c", "listen": "tcp://[fe80::1%nowhere]:3", "protocol": "time" }"#,
    );
    let source = Source::new(Arc::new(registry()), move || Ok::<_, String>(new.clone()));
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let Err(problems) = prepare(&source, &old, &[], &disk, &alarm()) else { panic!("it was prepared") };
    let about: Vec<_> = problems.iter().map(|problem| problem.split([':', ' ']).next().unwrap_or_default()).collect();
    assert_eq!(about, ["a", "b", "c"], "{problems:?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_reported_line_by_line() {
    let source = Source::new(Arc::new(registry()), || Err::<Config, _>("one\ntwo"));
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let prepared = prepare(&source, &config(&sum("a", "tcp://:1")), &[], &disk, &alarm());
    assert_eq!(prepared.err(), Some(vec!["one".to_owned(), "two".to_owned()]));
}
