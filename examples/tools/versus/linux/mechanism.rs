//! The mechanism alone: the server's turn, without a client that runs at the same time.
//!
//! One thread is both sides. It sends a request by each of N clients, then the clock of the thread runs while the server
//! takes its turn, then the clients read and compare. So the server never waits, always finds N sockets ready, and
//! nothing else runs on its clock. The bare loop and the reactor run as libraries in the same process.

#[path = "../../peers/linux/answer.rs"]
mod answer;
#[path = "../../peers/linux/bare.rs"]
mod bare;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bare::Bare;
use nix::sys::epoll::EpollTimeout;
use nix::time::ClockId;
use reactor::{Config, Reactor, Registry};
use serde_json::json;
use socket2::SockRef;

use super::lab::Lab;
use super::table::{markdown, range, say, spread};
use crate::failure::{Context as _, Failure, Result, tell};

/// Clients that have sent when the server's turn begins.
const READY: [usize; 4] = [1, 8, 50, 1000];
const REQUEST_BYTES: usize = 64;
/// Requests of a repeat, if they are enough for the least number of turns.
const REQUESTS: usize = 20_000;
const TURNS_MIN: usize = 40;
/// Turns at the start that are not measured: connections are accepted, caches filled.
const WARM_UP_TURNS: usize = 20;
/// Connections that wait at the same time to be accepted.
const ACCEPT_MAX: usize = 100;
/// A server that has not answered after this number of turns never will.
const PATIENCE: usize = 1000;

/// A server that takes its turn when this program calls it.
trait Serve {
    /// Handles the events that have happened, without waiting.
    fn turn(&mut self) -> Result<()>;
}

struct Floor<A> {
    bare: Bare,
    answer: A,
    /// Kept open.
    _listener: TcpListener,
}

impl<A: Fn(&mut [u8]) -> usize> Serve for Floor<A> {
    fn turn(&mut self) -> Result<()> {
        self.bare.turn(EpollTimeout::ZERO, &self.answer).context("the bare loop failed")
    }
}

impl Serve for Reactor {
    fn turn(&mut self) -> Result<()> {
        Self::turn(self, Some(Duration::ZERO)).context("the reactor failed")?;
        Ok(())
    }
}

/// A server with its clients.
struct Contender {
    name: &'static str,
    server: Box<dyn Serve>,
    clients: Vec<Client>,
    /// Nanoseconds of a request: the tenth percentile of each repeat.
    repeats: Vec<f64>,
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    for protocol in ["uppercase", "sum"] {
        let mut lines = vec![HEADING.map(str::to_owned).to_vec()];
        for ready in READY {
            let mut contenders = contenders(protocol, ready)?;
            for repeat in 0..lab.rounds {
                tell(format_args!("the turn of {protocol}, {ready} ready: repeat {} of {}", repeat + 1, lab.rounds));
                let mut order: Vec<_> = contenders.iter_mut().collect();
                if repeat % 2 == 1 {
                    order.reverse();
                }
                order.into_iter().try_for_each(Contender::repeat)?;
            }
            let (floor, _) = contenders.split_first().ok_or("nothing was measured").context(protocol)?;
            lines.extend(contenders.iter().map(|contender| contender.line(ready, floor)));
        }
        let title =
            format!("The server's turn alone: {protocol}, {REQUEST_BYTES} bytes, clients and server on one thread");
        say(&format!("\n### {title}\n\n{}", markdown(&lines).trim_end()))?;
    }
    Ok(())
}

const HEADING: [&str; 6] = ["", "ready", "ns/request", "ratio", "ratio in each repeat", "repeat spread %"];

fn contenders(protocol: &'static str, ready: usize) -> Result<[Contender; 3]> {
    let floor = |name| {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        // Inherited by its connections.
        SockRef::from(&listener).set_tcp_nodelay(true).context("cannot set an option")?;
        let address = listener.local_addr().context("cannot listen")?;
        let bare = Bare::new(&listener).context("cannot poll")?;
        let server: Box<dyn Serve> = match protocol {
            "sum" => Box::new(Floor { bare, answer: |bytes: &mut [u8]| answer::sums(bytes), _listener: listener }),
            _ => Box::new(Floor { bare, answer: |bytes: &mut [u8]| answer::uppercase(bytes), _listener: listener }),
        };
        Contender::new(name, protocol, server, address, ready)
    };
    let registry = Registry::built_in();
    let config = json!({
        "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": protocol }],
        "limits": { "max_connections": 20_000, "idle_timeout": "10m" },
    });
    let config = Config::parse("versus", &config.to_string(), &registry).context("the configuration is wrong")?;
    let reactor = Reactor::bind(&config, &registry).context("cannot listen")?;
    let address = reactor.endpoints()[0].address().expect("TCP");
    Ok([
        floor("bare epoll")?,
        floor("the same again")?,
        Contender::new("reactor", protocol, Box::new(reactor), address, ready)?,
    ])
}

impl Contender {
    /// Connects the clients.
    fn new(
        name: &'static str,
        protocol: &str,
        mut server: Box<dyn Serve>,
        address: SocketAddr,
        ready: usize,
    ) -> Result<Self> {
        let mut clients = Vec::new();
        for index in 0..ready {
            clients.push(Client::connect(protocol, address, index)?);
            if index % ACCEPT_MAX == 0 {
                server.turn()?;
            }
        }
        let mut contender = Self { name, server, clients, repeats: Vec::new() };
        for _ in 0..WARM_UP_TURNS {
            contender.turn()?;
        }
        Ok(contender)
    }

    fn repeat(&mut self) -> Result<()> {
        let turns = (REQUESTS / self.clients.len()).max(TURNS_MIN);
        let times: Result<Vec<_>> = (0..turns).map(|_| self.turn()).collect();
        self.repeats.push(tenth_percentile(times?).as_nanos() as f64 / self.clients.len() as f64);
        Ok(())
    }

    /// Returns the processor time in which the server answers a request of each client.
    fn turn(&mut self) -> Result<Duration> {
        for client in &mut self.clients {
            client.stream.write_all(&client.request).context("cannot send")?;
        }
        let mut used = Duration::ZERO;
        let mut answered = 0;
        for _ in 0..PATIENCE {
            let before = thread_time()?;
            self.server.turn()?;
            used += thread_time()?.saturating_sub(before);
            while answered < self.clients.len() && self.clients[answered].hears()? {
                answered += 1;
            }
            if answered == self.clients.len() {
                return Ok(used);
            }
        }
        Failure::because(format!("{} does not answer", self.name))
    }

    fn line(&self, ready: usize, floor: &Self) -> Vec<String> {
        let own = least(&self.repeats);
        let ratios: Vec<_> = self.repeats.iter().zip(&floor.repeats).map(|(own, floor)| own / floor).collect();
        vec![
            self.name.to_owned(),
            ready.to_string(),
            format!("{own:.0}"),
            format!("{:.3}", own / least(&floor.repeats)),
            spread(ratios, 3),
            format!("{:.1}", 100.0 * repeat_spread(&self.repeats)),
        ]
    }
}

impl Client {
    fn connect(protocol: &str, address: SocketAddr, index: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        let (request, answer) = if protocol == "sum" { sum(index) } else { uppercase(index) };
        Ok(Self { stream: stream.context("cannot connect")?, request, answer })
    }

    /// Reads the answer. Returns whether it has come.
    fn hears(&mut self) -> Result<bool> {
        let mut room = [0; 2 * REQUEST_BYTES];
        match self.stream.read(&mut room) {
            Ok(length) if room[..length] == self.answer => Ok(true),
            Ok(_) => Failure::because("a wrong answer"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("no answer"),
        }
    }
}

/// A request that differs from those of other clients, and its answer.
fn sum(index: usize) -> (Vec<u8>, Vec<u8>) {
    let start = format!(r#"{{"A":{},"B":7"#, 1_000_000 + index);
    let request = format!("{start:<width$}}}", width = REQUEST_BYTES - 1);
    (request.into_bytes(), format!("{{\"Sum\":{}}}\n", 1_000_007 + index).into_bytes())
}

fn uppercase(index: usize) -> (Vec<u8>, Vec<u8>) {
    let line =
        format!("{:<width$}\n", format!("how vexingly quick daft zebras jump, {index}"), width = REQUEST_BYTES - 1);
    let answer = line.to_ascii_uppercase();
    (line.into_bytes(), answer.into_bytes())
}

fn thread_time() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("cannot read the clock of the thread")?.into())
}

/// The time that a tenth of the turns do not exceed: an interrupt makes some turns longer, but none shorter.
fn tenth_percentile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 10]
}

fn least(repeats: &[f64]) -> f64 {
    range(repeats).0
}

/// How far the figure repeats: the least of the even repeats and the least of the odd ones, apart by this part of the
/// smaller one.
fn repeat_spread(repeats: &[f64]) -> f64 {
    let half = |first: usize| least(&repeats.iter().skip(first).step_by(2).copied().collect::<Vec<_>>());
    let (even, odd) = (half(0), half(1));
    even.max(odd) / even.min(odd) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contender_answers_every_client_and_its_turn_takes_time() {
        for protocol in ["uppercase", "sum"] {
            let Ok(contenders) = contenders(protocol, 3) else { panic!("{protocol}: a server does not answer") };
            for mut contender in contenders {
                assert!(contender.turn().is_ok_and(|used| used > Duration::ZERO), "{protocol} {}", contender.name);
            }
        }
    }

    #[test]
    fn interrupts_do_not_change_the_figure_of_a_repeat() {
        let quiet: Vec<_> = (100..120).map(Duration::from_nanos).collect();
        let disturbed: Vec<_> = quiet.iter().enumerate().map(|(index, time)| *time * (1 + index as u32 / 3)).collect();
        assert_eq!(tenth_percentile(quiet), Duration::from_nanos(102));
        assert_eq!(tenth_percentile(disturbed), Duration::from_nanos(102));
    }

    #[test]
    fn the_repeat_spread_compares_the_least_of_both_halves() {
        assert_eq!(repeat_spread(&[100.0, 150.0, 300.0, 103.0]), 103.0 / 100.0 - 1.0);
    }

    #[test]
    fn requests_of_clients_differ_and_have_the_same_length() {
        for make in [sum, uppercase] {
            let ((first, answer), (second, other)) = (make(0), make(999));
            assert_eq!((first.len(), second.len()), (REQUEST_BYTES, REQUEST_BYTES));
            assert!(first != second && answer != other);
        }
    }
}
