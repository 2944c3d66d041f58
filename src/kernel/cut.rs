//! Warns of values that Linux silently reduces to a sysctl of the network (`listen(2)`, `socket(7)`).

use std::fmt::Display;
use std::fs;

use crate::limits::BACKLOG;

/// Warns of a `backlog` above the limit of this machine, unless it is the default, which the administrator did not
/// choose.
pub(super) fn check_backlog(address: impl Display, backlog: u32) {
    if backlog != BACKLOG {
        check("backlog", address, u64::from(backlog), "connections", "net.core.somaxconn");
    }
}

/// Warns of a receive buffer above the limit of this machine, in bytes.
pub(super) fn check_receive_buffer(address: impl Display, bytes: Option<usize>) {
    if let Some(bytes) = bytes {
        check("receive_buffer", address, bytes as u64, "bytes", "net.core.rmem_max");
    }
}

fn check(member: &str, address: impl Display, asked: u64, unit: &str, sysctl: &str) {
    if let Some(most) = most(sysctl)
        && asked > most
    {
        log::warn!("{address}: the kernel reduces {member} from {asked} to {most} {unit} (sysctl {sysctl})");
    }
}

/// Returns the value of the sysctl; `None` where it does not exist.
fn most(sysctl: &str) -> Option<u64> {
    let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
