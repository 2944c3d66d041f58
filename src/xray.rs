//! See the loop think: a flight recorder of what it does, and views of it.
//!
//! The recorder belongs to a thread, and a thread runs one loop. So nothing has to be carried through the loop, the drivers
//! and the kernel for it: whoever does a thing says so in one line at the one place where it is done. While the
//! recorder is off that line is a load and a branch that is always predicted; the record is not even made.

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
#[cfg(test)]
mod sample;
mod text;
mod trace_events;
mod view;
mod words;

pub use self::answer::Answer;
pub(crate) use self::answer::Gives;
pub(crate) use self::live::Written;
pub use self::record::{Ask, Call, Decision, Interest, NOBODY, Peer, Phase, Record, SocketOption, Waits, What};
pub(crate) use self::recorder::{
    Told, about, answered, last, nanoseconds, record, recording, save, save_last, save_to, serves, step, tell, turn,
    watch,
};
pub use self::recorder::{start, stop};
pub use self::recording::{Open, Recording, Served};
pub use self::view::View;
