//! **reactor** is a server on one thread: an event loop on [mio](https://docs.rs/mio) that owns listeners, connections
//! and datagram sockets (TCP, UDP and Unix), does all non-blocking I/O, and passes bytes to protocols that never see a socket.
//!
//! ```text
//!             ┌─────────────────────────── one turn ───────────────────────────┐
//!  kernel ──▶ wait    poll; not at all while a slot is ready, else until the next deadline
//!             note    events, deadlines, results: each only marks its slot ready
//!             run     listeners, quiet, then loud connections, by budget    hop 1  reactor
//!                       └ connection: deliver · flush · decide · read       hop 2  connection
//!                           └ protocol: bytes in, bytes and a decision out  hop 3  protocol
//!             then    register accepted sockets that are still open; pause uploads that wait for a worker
//!             reap    free the slots whose owner has closed, and only here
//!             └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Three ways to use it
//!
//! - **Start it.** The command `reactor` serves the listeners of a configuration; `reactor init` prints one to begin with.
//! - **Extend it.** Write a [`protocol::StreamProtocol`] or [`protocol::DatagramProtocol`], test it with [`testing`],
//!   register it in a [`Registry`], and call [`command()`] in `main`: your program is the `reactor` command with one more
//!   protocol. `examples/plugin.rs` does this in thirty lines. [`Program`] adds a name and a version of your own.
//! - **Embed it.** Bind a [`Reactor`], read its addresses, [run](Reactor::run) it or [turn](Reactor::turn) it step by step,
//!   and stop it through a [`Handle`].
//!
//! ```
//! use reactor::{Config, Reactor, Registry};
//!
//! let registry = Registry::built_in();
//! let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "uppercase" }] }"#;
//! let config = Config::parse("inline.json", text, &registry)?;
//! let mut reactor = Reactor::bind(&config, &registry)?;
//! let address = reactor.endpoints()[0].address().expect("a TCP listener");
//! let handle = reactor.handle();
//!
//! let server = std::thread::spawn(move || reactor.run());
//! use std::io::{Read, Write};
//! let mut client = std::net::TcpStream::connect(address)?;
//! client.write_all(b"hello")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert_eq!(answer, "HELLO");
//!
//! handle.stop();
//! server.join().expect("no panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reading the source
//!
//! Dependencies run in one direction: loop → connection → protocol. In this order each file needs little beyond the
//! files before it:
//!
//! 1. `attempt.rs`: the one place that handles `EAGAIN` and `EINTR`. `outbox.rs`: the output that waits to be sent.
//! 2. [`protocol`]: the plug-in interface, with what a protocol receives in `protocol/context.rs` and what it decides in
//!    `protocol/step.rs`; `protocol/uppercase.rs` or `protocol/greeting.rs` as an example.
//! 3. `budget.rs`: how much a visit and a turn may do. `visit.rs`: what the loop lends to a driver during a visit.
//!    `connection/line.rs`: the socket half of a connection; `connection/conversation.rs`: the protocol half;
//!    `connection.rs` drives both, by the rules of waiting, back-pressure, deadlines and closing.
//! 4. `deadlines.rs`, `listener.rs`, then `reactor.rs`, the loop. These first four steps are the path of a byte.
//! 5. `datagram.rs` and `protocol/datagram.rs` for datagrams, `bulk.rs` for uploads, [`framing`] for messages in a stream,
//!    `messages.rs` for messages between connections, `reactor/connect.rs` and `connection/relaying.rs` for connections to
//!    other servers.
//! 6. [`kernel`]: the interface to the operating system. It is generic, so that a simulation can replace it.
//! 7. [`limits`]: every limit. [`config`] and `command.rs`: from JSON to a running server. `reload.rs`: to another
//!    configuration while it serves. `snapshot.rs` and `protocol/admin.rs`: what an administrator sees.
//! 8. [`xray`]: the recorder. The lines with `xray::` in other files record for a developer what the loop does.
//!
//! The rules of all this code are in `docs/design.md`, the bytes on the wire in `docs/protocols.md`.
//!
//! # The book
//!
//! `docs/` is a book on non-blocking I/O, for a reader who has never called `poll`. It shows this server at work, in
//! transcripts that a test repeats after every change, and its code. `mdbook build docs` puts the book [beside this
//! page](../book/index.html); its last pages [lead back here](../book/map.html).

mod address;
mod amounts;
mod attempt;
mod bind;
mod budget;
mod bug_log;
mod bulk;
mod clock;
mod command;
pub mod config;
mod connection;
mod datagram;
mod deadlines;
pub mod disk;
mod endpoint;
mod errno;
mod file_lock;
pub mod framing;
mod gate;
mod job;
mod json;
pub mod kernel;
pub mod limits;
mod listener;
mod log_limit;
mod log_writer;
mod messages;
mod network;
mod notice;
mod origin;
mod outbox;
mod panics;
mod peer;
mod pipe;
pub mod protocol;
pub mod proxy;
mod rate;
mod reactor;
mod registry;
mod reload;
#[doc(hidden)]
pub mod simulation;
#[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "only `admin` shows all of it"))]
mod snapshot;
pub mod stats;
pub mod testing;
mod time;
mod token;
pub mod units;
mod visit;
pub mod xray;

pub use bind::BindError;
pub use command::{Program, command};
pub use config::Config;
pub use endpoint::Endpoint;
pub use kernel::Handle;
pub use reactor::{Reactor, Stopped, Turn};
pub use registry::{Protocol, Registry};
/// The crate [`schemars`], which makes the schema of a plug-in's options. Re-exported for the same reason as [`serde`].
pub use schemars;
/// The crate [`serde`](https://docs.rs/serde), which reads the options of a plug-in. Re-exported so that a plug-in crate needs
/// no dependency on `serde`, which could be of another version:
///
/// ```
/// use reactor::schemars::JsonSchema;
/// use reactor::serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(crate = "reactor::serde", default, deny_unknown_fields)]
/// #[schemars(crate = "reactor::schemars")]
/// struct Options {
///     /// The text that each client gets.
///     motto: String,
/// }
/// ```
pub use serde;

/// Compiles and runs the code of the README as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
