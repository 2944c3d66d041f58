//! `reuse_port`: several servers share an address, and only if all of them ask for it.

use std::net::{SocketAddr, UdpSocket};

use reactor::{Config, Reactor, Registry};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Process};

/// A server of `sum` at an address.
fn sum_at(scheme: &str, address: SocketAddr, reuse_port: bool) -> Value {
    let listen = format!("{scheme}://{address}");
    json!({ "listeners": [{ "protocol": "sum", "listen": listen, "reuse_port": reuse_port }] })
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[test]
fn two_servers_with_reuse_port_share_the_connections_of_an_address() {
    let first = Process::start(&sum_at("tcp", ANYWHERE, true));
    let address = first.address("sum-tcp");
    let second = Process::start(&sum_at("tcp", address, true));
    assert_eq!(second.address("sum-tcp"), address);
    // The kernel chooses by the port of the client: that one server gets all of them has a probability of 2⁻⁶³.
    for _ in 0..64 {
        let mut client = Client::connect(address);
        client.send(r#"{"A":7,"B":4}"#);
        client.finish();
        assert_eq!(client.rest(), b"{\"Sum\":11}\n");
    }
    let accepted = [&first, &second].map(|server| server.counter("sum-tcp", "accepted"));
    assert_eq!(accepted[0] + accepted[1], 64);
    assert!(accepted[0] > 0 && accepted[1] > 0, "{accepted:?}");
}

#[test]
fn two_servers_with_reuse_port_share_the_datagrams_of_an_address() {
    let first = Process::start(&sum_at("udp", ANYWHERE, true));
    let address = first.address("sum-udp");
    let _second = Process::start(&sum_at("udp", address, true));
    for _ in 0..16 {
        let client = UdpSocket::bind(ANYWHERE).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(br#"{"A":7,"B":4}"#, address).unwrap();
        let mut answer = [0; 64];
        let (count, from) = client.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..count], from), (&b"{\"Sum\":11}\n"[..], address));
    }
}

#[test]
fn an_address_is_shared_only_if_both_servers_ask_for_it() {
    let registry = Registry::built_in();
    let bind = |scheme: &str, address: SocketAddr, reuse_port| {
        let config = sum_at(scheme, address, reuse_port).to_string();
        Reactor::bind(&Config::parse("test.json", &config, &registry).unwrap(), &registry)
    };
    for scheme in ["tcp", "udp"] {
        for (one, other, is_shared) in
            [(false, false, false), (true, false, false), (false, true, false), (true, true, true)]
        {
            let first = bind(scheme, ANYWHERE, one).unwrap();
            let second = bind(scheme, first.endpoints()[0].address().unwrap(), other);
            assert_eq!(second.is_ok(), is_shared, "{scheme}: {one} and {other}: {second:?}");
        }
    }
}
