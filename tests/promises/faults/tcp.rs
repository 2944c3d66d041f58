//! C: the ways of a connection to end.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::SockRef;

use crate::support::{
    Client, Random, SUM, Trial, ask, deaf_clients, eventually, listener, listener_with, root_works, watch_for,
};

const KIB: usize = 1024;

#[test]
fn case_30_each_of_two_hundred_bad_clients_reads_its_error() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    for run in 0..200 {
        let mut client = Client::connect(trial.address("sum-tcp"));
        client.send("oops");
        client.send(vec![b'x'; 1024 * KIB]);
        assert_eq!(client.rest(), b"{\"Error\":\"not JSON at byte 1\"}\n", "run {run}");
    }
    trial.end();
}

#[test]
fn case_31_a_reset_at_every_byte_of_a_conversation_ends_one_connection() {
    let trial = Trial::start(&[listener("sum", "tcp"), listener("uppercase", "tcp"), listener("file-sized", "tcp")]);
    let talks = [
        ("sum-tcp", r#"{"A":7,"B":4} {"A":"#),
        ("uppercase-tcp", "abc\nexit\nx"),
        ("file-sized-tcp", "name\n8\ncontent"),
    ];
    for (name, talk) in talks {
        for end in 0..=talk.len() {
            let mut client = Client::connect(trial.address(name));
            client.send(&talk[..end]);
            client.reset();
        }
    }
    // SIGPIPE is ignored: a closed pipe is reported as EPIPE.
    let ignored = trial.proc("status");
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let sigpipe = 1 << 12;
    assert!(u64::from_str_radix(ignored, 16).unwrap() & sigpipe != 0);
    let process = trial.end();
    assert_eq!(process.received(), [""; 0]);
}

#[test]
fn case_32_clients_that_never_read_are_cut_in_time_within_their_memory() {
    const PEERS: usize = 100;
    let quick = listener_with("uppercase", &json!({ "limits": { "write_timeout": "3s", "idle_timeout": "1h" } }));
    let trial = Trial::start(&[quick]);
    let before = trial.resident_bytes();
    let peers = deaf_clients(&trial, "uppercase-tcp", PEERS);
    let grown = trial.resident_bytes().saturating_sub(before);
    assert!(grown > PEERS * 256 * KIB / 2, "their output is not in memory: {grown} bytes");
    assert!(grown < PEERS * 2 * (256 + 64) * KIB, "{grown} bytes");
    eventually("all are cut", || trial.counter("uppercase-tcp", "open") == 0);
    assert!(trial.counters()[0].contains("closed 100 (write timeout 100)"), "{:?}", trial.counters());
    drop(peers);
    trial.end();
}

#[test]
fn case_33_silent_slow_and_idle_clients_are_closed_at_their_deadlines() {
    let (idle, request) = (Duration::from_secs(1), Duration::from_millis(1500));
    let limits = json!({ "limits": { "idle_timeout": "1s", "request_timeout": "1500ms" } });
    let trial = Trial::start(&[listener_with("sum", &limits), listener_with("file-sized", &limits)]);
    let has_ended = |mut client: Client, at_least: Duration, start: Instant| {
        client.try_rest().unwrap();
        let took = start.elapsed();
        assert!(took >= at_least * 9 / 10, "{took:?} is too early for {at_least:?}");
        assert!(took < at_least + Duration::from_secs(5), "{took:?} is too late for {at_least:?}");
    };
    for (name, before, answer) in [
        ("sum-tcp", "", ""),
        ("sum-tcp", SUM.0, SUM.1),
        ("file-sized-tcp", "", ""),
        ("file-sized-tcp", "quiet\n3\nabc", "OK\nOK\nOK\n"),
        ("file-sized-tcp", "unfinished\n3\nab", "OK\nOK\n"),
    ] {
        let mut client = Client::connect(trial.address(name));
        let start = Instant::now();
        client.ask(before, answer);
        has_ended(client, idle, start);
    }
    // After a name with a newline, the next one ends with a newline, and not by a pause.
    for (name, before, answer, drop) in
        [("sum-tcp", SUM.0, SUM.1, " "), ("file-sized-tcp", "empty\n0\n", "OK\nOK\nOK\n", "a")]
    {
        let mut client = Client::connect(trial.address(name));
        client.ask(before, answer);
        let start = Instant::now();
        client.send(if name == "sum-tcp" { "{" } else { drop });
        eventually("it is closed", || {
            client.send(drop);
            watch_for(Duration::from_millis(20));
            client.has_answer()
        });
        has_ended(client, request, start);
    }
    // Slower than a request may be, but never idle: contents have no time limit.
    let mut slow = Client::connect(trial.address("file-sized-tcp"));
    slow.ask("slow\n12\n", "OK\nOK\n");
    for _ in 0..12 {
        watch_for(idle / 6);
        slow.send("x");
    }
    slow.expect("OK\n");
    drop(slow);
    let process = trial.end();
    assert_eq!(process.received(), ["empty", "quiet", "slow"]);
}

/// Two ends of a cable between this machine's network and another one, removed with the test.
struct Cable {
    name: String,
    subnet: u8,
}

impl Cable {
    fn new(subnet: u8) -> Self {
        let cable = Self { name: format!("rx{}n{subnet}", std::process::id() % 100_000), subnet };
        let name = &cable.name;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name}a type veth peer name {name}b netns {name}"));
        ip(&format!("addr add 10.213.{subnet}.1/24 dev {name}a"));
        ip(&format!("link set {name}a up"));
        ip(&format!("-n {name} addr add 10.213.{subnet}.2/24 dev {name}b"));
        ip(&format!("-n {name} link set {name}b up"));
        cable
    }

    fn here(&self) -> String {
        format!("10.213.{}.1", self.subnet)
    }

    /// A program at the far end.
    fn bash(&self, script: &str) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "bash", "-c", script]).stdin(Stdio::null());
        command.spawn().unwrap()
    }

    fn cut(&self) {
        ip(&format!("link set {}a down", self.name));
    }

    fn mend(&self) {
        ip(&format!("link set {}a up", self.name));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &format!("{}a", self.name)]).status();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

#[track_caller]
fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

#[test]
fn case_34_a_peer_with_a_cut_cable_and_its_upload_end_at_the_deadline() {
    if !root_works() {
        return;
    }
    let cable = Cable::new(34);
    let listen = format!("tcp://{}:0", cable.here());
    let quick = json!({ "listen": listen, "limits": { "idle_timeout": "1s", "linger_timeout": "300ms" } });
    let trial = Trial::start(&[listener_with("file-sized", &quick)]);
    let address = trial.address("file-sized-tcp");
    let mut far = cable.bash(&format!(
        "exec 3<>/dev/tcp/{}/{}; printf 'vanished\\n100000\\nhalf of it' >&3; read -u 3; read -u 3; touch {}; sleep 600",
        address.ip(),
        address.port(),
        trial.directory().path().join("told").display(),
    ));
    eventually("the upload is under way", || trial.directory().names().contains(&"told".to_owned()));
    cable.cut();
    eventually("it is closed", || trial.counter("file-sized-tcp", "open") == 0);
    let _ = far.kill();
    let _ = far.wait();
    let process = trial.end();
    assert_eq!(process.received(), [""; 0]);
}

#[test]
fn case_41_an_upload_survives_small_packets_and_a_cable_cut_for_a_while() {
    if !root_works() {
        return;
    }
    const BYTES: usize = 4_000_000;
    let cable = Cable::new(41);
    ip(&format!("link set {}a mtu 576", cable.name));
    ip(&format!("-n {} link set {}b mtu 576", cable.name, cable.name));
    let listen = format!("tcp://{}:0", cable.here());
    let trial = Trial::start(&[listener_with("file-sized", &json!({ "listen": listen }))]);
    let address = trial.address("file-sized-tcp");
    let contents = Random::new(41).bytes(BYTES);
    fs::write(trial.directory().path().join("contents"), &contents).unwrap();
    let mut far = cable.bash(&format!(
        "cd {}; exec 3<>/dev/tcp/{}/{}; printf 'mended\\n{BYTES}\\n' >&3; read -u 3; read -u 3; \
         head -c 1000000 contents >&3; touch told; sleep 0.2; tail -c +1000001 contents >&3; read -u 3",
        trial.directory().path().display(),
        address.ip(),
        address.port(),
    ));
    eventually("the upload is under way", || trial.directory().names().contains(&"told".to_owned()));
    cable.cut();
    watch_for(Duration::from_millis(400));
    cable.mend();
    assert!(far.wait().unwrap().success());
    let process = trial.end();
    assert!(fs::read(process.directory().path().join("received/mended")).unwrap() == contents);
}

#[test]
fn case_35_ten_thousand_requests_are_answered_in_order_none_after_exit() {
    const REQUESTS: usize = 10_000;
    let trial = Trial::start(&[listener("sum", "tcp"), listener("uppercase", "tcp")]);
    let requests: String = (0..REQUESTS).map(|number| format!(r#"{{"A":{number},"B":1}}"#)).collect();
    let answers: String = (0..REQUESTS).map(|number| format!("{{\"Sum\":{}}}\n", number + 1)).collect();
    assert!(ask(trial.address("sum-tcp"), &[requests]) == answers.as_bytes());
    let lines = "line\n".repeat(REQUESTS);
    let answer = ask(trial.address("uppercase-tcp"), &[format!("{lines}exit\n{lines}")]);
    assert!(answer == lines.to_uppercase().as_bytes());
    trial.end();
}

#[test]
fn case_39_urgent_data_is_ignored_and_disturbs_nothing_around_it() {
    let trial = Trial::start(&[listener("uppercase", "tcp")]);
    for round in 0..50 {
        let mut client = Client::connect(trial.address("uppercase-tcp"));
        client.send("before ");
        SockRef::from(client.stream()).send_out_of_band(b"!").unwrap();
        client.send(vec![b'a'; 100 * KIB]);
        client.finish();
        let expected = [b"BEFORE ".as_slice(), &vec![b'A'; 100 * KIB]].concat();
        assert!(client.rest() == expected, "round {round}");
    }
    trial.end();
}

#[test]
fn case_40_thousands_of_ended_connections_leave_nothing_behind() {
    const ROUNDS: u64 = 3000;
    let names = ["sum-tcp", "uppercase-tcp", "file-sized-tcp"];
    let trial = Trial::start(&[listener("sum", "tcp"), listener("uppercase", "tcp"), listener("file-sized", "tcp")]);
    let churn = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            let mut random = Random::new(seed);
            let mut client = Client::connect(trial.address(names[random.below(3)]));
            client.send(random.bytes(20));
            match random.below(3) {
                0 => client.reset(),
                1 => drop(client.try_rest_after_fin()),
                _ => drop(client),
            }
        }
    };
    churn(0..ROUNDS / 4);
    let before = trial.resident_bytes();
    churn(ROUNDS / 4..ROUNDS);
    let grown = trial.resident_bytes().saturating_sub(before);
    assert!(grown < 2 * 1024 * KIB, "{grown} bytes");
    trial.end();
}

#[test]
fn case_42_no_byte_of_one_client_ever_reaches_another() {
    let trial = Trial::start(&[listener("uppercase", "tcp")]);
    let address = trial.address("uppercase-tcp");
    thread::scope(|scope| {
        for letter in b'a'..=b'p' {
            scope.spawn(move || {
                for round in 0..20 {
                    let sent = vec![letter; 1 + round * 9973];
                    let answer = ask(address, &[&sent]);
                    assert!(answer == sent.to_ascii_uppercase(), "{}", letter as char);
                    // A client that closes with its answer under way.
                    let mut gone = Client::connect(address);
                    gone.send(&sent);
                    gone.reset();
                }
            });
        }
    });
    trial.end();
}

#[test]
fn case_92_a_full_house_stays_within_a_limit_of_memory() {
    const PEERS: usize = 200;
    let trial = Trial::under(&["prlimit", "--as=1073741824"], &[listener("uppercase", "tcp")]);
    let before = trial.resident_bytes();
    let peers = deaf_clients(&trial, "uppercase-tcp", PEERS);
    assert!(trial.resident_bytes() - before > PEERS * 256 * KIB / 2, "their output is not in memory");
    assert_eq!(ask(trial.address("uppercase-tcp"), &["one more"]), b"ONE MORE");
    for peer in peers {
        peer.reset();
    }
    trial.end();
}
