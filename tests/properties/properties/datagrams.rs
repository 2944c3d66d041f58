//! Properties of `sum` over UDP.

use std::sync::Arc;

use reactor::protocol::sum::{Options, Sum};
use reactor::protocol::{DatagramProtocol, Service, Setup};
use reactor::testing::{MemoryDisk, Script, ask, converse};

use super::streams::open;
use super::{PEER, models};

/// A datagram is answered exactly if it is a request, as over TCP; never by more bytes than it has, and never with
/// another request.
pub(crate) fn datagrams(payload: &[u8]) {
    let disk = MemoryDisk::new();
    let mut sum = Sum::open(Options::default(), &Setup::new("sum", Arc::new(disk.clone()))).expect("nothing to open");
    let payload = &payload[..payload.len().min(sum.payload_bytes_max())];
    let answer = ask(&mut sum, payload, PEER).ok();
    if let Ok(text) = str::from_utf8(payload)
        && models::is_surely_json(text)
    {
        let expected = models::sum(text).map(|answer| format!("{answer}\n").into_bytes());
        assert_eq!(answer, expected, "{text}");
    }
    let Some(answer) = answer else { return };
    assert!(answer.len() <= payload.len(), "{} answers {}", answer.escape_ascii(), payload.escape_ascii());
    assert!(ask(&mut sum, &answer, PEER).is_err(), "two servers could talk for ever: {}", answer.escape_ascii());
    let over_tcp = converse(open::<Sum>(Options::default(), &disk), &Script::new().send_fin(payload));
    assert_eq!(answer, over_tcp.sent, "{}", payload.escape_ascii());
    let padded = [b" \r\n", payload, b"\t\n"].concat();
    if padded.len() <= sum.payload_bytes_max() {
        assert_eq!(ask(&mut sum, &padded, PEER), Ok(answer), "{}", padded.escape_ascii());
    }
}
