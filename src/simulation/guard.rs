//! A listener with rules about who may come and how often, if the seed chooses one, and what the server makes of them: each peer that
//! it admits or refuses is judged here once more.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::random::Random;
use crate::peer::Peer;
use crate::protocol::{Context, Reply, Step, StreamProtocol, Within};
use crate::units::Rate;

/// The port of the listener.
pub(super) const PORT: u16 = 9003;

/// The reason by which a peer is refused that comes too often. Its client comes again.
pub(super) const TOO_OFTEN: &str = "connection_rate_per_ip";

/// Networks of a rule, each within the one before it or beside it.
const NETWORKS: [&str; 5] = ["10.1.0.0/16", "10.1.7.0/24", "10.1.7.7/32", "2001:db8::/32", "2001:db8:7::/48"];

/// Addresses of clients: some in no network of a rule, some in several, some in one prefix with others.
const ADDRESSES: [&str; 10] = [
    "10.1.0.1",
    "10.1.7.1",
    "10.1.7.2",
    "10.1.7.7",
    "10.2.0.1",
    "10.2.0.2",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:7::1",
    "2001:db9::1",
];

/// The rules of the listener, and its clients.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Networks, and whether they may come.
    access: Vec<(&'static str, bool)>,
    rate: &'static str,
    rate_per_ip: &'static str,
    prefix_v4: u8,
    prefix_v6: u8,
    /// Where the clients come from.
    pub(super) clients: Vec<IpAddr>,
}

impl Rules {
    pub(super) fn draw(random: &mut Random) -> Option<Self> {
        if !random.strikes(350) {
            return None;
        }
        // Also each rule alone.
        let mut access = Vec::new();
        if random.flip() {
            access.extend(NETWORKS.into_iter().filter_map(|network| {
                let verdict = random.pick(&[None, Some(true), Some(false)]);
                verdict.map(|verdict| (network, verdict))
            }));
        }
        // Few addresses, so that many clients have the same one.
        let addresses: Vec<_> = (0..random.within(1..6)).map(|_| random.pick(&ADDRESSES)).collect();
        Some(Self {
            access,
            rate: random.pick(&["0/s", "0/s", "1/s", "3/s", "12/m"]),
            rate_per_ip: random.pick(&["0/s", "1/s", "2/s", "1/m", "4/m"]),
            prefix_v4: random.pick(&[32, 32, 24, 8]),
            prefix_v6: random.pick(&[64, 64, 128, 32]),
            clients: (0..random.within(1..13)).filter_map(|_| random.pick(&addresses).parse().ok()).collect(),
        })
    }

    /// Returns the members of the listener in its configuration, with a comma before them.
    pub(super) fn members(&self) -> String {
        let Self { rate, rate_per_ip, prefix_v4, prefix_v6, .. } = self;
        let list = |name: &str, verdict: bool| {
            let networks: Vec<_> = self.access.iter().filter(|rule| rule.1 == verdict).map(|rule| rule.0).collect();
            (!networks.is_empty()).then(|| format!(r#""{name}": {networks:?}"#))
        };
        let lists: Vec<_> = [list("allow", true), list("deny", false)].into_iter().flatten().collect();
        let access =
            if lists.is_empty() { String::new() } else { format!(r#", "access": {{ {} }}"#, lists.join(", ")) };
        format!(
            r#"{access}, "limits": {{ "connection_rate": "{rate}", "connection_rate_per_ip": "{rate_per_ip}",
                "ip_prefix_v4": {prefix_v4}, "ip_prefix_v6": {prefix_v6}, "max_connections_per_ip": 0 }}"#
        )
    }

    /// Whether the lists let this address in.
    pub(super) fn admit(&self, ip: IpAddr) -> bool {
        let matching = self.access.iter().filter_map(|(network, verdict)| {
            let (address, length) = network.split_once('/')?;
            let length = length.parse().ok()?;
            (prefix(address.parse().ok()?, length) == prefix(ip, length)).then_some((length, *verdict))
        });
        let no_list_of_guests = !self.access.iter().any(|rule| rule.1);
        matching.max_by_key(|(length, _)| *length).map_or(no_list_of_guests, |(_, verdict)| verdict)
    }

    /// Returns what the address is counted by.
    fn origin(&self, ip: IpAddr) -> (bool, u128) {
        prefix(ip, if ip.is_ipv4() { self.prefix_v4 } else { self.prefix_v6 })
    }
}

/// Returns the first bits of an address, and whether it is one of IPv4.
fn prefix(ip: IpAddr, length: u8) -> (bool, u128) {
    let (number, bits) = match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    };
    (ip.is_ipv4(), number.checked_shr(u32::from(bits - length.min(bits))).unwrap_or(0))
}

/// When the server did something, by its own clock, which does not advance within a turn: not earlier and not later than these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration, pub(super) Duration);

/// The most events from `first` to `last`, both included, that a rate allows: those that it allows at once, and one more for each
/// interval between them.
fn most(rate: Rate, first: Duration, last: Duration) -> usize {
    let intervals = last.saturating_sub(first).as_nanos() / rate.interval().as_nanos().max(1);
    rate.count() as usize + intervals as usize
}

/// Whether these events, in their order, are more than a rate allows, the last one being among them.
fn exceeds(rate: Rate, events: &[Span]) -> bool {
    let Some(Span(_, last)) = events.last() else { return false };
    rate.count() > 0 && events.iter().enumerate().any(|(at, first)| events.len() - at > most(rate, first.0, *last))
}

/// The peers that have got their protocol, and are not judged yet.
pub(super) type Arrivals = Arc<Mutex<Vec<SocketAddr>>>;

/// What the server has made of the rules since it has started.
#[derive(Debug)]
pub(super) struct Guard {
    rules: Rules,
    arrivals: Arrivals,
    /// The peers that were admitted.
    admitted: Vec<(SocketAddr, Span)>,
    /// The connections that the listener has accepted and kept.
    accepted: Vec<Span>,
    pub(super) wrong: Option<String>,
}

impl Guard {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, arrivals: Arrivals::default(), admitted: Vec::new(), accepted: Vec::new(), wrong: None }
    }

    pub(super) fn arrivals(&self) -> Arrivals {
        Arc::clone(&self.arrivals)
    }

    /// Begins again with a new server.
    pub(super) fn restart(&mut self) {
        *self = Self { arrivals: self.arrivals(), wrong: self.wrong.take(), ..Self::new(self.rules.clone()) };
        self.take_arrivals();
    }

    fn take_arrivals(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Judges the peers that have got their protocol since the last look.
    pub(super) fn look(&mut self, now: Span) {
        for address in self.take_arrivals() {
            self.admitted.push((address, now));
            let ip = address.ip();
            if !self.rules.admit(ip) {
                self.wrong = Some(format!("{ip} may not come, and was admitted"));
            }
            if exceeds(self.rate_per_ip(), &self.of_origin(ip)) {
                let rate = self.rules.rate_per_ip;
                self.wrong = Some(format!("{ip} was admitted, beyond {rate} of its prefix: {:?}", self.of_origin(ip)));
            }
        }
    }

    /// Notes a connection that the listener has accepted and keeps.
    pub(super) fn accepts(&mut self, now: Span) {
        self.accepted.push(now);
        if exceeds(rate(self.rules.rate), &self.accepted) {
            self.wrong = Some(format!("the listener accepts more than {}: {:?}", self.rules.rate, self.accepted));
        }
    }

    /// Returns a reason to refuse a peer, if there was one at `since` or later, and it was not admitted.
    pub(super) fn reason_against(&self, address: SocketAddr, since: Duration) -> Option<&'static str> {
        if self.admitted.iter().any(|(admitted, _)| *admitted == address) {
            return None;
        }
        let ip = address.ip();
        if !self.rules.admit(ip) {
            return Some("access");
        }
        let rate = self.rate_per_ip();
        let before = self.of_origin(ip);
        let one_more = |(at, first): (usize, &Span)| before.len() - at + 1 > most(rate, first.1, since);
        (rate.count() > 0 && before.iter().enumerate().any(one_more)).then_some(TOO_OFTEN)
    }

    fn rate_per_ip(&self) -> Rate {
        rate(self.rules.rate_per_ip)
    }

    /// Returns when peers of the same origin were admitted.
    fn of_origin(&self, ip: IpAddr) -> Vec<Span> {
        let origin = self.rules.origin(ip);
        let is_one = |(address, _): &&(SocketAddr, Span)| self.rules.origin(address.ip()) == origin;
        self.admitted.iter().filter(is_one).map(|(_, at)| *at).collect()
    }
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap_or(Rate::ZERO)
}

/// Answers everything with the address of its peer.
pub(super) struct Named;

impl Named {
    /// The protocol of a peer, which is noted among `arrivals`.
    pub(super) fn new(peer: &Peer, arrivals: &Arrivals) -> Self {
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.extend(peer.address());
        Self
    }
}

impl StreamProtocol for Named {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        if let Some(address) = cx.peer().address() {
            cx.out.extend_from_slice(format!("{}\n", address.ip()).as_bytes());
        }
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}
