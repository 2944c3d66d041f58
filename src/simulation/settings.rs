//! The configuration of a simulated server: all protocols, with limits low enough to be reached.

use std::io;
use std::net::SocketAddr;

use nix::errno::Errno;

use super::guard::{self, Rules};
use super::openings::Opening;
use super::other_ends::Fate;
use super::random::Random;
use crate::protocol::file::OnExisting;

/// The protocols of the simulated server, each on its own port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Sum = 5656,
    Uppercase = 8001,
    File = 8008,
    FileSized = 8009,
    Time = 8330,
    Greeting = 7020,
    Tale = 9000,
    /// Only for seeds that draw it.
    Gossip = 9001,
    /// Only for seeds that draw it.
    Relay = 9002,
    /// Only for seeds that draw it.
    Guarded = guard::PORT as isize,
}

impl Service {
    /// Those that every seed has.
    pub(super) const ALL: [Self; 7] =
        [Self::Sum, Self::Uppercase, Self::File, Self::FileSized, Self::Time, Self::Greeting, Self::Tale];

    pub(super) fn address(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self as u16))
    }

    /// Returns the number of bytes at the front of a message that a pause must not split: a file name, which silence
    /// ends too.
    pub(super) fn head(self, message: &[u8]) -> usize {
        match self {
            Self::File | Self::FileSized => {
                message.iter().position(|byte| *byte == b'\n').map_or(message.len(), |end| end + 1)
            }
            _ => 0,
        }
    }
}

/// A port that another program has.
pub(super) const TAKEN: u16 = 9999;

/// Simulates the part of `bind(2)` that asks whether the address is free.
pub(super) fn is_free(address: SocketAddr) -> io::Result<()> {
    if address.port() == TAKEN { Err(Errno::EADDRINUSE.into()) } else { Ok(()) }
}

/// The parts of the configuration that the seed decides.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    max_connections: usize,
    /// Zero for no limit.
    pub(super) max_connections_per_ip: usize,
    pub(super) max_pending_output: usize,
    pub(super) max_pending_output_total: usize,
    /// Whether the kernel reports unacknowledged bytes.
    pub(super) tells_acknowledged: bool,
    write_timeout: &'static str,
    min_send_rate: &'static str,
    free_space_floor: &'static str,
    pub(super) existing: OnExisting,
    /// What comes before the protocols.
    pub(super) opening: Opening,
    /// The access log, whose counting of requests must change nothing.
    access: &'static str,
    /// Clients that command connections which send messages to each other.
    pub(super) gossips: usize,
    /// For each client that is relayed, what happens to the connects for it.
    pub(super) relays: Vec<Vec<Fate>>,
    /// Of a listener that does not serve everybody.
    pub(super) rules: Option<Rules>,
}

const KIB: usize = 1024;

impl Settings {
    pub(super) fn draw(random: &mut Random) -> Self {
        let tells_acknowledged = random.strikes(800);
        // A peer that takes three seconds to read a third of a queue is slow but alive; only the kernel's report shows
        // that.
        let is_short = tells_acknowledged && random.flip();
        let mut settings = Self {
            tells_acknowledged,
            write_timeout: if is_short { "3s" } else { "30s" },
            min_send_rate: if is_short { "0B" } else { "1KiB" },
            max_connections: random.pick(&[2, 5, 10_000, 10_000]),
            max_connections_per_ip: random.pick(&[0, 0, 1, 2, 10_000]),
            max_pending_output: random.pick(&[16, KIB, 256 * KIB, 256 * KIB]),
            max_pending_output_total: random.pick(&[KIB, 256 * KIB * KIB, 256 * KIB * KIB]),
            free_space_floor: random.pick(&["0B", "0B", "1MiB"]),
            existing: random.pick(&[OnExisting::Refuse, OnExisting::Replace, OnExisting::Number]),
            opening: Opening::Nothing,
            access: "off",
            gossips: 0,
            relays: Vec::new(),
            rules: None,
        };
        // After an opening the address of the peer may be another one, which the checks of the network cannot count. Drawn from a
        // stream of its own, so that a seed without an opening stays the same.
        if [0, 10_000].contains(&settings.max_connections_per_ip) {
            settings.opening = Opening::draw(&mut random.clone().split());
        }
        // From a stream of its own as well.
        settings.access = random.clone().split().split().pick(&["off", "all"]);
        // And from one more.
        let mut own = random.clone().split().split().split();
        settings.gossips = if own.strikes(350) { own.within(2..9) } else { 0 };
        if own.strikes(350) {
            settings.relays = (0..own.within(1..7)).map(|_| Fate::draw(&mut own)).collect();
        }
        settings.rules = Rules::draw(&mut random.clone().split().split().split().split());
        settings
    }

    /// Returns the configuration file with these settings.
    pub(super) fn text(&self) -> String {
        let Self { max_connections, max_connections_per_ip, max_pending_output, max_pending_output_total, .. } = self;
        let Self { free_space_floor: floor, write_timeout, min_send_rate, access, .. } = self;
        let existing = match self.existing {
            OnExisting::Refuse => "refuse",
            OnExisting::Replace => "replace",
            OnExisting::Number => "number",
        };
        let files =
            format!(r#"{{ "directory": "received", "existing": "{existing}", "free_space_floor": "{floor}" }}"#);
        let gossip = match self.gossips {
            0 => "",
            _ => r#", { "listen": "tcp://127.0.0.1:9001", "protocol": "gossip" }"#,
        };
        let relay = match self.relays.len() {
            0 => "",
            _ => r#", { "listen": "tcp://127.0.0.1:9002", "protocol": "relay" }"#,
        };
        let guarded = self.rules.as_ref().map_or_else(String::new, |rules| {
            let address = Service::Guarded.address();
            format!(r#", {{ "listen": "tcp://{address}", "protocol": "guarded"{} }}"#, rules.members())
        });
        format!(
            r#"{{
                "listeners": [
                    {{ "listen": "tcp://127.0.0.1:5656", "protocol": "sum" }},
                    {{ "listen": "udp://127.0.0.1:5656", "protocol": "sum" }},
                    {{ "listen": "tcp://127.0.0.1:8001", "protocol": "uppercase" }},
                    {{ "listen": "tcp://127.0.0.1:8008", "protocol": "file", "options": {files} }},
                    {{ "listen": "tcp://127.0.0.1:8009", "protocol": "file-sized", "options": {files} }},
                    {{ "listen": "tcp://127.0.0.1:8330", "protocol": "time" }},
                    {{ "listen": "tcp://127.0.0.1:7020", "protocol": "greeting" }},
                    {{ "listen": "tcp://127.0.0.1:9000", "protocol": "tale" }}{gossip}{relay}{guarded}
                ],
                "limits": {{
                    "max_connections": {max_connections},
                    "max_connections_per_ip": {max_connections_per_ip},
                    "write_timeout": "{write_timeout}",
                    "min_send_rate": "{min_send_rate}",
                    "max_pending_output": "{max_pending_output}B"
                }},
                "max_pending_output_total": "{max_pending_output_total}B",
                "log": {{ "access": "{access}" }}
            }}"#
        )
    }
}
