//! The addresses that listeners have taken.

use std::collections::BTreeMap;

use crate::address::{Listen, Transport, UnixAddress};

/// Addresses, each with the name of its listener.
type Named<'l, N> = Vec<(&'l Listen, N)>;

/// The addresses of listeners, each with the name of its listener. A new address is compared only with those that it may clash
/// with, so that the cost for each does not grow with their number.
pub(super) struct Taken<'l, N> {
    /// By transport, port and host. No two of a group clash, so a group has at most one address for each family.
    hosts: BTreeMap<(Transport, u16, String), Named<'l, N>>,
    /// By transport and port: the first listener of each family that takes a single address.
    firsts: BTreeMap<(Transport, u16), Named<'l, N>>,
    /// Of Unix sockets: by address.
    unix: BTreeMap<&'l UnixAddress, Named<'l, N>>,
}

impl<'l, N: Copy> Taken<'l, N> {
    pub(super) fn new() -> Self {
        Self { hosts: BTreeMap::new(), firsts: BTreeMap::new(), unix: BTreeMap::new() }
    }

    /// Adds an address. If it clashes with an earlier one, returns the earlier one instead.
    pub(super) fn add(&mut self, listen: &'l Listen, name: N) -> Option<(&'l Listen, N)> {
        if let Some(unix) = &listen.unix {
            let same = self.unix.entry(unix).or_default();
            let first = same.iter().find(|(first, _)| listen.clash(first, "").is_some()).copied();
            if first.is_none() {
                same.push((listen, name));
            }
            return first;
        }
        let (transport, port) = (listen.transport, listen.port);
        let others = if listen.is_every() {
            self.firsts.get(&(transport, port))
        } else {
            self.hosts.get(&(transport, port, String::new()))
        };
        let host = (transport, port, listen.host_key());
        let same = self.hosts.get(&host);
        let first =
            same.into_iter().chain(others).flatten().find(|(first, _)| listen.clash(first, "").is_some()).copied();
        if first.is_none() && (port != 0 || listen.passed.is_some()) {
            self.hosts.entry(host).or_default().push((listen, name));
            if !listen.is_every() {
                let firsts = self.firsts.entry((transport, port)).or_default();
                let family = listen.only_family();
                if firsts.iter().all(|(first, _)| first.only_family() != family) {
                    firsts.push((listen, name));
                }
            }
        }
        first
    }
}
