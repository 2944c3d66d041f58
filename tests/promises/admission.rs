//! Admission: a service may refuse a connection that was accepted.

use std::sync::atomic::{AtomicBool, Ordering};

use reactor::Registry;
use reactor::protocol::{Context, Peer, Refusal, Reply, Step, StreamProtocol, Within};
use serde_json::json;

use crate::support::{Client, Server, listener};

/// Sends a peer its address.
struct WhoAmI(Peer);

impl StreamProtocol for WhoAmI {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        assert_eq!(cx.peer(), self.0);
        cx.out.extend_from_slice(format!("{}\n", cx.peer()).as_bytes());
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

#[test]
fn a_refused_connection_is_closed_counted_by_reason_and_not_by_address() {
    let mut registry = Registry::empty();
    let is_first = AtomicBool::new(true);
    registry.stream_fn("second-only", "Refuses its first peer.", "nc 127.0.0.1 9000", move |peer| {
        if is_first.swap(false, Ordering::Relaxed) { Err(Refusal("the first")) } else { Ok(WhoAmI(peer.clone())) }
    });
    let mut config = listener("second-only", "tcp");
    config["limits"] = json!({ "max_connections_per_ip": 1 });
    let server = Server::start(&registry, &json!({ "listeners": [config] }));

    let mut refused = Client::connect(server.address("second-only-tcp"));
    assert!(refused.try_rest().is_ok_and(|rest| rest.is_empty()));
    let mut served = Client::connect(server.address("second-only-tcp"));
    let address = served.stream().local_addr().unwrap();
    served.ask("?", format!("{address}\n"));

    let stats = server.stats("second-only-tcp");
    assert_eq!((stats.accepted, stats.refused.to_string()), (1, "1 (the first 1)".to_owned()));
}
