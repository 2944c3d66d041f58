//! The results of jobs, and the methods that receive them. Both have types of their own; the driver carries them without types.

use std::any::Any;
use std::fmt;
use std::io;

use super::{Context, Event, Reply, Step, StreamProtocol};
use crate::pipe::Pipe;

/// Where a [`Step::bulk`] writes its bytes. One worker at a time calls it, with the bytes in order.
///
/// ```
/// use std::io;
///
/// use reactor::protocol::{Context, Reply, Sink, Step, Stored, StreamProtocol};
/// use reactor::testing::{Script, converse};
///
/// /// Adds up bytes.
/// struct Adder(u64);
///
/// impl Sink for Adder {
///     fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
///         self.0 += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
///         Ok(())
///     }
/// }
///
/// /// Answers up to a megabyte with the sum of its bytes.
/// struct Checksum;
///
/// impl StreamProtocol for Checksum {
///     fn on_bytes(&mut self, _input: &[u8], _: &mut Context<'_>) -> Reply {
///         Ok(Step::bulk(Adder(0), 1_000_000, Self::answer))
///     }
/// }
///
/// impl Checksum {
///     fn answer(&mut self, stored: Stored<Adder>, _rest: &[u8], cx: &mut Context<'_>) -> Reply {
///         cx.out.extend_from_slice(format!("{} bytes: {}\n", stored.bytes, stored.sink.0).as_bytes());
///         Ok(Step::finish())
///     }
/// }
///
/// let heard = converse(Checksum, &Script::new().send([1, 2]).send([3]).fin());
/// assert_eq!(heard.sent, b"3 bytes: 6\n");
/// ```
pub trait Sink: Send + 'static {
    /// Writes all of `bytes`. May block.
    ///
    /// # Errors
    /// The error of the file or device. It ends the upload, and reaches the protocol in [`Stored::result`].
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Whether the server may pass bytes in a [`Pipe`] instead of memory: to [`write_pipe`](Self::write_pipe). Worth it for a sink that
    /// moves them to a file by [`Pipe::move_to`] and does not look at them. Asked once, on the loop's thread. Default: no.
    fn takes_pipes(&self) -> bool {
        false
    }

    /// Writes all bytes in `pipe`, which come after those that were written before, and leaves it empty. May block. Not called unless
    /// [`takes_pipes`](Self::takes_pipes) returned true.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all). It is an error, too, if bytes are left in the pipe.
    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        pipe.copy_to(|bytes| self.write_all(bytes))
    }
}

/// How a [`Step::bulk`] ended; [`Sink`] has an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stored<S> {
    /// The sink.
    pub sink: S,
    /// The number of bytes received for the sink: less than `at_most` if the peer's FIN or an error came first.
    pub bytes: u64,
    /// Whether the sink took all these bytes. After an error the bytes that it did not take are lost; later ones go to the
    /// protocol.
    pub result: io::Result<()>,
}

/// The result of a protocol's job, and the method that receives it.
pub(crate) struct Continuation(Box<Call>);

type Call = dyn FnOnce(&mut dyn StreamProtocol, &[u8], &mut Context<'_>) -> Reply + Send;

impl Continuation {
    pub(super) fn new<P: StreamProtocol, T: Send + 'static>(
        result: T,
        then: fn(&mut P, T, &[u8], &mut Context<'_>) -> Reply,
    ) -> Self {
        Self(Box::new(move |protocol, rest, cx| match find(protocol) {
            Some(protocol) => then(protocol, result, rest, cx),
            None => Ok(Step::wrong_protocol()),
        }))
    }

    /// For a job without a result: the protocol goes on with the next message.
    pub(super) fn go_on() -> Self {
        Self(Box::new(|_, _, _| Ok(Step::again(0))))
    }

    /// For a relay that does not begin.
    pub(crate) fn no_relay() -> Self {
        Self(Box::new(|protocol, rest, cx| protocol.on_event(Event::NoRelay, rest, cx)))
    }

    /// For an outcome that no step asked for.
    pub(crate) fn wrong_protocol() -> Self {
        Self(Box::new(|_, _, _| Ok(Step::wrong_protocol())))
    }

    /// Calls the protocol.
    pub(crate) fn call(self, protocol: &mut dyn StreamProtocol, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        (self.0)(protocol, rest, cx)
    }
}

impl fmt::Debug for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Continuation")
    }
}

/// A [`Sink`], and the method that receives it at the end.
pub(super) struct Storing<S, P> {
    pub(super) sink: S,
    pub(super) then: fn(&mut P, Stored<S>, &[u8], &mut Context<'_>) -> Reply,
}

/// A [`Storing`] without its types.
pub(crate) trait ErasedSink: Any + Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn takes_pipes(&self) -> bool;

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()>;

    /// Calls the protocol with the sink; `bytes` and `result` are those of [`Stored`].
    fn call(
        self: Box<Self>,
        bytes: u64,
        result: io::Result<()>,
        protocol: &mut dyn StreamProtocol,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Reply;
}

impl<S: Sink, P: StreamProtocol> ErasedSink for Storing<S, P> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.write_all(bytes)
    }

    fn takes_pipes(&self) -> bool {
        self.sink.takes_pipes()
    }

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        self.sink.write_pipe(pipe)
    }

    fn call(
        self: Box<Self>,
        bytes: u64,
        result: io::Result<()>,
        protocol: &mut dyn StreamProtocol,
        rest: &[u8],
        cx: &mut Context<'_>,
    ) -> Reply {
        let Self { sink, then } = *self;
        match find(protocol) {
            Some(protocol) => then(protocol, Stored { sink, bytes, result }, rest, cx),
            None => Ok(Step::wrong_protocol()),
        }
    }
}

impl Stored<Box<dyn ErasedSink>> {
    /// Calls the protocol.
    pub(crate) fn call(self, protocol: &mut dyn StreamProtocol, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        self.sink.call(self.bytes, self.result, protocol, rest, cx)
    }
}

impl<S> Stored<S> {
    pub(crate) const fn new(sink: S, bytes: u64, result: io::Result<()>) -> Self {
        Self { sink, bytes, result }
    }
}

/// Returns the protocol of type `P`: `protocol`, or one that it wraps.
fn find<P: StreamProtocol>(protocol: &mut dyn StreamProtocol) -> Option<&mut P> {
    if (&*protocol as &dyn Any).is::<P>() {
        return (protocol as &mut dyn Any).downcast_mut();
    }
    find(protocol.inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseReason;
    use crate::testing::{Script, Transcript, converse};

    /// Starts a job, or stores a byte, as the input says, and answers with the result.
    struct Asker;

    impl StreamProtocol for Asker {
        fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(match input[0] {
                b'j' => Step::job(|| "done", Self::say).consuming(1),
                b'r' => Step::run(|| ()).consuming(1),
                _ => Step::bulk(Vec::new(), 1, Self::stored).consuming(1),
            })
        }
    }

    impl Asker {
        fn say(&mut self, what: &str, _: &[u8], cx: &mut Context<'_>) -> Reply {
            cx.out.extend_from_slice(what.as_bytes());
            Ok(Step::again(0))
        }

        fn stored(&mut self, stored: Stored<Vec<u8>>, rest: &[u8], cx: &mut Context<'_>) -> Reply {
            assert_eq!(stored.bytes, 1);
            cx.out.extend_from_slice(&stored.sink);
            self.say("stored", rest, cx)
        }
    }

    impl Sink for Vec<u8> {
        fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// Passes on the replies of another protocol; the flag says whether `inner` returns it.
    struct Around(Asker, bool);

    impl StreamProtocol for Around {
        fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
            self.0.on_bytes(input, cx)
        }

        fn inner(&mut self) -> Option<&mut dyn StreamProtocol> {
            self.1.then_some(&mut self.0)
        }
    }

    fn ask(protocol: impl StreamProtocol, what: &str) -> Transcript {
        converse(protocol, &Script::new().send(what).fin())
    }

    #[test]
    fn the_result_of_a_job_goes_to_the_protocol_that_asked_for_it() {
        let boxed: Box<dyn StreamProtocol> = Box::new(Asker);
        for transcript in [ask(Asker, "jrbxj"), ask(boxed, "jrbxj"), ask(Around(Asker, true), "jrbxj")] {
            assert_eq!((&transcript.sent[..], transcript.reason), (&b"donexstoreddone"[..], CloseReason::Eof));
        }
    }

    #[test]
    fn a_result_for_another_protocol_is_a_bug_and_not_a_panic() {
        for what in ["j", "bx"] {
            let transcript = ask(Around(Asker, false), what);
            let bug = CloseReason::Bug("the result of its job is for another protocol");
            assert_eq!((&transcript.sent[..], transcript.reason), (&b""[..], bug), "{what}");
        }
        assert_eq!(
            ask(Around(Asker, false), "rr").reason,
            CloseReason::Eof,
            "a job without a result is for any protocol"
        );
    }
}
