//! The programs, a directory for their files, and the length of a measurement.

use std::cell::Cell;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Context as _, Failure, Result};

pub(crate) struct Lab {
    pub(crate) rounds: u32,
    pub(crate) span: Duration,
    pub(crate) reactor: PathBuf,
    pub(crate) load: PathBuf,
    peers: PathBuf,
    chat: PathBuf,
    relay: PathBuf,
    scratch: PathBuf,
    /// The number of configuration files so far.
    configurations: Cell<u32>,
}

impl Lab {
    pub(crate) fn new(rounds: u32, span: Duration) -> Result<Self> {
        build()?;
        let versus = env::current_exe().context("cannot find the programs")?;
        let examples = versus.parent().unwrap_or_else(|| Path::new("."));
        let scratch = env::temp_dir().join(format!("versus-{}", process::id()));
        fs::create_dir(&scratch).context(scratch.display())?;
        let lab = Self {
            rounds,
            span,
            reactor: examples.with_file_name("reactor"),
            load: examples.join("load"),
            peers: examples.join("peers"),
            chat: examples.join("chat"),
            relay: examples.join("relay"),
            scratch,
            configurations: Cell::new(0),
        };
        for program in [&lab.reactor, &lab.load, &lab.peers, &lab.chat, &lab.relay] {
            if !program.exists() {
                let how = "cargo build --release --all-targets";
                return Failure::because(format!("{} is missing: {how}", program.display()));
            }
        }
        Ok(lab)
    }

    /// The command line of a peer.
    pub(crate) fn peer(&self, arguments: &[&str]) -> Vec<String> {
        let words = arguments.iter().map(|word| (*word).to_owned());
        [self.peers.display().to_string()].into_iter().chain(words).collect()
    }

    /// The command line of a reactor with these listeners. Its limits are the default ones, except two that would
    /// refuse the load: max_connections_per_ip and idle_timeout.
    pub(crate) fn reactor(&self, listeners: &[(&str, &str)]) -> Result<Vec<String>> {
        let directory = self.scratch.join("received");
        let listeners: Vec<_> = listeners
            .iter()
            .map(|(protocol, scheme)| {
                let options = if protocol.starts_with("file") { json!({ "directory": directory }) } else { json!({}) };
                json!({ "listen": format!("{scheme}://127.0.0.1:0"), "protocol": protocol, "options": options })
            })
            .collect();
        self.configured(&json!({
            "listeners": listeners,
            "limits": { "max_connections": 20_000, "idle_timeout": "10m" },
        }))
    }

    /// The command line of a reactor with this configuration.
    pub(crate) fn configured(&self, config: &Value) -> Result<Vec<String>> {
        self.program(&self.reactor, config)
    }

    /// The command line of the chat with this configuration.
    pub(crate) fn chat(&self, config: &Value) -> Result<Vec<String>> {
        self.program(&self.chat, config)
    }

    fn program(&self, program: &Path, config: &Value) -> Result<Vec<String>> {
        let number = self.configurations.replace(self.configurations.get() + 1);
        let path = self.scratch.join(format!("{number}.json"));
        fs::write(&path, config.to_string()).context(path.display())?;
        Ok(vec![program.display().to_string(), "-c".to_owned(), path.display().to_string()])
    }

    /// The command line of `examples/relay` from one address to another.
    pub(crate) fn relay(&self, from: SocketAddr, to: SocketAddr) -> Result<Vec<String>> {
        let listener = json!({
            "listen": format!("tcp://{from}"),
            "protocol": "relay",
            "options": { "targets": [to.to_string()] },
        });
        self.program(&self.relay, &json!({ "listeners": [listener] }))
    }

    /// A file that is removed at the end.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Left-over files there disturb no other program.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Under `cargo run` all programs are brought up to date. The reactor is built on its own, as a user would: the
/// examples change the features of some of its dependencies.
fn build() -> Result<()> {
    let Some(cargo) = env::var_os("CARGO") else { return Ok(()) };
    for what in
        [&["--bins"][..], &["--example", "load", "--example", "peers", "--example", "chat", "--example", "relay"]]
    {
        let status = Command::new(&cargo).args(["build", "--release", "--quiet"]).args(what).status();
        if !status.context("cannot run cargo")?.success() {
            return Failure::because("the programs cannot be built");
        }
    }
    Ok(())
}
