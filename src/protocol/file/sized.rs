//! `file-sized`: name, size, contents, and an answer to each; any number of files in sequence.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::name::{Ending, Field, Name, parse_size};
use super::upload::{Upload, sink_of};
use super::{CUT_SHORT, FileOptions, Receiver, refuse, result_of, wait_for_end};
use crate::protocol::{
    Context, Event, Job, OptionError, ProtocolError, Reply, Service, Setup, SetupError, Sink, Step, StreamProtocol,
    StreamService, Within,
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

    fn connect(&self, _peer: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Connection { receiver: self.0.clone(), style: None, named: None })
    }
}

struct Connection {
    receiver: Receiver,
    /// How the first name of the connection ended.
    style: Option<Ending>,
    /// The name of the file whose size comes next; without one, a name comes next.
    named: Option<Name>,
}

/// An upload of which the size has been announced.
struct Announced {
    upload: Upload,
    size: u64,
    /// How the size ended, and how the answer to the contents will.
    ending: Ending,
}

/// What a job has achieved.
enum Progress {
    /// The name is accepted, its size may come.
    Named(Name, Ending),
    /// The size is accepted, the contents may come.
    Opened(Announced),
    Saved(Ending),
}

impl StreamProtocol for Connection {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        let field = if self.named.is_none() { Field::name(input) } else { Field::size(input) };
        match field {
            Some(field) => self.take(&field),
            None => Ok(wait_for_end(self.quiet())),
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof if self.named.is_some() => Err(cut_short("size")),
            Event::Eof if !rest.is_empty() => Err(cut_short("name")),
            Event::Eof => Ok(Step::finish()),
            Event::Quiet => self.take(&Field::paused(rest)),
            Event::Done(outcome) => Ok(self.answer(result_of(outcome)?, cx)),
            Event::Stored(stored) => Ok(Step::job(Job::new(|| sink_of::<Announced>(stored)?.commit()))),
            Event::Closing => Ok(Step::wait(Within::Nothing)),
        }
    }
}

impl Connection {
    /// The silence that ends a name or a size. Once the first name has ended with a newline it ends nothing any more: a
    /// pause within `1000\n` must not store 10 bytes.
    fn quiet(&self) -> Option<Duration> {
        self.receiver.name_quiet.filter(|_| self.style != Some(Ending::Newline))
    }

    fn take(&mut self, field: &Field<'_>) -> Reply {
        let (store, ending) = (Arc::clone(&self.receiver.store), field.ending);
        self.style.get_or_insert(ending);
        let job = if let Some(name) = self.named.take() {
            let size = parse_size(field)?;
            store.ensure_allowed(size)?;
            Job::new(move || {
                let upload = store.open(name, size)?;
                Ok::<_, ProtocolError>(Progress::Opened(Announced { upload, size, ending }))
            })
        } else {
            let name = Name::parse(field)?;
            Job::new(move || {
                store.admit(&name)?;
                Ok::<_, ProtocolError>(Progress::Named(name, ending))
            })
        };
        Ok(Step::job(job).consuming(field.consumed))
    }

    /// Answers what has been achieved, and says what comes next.
    fn answer(&mut self, progress: Progress, cx: &mut Context<'_>) -> Step {
        match progress {
            Progress::Named(name, ending) => {
                self.named = Some(name);
                ending.answer(b"OK", cx.out);
                Step::again(0)
            }
            Progress::Opened(announced) => {
                announced.ending.answer(b"OK", cx.out);
                match announced.size {
                    0 => Step::job(Job::new(|| announced.commit())),
                    size => Step::bulk(Box::new(announced), size),
                }
            }
            Progress::Saved(ending) => {
                ending.answer(b"OK", cx.out);
                Step::again(0)
            }
        }
    }
}

impl Sink for Announced {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.upload.write_all(bytes)
    }
}

impl Announced {
    fn commit(self) -> Result<Progress, ProtocolError> {
        if self.upload.size() < self.size {
            return Err(cut_short("contents"));
        }
        self.upload.commit()?;
        Ok(Progress::Saved(self.ending))
    }
}

fn cut_short(part: &str) -> ProtocolError {
    refuse(CUT_SHORT, format_args!("the connection ended within the {part}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::{self, Span};
    use crate::protocol::file::dialogue::Dialogue;
    use crate::testing::{Links, MemoryDisk, Operation};

    fn dialogue(disk: &MemoryDisk, options: FileOptions) -> Dialogue {
        let setup = Setup::new("file-sized", Arc::new(disk.clone()));
        let service = <FileSized as Service>::open(options, &setup).unwrap();
        Dialogue::new(disk, |peer| service.connect(peer))
    }

    /// Sends all of it at once and then FIN; returns everything that came back.
    fn transcript(disk: &MemoryDisk, sent: &[u8]) -> String {
        let mut client = dialogue(disk, FileOptions::default());
        client.send(sent);
        client.end();
        client.received().to_owned()
    }

    #[test]
    fn an_old_client_gets_a_bare_ok_for_each_part() {
        let disk = MemoryDisk::new();
        let mut client = dialogue(&disk, FileOptions::default());
        for (name, size, contents) in [("a", "5", "hello"), ("b", "3", "abc")] {
            client.send(name.as_bytes());
            client.pause();
            client.send(size.as_bytes());
            client.pause();
            client.send(contents.as_bytes());
            assert_eq!(disk.contents(name).unwrap(), contents.as_bytes());
        }
        client.end();
        let told: Vec<_> = client.told().iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!((told, client.closed()), (vec!["OK"; 6], Some("finished")));
    }

    #[test]
    fn uploads_with_newlines_may_be_pipelined_and_split_anywhere() {
        let sent = b"a\n5\nhelloempty\r\n0\r\nb\n3\na\nb";
        for first in 0..=sent.len() {
            for second in first..=sent.len() {
                let disk = MemoryDisk::new();
                let mut client = dialogue(&disk, FileOptions::default());
                for part in [&sent[..first], &sent[first..second], &sent[second..]] {
                    client.send(part);
                }
                client.end();
                assert_eq!(client.received(), "OK\n".repeat(9), "split at {first} and {second}");
                let contents = ["a", "b", "empty"].map(|name| disk.contents(name).unwrap());
                assert_eq!(contents, [b"hello".to_vec(), b"a\nb".to_vec(), vec![]]);
            }
        }
    }

    #[test]
    fn a_pause_within_a_size_stores_nothing_after_a_first_name_with_a_newline() {
        let disk = MemoryDisk::new();
        let mut client = dialogue(&disk, FileOptions::default());
        client.send(b"a\n10");
        assert_eq!(client.quiet(), None);
        client.send(b"00\n");
        client.send(&[b'x'; 1000]);
        assert_eq!(client.received(), "OK\nOK\nOK\n");
        assert_eq!(disk.contents("a").unwrap().len(), 1000);
        client.send(b"b");
        assert_eq!(client.quiet(), None, "the style is that of the first name");
    }

    #[test]
    fn after_a_bare_first_name_each_answer_ends_as_what_it_answers() {
        let disk = MemoryDisk::new();
        let mut client = dialogue(&disk, FileOptions::default());
        client.send(b"a");
        client.pause();
        client.send(b"2\nhi");
        client.send(b"b\n");
        client.send(b"1");
        assert!(client.quiet().is_some(), "the style is that of the first name");
        client.pause();
        client.send(b"x");
        let told: Vec<_> = client.told().iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(told, ["OK", "OK\n", "OK\n", "OK\n", "OK", "OK"]);
    }

    #[test]
    fn an_empty_file_is_answered_in_two_writes_the_second_after_the_commit() {
        let disk = MemoryDisk::new();
        let mut client = dialogue(&disk, FileOptions::default());
        client.send(b"a");
        client.pause();
        client.send(b"0");
        client.pause();
        let told: Vec<_> = client.told().iter().map(|(text, log)| (text.as_str(), log.last().copied())).collect();
        let expected =
            [("OK", Some(Operation::Exists)), ("OK", Some(Operation::Create)), ("OK", Some(Operation::SyncDirectory))];
        assert_eq!(told, expected);
        assert_eq!(disk.contents("a").unwrap(), b"");
    }

    #[test]
    fn the_last_ok_means_that_the_file_survives_a_loss_of_power() {
        let disk = MemoryDisk::new();
        assert_eq!(transcript(&disk, b"a\n5\nhello"), "OK\nOK\nOK\n");
        assert_eq!(disk.after_crash(Links::Lost).contents("a").unwrap(), b"hello");
        let order = [Operation::Create, Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory];
        assert_eq!(disk.log()[2..], order);
    }

    #[test]
    fn an_upload_cut_short_anywhere_is_an_error_and_no_file() {
        let sent = b"name\n12\nhello, world";
        for end in 1..sent.len() {
            let disk = MemoryDisk::new();
            let (oks, part) = match end {
                ..5 => (0, "name"),
                5..8 => (1, "size"),
                _ => (2, "contents"),
            };
            let expected = format!("{}error: the connection ended within the {part}\n", "OK\n".repeat(oks));
            assert_eq!(transcript(&disk, &sent[..end]), expected, "cut after {end} bytes");
            assert_eq!((disk.names(), disk.drafts()), (vec![], 0));
        }
    }

    #[test]
    fn fin_before_a_name_just_closes() {
        for sent in ["", "a\n1\nx"] {
            let disk = MemoryDisk::new();
            let mut client = dialogue(&disk, FileOptions::default());
            client.send(sent.as_bytes());
            client.end();
            assert_eq!(client.closed(), Some("finished"));
        }
    }

    #[test]
    fn a_connection_that_breaks_leaves_nothing() {
        for sent in ["a", "a\n", "a\n5", "a\n5\n", "a\n5\nhell"] {
            let disk = MemoryDisk::new();
            let mut client = dialogue(&disk, FileOptions::default());
            client.send(sent.as_bytes());
            drop(client);
            assert_eq!((disk.names(), disk.drafts()), (vec![], 0), "{sent:?}");
        }
    }

    #[test]
    fn surplus_bytes_are_the_next_name_and_never_appended() {
        let disk = MemoryDisk::new();
        assert_eq!(transcript(&disk, b"a\n2\nhi/surplus\n"), "OK\nOK\nOK\nerror: the name has a slash at byte 1\n");
        assert_eq!(disk.contents("a").unwrap(), b"hi");
    }

    #[test]
    fn what_is_refused_gets_an_error_instead_of_its_ok_and_creates_nothing() {
        let options = || FileOptions {
            max_size: units::Size::bytes(1000),
            free_space_floor: units::Size::bytes(500),
            ..FileOptions::default()
        };
        let cases = [
            ("../a\n", "", "the name has a dot at byte 1"),
            ("taken\n", "", "taken exists already"),
            ("a\n-1\n", "OK\n", "the size has something other than a digit at byte 1"),
            ("a\n\n", "OK\n", "the size is empty"),
            ("a\n1001\n", "OK\n", "the file is larger than 1000 bytes"),
            ("a\n9999999999999999999\n", "OK\n", "the file is larger than 1000 bytes"),
            ("a\n501\n", "OK\n", "the disk is full"),
        ];
        for (sent, accepted, error) in cases {
            let disk = MemoryDisk::new();
            disk.insert("taken", b"");
            disk.set_capacity(1000);
            let mut client = dialogue(&disk, options());
            client.send(sent.as_bytes());
            assert_eq!(client.received(), format!("{accepted}error: {error}\n"), "{sent:?}");
            assert!(!disk.log().contains(&Operation::Create), "{sent:?}");
        }
    }

    #[test]
    fn without_a_quiet_period_even_the_first_name_needs_its_newline() {
        let disk = MemoryDisk::new();
        let mut client = dialogue(&disk, FileOptions { name_quiet: Span::from_millis(0), ..FileOptions::default() });
        client.send(b"a");
        assert_eq!(client.quiet(), None);
    }

    #[test]
    fn both_file_protocols_share_a_directory() {
        let disk = MemoryDisk::new();
        assert_eq!(transcript(&disk, b"a\n1\nx"), "OK\nOK\nOK\n");
        let setup = Setup::new("file", Arc::new(disk.clone()));
        let service = <super::super::File as Service>::open(FileOptions::default(), &setup).unwrap();
        let mut client = Dialogue::new(&disk, |peer| service.connect(peer));
        client.send(b"a\n");
        assert_eq!(client.received(), "error: a exists already\n");
    }
}
