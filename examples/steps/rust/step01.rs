//! Step 1: listen, answer, close.

use std::io::{Read, Result, Write};
use std::net::TcpListener;

use crate::sum;

pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (mut client, _) = listener.accept()?;
        let mut question = [0; 4096];
        let count = client.read(&mut question)?;
        client.write_all(&sum::answer(&question[..count])?)?;
    }
}
