//! Stores the bytes of a connection in a file, until its FIN; then syncs the file and closes the connection. One at a time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;

use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl};
use nix::unistd::pipe;

/// The largest pipe of an unprivileged process (`pipe(7)`: `/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: usize = 1024 * 1024;

pub(crate) fn copy(listener: &TcpListener, file: &Path, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut file = File::create(file)?;
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count])?;
        }
        file.sync_all()?;
    }
    Ok(())
}

pub(crate) fn splice(listener: &TcpListener, file: &Path) -> io::Result<()> {
    let (from_pipe, to_pipe) = pipe()?;
    fcntl(&to_pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES as i32))?;
    let move_bytes = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_MORE;
    for stream in listener.incoming() {
        let stream = stream?;
        let file = File::create(file)?;
        loop {
            let mut in_pipe = nix::fcntl::splice(&stream, None, &to_pipe, None, PIPE_BYTES, move_bytes)?;
            if in_pipe == 0 {
                break;
            }
            while in_pipe > 0 {
                in_pipe -= nix::fcntl::splice(&from_pipe, None, &file, None, in_pipe, move_bytes)?;
            }
        }
        file.sync_all()?;
    }
    Ok(())
}
