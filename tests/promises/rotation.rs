//! A log file that another program renames under load: no line is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Ended, Process, Scratch, ask, eventually, listener};

/// How often the file is renamed.
const ROTATIONS: usize = 20;

/// Renames the log file and makes the server begin a new one: `logrotate --force`, or what it does if it is not installed.
struct Rotation<'a> {
    process: &'a Process,
    directory: &'a Path,
    has_logrotate: bool,
}

impl<'a> Rotation<'a> {
    fn new(process: &'a Process, directory: &'a Path) -> Self {
        let log = directory.join("reactor.log");
        let script = format!("postrotate\n  kill -HUP {}\n endscript", process.id());
        let text = format!("{} {{\n rotate 1000\n nocompress\n nocreate\n {script}\n}}\n", log.display());
        let file = directory.join("rotation");
        fs::write(&file, text).unwrap();
        // It refuses files that others could change.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        let version = Command::new("logrotate").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        Self { process, directory, has_logrotate: version.is_ok_and(|status| status.success()) }
    }

    fn rotate(&self, number: usize) {
        let log = self.directory.join("reactor.log");
        if self.has_logrotate {
            let mut command = Command::new("logrotate");
            command.args(["--force", "--state"]).arg(self.directory.join("state"));
            let output = command.arg(self.directory.join("rotation")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        } else {
            fs::rename(&log, self.directory.join(format!("reactor.log.{number}"))).unwrap();
            self.process.signal(Signal::SIGHUP);
        }
        eventually("there is a new file", || log.exists());
    }
}

#[test]
fn a_log_that_is_rotated_under_load_loses_no_line() {
    let directory = Scratch::new();
    let log = json!({ "format": "json", "access": "all", "file": directory.path().join("reactor.log") });
    let process = Process::start(&json!({ "listeners": [listener("sum", "tcp")], "log": log }));
    let (address, served, over) = (process.address("sum-tcp"), AtomicUsize::new(0), Ended::default());
    thread::scope(|scope| {
        let _end = over.at_the_end();
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.has_ended() {
                    assert_eq!(ask(address, &[r#"{"A":1,"B":2}"#]), b"{\"Sum\":3}\n");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let rotation = Rotation::new(&process, directory.path());
        for number in 0..ROTATIONS {
            let before = served.load(Ordering::Relaxed);
            eventually("clients are served", || served.load(Ordering::Relaxed) > before + 5);
            rotation.rotate(number);
        }
    });
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().0.code(), Some(0));

    let names = directory.names().into_iter().filter(|name| name.starts_with("reactor.log"));
    let files: Vec<_> = names.map(|name| directory.contents(&name)).collect();
    assert_eq!(files.len(), ROTATIONS + 1);
    let mut connections = BTreeSet::new();
    for file in &files {
        assert!(file.is_empty() || file.ends_with(b"\n"), "each file ends with a whole line");
        for line in file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).unwrap();
            if line["msg"] == "closed" {
                assert!(connections.insert(line["conn"].to_string()), "{line} is there twice");
            }
        }
    }
    assert_eq!(connections.len(), served.into_inner(), "one line for each client");
}
