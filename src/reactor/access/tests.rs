use super::*;
use crate::protocol::{Context, Reply, Step};

/// Answers nothing.
struct Silent;

impl StreamProtocol for Silent {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }
}

#[test]
fn errors_are_all_ends_but_the_peers_fin_and_the_protocols_end() {
    let wanted = |which| {
        let log = AccessLog::new(which);
        let reasons = [
            CloseReason::Eof,
            CloseReason::Finished,
            CloseReason::Idle,
            CloseReason::Refused("no"),
            CloseReason::Shutdown,
        ];
        reasons.map(|reason| log.wants(reason))
    };
    assert_eq!(wanted(Access::Off), [false; 5]);
    assert_eq!(wanted(Access::Errors), [false, false, true, true, true]);
    assert_eq!(wanted(Access::All), [true; 5]);
}

#[test]
fn an_access_log_that_is_off_keeps_nothing_and_wraps_nothing() {
    let mut log = AccessLog::new(Access::Off);
    log.begin(7, Time::NEVER);
    assert!(log.entries.is_empty());
    let mut protocol = log.counting(7, Box::new(Silent));
    let protocol: &mut dyn StreamProtocol = &mut *protocol;
    assert!((protocol as &mut dyn std::any::Any).is::<Silent>());
}

#[test]
fn the_phase_is_what_the_connection_was_doing_when_its_end_was_decided() {
    let silent = Account::default();
    let heard = Account { received: 5, ..silent };
    let pending = Account { pending: true, ..heard };
    let [nothing, request, body] = [Within::Nothing, Within::Request, Within::Body].map(Stage::Within);
    let reset = CloseReason::Transport(io::ErrorKind::ConnectionReset);
    for (reason, stage, account, expected) in [
        (CloseReason::Eof, nothing, silent, "arriving"),
        (CloseReason::Eof, nothing, heard, "idle"),
        (CloseReason::Eof, nothing, pending, "idle"),
        (CloseReason::Idle, nothing, silent, "arriving"),
        (CloseReason::Idle, body, heard, "body"),
        (CloseReason::RequestTimeout, request, heard, "request"),
        (CloseReason::Refused("not JSON"), nothing, heard, "request"),
        (CloseReason::Bug("panicked"), nothing, heard, "request"),
        (CloseReason::Bug("panicked"), nothing, silent, "arriving"),
        (CloseReason::NoWorker, nothing, heard, "working"),
        (CloseReason::OpeningTimeout, Stage::Opening, heard, "handshake"),
        (CloseReason::WriteTimeout, nothing, heard, "sending"),
        (CloseReason::OutputTotal, request, heard, "sending"),
        (reset, nothing, heard, "idle"),
        (reset, nothing, pending, "sending"),
        (reset, request, heard, "request"),
        (reset, Stage::Working, heard, "working"),
        (CloseReason::Shutdown, request, pending, "sending"),
        (CloseReason::Shutdown, nothing, heard, "idle"),
        (CloseReason::Eof, Stage::Relaying, silent, "relaying"),
        (CloseReason::OtherSide, Stage::Relaying, pending, "relaying"),
        (CloseReason::WriteTimeout, Stage::Relaying, heard, "sending"),
        (reset, Stage::Relaying, pending, "sending"),
        (CloseReason::Refused("max_connections_per_ip"), Stage::Refused, silent, "arriving"),
    ] {
        assert_eq!(phase(reason, stage, account), expected, "{reason:?} {stage:?} {account:?}");
    }
}
