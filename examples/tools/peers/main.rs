//! Servers to compare with: each does the minimum that answers an honest client, and nothing to survive a bad one.
//!
//! ```sh
//! cargo run --release --example peers -- bare uppercase
//! cargo run --release --example peers -- copy --buffer 262144 /dev/shm/received
//! ```
//!
//! The first line of output is the address. `cargo run --release --example versus` starts them all, and compares.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the peers use epoll, recvmmsg and splice, which only Linux has");
    std::process::exit(1);
}
