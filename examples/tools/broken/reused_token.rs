//! A server whose answers take some work, which another thread does. Now and then a client gets the answer to another
//! client's request.
//!
//! ```sh
//! cargo run --example broken -- reused-token 8000
//! cargo run --example check -- uppercase tcp://127.0.0.1:8000 --only heir
//! ```
//!
//! Prevented by rule 4 of `docs/design.md`, *tokens carry a generation*: the result of a job names a slot and its
//! owner, and is dropped if the slot has another owner by now. Done right in `src/reactor/errands.rs`, `note_done`.

use std::io::{Read, Result};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::client::if_ready::if_ready;
use crate::client::outbox::Outbox;
use crate::right::{BOTH, LISTENER, Next, READ_BYTES, new_connections};

const WORKER: Token = Token(usize::MAX - 1);

/// In place of real work: a look-up, a file, a long computation.
const WORK: Duration = Duration::from_millis(2);

struct Asker {
    stream: TcpStream,
    outbox: Outbox,
    /// The worker has its request.
    is_waiting: bool,
}

impl Asker {
    fn converse(&mut self, key: usize, jobs: &Sender<(usize, Vec<u8>)>) -> Result<Next> {
        self.outbox.flush(&mut self.stream)?;
        if self.is_waiting || !self.outbox.is_empty() {
            return Ok(Next::Wait);
        }
        let mut buffer = vec![0; READ_BYTES];
        match if_ready(|| self.stream.read(&mut buffer))? {
            None => Ok(Next::Wait),
            Some(0) => Ok(Next::Close),
            Some(count) => {
                buffer.truncate(count);
                self.is_waiting = jobs.send((key, buffer)).is_ok();
                Ok(Next::Wait)
            }
        }
    }
}

pub(crate) fn serve(mut listener: TcpListener) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut askers: Slab<Asker> = Slab::new();
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), WORKER)?;
    let (jobs, asked) = channel::<(usize, Vec<u8>)>();
    let (done, results) = channel();
    thread::spawn(move || {
        for (key, mut text) in asked {
            thread::park_timeout(WORK);
            text.make_ascii_uppercase();
            let _ = done.send((key, text)).map(|()| waker.wake());
        }
    });
    loop {
        if_ready(|| poll.poll(&mut events, None))?;
        for event in &events {
            let Token(key) = event.token();
            let Some(asker) = askers.get_mut(key) else { continue };
            let is_reset = event.is_error();
            if is_reset || !asker.converse(key, &jobs).is_ok_and(|next| next == Next::Wait) {
                askers.remove(key);
            }
        }
        for (key, answer) in results.try_iter() {
            let Some(asker) = askers.get_mut(key) else { continue };
            asker.outbox.push(&answer);
            asker.is_waiting = false;
            if !asker.converse(key, &jobs).is_ok_and(|next| next == Next::Wait) {
                askers.remove(key);
            }
        }
        for mut stream in new_connections(&listener) {
            if poll.registry().register(&mut stream, Token(askers.vacant_key()), BOTH).is_ok() {
                askers.insert(Asker { stream, outbox: Outbox::default(), is_waiting: false });
            }
        }
    }
}
