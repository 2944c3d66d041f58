//! Step 2: a conversation, until the client sends its FIN.

use std::io::{Read, Result, Write};
use std::net::TcpListener;

use crate::sum;

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (mut client, _) = listener.accept()?;
        let mut question = [0; 4096];
        loop {
            let count = client.read(&mut question)?;
            // A read of no bytes is the client's FIN.
            if count == 0 {
                break;
            }
            client.write_all(&sum::answer(&question[..count])?)?;
        }
    }
}
