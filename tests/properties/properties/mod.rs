//! Properties that hold for every input. The property tests beside this module choose random inputs, the targets in
//! `tests/fuzz` choose inputs by the code that they reach; both try the same functions.

mod config;
mod datagrams;
mod framing;
mod http;
mod models;
mod play;
mod proxy;
mod streams;
mod uploads;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000);

/// A property: a function that takes any bytes, and panics if it does not hold for them.
pub(crate) type Property = fn(&[u8]);

/// All properties, by the names of the fuzz targets and of the directories with their seeds. Properties of protocols
/// over TCP take the scripts that `play` describes.
pub(crate) const TARGETS: [(&str, Property); 12] = [
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
    ("admin", http::admin),
    ("proxy", proxy::proxy),
];

/// Tries the property of a target on `input`.
pub(crate) fn hold(target: &str, input: &[u8]) {
    let (_, property) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of this name");
    property(input);
}
