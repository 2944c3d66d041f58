//! `time`: the server speaks first. It sends the time once, and discards what the client sends.

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::protocol::{Context, Reply, Step, StreamProtocol, Within};

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z, since the epoch.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// The time of connecting, in UTC (RFC 3339) with microseconds, as one line.
#[derive(Debug)]
pub struct Time;

impl StreamProtocol for Time {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        // A clock that is set wrong is shown as near as the format allows: RFC 3339 has no year after 9999, and `humantime`
        // has no time before 1970.
        let time = cx.wall_clock().clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST_SECOND);
        let _ = writeln!(cx.out, "{}", humantime::format_rfc3339_micros(time)); // Writing to an outbox never fails.
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::protocol::CloseReason;
    use crate::testing::{Script, converse, every_fault, same_for_every_split};

    const EPOCH: &[u8] = b"1970-01-01T00:00:00.000000Z\n";
    const SECOND: Duration = Duration::from_secs(1);

    fn line_at(wall_clock: SystemTime) -> String {
        let transcript = converse(Time, &Script::new().wall_clock(wall_clock).fin());
        String::from_utf8(transcript.replies[0].clone()).unwrap()
    }

    #[test]
    fn the_time_is_in_utc_with_microseconds() {
        for (nanoseconds, line) in [
            (0, "1970-01-01T00:00:00.000000Z\n"),
            (1_709_210_096_789_012_345, "2024-02-29T12:34:56.789012Z\n"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999Z\n"),
        ] {
            assert_eq!(line_at(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)), line);
        }
    }

    #[test]
    fn a_clock_beyond_the_format_is_clamped_to_it() {
        let day = Duration::from_secs(86_400);
        assert_eq!(line_at(SystemTime::UNIX_EPOCH - day), "1970-01-01T00:00:00.000000Z\n");
        assert_eq!(line_at(SystemTime::UNIX_EPOCH + LAST_SECOND + day), "9999-12-31T23:59:59.000000Z\n");
    }

    #[test]
    fn what_the_client_writes_is_discarded_and_its_fin_ends_the_connection() {
        let transcript = same_for_every_split(|| Time, b"GET / HTTP/1.1\r\n\r\n\0");
        assert_eq!((&transcript.sent[..], transcript.reason), (EPOCH, CloseReason::Eof));
        assert_eq!(transcript.replies[0], EPOCH, "before the client says anything");
    }

    #[test]
    fn no_fault_at_any_call_changes_the_line() {
        for window in [1, 3, usize::MAX] {
            every_fault(|| Time, &Script::new().send("a").send_fin("b").window(window));
        }
    }

    #[test]
    fn a_client_that_stays_is_closed_when_idle_or_when_the_server_stops() {
        let limits = Limits { idle_timeout: 3600 * SECOND, ..Limits::default() };
        let script = Script::new().limits(limits).pause(1800 * SECOND).send("still here");
        for (script, reason, elapsed) in [
            (script.clone(), CloseReason::Idle, (1800 + 3600) * SECOND),
            (script.stop(), CloseReason::Shutdown, 1800 * SECOND),
        ] {
            let transcript = converse(Time, &script);
            assert_eq!((&transcript.sent[..], transcript.reason, transcript.reset), (EPOCH, reason, false));
            assert_eq!(transcript.elapsed, elapsed);
        }
    }

    #[test]
    fn a_client_that_never_reads_its_line_is_reset() {
        let talker = (0..100).fold(Script::new().never_reads(0), |script, _| script.send([0; 1000]).pause(SECOND));
        let transcript = converse(Time, &talker);
        assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
        assert_eq!((transcript.reset, transcript.pending_bytes_max), (true, EPOCH.len()));
    }
}
