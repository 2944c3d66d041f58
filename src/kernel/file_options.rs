//! The file of a Unix socket, as the kernel makes it.

/// The file of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileOptions {
    /// Its permissions, whatever the umask (`chmod(2)`).
    pub mode: u32,
    /// Its owner, if not the user of this process (`chown(2)`).
    pub owner: Option<u32>,
    /// Its group, if not the group of this process.
    pub group: Option<u32>,
}

impl FileOptions {
    /// Options with all of these.
    #[must_use]
    pub const fn new(mode: u32, owner: Option<u32>, group: Option<u32>) -> Self {
        Self { mode, owner, group }
    }
}
