//! How the members of a chat come together before the clock starts.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use mio::Events;
use socket2::{Domain, Socket, Type};

use crate::chat::Member;
use crate::client::failure::{Context as _, Failure, Result};
use crate::client::url::Address;
use crate::client::wait::{after, is_past, wait};
use crate::engine::Engine;
use crate::lines::{ENTERED, Line, name};
use crate::link::Link;
use crate::options::Cli;
use crate::printable::printable;
use crate::room::Room;
use crate::tally::{Fault, Kind};
use crate::targets::Target;

const READ_BYTES: usize = 64 * 1024;

/// Room for the bytes that a deaf member does not read, so that the server has to keep them: a few segments, which are short, so
/// that the kernel of the server has little room as well (`tcp(7)`: `TCP_MAXSEG`).
const DEAF_BUFFER_BYTES: usize = 4096;
const DEAF_SEGMENT_BYTES: u32 = 500;

/// Members that never read. They enter first, so they get every line.
pub(crate) fn deaf(cli: &Cli, target: &Target, room: &Room) -> Result<Vec<TcpStream>> {
    let inet = match target.address(0) {
        Address::Inet(inet) => *inet,
        Address::Unix(_) if cli.readers() == cli.connections as usize => return Ok(Vec::new()),
        Address::Unix(_) => {
            return Err(std::io::Error::from(std::io::ErrorKind::Unsupported)).context("--deaf needs TCP");
        }
    };
    let join = |index| {
        let socket = Socket::new(Domain::for_address(inet), Type::STREAM, None)?;
        socket.set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
        socket.set_tcp_mss(DEAF_SEGMENT_BYTES)?;
        socket.connect_timeout(&inet.into(), cli.timeout())?;
        socket.set_read_timeout(Some(cli.timeout()))?;
        let mut stream = TcpStream::from(socket);
        let name = name(&room.prefix, index);
        stream.write_all(format!("{name}\n").as_bytes())?;
        let entered = [name.as_bytes(), ENTERED].concat();
        for line in BufReader::with_capacity(DEAF_SEGMENT_BYTES as usize, &stream).split(b'\n') {
            if line? == entered {
                return Ok(stream);
            }
        }
        Err(std::io::ErrorKind::UnexpectedEof.into())
    };
    let joined: std::io::Result<_> = (cli.readers()..cli.connections as usize).map(join).collect();
    joined.context("a member that never reads cannot enter the chat")
}

/// Members that read. Returns them once each has got the names of all that came after it: what comes from then on are lines that
/// they say.
pub(crate) fn readers(cli: &Cli, engine: &mut Engine, target: &Target, room: &Rc<Room>) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for index in 0..cli.readers() {
        members.push(Member::new(Link::made(cli, engine, index, target)?, room, index));
    }
    let count = members.len() as u64;
    let mut entry = Entry { entered: 0, seen: 0, buffer: vec![0; READ_BYTES] };
    // The wait of the connections after it may have taken its events.
    for (index, member) in members.iter_mut().enumerate() {
        entry.turn(index, member)?;
    }
    let mut events = Events::with_capacity(1024);
    let (mut progress, mut deadline) = ((0, 0), after(cli.timeout()));
    while entry.entered < count || entry.seen < count * (count - 1) / 2 {
        if progress != (entry.entered, entry.seen) {
            progress = (entry.entered, entry.seen);
            deadline = after(cli.timeout());
        } else if is_past(deadline) {
            let text = format!("only {} of {count} members could enter the chat: no line comes", entry.entered);
            return Failure::because(text);
        }
        wait(engine.poll(), &mut events, deadline.min(after(Duration::from_secs(1)))).context("cannot wait")?;
        for event in &events {
            if let Some(member) = members.get_mut(event.token().0) {
                entry.turn(event.token().0, member)?;
            }
        }
    }
    Ok(members)
}

/// How far the members have come.
struct Entry {
    /// Members that are in the room.
    entered: u64,
    /// How often a member has got the name of one that came later, or has missed it.
    seen: u64,
    buffer: Vec<u8>,
}

impl Entry {
    fn turn(&mut self, index: usize, member: &mut Member) -> Result<()> {
        let Self { entered, seen, buffer } = self;
        let turn = member.enter(buffer, |line, text| {
            match line {
                Line::Entered(other) if other == index => *entered += 1,
                Line::Entered(_) => *seen += 1,
                Line::Missed(count) => *seen += count,
                Line::News => {}
                Line::Other if text.starts_with(b"What is your name") => {}
                Line::Said { .. } | Line::Refused | Line::Other => {
                    return Err(Fault::new(Kind::Refused, format!("the server answered: {}", printable(text))));
                }
            }
            Ok(())
        });
        turn.or_else(|fault| Failure::because(format!("a member cannot enter the chat: {}", fault.text)))
    }
}
