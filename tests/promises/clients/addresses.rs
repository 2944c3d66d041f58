//! Where a client connects: the forms of an address, and the choice among the addresses of a name.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;

use serde_json::{Value, json};

use super::{Everything, client, print, run};
use crate::support::{Scratch, Server, listener, program, server};

#[track_caller]
fn check(protocol: &str, url: &str) {
    let said = print("check", &[protocol, url, "--only", "answers", "--timeout", "60s"]);
    assert!(said.ends_with("1 met, 0 missed\n"), "{url}: {said}");
}

#[track_caller]
fn load(protocol: &str, url: &str) {
    print("load", &[protocol, url, "-c", "2", "-d", "50ms", "--timeout", "60s", "--assert", "errors=0"]);
}

#[test]
fn every_client_accepts_the_usual_forms_of_an_address() {
    let everything = Everything::start();
    let source = Scratch::new();
    let path = source.path().join("contents");
    std::fs::write(&path, "contents").unwrap();
    let path = path.to_str().unwrap();
    let forms = |name: &str| {
        let port = everything.server.address(name).port();
        let hosts = ["127.0.0.1:", "localhost:", ":", "", "tcp://localhost:", "tcp4://127.0.0.1:", "tcp://:"];
        hosts.map(|before| format!("{before}{port}"))
    };
    for url in forms("sum-tcp") {
        assert_eq!(print("sum", &["7", "4", &url]), "11\n", "{url}");
        load("sum", &url);
        check("sum", &url);
    }
    for url in forms("uppercase-tcp") {
        assert_eq!(print("uppercase", &[&url]), "");
    }
    for url in forms("greeting-tcp") {
        assert_eq!(print("greeting", &[&url]), "This is Server\n");
    }
    for (number, url) in forms("file-sized-tcp").iter().enumerate() {
        assert_eq!(print("send", &[path, url, "--as", &number.to_string()]), "OK\n");
    }
    for url in forms("time-tcp") {
        let line = format!("{} {url} | head -n 1", program("time").display());
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.stdout.ends_with(b"Z\n"), "{url}");
    }
}

#[test]
fn an_invalid_address_is_wrong_usage_and_the_error_shows_a_valid_form() {
    for (url, words) in [
        ("localhost", "HOST:PORT"),
        ("localhost:", "HOST:PORT"),
        (":0", "1 to 65535"),
        (":65536", "1 to 65535"),
        (":+80", "1 to 65535"),
        ("http://localhost:80", "tcp://"),
        ("::1:80", "brackets"),
        ("[::1:80", "brackets"),
        ("", "HOST:PORT"),
    ] {
        let output = run("sum", &["7", "4", url]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(words), "{url}: {errors}");
    }
    let udp = run("time", &["udp://localhost:80"]);
    assert!(udp.status.code() == Some(2) && String::from_utf8_lossy(&udp.stderr).contains("needs TCP"));
}

/// A server of `sum` over UDP at the second address of this machine, and the socket that has its port at the first.
fn second_address() -> (Server, u16, UdpSocket) {
    let mut listener = listener("sum", "udp");
    listener["listen"] = Value::from("udp://[::1]:0");
    loop {
        let server = server(&json!({ "listeners": [listener] }));
        let port = server.address("sum-udp").port();
        // Another program may have the port.
        if let Ok(first) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return (server, port, first);
        }
    }
}

#[test]
fn over_udp_an_address_that_refuses_is_passed_over() {
    let (_server, port, first) = second_address();
    // A socket that is connected to another one accepts nothing from here, so the kernel refuses.
    first.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).unwrap();
    let url = format!("udp://:{port}");
    assert_eq!(print("sum", &["7", "4", &url]), "11\n");
    load("sum", &url);
    check("sum", &url);
}

#[test]
fn over_udp_an_address_that_does_not_answer_is_passed_over() {
    let (_server, port, _silent) = second_address();
    assert_eq!(print("sum", &["7", "4", &format!("udp://:{port}"), "--timeout", "2s"]), "11\n");
}

#[test]
fn over_tcp_an_address_that_refuses_is_passed_over() {
    let mut listener = listener("sum", "tcp");
    listener["listen"] = Value::from("tcp://[::1]:0");
    let server = server(&json!({ "listeners": [listener] }));
    let url = format!(":{}", server.address("sum-tcp").port());
    assert_eq!(print("sum", &["7", "4", &url]), "11\n");
    load("sum", &url);
    check("sum", &url);
}

/// The C library reads `/etc/hosts` once for each look-up.
#[test]
#[cfg(target_os = "linux")]
fn a_name_is_looked_up_once_however_many_sockets_there_are() {
    use crate::support::strace_works;

    if !strace_works() {
        return;
    }
    let everything = Everything::start();
    let [tcp, udp] = ["sum-tcp", "sum-udp"].map(|name| everything.server.address(name).port());
    let scratch = Scratch::new();
    let trace = scratch.path().join("trace");
    for (example, arguments) in [
        ("load", format!("sum udp://localhost:{udp} -c 5 -d 50ms")),
        ("load", format!("sum tcp://localhost:{tcp} -c 5 -d 50ms")),
        ("sum", format!("1 2 udp://localhost:{udp} --users 5")),
        ("sum", format!("1 2 tcp://localhost:{tcp} --users 5")),
    ] {
        let program = client(example, &[]).get_program().to_owned();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-e", "trace=open,openat", "-o"]).arg(&trace).arg(program);
        let output = strace.args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "{example} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        let looked_up = String::from_utf8_lossy(&scratch.contents("trace")).matches("\"/etc/hosts\"").count();
        assert_eq!(looked_up, 1, "{example} {arguments}");
    }
}
