//! What a service manager receives, in which order, and what happens while it receives nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

/// A service manager: a socket that it reads, or does not.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("reactor-notify-{}-{name}", process::id()));
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a free path");
        socket.set_nonblocking(true).expect("a socket");
        Self { socket, path }
    }

    /// The notifier of a process with more variables.
    fn notifier(&self, variables: &[(&str, &str)], step: bool) -> Notifier {
        let mut all: BTreeMap<_, OsString> = variables.iter().map(|(name, value)| (*name, value.into())).collect();
        all.insert("NOTIFY_SOCKET", self.path.clone().into());
        Notifier::connect(|name| all.get(name).cloned(), step).expect("a notifier")
    }

    /// What has arrived, each message with its lines separated by spaces.
    fn messages(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let mut messages = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            messages.push(String::from_utf8_lossy(&buffer[..length]).replace('\n', " "));
        }
        messages
    }

    /// Fills the receive queue.
    fn fill(&self) {
        let filler = UnixDatagram::unbound().expect("a socket");
        filler.set_nonblocking(true).expect("a socket");
        filler.connect(&self.path).expect("the manager");
        while filler.send(b"X=1").is_ok() {}
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

const STOPPING: &str = "STOPPING=1 EXTEND_TIMEOUT_USEC=10000000 STATUS=stopping";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn states_arrive_in_order_and_a_reload_has_the_time_of_the_system() {
    let manager = Manager::new("order");
    let mut notifier = manager.notifier(&[], false);
    notifier.ready("started".to_owned());
    let before = monotonic();
    notifier.reloading();
    notifier.ready_again(Err("r.json:1:2: expected\nmore"));
    notifier.turned(ms(0), false, || "3 connections".to_owned());
    notifier.reloading();
    let after = monotonic();
    notifier.ready_again(Ok(()));
    notifier.turned(ms(1000), true, || "stopping".to_owned());
    let messages = manager.messages();
    let time_of = |message: &str| -> Duration {
        let time = message.strip_prefix("RELOADING=1 MONOTONIC_USEC=").expect("a reload and its time");
        Duration::from_micros(time.parse().expect("a number"))
    };
    assert_eq!(messages.len(), 7, "{messages:?}");
    for reload in [&messages[1], &messages[4]] {
        // Truncated to microseconds, so it may be a little earlier.
        assert!((before - ms(1)..=after).contains(&time_of(reload)), "{reload}: {before:?} to {after:?}");
    }
    assert_eq!(
        [&messages[0], &messages[2], &messages[3], &messages[5], &messages[6]],
        [
            "READY=1 STATUS=started",
            "READY=1 STATUS=reload failed: r.json:1:2: expected more",
            "STATUS=3 connections; the last reload failed: r.json:1:2: expected more",
            "READY=1 STATUS=reloaded",
            STOPPING,
        ]
    );
}

#[test]
fn a_status_is_sent_once_a_second_at_most_and_only_if_it_has_changed() {
    let manager = Manager::new("status");
    let mut notifier = manager.notifier(&[], false);
    let mut told = |now, status: &str| {
        let wait = notifier.turned(ms(now), false, || status.to_owned());
        (manager.messages(), wait)
    };
    let sent = |status: &str| vec![format!("STATUS={status}")];
    assert_eq!(told(5000, "a"), (sent("a"), None));
    assert_eq!(told(5100, "b"), (vec![], Some(ms(900))), "it is looked at later, even if nothing happens");
    assert_eq!(told(6000, "c"), (sent("c"), None));
    assert_eq!(told(6300, "d"), (vec![], Some(ms(700))));
    assert_eq!(told(7000, "c"), (vec![], None));
    assert_eq!(told(60_000, "e"), (sent("e"), None));
}

#[test]
fn a_full_manager_misses_messages_but_no_state() {
    let manager = Manager::new("full");
    let mut notifier = manager.notifier(&[("WATCHDOG_USEC", "1000000")], false);
    manager.fill();
    notifier.ready("started".to_owned());
    for reload in 0..1000 {
        notifier.reloading();
        notifier.ready_again(if reload == 999 { Ok(()) } else { Err("broken") });
        assert!(notifier.owed.len() <= 3);
        let wait = notifier.turned(ms(reload), false, || format!("{reload}"));
        assert!(wait.is_some_and(|wait| wait <= NOTIFY_AGAIN), "{wait:?}");
    }
    notifier.turned(ms(2000), true, || "stopping".to_owned());
    let filled = manager.messages();
    assert!(filled.iter().all(|message| message == "X=1"), "{filled:?}");

    notifier.turned(ms(2001), true, || "stopping".to_owned());
    let messages = manager.messages();
    assert_eq!(messages.len(), 4, "{messages:?}");
    assert_eq!(messages[0], "READY=1 STATUS=started");
    assert!(messages[1].starts_with("RELOADING=1 MONOTONIC_USEC="), "{messages:?}");
    assert_eq!(messages[2..], ["READY=1 STATUS=reloaded", STOPPING]);
    let wait = notifier.turned(ms(2100), true, || "stopping".to_owned());
    assert_eq!((manager.messages(), wait), (vec!["WATCHDOG=1".to_owned()], Some(ms(500))), "and then it is fed again");
}

#[test]
fn the_watchdog_is_fed_at_half_of_its_time() {
    let manager = Manager::new("watchdog");
    let mut notifier = manager.notifier(&[("WATCHDOG_USEC", "2000000")], false);
    let mut told = |now| {
        let wait = notifier.turned(ms(now), false, String::new);
        (manager.messages().len(), wait)
    };
    assert_eq!(told(10), (1, Some(ms(1000))));
    assert_eq!(told(20), (0, Some(ms(990))));
    assert_eq!(told(1009), (0, Some(ms(1))));
    assert_eq!(told(1200), (1, Some(ms(1000))));
    assert_eq!(told(9999), (1, Some(ms(1000))));
}

#[test]
fn a_watchdog_for_another_process_or_without_a_time_is_not_fed() {
    let manager = Manager::new("other");
    let own = process::id().to_string();
    for (variables, half) in [
        (&[][..], None),
        (&[("WATCHDOG_USEC", "0")], None),
        (&[("WATCHDOG_USEC", "soon")], None),
        (&[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")], None),
        (&[("WATCHDOG_USEC", "8000"), ("WATCHDOG_PID", &own)], Some(ms(4))),
        (&[("WATCHDOG_USEC", "1")], Some(WATCHDOG_EVERY_MIN)),
    ] {
        let watchdog = manager.notifier(variables, false).watchdog;
        assert_eq!(watchdog.map(|watchdog| watchdog.every), half, "{variables:?}");
    }
}

#[test]
fn a_loop_that_waits_for_a_key_switches_the_watchdog_off() {
    let manager = Manager::new("step");
    let mut notifier = manager.notifier(&[("WATCHDOG_USEC", "2000")], true);
    notifier.ready("started".to_owned());
    assert_eq!(notifier.turned(ms(5000), false, || "started".to_owned()), None);
    assert_eq!(manager.messages(), ["READY=1 WATCHDOG_USEC=0 STATUS=started"]);
}

#[test]
fn the_time_to_stop_is_extended_while_the_server_stops() {
    let manager = Manager::new("extend");
    let mut notifier = manager.notifier(&[], false);
    let mut told = |now| {
        notifier.turned(ms(now), true, || "stopping".to_owned());
        manager.messages()
    };
    assert_eq!(told(1000), [STOPPING]);
    assert_eq!(told(5999), [""; 0]);
    assert_eq!(told(6000), ["EXTEND_TIMEOUT_USEC=10000000"]);
    assert_eq!(told(7000), [""; 0]);
    assert_eq!(told(11_500), ["EXTEND_TIMEOUT_USEC=10000000"]);
}

#[test]
fn without_a_usable_address_there_is_no_notifier() {
    for address in [None, Some(""), Some("relative"), Some("vsock:2:1"), Some("/nowhere/notify")] {
        let variable = |name: &str| address.filter(|_| name == "NOTIFY_SOCKET").map(OsString::from);
        assert!(Notifier::connect(variable, false).is_none(), "{address:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_address_may_be_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("reactor-notify-{}", process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("a free name");
    let variable = |variable: &str| (variable == "NOTIFY_SOCKET").then(|| format!("@{name}").into());
    Notifier::connect(variable, false).expect("a notifier").ready("started".to_owned());
    let mut buffer = [0; 64];
    let length = manager.recv(&mut buffer).expect("a message");
    assert_eq!(&buffer[..length], b"READY=1\nSTATUS=started");
}

#[test]
fn a_reason_is_one_line_of_bounded_length() {
    let line = one_line(&format!("a\nREADY=0\u{85}\r{}\n", "ä".repeat(4000)));
    assert!(line.starts_with("a READY=0  ää") && !line.contains(char::is_control));
    assert!((NOTIFY_REASON_BYTES_MAX - 1..=NOTIFY_REASON_BYTES_MAX).contains(&line.len()), "{}", line.len());
}
