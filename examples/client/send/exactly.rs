use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// The contents of a file, which must have exactly its size in bytes. They do not if another program is writing to the
/// file, nor in files that the kernel generates on reading, such as those in `/proc`, whose size is 0.
///
/// The last bytes are returned only when they are known to be the last. So a server that got `size` bytes has the whole
/// file.
pub(crate) struct Exactly<'a> {
    file: &'a mut File,
    size: u64,
    left: u64,
}

impl<'a> Exactly<'a> {
    /// Fails if the size is 0 but there are bytes to read.
    pub(crate) fn new(file: &'a mut File, size: u64) -> io::Result<Self> {
        let mut contents = Self { file, size, left: size };
        if size == 0 {
            contents.end()?;
        }
        Ok(contents)
    }

    fn end(&mut self) -> io::Result<()> {
        match self.read_file(&mut [0])? {
            0 => Ok(()),
            _ => Err(self.problem("has more")),
        }
    }

    /// Reads once, again if a signal interrupts it.
    fn read_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn problem(&self, what: &str) -> io::Error {
        io::Error::other(format!("its size is {} bytes, but it {what}; --protocol file needs no size", self.size))
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.left.min(buffer.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = self.read_file(&mut buffer[..most])?;
        if read == 0 {
            return Err(self.problem(&format!("has {}", self.size - self.left)));
        }
        self.left -= read as u64;
        if self.left == 0 {
            self.end()?;
        }
        Ok(read)
    }
}
