//! What holds whatever the input is. The property tests beside this module choose their inputs by chance, the targets in
//! `tests/fuzz` by what they reach in the code; both try the same functions.

mod config;
mod datagrams;
mod framing;
mod models;
mod play;
mod streams;
mod uploads;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);

/// What takes any bytes, and panics if it does not hold for them.
pub(crate) type Property = fn(&[u8]);

/// All properties, by the names of the fuzz targets and of the directories with their seeds. Those of protocols over TCP
/// take what `play` describes.
pub(crate) const TARGETS: [(&str, Property); 10] = [
    ("sum", streams::sum),
    ("uppercase", streams::uppercase),
    ("file", uploads::file),
    ("file-sized", uploads::file_sized),
    ("greeting", streams::greeting),
    ("time", streams::time),
    ("config", config::config),
    ("names", uploads::names),
    ("datagrams", datagrams::datagrams),
    ("framing", framing::framing),
];

/// Tries the property of a target on `input`.
pub(crate) fn hold(target: &str, input: &[u8]) {
    let (_, property) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    property(input);
}
