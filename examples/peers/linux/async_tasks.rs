//! A task for each connection, on one thread of tokio.

use std::io;
use std::net;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::answer::Answer;

const READ_BYTES: usize = 4 * 1024;

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
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let length = answer(&mut buffer[..count]);
        stream.write_all(&buffer[..length]).await?;
    }
}
