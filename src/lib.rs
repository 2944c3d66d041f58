//! **reactor** is a server on one thread: an event loop on [mio](https://docs.rs/mio) that owns TCP listeners,
//! connections and UDP sockets, does non-blocking I/O by the book, and hands bytes to protocols that never see a socket.
//!
//! ```text
//!             ┌─────────────────────────── one turn ───────────────────────────┐
//!  kernel ──▶ wait    poll; not at all while a slot is ready, else until the next deadline
//!             note    events, deadlines, results: each only marks its slot ready
//!             run     doors, quiet, loud: drive each slot within its budget hop 1  reactor
//!                       └ connection: deliver · flush · decide · read       hop 2  connection
//!                           └ protocol: bytes in, bytes and a decision out  hop 3  protocol
//!             reap    free the slots that are over: the only place where that happens
//!             └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Three ways to use it
//!
//! - **Start it.** The program `reactor` serves what a configuration lists; `reactor init` prints one to begin with.
//! - **Extend it.** Write a [`protocol::StreamProtocol`] or [`protocol::DatagramProtocol`], test it with [`testing`],
//!   register it in a [`Registry`], and let [`command()`] be your `main`: your program is the `reactor` command with one
//!   protocol more, under a name and a version of its own if it is a [`Program`]. `examples/plugin.rs` does it in thirty lines.
//! - **Embed it.** Build a [`Reactor`], learn its addresses, [run](Reactor::run) it or single [turns](Reactor::turn)
//!   of it, and stop it through a [`Handle`].
//!
//! ```
//! use reactor::{Config, Reactor, Registry};
//!
//! let registry = Registry::built_in();
//! let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "uppercase" }] }"#;
//! let config = Config::parse("inline.json", text, &registry)?;
//! let mut reactor = Reactor::bind(&config, &registry)?;
//! let address = reactor.endpoints()[0].address();
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
//! One direction of knowledge: loop → connection → protocol. In this order each file needs only those before it:
//!
//! 1. `attempt.rs`: the one place that knows `EAGAIN` and `EINTR`. `outbox.rs`: what waits to be sent.
//! 2. [`protocol`]: the plug-in surface, with what a protocol is given in `protocol/context.rs` and what it decides in
//!    `protocol/step.rs`; `protocol/uppercase.rs` or `protocol/greeting.rs` for how one looks.
//! 3. `budget.rs`: how much a visit and a turn may take. `visit.rs`: what the loop lends for one.
//!    `connection/line.rs`: the socket half of a stream; `connection/conversation.rs`: its protocol half; `connection.rs`
//!    drives both, by the rules of waiting, back-pressure, deadlines and closing.
//! 4. `deadlines.rs`, `listener.rs`, then `reactor.rs`, which turns. So far goes a byte.
//! 5. `datagram.rs` for UDP, `bulk.rs` for uploads.
//! 6. [`kernel`]: the boundary to the operating system, generic, so that a simulation can stand in for it.
//! 7. [`limits`]: every bound. [`config`] and `command.rs`: from JSON to a running server.
//! 8. [`xray`]: what the lines that say `xray::` are for: they record what the loop does, for a developer.
//!
//! The rules that all of this keeps are in `docs/design.md`, the bytes on the wire in `docs/protocols.md`.
//!
//! # The book
//!
//! `docs/` is a book on non-blocking I/O, for somebody who has never called `poll`. It shows this server at work, in
//! transcripts that a test types again after every change, and its code. `mdbook build docs` puts it [beside this
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
mod job;
mod json;
pub mod kernel;
pub mod limits;
mod listener;
mod log_limit;
mod log_writer;
mod notice;
mod outbox;
mod panics;
mod peer;
pub mod protocol;
mod reactor;
mod registry;
#[doc(hidden)]
pub mod simulation;
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
/// The crate [`schemars`], from which the schema of a plug-in's options comes. A plug-in crate needs no dependency on it: see
/// [`serde`].
pub use schemars;
/// The crate [`serde`](https://docs.rs/serde), which reads the options of a plug-in. A plug-in crate needs no dependency on
/// it, and so none that could be of another version than ours:
///
/// ```
/// use reactor::schemars::JsonSchema;
/// use reactor::serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
/// #[serde(crate = "reactor::serde", default, deny_unknown_fields)]
/// #[schemars(crate = "reactor::schemars")]
/// struct Options {
///     /// What is said to everybody.
///     motto: String,
/// }
/// ```
pub use serde;

/// The README's code is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
