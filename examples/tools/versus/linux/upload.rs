//! A file of 1 GiB to a file system in memory, so that the disk does not decide.

use std::fs;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use serde_json::json;

use super::foreign::{Cores, used};
use super::lab::Lab;
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, print};
use crate::failure::{Context as _, Failure, Result};

const MEBIBYTES: usize = 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
const COLUMNS: [Column; 2] = [Column::compared("MiB/s", 0), Column::compared("CPU ms/GiB", 0)];
/// The time limit for `nc` to listen.
const STARTING: Duration = Duration::from_secs(5);

/// The program that stores the file, and how.
enum Storer {
    /// A peer: all bytes are contents.
    Peer(Vec<String>),
    /// `nc`, its output redirected to the file.
    Netcat,
    /// The reactor: a name comes first, and a confirmation last.
    Reactor(Vec<String>),
}

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let directory = Directory::new()?;
    let file = directory.file().display().to_string();
    let copy = |buffer: &str| Storer::Peer(lab.peer(&["copy", "--buffer", buffer, &file]));
    let reactor = lab.configured(&json!({ "listeners": [{
        "listen": "tcp://127.0.0.1:0",
        "protocol": "file",
        "options": { "directory": directory.path },
    }]}))?;
    let storers = [
        ("copy, 256 KiB", copy("262144")),
        ("the same again", copy("262144")),
        ("copy, 64 KiB", copy("65536")),
        ("copy, 1 MiB", copy("1048576")),
        ("splice", Storer::Peer(lab.peer(&["splice", &file]))),
        ("nc -l > file", Storer::Netcat),
        ("reactor", Storer::Reactor(reactor)),
    ];
    let names: Vec<_> = storers.iter().map(|(name, _)| *name).collect();
    // Without this the first file would pay for the memory of all.
    store(&storers[0].1, &directory)?;
    fs::remove_file(directory.file()).context("nothing was stored")?;
    let title = format!("A file of 1 GiB to memory ({}), the server on both cores", directory.pages());
    let rows = paired(&title, lab.rounds, &names, Cores::All, |index| {
        let sample = store(&storers[index].1, &directory);
        fs::remove_file(directory.file()).context("nothing was stored")?;
        sample
    })?;
    print(&title, &COLUMNS, &rows)
}

/// Starts a new server for each file: the processor time of an ended child includes all its threads.
fn store(storer: &Storer, directory: &Directory) -> Result<Vec<f64>> {
    let before = used(UsageWho::RUSAGE_CHILDREN)?;
    let took = match storer {
        Storer::Peer(line) | Storer::Reactor(line) => {
            let server = Server::under(&[], line)?;
            let stream = TcpStream::connect(server.address()?).context("cannot connect")?;
            let took = send(stream, matches!(storer, Storer::Reactor(_)))?;
            server.stop()?;
            took
        }
        Storer::Netcat => netcat(&directory.file())?,
    };
    let spent = used(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before);
    let stored = fs::metadata(directory.file()).context("nothing was stored")?.len();
    if stored != (MEBIBYTES * CHUNK_BYTES) as u64 {
        return Failure::because(format!("only {stored} bytes were stored"));
    }
    Ok(vec![MEBIBYTES as f64 / took.as_secs_f64(), spent.as_secs_f64() * 1000.0])
}

fn netcat(file: &Path) -> Result<Duration> {
    let port = free_port()?;
    let mut child = Command::new("nc")
        .args(["-l", "127.0.0.1", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(File::create(file).context(file.display())?)
        .spawn()
        .context("nc")?;
    let took = connect_when_possible(port).and_then(|stream| send(stream, false));
    if took.is_err() {
        let _ = child.kill();
    }
    child.wait().context("nc")?;
    took
}

/// Another program may take the port before `nc` does; then this measurement fails, and nothing else.
fn free_port() -> Result<u16> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(address.context("there is no free port")?.port())
}

fn connect_when_possible(port: u16) -> Result<TcpStream> {
    let since = Instant::now();
    loop {
        match TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && since.elapsed() < STARTING => {
                // `nc` does not report that it listens.
                thread::sleep(Duration::from_millis(1));
            }
            result => return result.context("cannot connect to nc"),
        }
    }
}

/// Sends the file, and returns how long it took until the server closed.
fn send(mut stream: TcpStream, is_named: bool) -> Result<Duration> {
    let chunk = vec![b'x'; CHUNK_BYTES];
    let since = Instant::now();
    let mut answer = String::new();
    let sent = (|| {
        if is_named {
            stream.write_all(b"file\n")?;
        }
        for _ in 0..MEBIBYTES {
            stream.write_all(&chunk)?;
        }
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_string(&mut answer)
    })();
    sent.context("cannot send the file")?;
    let took = since.elapsed();
    if is_named && !answer.contains("saved") {
        return Failure::because(format!("the file was not confirmed: {answer:?}"));
    }
    Ok(took)
}

/// A directory in memory, removed when it is dropped.
struct Directory {
    path: PathBuf,
    is_mounted: bool,
}

impl Directory {
    /// A separate file system with huge pages, if mounting is allowed: on a virtual machine the first touch of a page
    /// can take longer than everything else here, and huge pages are five hundred times fewer.
    fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/versus-{}", process::id()));
        fs::create_dir(&path).context(path.display())?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "huge=always,size=2g", "versus"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        Ok(Self { path, is_mounted: mount.is_ok_and(|status| status.success()) })
    }

    fn file(&self) -> PathBuf {
        self.path.join("file")
    }

    fn pages(&self) -> &'static str {
        if self.is_mounted { "huge pages" } else { "small pages, since mounting is not allowed" }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}
