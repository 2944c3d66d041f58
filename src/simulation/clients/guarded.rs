//! Clients of the listener with rules about who may come.

use std::net::IpAddr;

use super::super::settings::Service;
use super::{Act, Expectation, Plan};

/// Makes the plan of a client. One that `may_come` must receive its own address in the end, the others nothing.
pub(in super::super) fn plan(ip: IpAddr, may_come: bool) -> Plan {
    let answer = if may_come { format!("{ip}\n").into_bytes() } else { Vec::new() };
    let mut acts = vec![Act::Send(b"?".to_vec())];
    acts.extend(may_come.then_some(Act::Await(answer.len())));
    acts.extend([Act::Finish, Act::End, Act::Close]);
    Plan {
        service: Service::Guarded,
        acts,
        expectation: Expectation::Exactly(answer),
        uploads: Vec::new(),
        honest: may_come,
        appetite: 1000,
        pace_millis: 1,
        whole: true,
        closed_within: None,
    }
}
