//! Step 4: garbage and RST. An error belongs to one connection, and ends nothing else.

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::framing::Framing;

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        // An error says that this client has left.
        let _ = converse(client);
    }
}

pub(crate) fn converse(mut client: TcpStream) -> Result<()> {
    let mut framing = Framing::default();
    let mut received = [0; 4096];
    loop {
        let count = client.read(&mut received)?;
        if count == 0 {
            return Ok(());
        }
        if framing.is_refused {
            continue;
        }
        let mut answers = Vec::new();
        framing.answer(&received[..count], &mut answers);
        client.write_all(&answers)?;
        if framing.is_refused {
            // A close with input unread is a reset, and a reset destroys what is on its way to the client. So the rest is
            // read, and forgotten, until the client closes.
            client.shutdown(Shutdown::Write)?;
        }
    }
}
