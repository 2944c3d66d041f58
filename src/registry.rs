//! Protocols by name. Those of a plug-in crate are registered exactly as the built-in ones.

mod options;

use std::fmt;

use serde_json::Value;

use self::options::OptionsType;
use crate::address::Transport;
use crate::json::{alternatives, nearest, quoted};
use crate::protocol::{
    Admission, DatagramProtocol, Peer, Service, Setup, SetupError, StreamService, file, greeting, sum, time, uppercase,
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

/// A protocol, as its registration describes it.
#[non_exhaustive]
pub struct Protocol {
    /// The name by which a configuration chooses it.
    pub name: &'static str,
    /// One sentence on what it does.
    pub about: &'static str,
    /// One line of shell that tries it.
    pub example: &'static str,
    pub(crate) options: OptionsType,
    pub(crate) stream: Option<OpenStream>,
    pub(crate) datagram: Option<OpenDatagram>,
}

type OpenStream = fn(Value, &Setup<'_>) -> Result<StreamListenerService, SetupError>;
type OpenDatagram = fn(Value, &Setup<'_>) -> Result<Box<dyn DatagramProtocol>, SetupError>;

/// An opened service over TCP.
pub(crate) struct StreamListenerService {
    pub(crate) connector: Box<dyn Connector>,
    /// File descriptors that one connection may need besides its socket.
    pub(crate) descriptors: usize,
}

/// The part of [`StreamService`] that is asked for each connection, without the types of its options.
pub(crate) trait Connector: Send {
    fn connect(&self, peer: &Peer) -> Admission;
}

impl<S: StreamService> Connector for S {
    fn connect(&self, peer: &Peer) -> Admission {
        StreamService::connect(self, peer)
    }
}

impl Registry {
    /// A registry without any protocol.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The protocols of this crate.
    #[must_use]
    pub fn built_in() -> Self {
        let mut registry = Self::empty();
        registry
            .stream::<sum::Sum>()
            .datagram::<sum::Sum>()
            .stream::<uppercase::Uppercase>()
            .stream::<file::File>()
            .stream::<file::FileSized>()
            .stream::<time::Time>()
            .stream::<greeting::Greeting>();
        registry
    }

    /// Registers a protocol over TCP. A name that is registered already now means the new one.
    pub fn stream<S: StreamService>(&mut self) -> &mut Self {
        self.entry::<S>().stream = Some(|options, setup| {
            let service = open::<S>(options, setup)?;
            Ok(StreamListenerService { connector: Box::new(service), descriptors: S::DESCRIPTORS })
        });
        self
    }

    /// Registers a protocol over UDP. A protocol may be registered over both, with the same options; with others it
    /// replaces what has its name.
    pub fn datagram<S: Service + DatagramProtocol>(&mut self) -> &mut Self {
        self.entry::<S>().datagram = Some(|options, setup| Ok(Box::new(open::<S>(options, setup)?)));
        self
    }

    /// All protocols.
    pub fn protocols(&self) -> impl Iterator<Item = &Protocol> {
        self.protocols.iter()
    }

    /// The protocol of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Protocol> {
        self.protocols.iter().find(|protocol| protocol.name == name)
    }

    /// The protocol of that name, or a sentence that says which there are.
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

    /// The entry of a protocol: a new one unless there is one with the same options.
    fn entry<S: Service>(&mut self) -> &mut Protocol {
        let options = OptionsType::of::<S>();
        let new = Protocol { name: S::NAME, about: S::ABOUT, example: S::TRY, options, stream: None, datagram: None };
        match self.protocols.iter().position(|protocol| protocol.name == S::NAME) {
            Some(index) => {
                if self.protocols[index].options.id != options.id {
                    self.protocols[index] = new;
                }
                &mut self.protocols[index]
            }
            None => {
                self.protocols.push(new);
                let last = self.protocols.len() - 1;
                &mut self.protocols[last]
            }
        }
    }
}

impl Protocol {
    /// The transports it works over.
    pub fn transports(&self) -> impl Iterator<Item = Transport> {
        let tcp = self.stream.is_some().then_some(Transport::Tcp);
        let udp = self.datagram.is_some().then_some(Transport::Udp);
        tcp.into_iter().chain(udp)
    }

    /// Its options with their defaults.
    #[must_use]
    pub fn default_options(&self) -> Value {
        self.options.defaults()
    }

    /// The JSON Schema of its options.
    #[must_use]
    pub fn options_schema(&self) -> Value {
        self.options.schema()
    }

    /// Nothing if it works over `transport`, or a sentence that says over which it does.
    pub(crate) fn speaks(&self, transport: Transport) -> Result<(), String> {
        if self.transports().any(|known| known == transport) {
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
    let options = serde_json::from_value(options).map_err(|error| SetupError::Other(error.to_string()))?;
    S::open(options, setup)
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocol").field("name", &self.name).finish_non_exhaustive()
    }
}
