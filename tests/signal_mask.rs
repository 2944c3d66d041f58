//! A separate program, because all tests of a process share its signals.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use nix::sys::signal::{SigSet, Signal};
use reactor::{Config, Reactor, Registry};

#[test]
fn a_program_that_embeds_the_loop_keeps_its_signal_mask() {
    let blocked = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1]);
    blocked.thread_block().unwrap();
    let registry = Registry::built_in();
    let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "time" }] }"#;
    let config = Config::parse("inline.json", text, &registry).unwrap();
    Reactor::bind(&config, &registry).unwrap().watch_signals().unwrap();
    let mask = SigSet::thread_get_mask().unwrap();
    assert!(blocked.iter().all(|signal| mask.contains(signal)), "{mask:?}");
}
