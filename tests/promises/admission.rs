//! Who is let in: a service may refuse a connection that was accepted.

use std::sync::atomic::{AtomicBool, Ordering};

use reactor::Registry;
use reactor::protocol::{
    Admission, Context, NoOptions, Peer, Refusal, Reply, Service, Setup, SetupError, Step, StreamProtocol,
    StreamService, Within,
};
use serde_json::json;

use crate::support::{Client, Server, listener};

/// Refuses its first peer. To the others it says who they are.
struct SecondOnly {
    is_first: AtomicBool,
}

struct WhoAmI(Peer);

impl Service for SecondOnly {
    const NAME: &'static str = "second-only";
    const ABOUT: &'static str = "Refuses its first peer.";
    const TRY: &'static str = "nc 127.0.0.1 9000";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self { is_first: AtomicBool::new(true) })
    }
}

impl StreamService for SecondOnly {
    fn connect(&self, peer: &Peer) -> Admission {
        if self.is_first.swap(false, Ordering::Relaxed) {
            Err(Refusal("the first"))
        } else {
            Ok(Box::new(WhoAmI(peer.clone())))
        }
    }
}

impl StreamProtocol for WhoAmI {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        assert_eq!(*cx.peer, self.0);
        cx.out.extend_from_slice(format!("{}\n", cx.peer).as_bytes());
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

#[test]
fn a_refused_connection_is_closed_counted_by_reason_and_not_by_address() {
    let mut registry = Registry::empty();
    registry.stream::<SecondOnly>();
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
