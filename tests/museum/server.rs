//! Servers in their own processes: pieces of the museum, and the real one.

use std::io::{BufRead, BufReader, Read, sink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::{env, fs, thread};

/// What happens to the output of a server after it has printed its address.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Output {
    Read,
    /// Until the pipe is full.
    Unread,
}

/// A running server, ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Its protocol and its address.
    spoken: [String; 2],
    /// The read ends of pipes that are not read. Without them a write would fail with EPIPE.
    _pipes: (Option<BufReader<ChildStdout>>, Option<ChildStderr>),
    /// Collects its stderr, which is shown if the test fails.
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// A piece of the museum.
    #[track_caller]
    pub(crate) fn start(piece: &str, output: Output) -> Self {
        Self::spawn(Command::new(program("broken")).args([piece, "0"]), output)
    }

    /// The real server, which logs more than a full pipe takes.
    #[track_caller]
    pub(crate) fn real(protocol: &str, scheme: &str, output: Output) -> Self {
        let listen = format!("{protocol}={scheme}://127.0.0.1:0");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
        Self::spawn(command.args(["--listen", &listen]).env("RUST_LOG", "debug"), output)
    }

    /// The real file server. Its files are in `received`.
    #[track_caller]
    pub(crate) fn of_files(protocol: &str, directory: &Path, existing: &str) -> Self {
        let options = format!(r#"{{"directory": "received", "existing": "{existing}"}}"#);
        let listener = format!(r#"{{"listen": "tcp://127.0.0.1:0", "protocol": "{protocol}", "options": {options}}}"#);
        fs::write(directory.join("reactor.json"), format!(r#"{{"listeners": [{listener}]}}"#)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
        Self::spawn(command.args(["-c", "reactor.json"]).current_dir(directory), Output::Read)
    }

    #[track_caller]
    pub(crate) fn spawn(command: &mut Command, output: Output) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace().rev();
        let [url, protocol] = [words.next(), words.next()].map(|word| word.unwrap().to_owned());
        let mut stderr = child.stderr.take().unwrap();
        let (pipes, log) = if output == Output::Read {
            thread::spawn(move || std::io::copy(&mut stdout, &mut sink()).unwrap());
            let collect = move || {
                let mut log = Vec::new();
                stderr.read_to_end(&mut log).unwrap();
                String::from_utf8_lossy(&log).into_owned()
            };
            ((None, None), Some(thread::spawn(collect)))
        } else {
            ((Some(stdout), Some(stderr)), None)
        };
        Self { child, spoken: [protocol, url], _pipes: pipes, log }
    }

    pub(crate) fn spoken(&self) -> [&str; 2] {
        self.spoken.each_ref().map(String::as_str)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended, which a client has noticed already; returns its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(Ok(log)) = self.log.take().map(JoinHandle::join)
            && thread::panicking()
        {
            eprintln!("the log of the server:\n{log}");
        }
    }
}

/// The program of an example. Examples are built here, because `cargo test --test museum` alone builds none.
pub(crate) fn program(example: &str) -> PathBuf {
    static BUILT: LazyLock<()> = LazyLock::new(build);
    LazyLock::force(&BUILT);
    programs().join("examples").join(example)
}

/// Where cargo puts the programs of this package.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_reactor")).parent().unwrap()
}

fn build() {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--example", "broken", "--example", "check", "--example", "steps", "--target-dir"]);
    cargo.arg(programs().parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if programs().ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "the examples do not build");
}
