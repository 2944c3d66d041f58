//! Gives each client the file named `file`, of which no byte comes through the program: `sendfile(2)`.
//!
//! One client at a time, and blocking. `docs/readiness.md` looks at it.

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
                // Somebody has made the file shorter.
                0 => break,
                sent => rest -= sent,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("other systems have a sendfile with other arguments");
    std::process::exit(1);
}
