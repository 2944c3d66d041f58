//! What a run was asked to do, as its result in JSON says.

use serde_json::{Map, Value, json};

use crate::arrivals::Spread;
use crate::options::{Cli, Protocol};
use crate::printable::printable;

/// Returns `open` or `closed`: whether requests leave at a rate, or when there is room.
pub(crate) fn model(cli: &Cli) -> &'static str {
    if cli.rate.is_some() { "open" } else { "closed" }
}

pub(crate) fn settings(cli: &Cli) -> Map<String, Value> {
    let mut settings = json!({
        "protocol": cli.protocol.name(),
        "url": cli.places(),
        "model": model(cli),
        "connections": cli.connections,
        "pipeline": cli.pipeline,
        "size": cli.size(),
        "asked_rate": cli.rate,
        "arrivals": cli.rate.map(|_| cli.arrivals.name()),
        "asked_seconds": cli.duration.as_secs_f64(),
        "warmup_seconds": cli.warmup().as_secs_f64(),
        "timeout_seconds": cli.timeout().as_secs_f64(),
        "connect_each": cli.connects_each(),
        "reconnect": cli.reconnect,
    });
    if cli.protocol == Protocol::Chat {
        settings["senders"] = json!(cli.senders());
        settings["deaf"] = json!(cli.connections as usize - cli.readers());
    }
    if cli.arrivals == Spread::Poisson || cli.reconnect {
        settings["seed"] = json!(cli.seed);
    }
    if let Some(announce) = cli.proxy_protocol {
        settings["proxy_protocol"] = json!(announce.to_string());
    }
    if let Some(ramp) = &cli.ramp {
        settings["ramp"] = json!(ramp.to_string());
    }
    if let Some(ramp) = &cli.ramp_connections {
        settings["ramp_connections"] = json!(ramp.to_string());
    }
    if let Some(expectation) = cli.raw.expectation() {
        settings["send"] = json!(printable(cli.raw.request()));
        settings["expect"] = json!(expectation.to_string());
    }
    settings.as_object().cloned().unwrap_or_default()
}
