//! A network namespace of a test (`network_namespaces(7)`): broadcasts and groups that reach no other machine.

use std::env;
use std::process::Command;

/// The environment variable of a test that runs in such a network.
const INSIDE: &str = "REACTOR_TEST_NETWORK";

/// The interface `wire`, whose other end has no listener.
const SETUP: &str = "ip link set lo up && ip link add wire type veth peer name other && \
                     echo 1 > /proc/sys/net/ipv6/conf/other/disable_ipv6 && ip link set other up && \
                     ip link set wire addrgenmode none && \
                     ip addr add 10.77.0.1/24 broadcast + dev wire && ip link set wire up && \
                     ip addr add fe80::77/64 dev wire nodad && exec \"$@\"";

/// Whether the test of this name runs in its own network, with the interface `wire` at 10.77.0.1 and fe80::77. If not,
/// runs it there in a new process and returns false. If no such network can be made, prints a message; with `CI` set,
/// fails.
#[track_caller]
#[must_use]
pub(crate) fn in_own_network(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", SETUP, "sh"]).args(arguments).env(INSIDE, "yes");
        command.output().is_ok_and(|output| {
            eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            output.status.success()
        })
    };
    if !inside(&["true"]) {
        // Only Linux has network namespaces.
        assert!(env::var_os("CI").is_none() || !cfg!(target_os = "linux"), "no network namespace can be made");
        eprintln!("SKIPPED: no network namespace can be made, so this test did nothing");
        return false;
    }
    let program = env::current_exe().unwrap();
    assert!(inside(&[program.to_str().unwrap(), "--exact", test, "--nocapture"]), "{test} failed in its own network");
    false
}
