//! The chat of `examples/chat.rs` with one room, in tokio: a broadcast channel, and two tasks for each connection on one thread.
//!
//! The task that writes waits for the channel alone, so that a line wakes it once. It takes all lines that have arrived, and
//! writes them in one go. The tasks share one buffer, which no task holds while it waits.

use std::cell::RefCell;
use std::io;
use std::net;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError, error::TryRecvError};

/// Lines that a member may be behind, as many of 64 bytes as the 256 KiB of `max_pending_output`.
const LINES_MAX: usize = 4096;
/// Bytes of a request line that are kept at first.
const LINE_BYTES: usize = 512;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A line for all members.
#[derive(Clone)]
struct Line {
    /// The member that does not get it.
    from: u64,
    text: Arc<[u8]>,
}

/// No member.
const NONE: u64 = u64::MAX;

pub(crate) fn serve(listener: net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        let (room, _) = broadcast::channel(LINES_MAX);
        for member in 0.. {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(converse(stream, member, room.clone()));
        }
        Ok(())
    })
}

async fn converse(mut stream: TcpStream, member: u64, room: Sender<Line>) -> io::Result<()> {
    stream.write_all(b"What is your name?\n").await?;
    let (input, output) = stream.into_split();
    let mut input = BufReader::with_capacity(LINE_BYTES, input);
    let mut line = Vec::with_capacity(LINE_BYTES);
    if input.read_until(b'\n', &mut line).await? == 0 {
        return Ok(());
    }
    let name = line.trim_ascii_end().to_owned();
    let say = |from, parts: &[&[u8]]| {
        // It fails if there is no member.
        let _ = room.send(Line { from, text: parts.concat().into() });
    };
    let writer = tokio::spawn(write(output, member, room.subscribe()));
    say(NONE, &[&name, b" is in hall\n"]);
    let ended = loop {
        line.clear();
        match input.read_until(b'\n', &mut line).await {
            Ok(1..) => say(member, &[&name, b": ", &line]),
            Ok(0) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    writer.abort();
    say(member, &[&name, b" has left\n"]);
    ended
}

/// Writes the lines of all others, for as long as the member takes them.
async fn write(mut output: OwnedWriteHalf, member: u64, mut room: Receiver<Line>) -> io::Result<()> {
    loop {
        let first = room.recv().await;
        let Some(unsent) = BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            match first {
                Ok(line) => append(buffer, member, &line),
                Err(RecvError::Lagged(count)) => miss(buffer, count),
                Err(RecvError::Closed) => return Ok(None),
            }
            loop {
                match room.try_recv() {
                    Ok(line) => append(buffer, member, &line),
                    Err(TryRecvError::Lagged(count)) => miss(buffer, count),
                    Err(_) => break,
                }
            }
            if buffer.is_empty() {
                return Ok(Some(Vec::new()));
            }
            match output.try_write(buffer) {
                Ok(sent) => Ok(Some(buffer[sent..].to_vec())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(buffer.clone())),
                Err(error) => Err(error),
            }
        })?
        else {
            return Ok(());
        };
        if !unsent.is_empty() {
            output.write_all(&unsent).await?;
        }
    }
}

fn append(buffer: &mut Vec<u8>, member: u64, line: &Line) {
    if line.from != member {
        buffer.extend_from_slice(&line.text);
    }
}

fn miss(buffer: &mut Vec<u8>, count: u64) {
    buffer.extend_from_slice(format!("you missed {count} lines\n").as_bytes());
}
