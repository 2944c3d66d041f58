//! The configuration of a simulated server: all protocols, and limits drawn so that they are reached.

use super::random::Random;
use crate::protocol::file::OnExisting;

/// What the seed decides about the configuration.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    max_connections: usize,
    /// Zero for no limit.
    pub(super) max_connections_per_ip: usize,
    max_pending_output: usize,
    pub(super) max_pending_output_total: usize,
    free_space_floor: &'static str,
    pub(super) existing: OnExisting,
}

const KIB: usize = 1024;

impl Settings {
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            max_connections: random.pick(&[2, 5, 10_000, 10_000]),
            max_connections_per_ip: random.pick(&[0, 0, 1, 2, 10_000]),
            max_pending_output: random.pick(&[16, KIB, 256 * KIB, 256 * KIB]),
            max_pending_output_total: random.pick(&[KIB, 256 * KIB * KIB, 256 * KIB * KIB]),
            free_space_floor: random.pick(&["0B", "0B", "1MiB"]),
            existing: random.pick(&[OnExisting::Refuse, OnExisting::Replace, OnExisting::Number]),
        }
    }

    /// The configuration file that says so.
    pub(super) fn text(&self) -> String {
        let Self { max_connections, max_connections_per_ip, max_pending_output, max_pending_output_total, .. } = self;
        let floor = self.free_space_floor;
        let existing = match self.existing {
            OnExisting::Refuse => "refuse",
            OnExisting::Replace => "replace",
            OnExisting::Number => "number",
        };
        let files =
            format!(r#"{{ "directory": "received", "existing": "{existing}", "free_space_floor": "{floor}" }}"#);
        format!(
            r#"{{
                "listeners": [
                    {{ "listen": "tcp://127.0.0.1:5656", "protocol": "sum" }},
                    {{ "listen": "udp://127.0.0.1:5656", "protocol": "sum" }},
                    {{ "listen": "tcp://127.0.0.1:8001", "protocol": "uppercase" }},
                    {{ "listen": "tcp://127.0.0.1:8008", "protocol": "file", "options": {files} }},
                    {{ "listen": "tcp://127.0.0.1:8009", "protocol": "file-sized", "options": {files} }},
                    {{ "listen": "tcp://127.0.0.1:8330", "protocol": "time" }},
                    {{ "listen": "tcp://127.0.0.1:7020", "protocol": "greeting" }}
                ],
                "limits": {{
                    "max_connections": {max_connections},
                    "max_connections_per_ip": {max_connections_per_ip},
                    "max_pending_output": "{max_pending_output}B"
                }},
                "max_pending_output_total": "{max_pending_output_total}B"
            }}"#
        )
    }
}
