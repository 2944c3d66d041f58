//! The demands, and the servers that each is for.

use crate::client::url::Transport;
use crate::files::Files;
use crate::miss::Verdict;
use crate::protocol::Protocol;
use crate::trial::Trial;
use crate::{conversation, datagram, deadlines, ending, finer, neighbour, upload};

/// What trying a demand takes beyond the address of the server.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "a process is looked at where there is `/proc`"))]
pub(crate) enum Need {
    Nothing,
    /// A server that closes a client without progress within the time limit of a demand: `--deadlines`.
    Deadlines,
    /// Permission to watch the server's process and to send it signals: `--pid` or `--run`.
    Process,
    /// A server that the checker has started and may end: `--run`.
    Start,
}

impl Need {
    /// The options that fulfil it, in words; none for a demand that needs nothing.
    pub(crate) fn options(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Deadlines => Some("--deadlines"),
            Self::Process => Some("--pid or --run"),
            Self::Start => Some("--run"),
        }
    }
}

/// A demand, and how it is tried.
pub(crate) struct Demand {
    pub(crate) name: &'static str,
    /// What a server does that meets it.
    pub(crate) text: &'static str,
    pub(crate) protocols: &'static [Protocol],
    pub(crate) transport: Transport,
    pub(crate) need: Need,
    /// It is about the protocol, not about I/O.
    pub(crate) is_fine: bool,
    pub(crate) run: fn(&Trial) -> Verdict,
}

/// The server to check, and how much of it.
pub(crate) struct Scope {
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    pub(crate) full: bool,
    pub(crate) files: Files,
}

impl Demand {
    pub(crate) fn applies(&self, scope: &Scope) -> bool {
        self.protocols.contains(&scope.protocol) && self.transport == scope.transport && (scope.full || !self.is_fine)
    }

    /// The servers that the demand is for, in words.
    pub(crate) fn when(&self) -> String {
        let names: Vec<_> = self.protocols.iter().map(|protocol| protocol.name()).collect();
        let transport = if self.transport == Transport::Tcp { "TCP" } else { "UDP" };
        let need = self.need.options().map_or_else(String::new, |options| format!(", with {options}"));
        let fine = if self.is_fine { ", with --full" } else { "" };
        format!("{} over {transport}{need}{fine}", names.join(", "))
    }
}

/// All demands, in the order in which they are tried: first those that all others rest on, last those that a server may
/// not survive.
pub(crate) fn all() -> impl Iterator<Item = &'static Demand> {
    let streams = conversation::DEMANDS.iter().chain(ending::DEMANDS).chain(upload::DEMANDS).chain(neighbour::DEMANDS);
    let tcp_and_udp = streams.chain(datagram::DEMANDS).chain(finer::DEMANDS).chain(deadlines::DEMANDS);
    #[cfg(target_os = "linux")]
    let tcp_and_udp = tcp_and_udp.chain(crate::linux::demands());
    tcp_and_udp
}
