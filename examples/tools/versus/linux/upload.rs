//! Files of 1 GiB together, to a file system in memory, so that the disk does not decide, and to a disk: one file, then ten at once.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use serde_json::json;

use super::foreign::{Cores, used};
use super::lab::Lab;
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, print};
use crate::failure::{Context as _, Failure, Result, tell};

const MEBIBYTES: usize = 1024;
const CHUNK_BYTES: usize = 1024 * 1024;
const COLUMNS: [Column; 2] = [Column::compared("MiB/s", 0), Column::compared("CPU ms/GiB", 0)];
/// The files that are sent at once in the second table of each file system.
const TOGETHER: usize = 10;
/// The time limit for `nc` to listen.
const STARTING: Duration = Duration::from_secs(5);

/// The program that stores the files, and how.
enum Storer {
    /// A peer, started once for each file: all bytes are contents.
    Peer(Vec<String>),
    /// `nc`, started once for each file, its output redirected to the file.
    Netcat,
    /// The reactor: a name comes first, and a confirmation last.
    Reactor(Vec<String>),
}

/// The servers of one run, and where each file goes.
enum Running {
    Servers(Vec<Server>),
    Netcats(Vec<Netcat>),
}

/// `nc`, which does not listen on after an error of ours.
struct Netcat(Child);

impl Drop for Netcat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let memory = Directory::in_memory()?;
    table(lab, &memory, 1)?;
    table(lab, &memory, TOGETHER)?;
    drop(memory);
    match Directory::on_disk(lab)? {
        Some(disk) => {
            table(lab, &disk, 1)?;
            table(lab, &disk, TOGETHER)
        }
        None => {
            tell(format_args!("files to a disk are not measured: TMPDIR is in memory"));
            Ok(())
        }
    }
}

fn table(lab: &Lab, directory: &Directory, count: usize) -> Result<()> {
    let peer = |arguments: &[&str]| Storer::Peer(lab.peer(arguments));
    let copy = |buffer: &str| peer(&["copy", "--buffer", buffer]);
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
        ("splice", peer(&["splice"])),
        ("nc -l > file", Storer::Netcat),
        ("reactor", Storer::Reactor(reactor)),
    ];
    let names: Vec<_> = storers.iter().map(|(name, _)| *name).collect();
    let files = match count {
        1 => "A file of 1 GiB".to_owned(),
        _ => format!("{count} files at once, 1 GiB together,"),
    };
    let title = format!("{files} to {}, the server on both cores", directory.what);
    // Without this the first file would pay for the memory of all.
    store(&storers[0].1, directory, count)?;
    let rows = paired(&title, lab.rounds, &names, Cores::All, |index| store(&storers[index].1, directory, count))?;
    print(&title, &COLUMNS, &rows)
}

/// Starts new servers for each run: the processor time of an ended child includes all its threads.
fn store(storer: &Storer, directory: &Directory, count: usize) -> Result<Vec<f64>> {
    let before = used(UsageWho::RUSAGE_CHILDREN)?;
    let mebibytes = MEBIBYTES / count;
    let (running, addresses) = start(storer, directory, count)?;
    let is_named = matches!(storer, Storer::Reactor(_));
    let took = send_all(&addresses, mebibytes, is_named)?;
    match running {
        Running::Servers(servers) => servers.into_iter().try_for_each(Server::stop)?,
        Running::Netcats(children) => {
            for mut child in children {
                child.0.wait().context("nc")?;
            }
        }
    }
    let spent = used(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before);
    for number in 0..count {
        let file = directory.file(number);
        let stored = fs::metadata(&file).context("nothing was stored")?.len();
        if stored != (mebibytes * CHUNK_BYTES) as u64 {
            return Failure::because(format!("only {stored} bytes were stored"));
        }
        fs::remove_file(file).context("nothing was stored")?;
    }
    let gibibytes = (mebibytes * count) as f64 / 1024.0;
    Ok(vec![gibibytes * 1024.0 / took.as_secs_f64(), spent.as_secs_f64() * 1000.0 / gibibytes])
}

/// Starts what stores `count` files. Returns the address for each of them, too.
fn start(storer: &Storer, directory: &Directory, count: usize) -> Result<(Running, Vec<SocketAddr>)> {
    let (mut servers, mut children, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let file = directory.file(number);
        match storer {
            Storer::Peer(line) => {
                let line: Vec<_> = line.iter().cloned().chain([file.display().to_string()]).collect();
                servers.push(Server::under(&[], &line)?);
                addresses.push(servers[number].address()?);
            }
            Storer::Reactor(line) => {
                if number == 0 {
                    servers.push(Server::under(&[], line)?);
                }
                addresses.push(servers[0].address()?);
            }
            Storer::Netcat => {
                let port = free_port()?;
                children.push(netcat(port, &file)?);
                addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            }
        }
    }
    let running = if children.is_empty() { Running::Servers(servers) } else { Running::Netcats(children) };
    Ok((running, addresses))
}

fn netcat(port: u16, file: &Path) -> Result<Netcat> {
    let output = File::create(file).context(file.display())?;
    let mut nc = Command::new("nc");
    nc.args(["-l", "127.0.0.1", &port.to_string()]);
    nc.stdin(Stdio::null()).stdout(output).spawn().map(Netcat).context("nc")
}

/// Another program may take the port before `nc` does; then this measurement fails, and nothing else.
fn free_port() -> Result<u16> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(address.context("there is no free port")?.port())
}

/// `nc` does not report that it listens.
fn connect_when_possible(address: SocketAddr) -> Result<TcpStream> {
    let since = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && since.elapsed() < STARTING => {
                thread::sleep(Duration::from_millis(1));
            }
            result => return result.context("cannot connect"),
        }
    }
}

/// Sends a file to each address at once. Returns the time until the servers had closed the last connection.
fn send_all(addresses: &[SocketAddr], mebibytes: usize, is_named: bool) -> Result<Duration> {
    let streams: Vec<_> = addresses.iter().map(|address| connect_when_possible(*address)).collect::<Result<_>>()?;
    let since = Instant::now();
    thread::scope(|scope| {
        let send = |(number, stream)| scope.spawn(move || send(stream, mebibytes, is_named.then_some(number)));
        let sending: Vec<_> = (0..).zip(streams).map(send).collect();
        sending.into_iter().try_for_each(|sent| sent.join().unwrap_or_else(|_| Failure::because("the client panicked")))
    })?;
    Ok(since.elapsed())
}

/// Sends a file, with its number as the name if it has one, and waits until the server has closed.
fn send(mut stream: TcpStream, mebibytes: usize, number: Option<usize>) -> Result<()> {
    let chunk = vec![b'x'; CHUNK_BYTES];
    let mut answer = String::new();
    let sent = (|| {
        if let Some(number) = number {
            stream.write_all(format!("{number}\n").as_bytes())?;
        }
        for _ in 0..mebibytes {
            stream.write_all(&chunk)?;
        }
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_string(&mut answer)
    })();
    sent.context("cannot send the file")?;
    if number.is_some() && !answer.contains("saved") {
        return Failure::because(format!("the file was not confirmed: {answer:?}"));
    }
    Ok(())
}

/// A directory for the files, removed when it is dropped.
struct Directory {
    path: PathBuf,
    /// What it is on, for the title.
    what: String,
    is_mounted: bool,
}

impl Directory {
    /// A separate file system with huge pages, if mounting is allowed: on a virtual machine the first touch of a page
    /// can take longer than everything else here, and huge pages are five hundred times fewer.
    fn in_memory() -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/versus-{}", process::id()));
        fs::create_dir(&path).context(path.display())?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "huge=always,size=2g", "versus"])
            .arg(&path)
            .stderr(Stdio::null())
            .status();
        let is_mounted = mount.is_ok_and(|status| status.success());
        let pages = if is_mounted { "huge pages" } else { "small pages, since mounting is not allowed" };
        Ok(Self { path, what: format!("memory ({pages})"), is_mounted })
    }

    /// A directory in that for temporary files (`TMPDIR`), unless that is in memory.
    fn on_disk(lab: &Lab) -> Result<Option<Self>> {
        let path = lab.scratch("files");
        fs::create_dir(&path).context(path.display())?;
        let asked = Command::new("stat").args(["--file-system", "--format=%T"]).arg(&path).output().context("stat")?;
        let kind = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        let is_in_memory = matches!(&*kind, "tmpfs" | "ramfs");
        let directory = Self { path, what: format!("a disk ({kind}), synced"), is_mounted: false };
        Ok(Some(directory).filter(|_| !is_in_memory))
    }

    fn file(&self, number: usize) -> PathBuf {
        self.path.join(number.to_string())
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
