//! The server on trial: a process that the checker has started, one that it may watch, or only an address.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::asker::Asker;
use crate::client::failure::{Context, Failure, Result};
use crate::client::url::Transport;
use crate::demand::{Need, Scope};
use crate::protocol::Protocol;

/// The time that a server may take to end after its last word, and to refuse a connection when it has ended.
const DYING: Duration = Duration::from_millis(500);
/// The time for the first connection, and for the answer to the first question.
const ANSWER: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes of a line of its standard error that are kept.
const LINE_BYTES_MAX: u64 = 300;

pub(crate) struct Server {
    pid: Option<i32>,
    command: Option<String>,
    pub(crate) started: Option<Rc<Started>>,
}

impl Server {
    pub(crate) fn new(pid: Option<i32>, command: Option<String>) -> Self {
        Self { pid, command, started: None }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.started.as_ref().map(|started| started.pid).or(self.pid)
    }

    /// Whether demands with this need can be tried on it.
    pub(crate) fn allows(&self, need: Need, has_deadlines: bool) -> bool {
        match need {
            Need::Nothing => true,
            Need::Deadlines => has_deadlines,
            Need::Process => self.command.is_some() || self.pid.is_some(),
            Need::Start => self.command.is_some(),
        }
    }

    /// Starts the server again if the checker started it and it has ended, and waits until it listens.
    pub(crate) fn revive(&mut self, address: SocketAddr, scope: &Scope, deadline: Instant) -> Result<()> {
        let Some(command) = &self.command else { return Ok(()) };
        if self.started.as_ref().is_some_and(|started| started.status().is_none()) {
            return Ok(());
        }
        self.started = None;
        let started = Started::new(command).context(format_args!("cannot start {command}"))?;
        while !listens(address, scope) {
            if let Some(status) = started.status() {
                return Failure::because(format!("the server {}", started.death(status)));
            }
            if Instant::now() >= deadline {
                return Failure::because(format!("the server does not listen at {address}"));
            }
            thread::park_timeout(PAUSE);
        }
        self.started = Some(Rc::new(started));
        Ok(())
    }

    /// How the server has ended, in words, if it has: after a miss, which its end may have caused.
    pub(crate) fn death(&self, address: SocketAddr, transport: Transport) -> Option<String> {
        if let Some(started) = &self.started {
            return started.ends_by(Instant::now() + DYING).map(|status| started.death(status));
        }
        if self.pid.is_some_and(has_ended) {
            return Some("has ended".to_owned());
        }
        let refuses = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let is_refused = transport == Transport::Tcp && TcpStream::connect_timeout(&address, DYING).is_err_and(refuses);
        is_refused.then(|| "is not there: no program listens at the address".to_owned())
    }
}

/// Whether the server listens. The connection that shows it asks a question as any client does, because small servers do
/// not expect a client that says nothing.
fn listens(address: SocketAddr, scope: &Scope) -> bool {
    if scope.transport == Transport::Udp {
        let asker = Asker::try_new(address, Instant::now() + ANSWER);
        return asker.is_ok_and(|asker| asker.hears_something().is_ok());
    }
    let Ok(mut stream) = TcpStream::connect_timeout(&address, ANSWER) else { return false };
    if Protocol::STREAMS.contains(&scope.protocol) {
        let question = scope.protocol.question(0);
        let timeout = stream.set_read_timeout(Some(ANSWER));
        // Whether the answer is right is for the demands.
        let _ = timeout.and_then(|()| stream.write_all(&question)).and_then(|()| stream.read(&mut [0; 256]));
    }
    true
}

/// Whether a process of another parent has ended: it is gone, or a zombie (proc_pid_stat(5)).
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    cfg!(target_os = "linux")
        && stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// A server that the checker has started; it is ended when this is dropped.
pub(crate) struct Started {
    child: Mutex<Child>,
    pid: i32,
    /// The last line of its standard error.
    said: Arc<Mutex<String>>,
}

impl Started {
    fn new(command: &str) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = shell.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let said = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || keep_last_line(stderr, &said));
        }
        Ok(Self { child: Mutex::new(child), pid, said })
    }

    /// Its status, if it has ended.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait().ok().flatten()
    }

    /// Waits for its end. Returns `None` if it goes on.
    pub(crate) fn ends_by(&self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            let status = self.status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::park_timeout(PAUSE);
        }
    }

    /// How it has ended, with the last line of its standard error.
    fn death(&self, status: ExitStatus) -> String {
        // The thread that reads it ends after the server does.
        let until = Instant::now() + DYING;
        while Arc::strong_count(&self.said) > 1 && Instant::now() < until {
            thread::park_timeout(PAUSE);
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() { format!("has ended ({status})") } else { format!("has ended ({status}): {said}") }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Reads all that a server says, since a server that writes to a full pipe would wait.
fn keep_last_line(stderr: impl Read, said: &Mutex<String>) {
    let mut stderr = BufReader::new(stderr);
    let mut part = Vec::new();
    let mut is_new = true;
    while stderr.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut part).is_ok_and(|count| count > 0) {
        let text: String = String::from_utf8_lossy(&part).trim().chars().flat_map(char::escape_debug).collect();
        // Of a longer line only the beginning.
        if is_new && !text.is_empty() {
            *said.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
        is_new = part.ends_with(b"\n");
        part.clear();
    }
}
