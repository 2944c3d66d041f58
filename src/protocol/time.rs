//! time: the server speaks first. It tells the time once, and listens to nobody.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::protocol::{
    Context, NoOptions, Reply, Service, Setup, SetupError, Step, StreamProtocol, StreamService, Within,
};

/// The last second that RFC 3339 can write, 9999-12-31T23:59:59Z, since the epoch.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// The time of connecting, in UTC (RFC 3339) with microseconds, as one line.
#[derive(Debug)]
pub struct Time;

impl Service for Time {
    const NAME: &'static str = "time";
    const ABOUT: &'static str = "Tells the time on connecting, then waits for the client to close.";
    const TRY: &'static str = "nc 127.0.0.1 8330";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Time {
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Self)
    }
}

impl StreamProtocol for Time {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        // A clock that is set wrong is shown as near as the format allows: it has no years before 0 or after 9999, and
        // `humantime` none before 1970.
        let time = cx.wall_clock.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST_SECOND);
        let _ = writeln!(cx.out, "{}", humantime::format_rfc3339_micros(time)); // An outbox takes everything.
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::feed::{Peer, transcript};

    fn line_at(wall_clock: SystemTime) -> String {
        let mut peer = Peer::at(wall_clock);
        peer.open(&mut Time);
        String::from_utf8(peer.received()).unwrap()
    }

    #[test]
    fn the_time_is_told_in_utc_with_microseconds() {
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
        assert_eq!(
            transcript(&mut Time, &[b"GET / HTTP/1.1\r\n\r\n", b"\0"]),
            (b"1970-01-01T00:00:00.000000Z\n".to_vec(), "eof")
        );
    }
}
