//! Step 5: a thread for each client. While it waits for its own client, the others go on.

use std::io::Result;
use std::net::TcpListener;
use std::thread;

use crate::step04::converse;

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        thread::spawn(|| converse(client));
    }
}
