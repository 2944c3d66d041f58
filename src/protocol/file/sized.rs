//! `file-sized`: name, size and contents, with an answer to each; any number of files one after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::name::{Ending, Field, Name, parse_size};
use super::saved::Witness;
use super::upload::{Upload, sink_of};
use super::{CUT_SHORT, FileOptions, Receiver, no_worker, refuse, wait_for_end};
use crate::disk::Pipe;
use crate::protocol::{
    Admission, Context, Event, OptionError, Peer, ProtocolError, Reply, Service, Setup, SetupError, Sink, Step, Stored,
    StreamProtocol, StreamService, Within,
};

/// The protocol `file-sized`: a name, a size and exactly that many bytes, again and again.
#[derive(Debug)]
pub struct FileSized(Receiver);

impl Service for FileSized {
    const NAME: &'static str = "file-sized";
    const ABOUT: &'static str =
        "Receives files: the name, the size and the contents of each, with an answer to each part.";
    const TRY: &'static str = r"printf 'notes.txt\n5\nhello' | nc -N 127.0.0.1 8009";
    type Options = FileOptions;

    fn check(options: &FileOptions) -> Result<(), Vec<OptionError>> {
        options.check()
    }

    fn open(options: FileOptions, setup: &Setup<'_>) -> Result<Self, SetupError> {
        options.open(setup).map(Self)
    }
}

impl StreamService for FileSized {
    const DESCRIPTORS: usize = 1;

    fn connect(&self, _peer: &Peer) -> Admission {
        Ok(Box::new(Connection { receiver: self.0.clone(), style: None, named: None }))
    }
}

struct Connection {
    receiver: Receiver,
    /// How the first name of the connection ended: with a newline or with silence.
    style: Option<Ending>,
    /// The name of the file whose size comes next; without one, a name comes next.
    named: Option<Name>,
}

/// An upload whose size has been announced.
struct Announced {
    upload: Upload,
    size: u64,
    /// How the size ended; the answer to the contents ends in the same way.
    ending: Ending,
}

impl StreamProtocol for Connection {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        let field = if self.named.is_none() { Field::name(input) } else { Field::size(input) };
        match field {
            Some(field) => self.take(&field),
            None => Ok(wait_for_end(self.quiet())),
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], _cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof if self.named.is_some() => Err(cut_short("size")),
            Event::Eof if !rest.is_empty() => Err(cut_short("name")),
            Event::Eof => Ok(Step::finish()),
            Event::Quiet => self.take(&Field::paused(rest)),
            Event::NoWorker => Err(no_worker()),
            Event::Timer | Event::Message(_) | Event::Missed(_) | Event::Room | Event::NoRelay | Event::Closing => {
                Ok(Step::wait(Within::Nothing))
            }
        }
    }
}

impl Connection {
    /// Returns the silence that ends a name or a size; none once the first name has ended with a newline: a pause within
    /// `1000\n` must not store 10 bytes.
    fn quiet(&self) -> Option<Duration> {
        self.receiver.name_quiet.filter(|_| self.style != Some(Ending::Newline))
    }

    fn take(&mut self, field: &Field<'_>) -> Reply {
        let (store, ending) = (Arc::clone(&self.receiver.store), field.ending);
        self.style.get_or_insert(ending);
        let step = if let Some(name) = self.named.take() {
            let size = parse_size(field)?;
            store.ensure_allowed(size)?;
            let open = move || Ok(Announced { upload: store.open(name, size)?, size, ending });
            Step::job(open, Self::receive)
        } else {
            let name = Name::parse(field)?;
            Step::job(move || store.admit(&name).map(|()| (name, ending)), Self::ask_for_size)
        };
        Ok(step.consuming(field.consumed))
    }

    /// Accepts the name, and asks for the size.
    fn ask_for_size(
        &mut self,
        named: Result<(Name, Ending), ProtocolError>,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Reply {
        let (name, ending) = named?;
        self.named = Some(name);
        ending.answer(b"OK", cx.out);
        // The client has been asked to go on, so a shutdown waits for the client.
        Ok(if rest.is_empty() { Step::wait(Within::Request) } else { Step::again(0) })
    }

    /// Accepts the size, and asks for the contents.
    fn receive(&mut self, announced: Result<Announced, ProtocolError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let announced = announced?;
        announced.ending.answer(b"OK", cx.out);
        Ok(match announced.size {
            0 => {
                let witness = Witness::of(cx);
                Step::job(|| announced.commit(witness), Self::confirm)
            }
            size => Step::bulk(announced, size, Self::save),
        })
    }

    fn save(&mut self, stored: Stored<Announced>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let witness = Witness::of(cx);
        Ok(Step::job(|| sink_of(stored)?.commit(witness), Self::confirm))
    }

    fn confirm(&mut self, saved: Result<Ending, ProtocolError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        saved?.answer(b"OK", cx.out);
        Ok(Step::again(0))
    }
}

impl Sink for Announced {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.upload.write_all(bytes)
    }

    fn takes_pipes(&self) -> bool {
        self.upload.takes_pipes()
    }

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        self.upload.write_pipe(pipe)
    }
}

impl Announced {
    fn commit(self, witness: Witness) -> Result<Ending, ProtocolError> {
        if self.upload.size() < self.size {
            return Err(cut_short("contents"));
        }
        witness.note(&self.upload.commit()?);
        Ok(self.ending)
    }
}

fn cut_short(part: &str) -> ProtocolError {
    refuse(CUT_SHORT, format_args!("the connection ended within the {part}"))
}

#[cfg(test)]
mod tests;
