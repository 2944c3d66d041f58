//! A task for each connection, on one thread of tokio. All tasks share one buffer, which no task holds while it waits.

use std::cell::RefCell;
use std::io;
use std::net;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::Answer;

const READ_BYTES: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

pub(crate) fn serve(listener: net::TcpListener, answer: Answer) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(converse(stream, answer));
        }
    })
}

async fn converse(mut stream: TcpStream, answer: Answer) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match BUFFER.with_borrow_mut(|buffer| answer_once(&stream, answer, buffer))? {
            Some(unsent) => stream.write_all(&unsent).await?,
            None => return Ok(()),
        }
    }
}

/// Answers the input. Returns the bytes that could not be sent; `None` at the end of the connection.
fn answer_once(stream: &TcpStream, answer: Answer, buffer: &mut [u8]) -> io::Result<Option<Vec<u8>>> {
    let Some(count) = unless_blocked(stream.try_read(buffer))? else { return Ok(Some(Vec::new())) };
    if count == 0 {
        return Ok(None);
    }
    let length = answer(&mut buffer[..count]);
    let sent = unless_blocked(stream.try_write(&buffer[..length]))?.unwrap_or(0);
    Ok(Some(buffer[sent..length].to_vec()))
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}
