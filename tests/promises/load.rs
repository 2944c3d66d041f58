//! The example `load`: it measures correctly, and reports errors.

mod chat;
mod compare;
mod ending;
mod find;
mod growth;
mod raw;
#[cfg(target_os = "linux")]
mod reconnect;
mod targets;

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Deserializer, Value, json};

use crate::support::{
    Process, Scratch, Trial, eventually, every_protocol, listener, program, refusing, server, watch_for,
};

/// A run of `load`, and the directory of its result.
pub(crate) struct Load {
    child: Child,
    directory: Scratch,
}

/// The output and exit code of a run.
pub(crate) struct Outcome {
    code: Option<i32>,
    pub(crate) text: String,
    errors: String,
    /// The JSON that it wrote; null if it wrote none.
    json: Value,
}

impl Load {
    pub(crate) fn start(arguments: &str) -> Self {
        let directory = Scratch::new();
        let child = Command::new(program("load"))
            .args(arguments.split_whitespace())
            .args(["--json", "result.json"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// Ends the run early, as Ctrl-C does: it reports its results.
    pub(crate) fn interrupt(self) -> Outcome {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        self.wait()
    }

    pub(crate) fn wait(self) -> Outcome {
        let output = self.child.wait_with_output().unwrap();
        let json = self.directory.names().pop().map(|name| self.directory.contents(&name));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("panicked"), "{errors}");
        Outcome {
            code: output.status.code(),
            text: String::from_utf8(output.stdout).unwrap(),
            errors,
            json: json.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap()),
        }
    }
}

fn load(arguments: &str) -> Outcome {
    Load::start(arguments).wait()
}

impl Outcome {
    #[track_caller]
    pub(crate) fn number(&self, pointer: &str) -> f64 {
        let number = self.json.pointer(pointer).and_then(Value::as_f64);
        number.unwrap_or_else(|| panic!("no {pointer} in {} {} {}", self.json, self.text, self.errors))
    }

    /// Requests were answered, without an error.
    #[track_caller]
    fn assert_good(&self) {
        assert_eq!((self.code, self.number("/errors/total")), (Some(0), 0.0), "{} {}", self.text, self.errors);
        assert!(self.number("/requests") > 0.0, "{}", self.text);
    }
}

/// A server of `sum` whose answer is a function of the number of the request on its connection and of the sum. Without
/// an answer it closes.
struct Stub {
    address: SocketAddr,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    fn start(answer: fn(usize, i64) -> Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let has_ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&has_ended);
        let thread = thread::spawn(move || {
            thread::scope(|scope| {
                for stream in listener.incoming().map(Result::unwrap) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    scope.spawn(move || Self::serve(&stream, answer));
                }
            });
        });
        Self { address, has_ended, thread: Some(thread) }
    }

    /// Until either side closes.
    fn serve(mut stream: &TcpStream, answer: fn(usize, i64) -> Option<String>) {
        let requests = Deserializer::from_reader(BufReader::new(stream)).into_iter::<Value>();
        for (number, request) in requests.map_while(Result::ok).enumerate() {
            let sum = request["A"].as_i64().unwrap() + request["B"].as_i64().unwrap();
            let Some(answer) = answer(number, sum) else { return };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn load(&self, arguments: &str) -> Outcome {
        load(&format!("sum tcp://{} -c 4 -d 300ms {arguments}", self.address))
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        // The connection wakes it up.
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

#[test]
fn every_protocol_is_loaded_without_an_error() {
    let received = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&received) }));
    let url = |name: &str| format!("{}://{}", name.rsplit_once('-').unwrap().1, server.address(name));
    for (protocol, name, options) in [
        ("sum", "sum-tcp", ""),
        ("sum", "sum-tcp", "--size 100 --pipeline 20"),
        ("sum", "sum-tcp", "--connect-each"),
        ("sum", "sum-tcp", "--rate 500 --warmup 100ms"),
        ("sum", "sum-udp", "--size 64 --timeout 60s"),
        ("sum", "sum-udp", "--pipeline 5 --rate 1k --timeout 60s"),
        ("uppercase", "uppercase-tcp", ""),
        ("uppercase", "uppercase-tcp", "--size 100KiB --pipeline 5"),
        ("uppercase", "uppercase-tcp", "--size 2 --connect-each"),
    ] {
        load(&format!("{protocol} {} -c 5 -d 300ms {options}", url(name))).assert_good();
    }
}

#[test]
fn every_upload_that_is_counted_has_become_a_file_of_that_size() {
    for (protocol, size) in [("file", 100_000), ("file-sized", 100_000), ("file", 0), ("file-sized", 0)] {
        let received = Scratch::new();
        let server = server(&json!({ "listeners": every_protocol(&received) }));
        let address = server.address(&format!("{protocol}-tcp"));
        let outcome = load(&format!("{protocol} tcp://{address} -c 3 -d 300ms --size {size}"));
        outcome.assert_good();
        let names = received.names();
        assert_eq!(names.len() as f64, outcome.number("/requests"));
        assert!(names.iter().all(|name| received.contents(name).len() == size));
        assert_eq!(outcome.number("/bytes"), (names.len() * size) as f64);
        assert!(outcome.number("/bytes_per_second") > 0.0 || size == 0);
    }
}

#[test]
fn the_result_has_the_numbers_that_others_read() {
    let stub = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let outcome = stub.load("--rate 1k");
    outcome.assert_good();
    assert_eq!(outcome.number("/requests"), 300.0, "all requests that are due in 300 ms");
    let mut before = 0.0;
    for percentile in ["p50", "p90", "p99", "p999", "max"] {
        let latency = outcome.number(&format!("/latency_us/{percentile}"));
        assert!(latency >= before && latency > 0.0, "{percentile} {latency}");
        before = latency;
    }
    let seconds = outcome.number("/seconds");
    assert!(seconds >= 0.3);
    assert!((outcome.number("/rate") * seconds - outcome.number("/requests")).abs() < 0.5);
    let kinds: Vec<_> = outcome.json["errors"].as_object().unwrap().keys().collect();
    let all = [
        "closed", "connect", "io", "long", "lost", "refused", "reset", "short", "timeout", "total", "unasked", "wrong",
    ];
    assert_eq!(kinds, all);
    assert_eq!(outcome.json["model"], "open");
    let busy = outcome.number("/client_busy");
    assert!(busy > 0.0 && busy <= 1.0, "a thread is at most busy all the time: {busy}");
    for word in ["requests", "latency", "p99", "errors", &format!("its thread was {:.0} % busy", 100.0 * busy)] {
        assert!(outcome.text.contains(word), "{}", outcome.text);
    }
}

#[test]
fn poisson_arrivals_come_at_random_and_a_seed_repeats_them() {
    let stub = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let run = |options: &str| {
        let outcome = stub.load(&format!("--rate 1k {options}"));
        outcome.assert_good();
        (outcome.number("/requests"), outcome)
    };
    let (count, first) = run("--arrivals poisson --seed 7");
    assert_eq!(count, run("--arrivals poisson --seed 7").0);
    // The standard deviation of 300 random arrivals is 17.
    assert!((200.0..400.0).contains(&count), "{}", first.text);
    assert!(first.text.contains("Poisson, seed 7"), "{}", first.text);
    assert_eq!((&first.json["arrivals"], &first.json["seed"]), (&json!("poisson"), &json!(7)));
    let (_, other) = run("--arrivals poisson");
    assert!(other.text.contains(&format!("seed {}", other.json["seed"])), "{}", other.text);
    let (_, even) = run("");
    assert_eq!((&even.json["arrivals"], even.json.get("seed")), (&json!("even"), None));
}

#[test]
fn a_ramp_sends_as_many_requests_as_its_line_has_below_it() {
    let stub = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let outcome = stub.load("--ramp 0..1k/300ms");
    outcome.assert_good();
    let requests = outcome.number("/requests");
    assert!((149.0..=151.0).contains(&requests), "300 ms at 500 a second on the mean: {}", outcome.text);
    assert_eq!((&outcome.json["ramp"], &outcome.json["asked_rate"]), (&json!("0..1k/300ms"), &json!(1000)));
    assert_eq!(outcome.number("/unsent"), 0.0, "{}", outcome.text);
    assert!(!outcome.text.contains("closed loop"), "{}", outcome.text);
}

#[test]
fn an_answer_that_is_wrong_is_an_error_and_no_request() {
    let wrong = Stub::start(|_, sum| Some(format!("{{\"Sum\":{}}}\n", sum + 1))).load("");
    assert!(wrong.number("/errors/wrong") > 0.0 && wrong.number("/requests") == 0.0, "{}", wrong.text);
    assert_eq!(wrong.code, Some(1), "nothing could be measured");
    assert!(wrong.errors.contains("Sum"), "it prints the wrong answer: {}", wrong.errors);

    let other = Stub::start(|_, _| Some("{\"Sum\":1007}\n".into())).load("");
    assert!(other.number("/errors/wrong") > 0.0, "the answer to another request: {}", other.text);

    let sometimes = Stub::start(|number, sum| Some(format!("{{\"Sum\":{}}}\n", if number % 3 == 2 { 0 } else { sum })));
    for options in ["", "--pipeline 10"] {
        let outcome = sometimes.load(options);
        let (right, wrong) = (outcome.number("/requests"), outcome.number("/errors/wrong"));
        assert!((wrong * 2.0 - right).abs() <= 10.0, "two of three are right: {right} {wrong}");
        assert_eq!((outcome.code, outcome.number("/errors/total")), (Some(0), wrong));
    }
}

#[test]
fn other_errors_are_counted_by_kind() {
    let twice = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n{{\"Sum\":{sum}}}\n"))).load("");
    assert!(twice.number("/errors/wrong") + twice.number("/errors/unasked") > 0.0, "{}", twice.text);

    let closes = Stub::start(|number, sum| (number < 5).then(|| format!("{{\"Sum\":{sum}}}\n"))).load("");
    assert!(closes.number("/errors/closed") > 0.0, "{}", closes.text);
    assert!(closes.number("/requests") > 0.0, "it connects again: {}", closes.text);

    let silent = Stub::start(|_, _| Some(String::new())).load("--timeout 50ms");
    assert!(silent.number("/errors/timeout") > 0.0, "{}", silent.text);

    let (_nobody, address) = refusing();
    let refused = load(&format!("sum tcp://{address}"));
    assert!(refused.code == Some(1) && refused.errors.contains("refused"), "{}", refused.errors);
}

#[test]
fn an_upload_that_the_server_refuses_is_counted_with_its_reason() {
    let received = Scratch::new();
    let options = json!({ "directory": received.path(), "max_size": "1KiB" });
    for protocol in ["file", "file-sized"] {
        let listener = json!({ "protocol": protocol, "listen": "tcp://127.0.0.1:0", "options": options });
        let server = server(&json!({ "listeners": [listener] }));
        let address = server.address(&format!("{protocol}-tcp"));
        let outcome = load(&format!("{protocol} tcp://{address} -c 3 -d 300ms --size 2KiB"));
        assert!(outcome.number("/errors/refused") > 0.0, "{} {}", outcome.text, outcome.errors);
        assert!(outcome.code == Some(1) && outcome.errors.contains("1024"), "{}", outcome.errors);
    }
}

/// Answers every second datagram until the run has ended and none is left, and returns their number.
fn answer_every_second(socket: &UdpSocket, has_ended: &AtomicBool) -> u32 {
    let mut buffer = [0; 100];
    let mut asked = 0;
    loop {
        let (length, client) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(_) if has_ended.load(Ordering::Relaxed) => return asked,
            Err(_) => continue,
        };
        let request: Value = serde_json::from_slice(&buffer[..length]).unwrap();
        let sum = request["A"].as_i64().unwrap() + request["B"].as_i64().unwrap();
        asked += 1;
        if asked % 2 == 0 {
            socket.send_to(format!("{{\"Sum\":{sum}}}\n").as_bytes(), client).unwrap();
        }
    }
}

#[test]
fn every_datagram_that_is_not_answered_is_counted_as_lost() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let address = socket.local_addr().unwrap();
    let has_ended = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&has_ended);
    let server = thread::spawn(move || answer_every_second(&socket, &over));
    let outcome = load(&format!("sum udp://{address} -c 3 -d 1s --timeout 100ms"));
    has_ended.store(true, Ordering::Relaxed);
    let (answered, lost) = (outcome.number("/requests"), outcome.number("/errors/lost"));
    assert!(answered > 0.0 && lost >= answered, "{}", outcome.text);
    assert_eq!(answered + lost, f64::from(server.join().unwrap()), "each is counted once");
}

#[test]
fn an_assertion_that_fails_is_named_and_makes_the_exit_code_1() {
    let stub = Stub::start(|_, sum| Some(format!("{{\"Sum\":{sum}}}\n")));
    let good = stub.load("--assert p999<60s,max<=60s,errors=0,wrong=0,rate>=1,requests>0");
    assert_eq!(good.code, Some(0), "{}", good.errors);
    let bad = stub.load("--assert errors=0,p50<1ns,rate>90M");
    assert_eq!(bad.code, Some(1));
    assert!(bad.errors.contains("p50<1ns") && bad.errors.contains("rate>90M"), "{}", bad.errors);
    assert!(!bad.errors.contains("errors=0"), "{}", bad.errors);
}

#[test]
fn wrong_usage_is_reported_before_the_run() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for arguments in [
        String::new(),
        format!("time tcp://{closed}"),
        format!("uppercase udp://{closed}"),
        format!("sum udp://{closed} --connect-each"),
        format!("sum udp://{closed} --bad drips"),
        format!("sum tcp://{closed} --bad lies"),
        format!("sum tcp://{closed} --bad drips --rate 5"),
        format!("file tcp://{closed} --pipeline 2"),
        format!("sum tcp://{closed} --rate 0"),
        format!("sum tcp://{closed} --rate 5x"),
        format!("sum tcp://{closed} --size 5KB"),
        format!("sum tcp://{closed} -c 0"),
        format!("sum tcp://{closed} -d 0s"),
        format!("sum tcp://{closed} --directory received"),
        format!("file tcp://{closed} --max-files 0"),
        format!("file tcp://{closed} --size 18446744073709551615"),
        format!("sum tcp://{closed} --senders 2"),
        format!("chat tcp://{closed} --bad drips"),
        format!("chat tcp://{closed} --connect-each"),
        format!("chat udp://{closed}"),
        format!("chat tcp://{closed} -c 2 --deaf 1"),
        format!("chat tcp://{closed} -c 5 --senders 5 --deaf 1"),
        format!("chat tcp://{closed} -c 100k --senders 1000"),
        format!("sum tcp://{closed} --assert p98<1ms"),
        format!("sum tcp://{closed} --assert p99<1"),
        format!("sum tcp://{closed} --assert p99"),
        format!("sum tcp://{closed} --send x"),
        format!("sum tcp://{closed} --expect x"),
        format!("raw tcp://{closed} --send x"),
        format!("raw tcp://{closed} --expect x"),
        format!("raw tcp://{closed} --send x --expect x --expect-bytes 1"),
        format!("raw tcp://{closed} --send x --send-file /dev/null --expect x"),
        format!("raw tcp://{closed} --send-file /nonexistent --expect x"),
        format!("raw tcp://{closed} --send-file /dev/zero --expect x"),
        format!(r"raw tcp://{closed} --send \q --expect x"),
        format!("raw tcp://{closed} --send x --expect-bytes 0"),
        format!("raw tcp://{closed} --send x --expect x --size 5"),
        format!("raw tcp://{closed} --bad drips"),
        format!("raw tcp://{closed} --send x --bad expensive"),
        format!("sum tcp://{closed} --arrivals poisson"),
        format!("sum tcp://{closed} --rate 5 --arrivals random"),
        format!("sum tcp://{closed} --ramp 5"),
        format!("sum tcp://{closed} --ramp 0..10/1s --rate 5"),
        format!("find sum tcp://{closed} --limit errors=0 --ramp 0..10/1s"),
        format!("find sum tcp://{closed}"),
        format!("find sum tcp://{closed} --limit p98<1ms"),
        format!("find sum tcp://{closed} --limit errors=0 --rate 5"),
        format!("find sum tcp://{closed} --limit errors=0 --assert errors=0"),
        format!("find sum tcp://{closed} --limit errors=0 --bad drips"),
        format!("find sum tcp://{closed} --limit errors=0 --from 5 --to 4"),
        format!("find file tcp://{closed} --limit errors=0"),
        "compare".into(),
        "compare a.json".into(),
    ] {
        refuse_usage(&arguments);
    }
}

/// Checks that nothing is run with these arguments.
#[track_caller]
fn refuse_usage(arguments: &str) {
    let outcome = load(arguments);
    assert_eq!((outcome.code, &outcome.json), (Some(2), &Value::Null), "{arguments}: {}", outcome.errors);
    assert!(outcome.errors.contains("error: "), "{arguments}: {}", outcome.errors);
}

/// Stops the server for 100 ms under this load.
fn stalled(options: &str) -> Outcome {
    let server = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
    let load = Load::start(&format!("sum tcp://{} -c 4 -d 3s {options}", server.address("sum-tcp")));
    eventually("all are connected", || server.counter("sum-tcp", "open") >= 4);
    server.pause();
    watch_for(Duration::from_millis(100));
    server.resume();
    load.wait()
}

#[test]
fn an_open_loop_counts_a_stall_for_every_request_due_meanwhile() {
    let outcome = stalled("--rate 500");
    outcome.assert_good();
    assert!(outcome.number("/latency_us/max") >= 90_000.0, "{}", outcome.text);
    // Of the 1500 requests, 45 are due within the first 90 ms of the stall.
    assert!(outcome.number("/latency_us/p99") >= 50_000.0, "{}", outcome.text);
    assert!(!outcome.text.contains("closed loop"), "{}", outcome.text);
}

#[test]
fn a_closed_loop_hides_a_stall_in_its_percentiles_and_warns_of_it() {
    let outcome = stalled("");
    outcome.assert_good();
    assert!(outcome.number("/latency_us/max") >= 90_000.0, "of each connection one request is slow: {}", outcome.text);
    assert!(outcome.number("/latency_us/p90") < 90_000.0, "{}", outcome.text);
    assert!(outcome.text.contains("closed loop") && outcome.text.contains("hide"), "{}", outcome.text);
}

#[test]
fn a_rate_that_cannot_be_kept_is_reported() {
    let slow = Stub::start(|_, sum| {
        watch_for(Duration::from_millis(20));
        Some(format!("{{\"Sum\":{sum}}}\n"))
    });
    let outcome = slow.load("--rate 10k");
    assert!(outcome.text.contains("not kept"), "{}", outcome.text);
    assert!(outcome.number("/unsent") > 0.0, "{}", outcome.json);
    assert!(outcome.number("/latency_us/max") > 300_000.0, "latencies grow: {}", outcome.text);
}

#[test]
fn each_bad_client_does_its_harm_and_hurts_no_other_client() {
    for mode in ["never-reads", "drips", "resets", "half-closes", "garbage", "expensive"] {
        let trial = Trial::start(&["sum", "file-sized", "uppercase"].map(|protocol| listener(protocol, "tcp")));
        for protocol in if mode == "expensive" { ["sum", "uppercase"] } else { ["sum", "file-sized"] } {
            let address = trial.address(&format!("{protocol}-tcp"));
            let outcome = load(&format!("{protocol} tcp://{address} -c 5 -d 500ms --bad {mode}"));
            let harm = |what| outcome.number(&format!("/harm/{what}"));
            assert_eq!((outcome.code, outcome.number("/errors/total")), (Some(0), 0.0), "{mode}: {}", outcome.text);
            assert!(harm("connections") >= 5.0 && harm("bytes_sent") > 0.0, "{mode}: {}", outcome.text);
            let done = match mode {
                "never-reads" => harm("bytes_received") == 0.0 && harm("bytes_sent") > 10_000.0,
                "drips" => harm("bytes_sent") <= 5.0 * (10.0 * outcome.number("/seconds") + 2.0),
                "resets" => harm("reset_by_us") > 5.0,
                "expensive" => harm("bytes_received") > 10_000.0,
                _ => harm("closed_by_server") > 5.0 && harm("connections") > 5.0,
            };
            assert!(done, "{mode}: {}", outcome.text);
        }
        trial.end();
    }
}
