//! What the environment announces, and which socket a name means.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;

use rustix::net::{ipproto, socket};

use super::*;

fn announced(variables: &[(&str, &str)]) -> Result<Option<Announced>, String> {
    let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
    Announced::read(variable, 7).map_err(|error| error.to_string())
}

#[test]
fn the_environment_announces_sockets_to_one_process() {
    let named = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    for (variables, expected) in [
        (&[][..], Ok(None)),
        (&[("LISTEN_FDS", "2")], Ok(None)),
        (&[("LISTEN_FDS", "2"), ("LISTEN_PID", "8")], Ok(None)),
        (&[("LISTEN_FDS", "2"), ("LISTEN_PID", "7")], Ok(Some(Announced { count: 2, names: None }))),
        (
            &[("LISTEN_FDS", "2"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "web:web")],
            Ok(Some(Announced { count: 2, names: named(&["web", "web"]) })),
        ),
        (
            &[("LISTEN_FDS", "2"), ("LISTEN_PID", "7"), ("LISTEN_FDNAMES", "web")],
            Err("LISTEN_FDNAMES: expected 2 names (LISTEN_FDS), found 1"),
        ),
        (&[("LISTEN_FDS", "-1"), ("LISTEN_PID", "7")], Err("LISTEN_FDS: expected a number, found \"-1\"")),
    ] {
        assert_eq!(announced(variables), expected.map_err(str::to_owned), "{variables:?}");
    }
}

fn passed(names: &[&str]) -> PassedSockets {
    let socket = || Some(UdpSocket::bind("127.0.0.1:0").expect("a socket").into());
    let entry = |(name, number): (&&str, _)| Entry { number, name: (*name).to_owned(), socket: socket() };
    PassedSockets(names.iter().zip(FIRST..).map(entry).collect())
}

#[test]
fn a_name_or_a_number_takes_one_socket_once() {
    let mut sockets = passed(&["web", "api", "api", "8"]);
    let mut told = |name: &str| sockets.take(name).map(drop).map_err(|error| error.to_string());
    let all = "passed: fd:3 (web), fd:4 (api), fd:5 (api), fd:6 (8)";
    assert_eq!(told("web"), Ok(()));
    for (name, problem) in [
        ("web", "another listener has taken this socket"),
        ("3", "another listener has taken this socket"),
        ("api", "several sockets with this name were passed; a number names one"),
        ("none", "no such socket was passed"),
        ("2", "no such socket was passed"),
        ("8", "no such socket was passed"),
        ("99999999999", "no such socket was passed"),
    ] {
        assert_eq!(told(name), Err(format!("{problem}; {all}")), "{name}");
    }
    assert_eq!(told("5"), Ok(()));
    assert_eq!(sockets.left(), ["fd:4 (api)", "fd:6 (8)"]);
    assert!(sockets.has_lent(3) && !sockets.has_lent(4) && !sockets.has_lent(99));
    assert!(!sockets.forget(4), "no listener closes it");
    assert!(sockets.forget(3) && !sockets.has_lent(3), "another socket may have its number");
    assert!(!sockets.forget(3) && sockets.has_lent(5));
    assert_eq!(
        PassedSockets::default().take("web").map(drop).expect_err("nothing was passed").to_string(),
        "no socket was passed to this process (LISTEN_FDS, LISTEN_PID)"
    );
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_change_keeps_the_backlog_of_a_passed_listener_and_of_no_other() {
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use crate::kernel::{Kernel, ListenOptions, Mio, Token};

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::listen(&listener, 7).expect("it listens");
    let entry = Entry { number: listener.as_raw_fd(), name: "web".to_owned(), socket: Some(listener.into()) };
    let mut kernel = Mio::new().expect("a poll").with_passed(PassedSockets(vec![entry]));
    let token = |slot| Token { slot, generation: 0 };
    let passed = kernel.passed("web", None, token(0)).expect("it is passed").socket;
    let PassedSocket::Listener(passed) = passed else { panic!("it listens") };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (own, _) = kernel.listen(any, &ListenOptions::new(7, None, false), token(1)).expect("a free port");
    let later = ListenOptions::new(9, Some(Duration::from_secs(60)), false);
    for (listener, backlog) in [(&passed, 7), (&own, 9)] {
        kernel.change_listener(listener, &later).expect("a listener");
        assert_eq!(kernel.accept_queue(listener), Some((0, backlog)));
    }
}

#[test]
fn a_socket_is_known_by_type_family_transport_and_state() {
    let found = |socket: OwnedFd| Found::of(&socket).map_err(|error| error.to_string());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let connected = TcpStream::connect(address).expect("a connection");
    let local = connected.local_addr().expect("its address");
    assert_eq!(found(listener.into()), Ok(Found { is_listener: true, address, family: Some(Family::V4) }));
    // An IPv6 socket with one address takes only IPv6.
    for (bound, family) in [("[::]:0", None), ("[::1]:0", Some(Family::V6))] {
        let udp = UdpSocket::bind(bound).expect("a socket");
        let address = udp.local_addr().expect("its address");
        assert_eq!(found(udp.into()), Ok(Found { is_listener: false, address, family }));
    }

    let unbound = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::UDP)).expect("a socket");
    let file = std::fs::File::open("/dev/null").expect("a file");
    for (socket, expected) in [
        (connected.into(), format!("expected a listening TCP socket, found one that does not listen ({local})")),
        (unbound, "expected a UDP socket with a port, found one that is not bound".to_owned()),
        (
            UnixDatagram::unbound().expect("a socket").into(),
            "expected a TCP or UDP socket, found a Unix socket".to_owned(),
        ),
    ] {
        assert_eq!(found(socket), Err(expected));
    }
    let told = found(file.into()).expect_err("not a socket");
    assert!(told.starts_with("expected a socket, found another descriptor: "), "{told}");
}
