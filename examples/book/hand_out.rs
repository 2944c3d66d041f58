//! Sends the file named `file` to each client. With `sendfile(2)` no byte of it passes through the program.
//!
//! One client at a time, and blocking. `docs/zero-copy.md` explains it.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:7000")?;
    println!("listening hand-out tcp://127.0.0.1:7000");
    loop {
        let (connection, _) = listener.accept()?;
        let file = std::fs::File::open("file")?;
        let mut rest = file.metadata()?.len() as usize;
        while rest > 0 {
            match nix::sys::sendfile::sendfile(&connection, &file, None, rest)? {
                // Another program has truncated the file.
                0 => break,
                sent => rest -= sent,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this program needs the sendfile of Linux; other systems have other arguments");
    std::process::exit(1);
}
