//! Relays: what a proxy spends on each request, and on each GiB. HAProxy and socat take part if they are installed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::foreign::{Cores, used};
use super::lab::Lab;
use super::load::load;
use super::pairs::paired;
use super::server::{PINNED, Server};
use super::table::{Column, print};
use crate::failure::{Context as _, Failure, Result, tell};

const CHUNK_BYTES: usize = 1024 * 1024;
/// In each direction: 1 GiB.
const CHUNKS: usize = 1024;
/// The time limit for a proxy to pass on anything.
const STUCK: Duration = Duration::from_secs(10);
/// The time limit for a proxy to listen.
const STARTING: Duration = Duration::from_secs(5);
/// How long a proxy has nothing to do before its time is read, so that it has closed what is closed.
const SETTLING: Duration = Duration::from_millis(50);

/// A program that relays. The first one is the floor, and takes part twice.
#[derive(Clone, Copy)]
enum Kind {
    Reactor,
    Haproxy,
    Socat,
}

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let mut proxies = vec![("examples/relay", Kind::Reactor), ("the same again", Kind::Reactor)];
    for (name, program, kind) in
        [("HAProxy, tcp, one thread", "haproxy", Kind::Haproxy), ("socat, fork", "socat", Kind::Socat)]
    {
        match is_installed(program, kind) {
            true => proxies.push((name, kind)),
            false => tell(format_args!("{program} is not installed, so it does not take part")),
        }
    }
    let names: Vec<_> = proxies.iter().map(|(name, _)| *name).collect();
    let columns = [Column::compared("requests/s", 0), Column::compared("CPU µs/request", 2), Column::load()];
    let rows = paired("sum through a relay, 50 connections", lab.rounds, &names, Cores::All, |index| {
        requests(lab, proxies[index].1)
    })?;
    print("sum through a relay, 64 bytes, one at a time, 50 connections", &columns, &rows)?;
    let columns = [Column::compared("MiB/s", 0), Column::compared("CPU ms/GiB", 0)];
    let rows =
        paired("1 GiB each way through a relay", lab.rounds, &names, Cores::All, |index| bulk(lab, proxies[index].1))?;
    print("1 GiB each way through a relay at the same time, compared byte by byte", &columns, &rows)
}

fn is_installed(program: &str, kind: Kind) -> bool {
    let version = if matches!(kind, Kind::Socat) { "-V" } else { "-v" };
    let run =
        Command::new(program).arg(version).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// The processor time of the proxy includes the time of the children that it has waited for.
fn requests(lab: &Lab, kind: Kind) -> Result<Vec<f64>> {
    let server = Server::under(&[], &lab.reactor(&[("sum", "tcp")])?)?;
    let proxy = Proxy::start(lab, kind, server.address()?)?;
    let url = format!("tcp://{}", proxy.address);
    let found = load(lab, "sum", &url, lab.span, &["-c", "50", "--size", "64"])?;
    let spent = proxy.stop()?;
    if found.errors > 0.0 {
        return Failure::because(format!("{} errors", found.errors));
    }
    Ok(vec![found.rate, 1e6 * spent.as_secs_f64() / found.requests, found.busy])
}

fn bulk(lab: &Lab, kind: Kind) -> Result<Vec<f64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    let target = listener.local_addr().context("there is no free port")?;
    let proxy = Proxy::start(lab, kind, target)?;
    let client = TcpStream::connect(proxy.address).context("cannot connect to the proxy")?;
    let server = connected_with(&client, &listener)?;
    // A receiver that has seen a wrong byte reads no more: its sender must not wait for ever.
    for stream in [&client, &server] {
        let limited = stream.set_read_timeout(Some(STUCK)).and_then(|()| stream.set_write_timeout(Some(STUCK)));
        limited.context("cannot set a timeout")?;
    }
    let since = Instant::now();
    let passed = thread::scope(|scope| {
        let work = [(&client, &server), (&server, &client)].map(|(from, to)| {
            scope.spawn(move || send(from, CHUNKS));
            scope.spawn(move || receive(to, CHUNKS))
        });
        work.into_iter().all(|receiver| receiver.join().is_ok_and(|is_whole| is_whole))
    });
    let took = since.elapsed();
    drop((client, server));
    let spent = proxy.stop()?;
    if !passed {
        return Failure::because("what arrived is not what was sent");
    }
    let mebibytes = (2 * CHUNKS * CHUNK_BYTES / (1024 * 1024)) as f64;
    Ok(vec![mebibytes / took.as_secs_f64(), 1000.0 * spent.as_secs_f64() * 1024.0 / mebibytes])
}

/// Returns the other end of the client's relay. The connection that tried whether the proxy listens may come first.
fn connected_with(mut client: &TcpStream, listener: &TcpListener) -> Result<TcpStream> {
    client.write_all(b"!").context("cannot send to the proxy")?;
    loop {
        let (mut stream, _) = listener.accept().context("the proxy does not connect")?;
        if stream.read(&mut [0]).is_ok_and(|count| count == 1) {
            return Ok(stream);
        }
    }
}

fn chunk() -> Vec<u8> {
    // No period that divides the size of a buffer: bytes that are lost or repeated change what follows.
    (0..CHUNK_BYTES).map(|index| (index % 251) as u8).collect()
}

fn send(mut to: &TcpStream, chunks: usize) {
    let chunk = chunk();
    // If it fails, the receiver misses bytes.
    let _ = (0..chunks).try_for_each(|_| to.write_all(&chunk)).and_then(|()| to.shutdown(Shutdown::Write));
}

/// Whether exactly the chunks arrive, and then a FIN.
fn receive(mut from: &TcpStream, chunks: usize) -> bool {
    let (chunk, mut received) = (chunk(), vec![0; CHUNK_BYTES]);
    let is_whole = (0..chunks).all(|_| from.read_exact(&mut received).is_ok() && received == chunk);
    is_whole && from.read(&mut received).is_ok_and(|count| count == 0)
}

/// A proxy on core 0, ended when it is dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    fn start(lab: &Lab, kind: Kind, target: SocketAddr) -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        // Another program may take the port before the proxy does; then this measurement fails, and nothing else.
        let address = free.context("there is no free port")?;
        let line = match kind {
            Kind::Reactor => lab.relay(address, target)?,
            Kind::Haproxy => haproxy(lab, address, target)?,
            Kind::Socat => socat(address, target),
        };
        let words: Vec<_> = PINNED.iter().copied().chain(line.iter().map(String::as_str)).collect();
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(words[0])?;
        let proxy = Self { child, address };
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            if since.elapsed() > STARTING {
                return Failure::because(format!("{} does not listen", line[0]));
            }
            // Nothing reports that another program listens: connect again.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(proxy)
    }

    /// Ends the proxy. Returns its processor time and the time of its children.
    fn stop(mut self) -> Result<Duration> {
        // Nothing reports that another program has closed its sockets.
        thread::sleep(SETTLING);
        let before = used(UsageWho::RUSAGE_CHILDREN)?;
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).context("cannot stop the proxy")?;
        self.child.wait().context("cannot stop the proxy")?;
        Ok(used(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn haproxy(lab: &Lab, address: SocketAddr, target: SocketAddr) -> Result<Vec<String>> {
    let path = lab.scratch("haproxy.cfg");
    let configuration = format!(
        "global\n  nbthread 1\n  maxconn 1000\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n\
         listen relay\n  bind {address}\n  server one {target}\n"
    );
    fs::write(&path, configuration).context(path.display())?;
    Ok(["haproxy", "-db", "-f", &path.display().to_string()].map(str::to_owned).into())
}

fn socat(address: SocketAddr, target: SocketAddr) -> Vec<String> {
    let listen = format!("TCP-LISTEN:{},bind={},reuseaddr,fork,backlog=1024", address.port(), address.ip());
    ["socat".to_owned(), listen, format!("TCP:{target}")].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(spoil: impl Fn(&mut Vec<u8>) + Send) -> bool {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (receiver, _) = listener.accept().expect("a connection");
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut stream = chunk().repeat(3);
                spoil(&mut stream);
                // The receiver may have seen enough.
                let _ = sender.write_all(&stream);
            });
            let is_whole = receive(&receiver, 3);
            drop(receiver);
            is_whole
        })
    }

    #[test]
    fn a_byte_that_is_lost_repeated_or_changed_is_noticed() {
        assert!(passes(|_| {}));
        assert!(!passes(|stream| stream.truncate(stream.len() - 1)));
        assert!(!passes(|stream| stream.push(0)));
        assert!(!passes(|stream| stream[CHUNK_BYTES + 3] ^= 1));
    }
}
