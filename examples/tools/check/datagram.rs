//! Datagrams: each is whole or nothing, and most of those that may come get no answer.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::asker::Asker;
use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict};
use crate::protocol::Protocol;
use crate::trial::Trial;

const ASKERS: usize = 20;

/// The most bytes of a datagram over IPv4 (65,535 bytes less the headers of IP and UDP: RFC 791, RFC 768).
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// More questions, or answers, than the receive buffer of a socket holds (socket(7), `rmem_default`).
const FLOOD: usize = 5000;

/// Lengths between the buffers that servers tend to have.
const LENGTHS: [usize; 6] = [300, 600, 1200, 2000, 5000, 60_000];

pub(crate) const DEMANDS: &[Demand] = &[
    demand("answers", "a client is answered, and may ask again", answers),
    demand("many", "each of twenty clients that ask at the same time gets its own answer", many),
    demand("silence", "a datagram that is not a question, such as an answer, gets no answer", silence),
    demand("whole", "a datagram is taken whole: a question followed by rubbish gets no answer", whole),
    demand("large", "the largest possible datagram does no harm", large),
    demand("empty", "an empty datagram does no harm", empty),
    demand("address", "the answer comes from the address that was asked", address),
    demand("lost", "more questions at once than fit into the queues do no harm", lost),
];

const fn demand(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    let protocols = &[Protocol::Sum];
    Demand { name, text, protocols, transport: Transport::Udp, need: Need::Nothing, is_fine: false, run }
}

fn answers(trial: &Trial) -> Verdict {
    let asker = trial.asker()?;
    asker.ask()?;
    asker.ask()
}

fn many(trial: &Trial) -> Verdict {
    let askers: Result<Vec<_>, _> = (0..ASKERS).map(|_| trial.asker()).collect();
    askers?.iter().try_for_each(|asker| asker.ask())
}

fn silence(trial: &Trial) -> Verdict {
    let rubbish: [&[u8]; 7] = [
        b"hello",
        b"[1]",
        b"{}",
        br#"{"A":1}"#,
        b"{\"Sum\":11}\n",
        b"{\"Error\":\"not two integers\"}\n",
        &[0xff; 100],
    ];
    for text in rubbish {
        let asker = trial.asker()?;
        asker.send(text);
        asker.ask_after(text)?;
    }
    Ok(())
}

fn whole(trial: &Trial) -> Verdict {
    for length in LENGTHS {
        let mut datagram = Protocol::Sum.question(1);
        datagram.resize(length, b' ');
        datagram.extend(b"and more");
        let asker = trial.asker()?;
        asker.send(&datagram);
        asker.ask_after(&datagram)?;
    }
    Ok(())
}

fn large(trial: &Trial) -> Verdict {
    let datagram = [b'x'; DATAGRAM_BYTES_MAX];
    let asker = trial.asker()?;
    asker.send(&datagram);
    asker.ask_after(&datagram)
}

fn empty(trial: &Trial) -> Verdict {
    let asker = trial.asker()?;
    asker.send(b"");
    asker.ask().map_err(|miss| miss.when("an empty datagram was sent, and then a client asks"))
}

/// Only a server that listens on all addresses of the machine is asked at this one, which Linux has too (RFC 6890, 127.0.0.0/8).
fn address(trial: &Trial) -> Verdict {
    if trial.address.ip() != IpAddr::from(Ipv4Addr::LOCALHOST) {
        return Ok(());
    }
    let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), trial.address.port());
    match Asker::try_new(other, trial.deadline).and_then(|asker| asker.hears_something()) {
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(Miss::new(
            format!("a question to {other}"),
            "nothing from that address",
            "an answer from the address that was asked",
        )),
        _ => Ok(()),
    }
}

fn lost(trial: &Trial) -> Verdict {
    let loud = trial.asker()?;
    (0..FLOOD).for_each(|number| loud.send(&Protocol::Sum.question(number)));
    trial.others_are_served("one client has sent thousands of questions without reading, and another one asks")?;
    loud.ask_again().map_err(|miss| miss.when("its answers were lost, and the client asks again"))
}
