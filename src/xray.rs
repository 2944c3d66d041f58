//! X-ray: a flight recorder of what the loop does, and views of a recording.
//!
//! The recorder belongs to a thread, and a thread runs one loop. Hence no handle is threaded through the loop, the
//! drivers and the kernel: each action records itself in one line where it happens. While nothing is recorded, that
//! line is a load and a branch that is always predicted, and the closure which makes the record is not run.
//!
//! `reactor run --xray FILE` and `--step` use it; `docs/xray-recording.md` shows how to read their output. A program that
//! embeds a [`Reactor`](crate::Reactor) starts it on the thread that turns the loop:
//!
//! ```
//! use reactor::xray::{self, View, What};
//! use reactor::{Config, Reactor, Registry};
//!
//! let registry = Registry::built_in();
//! let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "time" }] }"#;
//! let config = Config::parse("inline.json", text, &registry)?;
//!
//! xray::start();
//! let mut reactor = Reactor::bind(&config, &registry)?;
//! reactor.turn(Some(std::time::Duration::ZERO))?;
//! let recording = reactor.recording().expect("it was started on this thread");
//! assert!(recording.records.iter().any(|record| matches!(record.what, What::Turn { number: 1, .. })));
//!
//! let mut text = Vec::new();
//! View::Text.write(&recording, &mut text)?;
//! assert!(String::from_utf8(text)?.contains("listen(1024) = 0"));
//! xray::stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod answers;
mod file;
mod kind;
mod live;
mod page;
mod record;
mod recorder;
mod recording;
mod ring;
mod text;
mod trace_events;
mod view;
mod words;

pub use self::answer::Answer;
pub(crate) use self::answer::ReturnValue;
pub(crate) use self::live::Written;
pub use self::record::{Ask, Call, Decision, Interest, LOOP, Phase, Record, SocketOption, Waits, What};
pub(crate) use self::recorder::{
    SimulatedClock, about, answered, go_on_about, is_on, last, nanoseconds, record, recording, save, save_last,
    save_to, serves, set_simulated_time, step, turn, watch,
};
pub use self::recorder::{start, stop};
pub use self::recording::{Open, Recording, Served};
pub use self::view::View;
pub use crate::peer::PackedPeer;

#[cfg(test)]
mod tests {
    pub(super) mod sample;
}
