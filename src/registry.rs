//! Protocols by name. Plug-in and built-in protocols are registered in the same way.

mod options;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::options::OptionsType;
use crate::address::Transport;
use crate::json::{alternatives, nearest, quoted};
#[cfg(feature = "admin")]
use crate::protocol::admin;
use crate::protocol::uppercase::{self, Uppercase};
use crate::protocol::{
    Acceptor, DatagramProtocol, IntoAdmission, NoOptions, Peer, Service, Setup, SetupError, StreamService, agent, file,
    greeting, sum, time,
};

/// The protocols that a configuration can choose from, in the order of their registration.
///
/// ```
/// use reactor::Registry;
///
/// let registry = Registry::built_in();
/// assert!(registry.protocols().any(|protocol| protocol.name == "uppercase"));
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    protocols: Vec<Protocol>,
}

/// A registered protocol, with its description.
#[non_exhaustive]
pub struct Protocol {
    /// The name by which a configuration chooses the protocol.
    pub name: &'static str,
    /// One sentence on what the protocol does.
    pub about: &'static str,
    /// One line of shell that tries the protocol.
    pub example: &'static str,
    pub(crate) options: OptionsType,
    pub(crate) stream: Option<Box<OpenStream>>,
    pub(crate) datagram: Option<Box<OpenDatagram>>,
}

type OpenStream = dyn Fn(Value, &Setup<'_>) -> Result<Acceptor, SetupError> + Send + Sync;
type OpenDatagram = dyn Fn(Value, &Setup<'_>) -> Result<Box<dyn DatagramProtocol>, SetupError> + Send + Sync;

impl Registry {
    /// Creates a registry without protocols.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Creates a registry with the protocols of this crate.
    #[must_use]
    pub fn built_in() -> Self {
        let mut registry = Self::empty();
        registry.stream::<sum::Sum>().datagram::<sum::Sum>();
        let about = "Answers everything in upper case; a line `exit` ends the connection.";
        registry.stream_with("uppercase", about, "nc 127.0.0.1 8001", |_: NoOptions, _| {
            uppercase::prepare();
            Ok(Acceptor::new(|_| Uppercase::default()))
        });
        registry.stream::<file::File>().stream::<file::FileSized>();
        let about = "Sends the time to a client that connects, then waits for the client to close.";
        registry.stream_fn("time", about, "nc 127.0.0.1 8330", |_| time::Time);
        registry.stream::<greeting::Greeting>();
        #[cfg(feature = "admin")]
        registry.stream::<admin::Admin>();
        let about = "Answers HAProxy's agent-check with one line: whether this server is ready.";
        registry.stream_fn("agent", about, "nc -N 127.0.0.1 9902 < /dev/null", |_| agent::Agent);
        registry
    }

    /// Registers a service over TCP. It replaces a service over TCP of the same name.
    pub fn stream<S: StreamService>(&mut self) -> &mut Self {
        self.entry_of::<S>().stream = Some(Box::new(|options, setup| {
            let service = open::<S>(options, setup)?;
            Ok(Acceptor::new(move |peer| service.connect(peer)).descriptors(S::DESCRIPTORS))
        }));
        self
    }

    /// Registers a service over UDP. A protocol may be registered over both transports, if its type of options is the same for
    /// both. With another type the new registration replaces all earlier ones of that name.
    pub fn datagram<S: Service + DatagramProtocol>(&mut self) -> &mut Self {
        self.entry_of::<S>().datagram = Some(Box::new(|options, setup| Ok(Box::new(open::<S>(options, setup)?))));
        self
    }

    /// Registers a protocol over TCP without options: its name, one sentence on what it does, one line of shell that tries it, and
    /// the function that makes the protocol of a connection that has just been accepted.
    ///
    /// ```
    /// use reactor::Registry;
    /// use reactor::protocol::{Context, Reply, Step, StreamProtocol};
    ///
    /// struct Echo;
    ///
    /// impl StreamProtocol for Echo {
    ///     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
    ///         cx.out.extend_from_slice(input);
    ///         Ok(Step::again(input.len()))
    ///     }
    /// }
    ///
    /// let mut registry = Registry::built_in();
    /// registry.stream_fn("echo", "Answers what it is sent.", "echo hello | nc -N 127.0.0.1 9000", |_| Echo);
    /// ```
    ///
    /// `connect` may refuse a peer: then it returns a [`Result`]. All listeners with the protocol share the values that `connect`
    /// captures, so a program can open a resource itself and pass it in:
    ///
    /// ```
    /// # use reactor::Registry;
    /// # use reactor::protocol::{Context, Reply, Step, StreamProtocol};
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, Mutex};
    ///
    /// use reactor::protocol::Refusal;
    ///
    /// struct Visits(Arc<Mutex<HashMap<std::net::IpAddr, usize>>>);
    /// # impl StreamProtocol for Visits {
    /// #     fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
    /// #         Ok(Step::again(input.len()))
    /// #     }
    /// # }
    ///
    /// let visits = Arc::default();
    /// let mut registry = Registry::empty();
    /// registry.stream_fn("visits", "Counts visits by address.", "nc 127.0.0.1 9000", move |peer| match peer.ip() {
    ///     Some(_) => Ok(Visits(Arc::clone(&visits))),
    ///     None => Err(Refusal("no internet address")),
    /// });
    /// ```
    pub fn stream_fn<A: IntoAdmission>(
        &mut self,
        name: &'static str,
        about: &'static str,
        example: &'static str,
        connect: impl Fn(&Peer) -> A + Send + Sync + 'static,
    ) -> &mut Self {
        let connect = Arc::new(connect);
        self.stream_with(name, about, example, move |_: NoOptions, _| {
            let connect = Arc::clone(&connect);
            Ok(Acceptor::new(move |peer| connect(peer)))
        })
    }

    /// Registers a protocol over TCP with options of the type `O`: its name, one sentence on what it does, one line of shell
    /// that tries it, and `open`. The server calls `open` once for each listener, before it accepts connections; `open` returns
    /// an [`Acceptor`], which makes the protocols of the connections. `open` must check what the type of an option cannot
    /// express, such as a range; a [`Service`] can check it in `reactor check` too, which reports the line of the option.
    ///
    /// ```
    /// use reactor::Registry;
    /// use reactor::protocol::{Acceptor, Context, Reply, Step, StreamProtocol};
    /// use reactor::schemars::JsonSchema;
    /// use reactor::serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
    /// #[serde(crate = "reactor::serde", default, deny_unknown_fields)]
    /// #[schemars(crate = "reactor::schemars")]
    /// struct Motto {
    ///     /// The answer to everything that a client sends.
    ///     motto: String,
    /// }
    ///
    /// impl StreamProtocol for Motto {
    ///     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
    ///         cx.out.extend_from_slice(self.motto.as_bytes());
    ///         Ok(Step::again(input.len()))
    ///     }
    /// }
    ///
    /// let mut registry = Registry::built_in();
    /// registry.stream_with("motto", "Answers with its motto.", "nc 127.0.0.1 9000", |options: Motto, _| {
    ///     Ok(Acceptor::new(move |_| options.clone()))
    /// });
    /// ```
    pub fn stream_with<O>(
        &mut self,
        name: &'static str,
        about: &'static str,
        example: &'static str,
        open: impl Fn(O, &Setup<'_>) -> Result<Acceptor, SetupError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        O: Serialize + DeserializeOwned + JsonSchema + Default + 'static,
    {
        let open = move |options, setup: &Setup<'_>| open(typed(options)?, setup);
        self.entry(name, about, example, OptionsType::of_type::<O>()).stream = Some(Box::new(open));
        self
    }

    /// Registers a protocol over UDP without options: its name, one sentence on what it does, one line of shell that tries it, and
    /// the function that makes the protocol of a socket.
    pub fn datagram_fn<P: DatagramProtocol + 'static>(
        &mut self,
        name: &'static str,
        about: &'static str,
        example: &'static str,
        open: impl Fn() -> P + Send + Sync + 'static,
    ) -> &mut Self {
        self.datagram_with(name, about, example, move |_: NoOptions, _| Ok(open()))
    }

    /// Registers a protocol over UDP with options of the type `O`, as [`Self::stream_with`] registers one over TCP; `open` returns
    /// the protocol of a socket.
    pub fn datagram_with<O, P: DatagramProtocol + 'static>(
        &mut self,
        name: &'static str,
        about: &'static str,
        example: &'static str,
        open: impl Fn(O, &Setup<'_>) -> Result<P, SetupError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        O: Serialize + DeserializeOwned + JsonSchema + Default + 'static,
    {
        let open =
            move |options, setup: &Setup<'_>| Ok(Box::new(open(typed(options)?, setup)?) as Box<dyn DatagramProtocol>);
        self.entry(name, about, example, OptionsType::of_type::<O>()).datagram = Some(Box::new(open));
        self
    }

    /// Returns all protocols, in the order of their registration.
    pub fn protocols(&self) -> impl Iterator<Item = &Protocol> {
        self.protocols.iter()
    }

    /// Returns the protocol `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Protocol> {
        self.protocols.iter().find(|protocol| protocol.name == name)
    }

    /// Returns the protocol `name`, or a sentence for the administrator that suggests one or lists all.
    pub(crate) fn protocol(&self, name: &str) -> Result<&Protocol, String> {
        self.find(name).ok_or_else(|| {
            let known: Vec<_> = self.protocols().map(|protocol| protocol.name).collect();
            let advice = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean {}?", quoted(meant)),
                None => format!("expected {}", alternatives(&known)),
            };
            format!("unknown protocol {}; {advice}", quoted(name))
        })
    }

    fn entry_of<S: Service>(&mut self) -> &mut Protocol {
        self.entry(S::NAME, S::ABOUT, S::TRY, OptionsType::of::<S>())
    }

    /// Returns the entry `name` with this description. An entry with another type of options is replaced.
    fn entry(
        &mut self,
        name: &'static str,
        about: &'static str,
        example: &'static str,
        options: OptionsType,
    ) -> &mut Protocol {
        let mut new = Protocol { name, about, example, options, stream: None, datagram: None };
        let index = match self.protocols.iter().position(|protocol| protocol.name == name) {
            Some(index) => {
                let old = &mut self.protocols[index];
                if old.options.id == new.options.id {
                    (new.stream, new.datagram) = (old.stream.take(), old.datagram.take());
                }
                *old = new;
                index
            }
            None => {
                self.protocols.push(new);
                self.protocols.len() - 1
            }
        };
        &mut self.protocols[index]
    }
}

impl Protocol {
    /// Returns the transports over which the protocol works. A protocol for TCP works over Unix streams as well, and one for UDP
    /// over Unix datagrams.
    pub fn transports(&self) -> impl Iterator<Item = Transport> {
        let tcp = self.stream.is_some().then_some(Transport::Tcp);
        let udp = self.datagram.is_some().then_some(Transport::Udp);
        tcp.into_iter().chain(udp)
    }

    /// Returns all options with their defaults.
    #[must_use]
    pub fn default_options(&self) -> Value {
        self.options.defaults()
    }

    /// Returns the JSON Schema of the options.
    #[must_use]
    pub fn options_schema(&self) -> Value {
        self.options.schema()
    }

    /// Checks that the protocol works over `transport`.
    ///
    /// # Errors
    /// A sentence for the administrator that names the transports of the protocol.
    pub(crate) fn speaks(&self, transport: Transport) -> Result<(), String> {
        if self.transports().any(|known| known.is_stream() == transport.is_stream()) {
            return Ok(());
        }
        let known: Vec<_> = self.transports().map(|known| known.to_string()).collect();
        Err(format!(
            "expected a protocol for {transport}, found {}, which is for {}",
            quoted(self.name),
            known.join(" and ")
        ))
    }
}

fn open<S: Service>(options: Value, setup: &Setup<'_>) -> Result<S, SetupError> {
    S::open(typed(options)?, setup)
}

fn typed<O: DeserializeOwned>(options: Value) -> Result<O, SetupError> {
    serde_json::from_value(options).map_err(|error| SetupError::Other(error.to_string()))
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocol").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::protocol::{Context, Dropped, Refusal, Reply, Step, StreamProtocol};
    use crate::testing::MemoryDisk;

    struct Echo;

    impl StreamProtocol for Echo {
        fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
            Ok(Step::again(input.len()))
        }
    }

    impl DatagramProtocol for Echo {
        fn on_datagram(&mut self, _: &[u8], _: &mut Context<'_>) -> Result<(), Dropped> {
            Ok(())
        }
    }

    #[test]
    fn what_a_function_captures_is_shared_by_all_listeners() {
        let taken = AtomicUsize::new(0);
        let mut registry = Registry::empty();
        registry.stream_fn("three", "Serves three peers.", "true", move |_| {
            if taken.fetch_add(1, Ordering::Relaxed) < 3 { Ok(Echo) } else { Err(Refusal("no place")) }
        });
        let open = registry.find("three").and_then(|three| three.stream.as_ref()).expect("it is registered");
        let listener = || {
            let setup = Setup::new("three", Arc::new(MemoryDisk::new()));
            open(json!({}), &setup).unwrap_or_else(|error| panic!("{error}"))
        };
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)));
        let admitted = [listener(), listener()].map(|listener| [(); 2].map(|()| (listener.connect)(&peer).err()));
        assert_eq!(admitted, [[None, None], [None, Some(Refusal("no place"))]]);
    }

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Places {
        places: usize,
    }

    #[test]
    fn a_function_gets_the_options_and_the_name_of_each_listener() {
        let mut registry = Registry::empty();
        registry.stream_with("few", "Serves few peers.", "true", |options: Places, setup| {
            let is_first = setup.name == "first";
            Ok(Acceptor::new(move |_| if is_first { Ok(Echo) } else { Err(Refusal("no place")) })
                .descriptors(options.places))
        });
        let few = registry.find("few").expect("it is registered");
        assert_eq!(few.default_options(), json!({ "places": 0 }));
        let open = few.stream.as_ref().expect("over TCP");
        let listener = |name, places| {
            let setup = Setup::new(name, Arc::new(MemoryDisk::new()));
            open(json!({ "places": places }), &setup).unwrap_or_else(|error| panic!("{error}"))
        };
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 4000)));
        let opened = [listener("first", 1), listener("second", 2)];
        let seen = opened.map(|listener| (listener.descriptors, (listener.connect)(&peer).err()));
        assert_eq!(seen, [(1, None), (2, Some(Refusal("no place")))]);
    }

    #[test]
    fn what_registers_over_both_transports_by_functions_is_one_protocol() {
        let mut registry = Registry::empty();
        registry.stream_with("both", "Over TCP.", "true", |_: Places, _| Ok(Acceptor::new(|_| Echo))).datagram_with(
            "both",
            "Over UDP.",
            "true",
            |_: Places, _| Ok(Echo),
        );
        assert_eq!(registry.find("both").map(|both| both.transports().count()), Some(2));

        let text = r#"{"listeners": [{"listen": "udp://:1", "protocol": "both", "options": {"places": "many"}}]}"#;
        let problems = Config::parse("r.json", text, &registry).expect_err("it is not a number");
        assert!(problems.to_string().contains("listeners[0].options.places"), "{problems}");
    }

    #[test]
    fn the_last_registration_of_a_name_describes_it_and_takes_no_options() {
        let mut registry = Registry::built_in();
        registry.stream_fn("echo", "Old.", "true", |_| Echo).datagram_fn("echo", "New.", "true", || Echo);
        registry.stream_fn("sum", "Has no options any more.", "true", |_| Echo);
        let known = |name| registry.find(name).map(|found| (found.about, found.transports().count()));
        assert_eq!(known("echo"), Some(("New.", 2)));
        assert_eq!(known("sum"), Some(("Has no options any more.", 1)));

        let text = r#"{"listeners": [{"listen": "tcp://:1", "protocol": "echo", "options": {"loud": true}}]}"#;
        let problems = Config::parse("r.json", text, &registry).expect_err("it has no options");
        assert!(problems.to_string().contains(r#"unknown member "loud""#), "{problems}");
    }
}
