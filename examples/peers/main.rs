//! Servers to be measured against: each does the least that answers an honest client, and nothing to survive another.
//!
//! ```sh
//! cargo run --release --example peers -- bare uppercase
//! cargo run --release --example peers -- copy --buffer 262144 /dev/shm/received
//! ```
//!
//! The first line of output is the address. `cargo run --release --example versus` starts them all, and compares.

#[cfg(target_os = "linux")]
mod answer;
#[cfg(target_os = "linux")]
mod async_tasks;
#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
mod datagrams;
#[cfg(target_os = "linux")]
mod listen;
#[cfg(target_os = "linux")]
mod threads;
#[cfg(target_os = "linux")]
mod upload;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    command::run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the peers use epoll, recvmmsg and splice, which only Linux has");
    std::process::exit(1);
}
