//! What Linux cuts in silence: values above a sysctl of the network (`listen(2)`, `socket(7)`).

use std::fs;
use std::net::SocketAddr;

use crate::limits::BACKLOG;

/// Warns of a `backlog` above what this machine takes, unless it is the default, for which nobody has asked.
pub(super) fn check_backlog(address: SocketAddr, backlog: u32) {
    if backlog != BACKLOG {
        check("backlog", address, u64::from(backlog), "connections", "net.core.somaxconn");
    }
}

/// The same for a receive buffer, in bytes.
pub(super) fn check_receive_buffer(address: SocketAddr, bytes: Option<usize>) {
    if let Some(bytes) = bytes {
        check("receive_buffer", address, bytes as u64, "bytes", "net.core.rmem_max");
    }
}

fn check(member: &str, address: SocketAddr, asked: u64, unit: &str, sysctl: &str) {
    if let Some(most) = most(sysctl)
        && asked > most
    {
        log::warn!("{address}: the kernel cuts {member} from {asked} to {most} {unit} (sysctl {sysctl})");
    }
}

/// What the sysctl is set to; `None` where there is none.
fn most(sysctl: &str) -> Option<u64> {
    let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
