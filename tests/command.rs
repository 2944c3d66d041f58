//! The command: what it prints, and how it ends. Nothing here binds an address.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A directory that is removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("reactor-command-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    fn reactor(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.reactor(arguments).output().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn check_prints_the_configuration_with_all_defaults_and_creates_nothing() {
    let scratch = Scratch::new("check");
    let output = scratch.run(&["check"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let printed: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(printed["listeners"][0]["options"]["max_request"], "4KiB");
    assert_eq!(printed["listeners"][0]["limits"]["idle_timeout"], "30s");
    assert_eq!(printed["listeners"][5]["limits"]["idle_timeout"], "1h");
    assert!(scratch.names().is_empty());
}

#[test]
fn check_prints_a_configuration_that_it_prints_again() {
    let scratch = Scratch::new("again");
    let first = scratch.run(&["check"]);
    scratch.write("effective.json", &first.stdout);
    assert_eq!(stdout(&scratch.run(&["check", "-c", "effective.json"])), stdout(&first));
}

#[test]
fn init_prints_the_default_configuration() {
    let scratch = Scratch::new("init");
    scratch.write("reactor.json", scratch.run(&["init"]).stdout);
    let output = scratch.run(&["check", "--config", "reactor.json"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), stdout(&scratch.run(&["check"])));
}

#[test]
fn schema_prints_the_schema_and_protocols_lists_all_protocols() {
    let scratch = Scratch::new("schema");
    let schema: Value = serde_json::from_str(stdout(&scratch.run(&["schema"]))).unwrap();
    let output = scratch.run(&["protocols"]);
    let listed = stdout(&output);
    for name in schema.pointer("/$defs/Listener/properties/protocol/enum").and_then(Value::as_array).unwrap() {
        assert!(listed.lines().any(|line| line.starts_with(&format!("{} (", name.as_str().unwrap()))), "{name}");
    }
    assert!(listed.contains("option max_request = \"4KiB\""));
}

#[test]
fn a_file_may_have_comments_and_what_is_printed_is_strict_json() {
    let scratch = Scratch::new("comments");
    scratch.write(
        "reactor.json",
        "// Mine.\n{ \"listeners\": [ /* one */ { \"listen\": \"tcp://:1\", \"protocol\": \"sum\", }, ], }\n",
    );
    let output = scratch.run(&["check", "-c", "reactor.json"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let printed: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(printed["listeners"][0]["listen"], "tcp://[::]:1");
}

#[test]
fn check_takes_listeners_of_the_command_line_as_run_does() {
    let scratch = Scratch::new("listen");
    let output = scratch.run(&["check", "--listen", "sum=tcp6://:1", "--listen", "time=tcp4://:1"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    let printed: Value = serde_json::from_str(stdout(&output)).unwrap();
    let listens: Vec<_> = printed["listeners"].as_array().unwrap().iter().map(|listener| &listener["listen"]).collect();
    assert_eq!(listens, ["tcp6://[::]:1", "tcp4://0.0.0.0:1"]);
}

#[test]
fn check_reports_what_can_be_known_before_the_start() {
    let scratch = Scratch::new("known");
    for (listeners, expected) in [
        (
            r#"{"listen": "tcp://127.0.0.1:1", "protocol": "sum"}, {"listen": "tcp://:1", "protocol": "sum"}"#,
            "listeners[1].listen: expected an address of its own, found every address, which includes the address of listeners[0]",
        ),
        (
            r#"{"listen": "tcp://:1", "protocol": "file", "options": {"directory": "a\u0000b"}}"#,
            "listeners[0].options.directory: expected the path of a directory, found a NUL in it",
        ),
        (
            r#"{"listen": "tcp://[fe80::1]:1", "protocol": "sum"}"#,
            "listeners[0].listen: expected a link-local address with its interface, such as \"[fe80::1%eth0]\", found",
        ),
    ] {
        scratch.write("known.json", format!("{{\"listeners\": [{listeners}]}}"));
        let output = scratch.run(&["check", "-c", "known.json"]);
        assert_eq!(output.status.code(), Some(65));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn the_configurations_that_the_units_need_are_accepted() {
    let scratch = Scratch::new("units");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for file in ["systemd/reactor.json", "systemd/many.json", "service/reactor.json"] {
        let output = scratch.run(&["check", "-c", &format!("{examples}/{file}")]);
        assert_eq!(output.status.code(), Some(0), "{file}: {}", stderr(&output));
    }
    let many = scratch.run(&["check", "-c", &format!("{examples}/systemd/many.json")]);
    let many: Value = serde_json::from_slice(&many.stdout).unwrap();
    let listeners = many["listeners"].as_array().unwrap();
    assert!(listeners.iter().all(|listener| listener["reuse_port"] == true), "{listeners:?}");
}

#[test]
fn a_misspelt_level_of_the_log_is_wrong_usage_and_not_silence() {
    let scratch = Scratch::new("level");
    let nowhere = ["run", "--listen", "time=tcp://192.0.2.1:1"];
    for (variable, code) in [("debgu", 2), ("info,verbose", 2), ("reactor=warning", 2), ("debug", 69), ("", 69)] {
        let output = scratch.reactor(&nowhere).env("RUST_LOG", variable).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output)), (Some(code), ""), "{variable}: {}", stderr(&output));
        let is_told =
            stderr(&output).starts_with("RUST_LOG: expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or");
        assert_eq!(is_told, code == 2, "{variable}: {}", stderr(&output));
    }
    let output = scratch.reactor(&nowhere).args(["--log", "Debug"]).env("RUST_LOG", "debgu").output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
}

#[test]
fn five_mistakes_are_five_lines_and_exit_code_65() {
    let scratch = Scratch::new("five");
    scratch.write(
        "five.json",
        r#"{
  "listeners": [
    { "listen": "tcp://127.0.0.1:0", "protocol": "uppercas" },
    { "listen": "udp://127.0.0.1:0", "protocol": "time" },
    { "listen": "tcp://127.0.0.1:0", "protocol": "file", "options": { "existing": "overwrite" } },
    { "listen": "tcp://127.0.0.1:0", "protocol": "time", "limits": { "idle_timeout": "30 sekunden" } }
  ],
  "shutdown_timout": "1s"
}"#,
    );
    for arguments in [&["check", "-c", "five.json"][..], &["run", "-c", "five.json"], &["-c", "five.json"]] {
        let output = scratch.run(arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(65), ""));
        assert_eq!(
            stderr(&output).lines().collect::<Vec<_>>(),
            [
                "five.json:3:50: listeners[0].protocol: unknown protocol \"uppercas\"; did you mean \"uppercase\"?",
                "five.json:4:50: listeners[1].protocol: expected a protocol for UDP, found \"time\", which is for TCP",
                "five.json:5:83: listeners[2].options.existing: expected \"refuse\", \"replace\" or \"number\", found \
                 \"overwrite\"",
                "five.json:6:86: listeners[3].limits.idle_timeout: expected a duration such as \"30s\" (a whole number \
                 and ns, us, ms, s, m, h or d), found \"30 sekunden\"",
                "five.json:8:3: unknown member \"shutdown_timout\"; did you mean \"shutdown_timeout\"?",
            ]
        );
    }
    assert_eq!(scratch.names(), ["five.json"]);
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_66() {
    let scratch = Scratch::new("unreadable");
    for file in ["missing.json", ".", "/dev/null"] {
        let output = scratch.run(&["check", "-c", file]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(66), ""), "{file}");
        assert!(stderr(&output).starts_with(&format!("cannot read {file}: ")), "{}", stderr(&output));
    }
}

#[test]
fn wrong_usage_is_exit_code_2_with_a_reason() {
    let scratch = Scratch::new("usage");
    for (arguments, reason) in [
        (&["chekc"][..], "'check'"),
        (&["--listen"], "PROTOCOL=URL"),
        (&["-c"], "FILE"),
        (&["-c", "reactor.json", "check"], "check"),
        (&["--listen", "sum"], "--listen sum: expected PROTOCOL=URL"),
        (&["--listen", "smu=tcp://:0"], "unknown protocol \"smu\"; did you mean \"sum\"?"),
        (&["run", "--listen", "time=udp://:0"], "which is for TCP"),
        (&["my.json"], "-c my.json"),
        (&["check", "./mine"], "-c ./mine"),
        (&["--log", "debgu"], "[possible values: off, error, warn, info, debug, trace]"),
        (&["--xray", "x.pdf"], "expected a name that ends in .txt"),
        (&["run", "--xray", ""], "expected a name that ends in .txt"),
        (&["--listen", "time=tcp://:0", "--listen", "time=tcp://:99999"], "expected a port from 0 to 65535"),
        (&["--listen", "time=tcp://:9", "--listen", "time=tcp://:9"], "found the address of the listener time-tcp"),
    ] {
        let output = scratch.run(arguments);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{arguments:?}");
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
    for arguments in [["--help"], ["--version"]] {
        let output = scratch.run(&arguments);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    }
}

#[test]
fn a_reader_that_has_closed_is_not_an_error() {
    let scratch = Scratch::new("head");
    for argument in ["schema", "init", "check", "protocols", "--help"] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = scratch.reactor(&[argument]).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{argument}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_is_non_blocking_and_full_is_waited_for() {
    use std::io::{Read as _, Write as _};

    use nix::fcntl::{FcntlArg, OFlag, fcntl};

    let scratch = Scratch::new("full-pipe");
    let whole = scratch.run(&["schema"]).stdout;
    let (mut reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut before = 0;
    while let Ok(count) = writer.write(&[b' '; 4096]) {
        before += count;
    }
    let mut child = scratch.reactor(&["schema"]).stdout(writer).spawn().unwrap();
    // Read only now: the program waits for room, or has exited.
    let state = format!("/proc/{}/stat", child.id());
    while child.try_wait().unwrap().is_none() && !fs::read_to_string(&state).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
    let mut arrived = Vec::new();
    reader.read_to_end(&mut arrived).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(str::from_utf8(&arrived[before..]), str::from_utf8(&whole));
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_output_changes_the_exit_code_and_unwritable_errors_do_not() {
    let scratch = Scratch::new("full");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for argument in ["schema", "init", "check", "protocols", "--help", "--version"] {
        let output = scratch.reactor(&[argument]).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{argument}");
        assert!(stderr(&output).starts_with("cannot write to stdout: "), "{argument}");
    }

    let status = scratch.reactor(&["check", "-c", "missing.json"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(66));
}

#[test]
fn a_log_file_that_cannot_be_opened_prevents_the_start_and_says_why() {
    let scratch = Scratch::new("logfile");
    let config = |log: &str| {
        format!(r#"{{"listeners": [{{"listen": "tcp://192.0.2.1:1", "protocol": "time"}}], "log": {log}}}"#)
    };
    scratch.write("reactor.json", config(r#"{"file": "no/such/directory.log"}"#));
    let output = scratch.run(&["-c", "reactor.json"]);
    let told = "cannot open the log file \"no/such/directory.log\": No such file or directory (os error 2)\n";
    assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(73), "", told));
    // `check` opens and creates nothing.
    scratch.write("reactor.json", config(r#"{"file": "a.log"}"#));
    assert_eq!(scratch.run(&["check", "-c", "reactor.json"]).status.code(), Some(0));
    assert_eq!(scratch.names(), ["reactor.json"]);
}

#[test]
fn why_a_start_fails_is_on_stderr_in_the_form_of_the_log_and_in_its_file() {
    let scratch = Scratch::new("failing");
    let nowhere = ["--listen", "time=tcp://192.0.2.1:1", "--log", "off"];
    let text = scratch.reactor(&nowhere).args(["--log-format", "text"]).output().unwrap();
    let json = scratch.reactor(&nowhere).args(["--log-format", "json"]).output().unwrap();
    assert_eq!((text.status.code(), json.status.code()), (Some(69), Some(69)));
    let object: Value = serde_json::from_str(stderr(&json)).unwrap();
    assert_eq!((&object["level"], &object["msg"]), (&"error".into(), &stderr(&text).trim_end().into()));

    scratch.write(
        "reactor.json",
        r#"{"listeners": [{"listen": "tcp://192.0.2.1:1", "protocol": "time"}], "log": {"format": "json", "file": "a.log"}}"#,
    );
    let output = scratch.run(&["-c", "reactor.json", "--log", "off"]);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(69), 1));
    let object: Value = serde_json::from_slice(&fs::read(scratch.0.join("a.log")).unwrap()).unwrap();
    assert_eq!(object["msg"].as_str(), Some(stderr(&output).trim_end()));
    let wrong = scratch.run(&["--log-format", "xml"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("[possible values: auto, text, json]"), "{}", stderr(&wrong));
}
