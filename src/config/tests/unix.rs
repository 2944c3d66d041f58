//! The members of listeners on Unix sockets.

use super::super::*;

fn parse(members: &str) -> Result<Config, Problems> {
    Config::parse("test.json", &format!(r#"{{"listeners": [{{{members}}}]}}"#), &Registry::built_in())
}

/// Returns the problems, without their positions.
fn problems(members: &str) -> Vec<String> {
    let problems = parse(members).expect_err(members).to_string();
    problems.lines().map(|line| line.splitn(4, ':').nth(3).unwrap_or(line).trim().to_owned()).collect()
}

#[test]
fn a_unix_listener_is_only_for_its_user_unless_configured() {
    let bare = parse(r#""listen": "unix:///run/sum.sock", "protocol": "sum""#).expect("valid");
    let access = &bare.listeners[0].access;
    assert_eq!((access.mode.bits(), &access.owner, &access.group, &access.allow_users), (0o600, &None, &None, &None));
    assert_eq!((bare.listeners[0].name.as_str(), bare.listeners[0].limits.clone()), ("sum-unix", bare.limits.clone()));

    let full = parse(
        r#""listen": "unix:///run/sum.sock", "protocol": "sum", "mode": "0660", "owner": "33", "group": "haproxy",
           "allow_users": ["haproxy", "0"]"#,
    );
    let full = full.expect("valid");
    let access = &full.listeners[0].access;
    assert_eq!((access.mode.bits(), &access.owner), (0o660, &Some(Account::Id(33))));
    assert_eq!(access.group, Some(Account::Name("haproxy".into())));
    assert_eq!(access.allow_users.as_deref(), Some(&[Account::Name("haproxy".into()), Account::Id(0)][..]));
    for config in [bare, full] {
        assert_eq!(Config::parse("again", &config.to_json(), &Registry::built_in()).expect("valid"), config);
    }
}

#[test]
fn each_member_is_refused_where_it_means_nothing() {
    const NO_FILE: &str = "expected on a Unix socket with a path only, which is a file";
    const NO_USER: &str =
        "expected on a listener of Unix streams only; elsewhere the kernel does not name the user of a peer";
    let found = |listen: &str, member: &str| problems(&format!(r#""listen": "{listen}", "protocol": "sum", {member}"#));
    for listen in ["tcp://:1", "udp://:1", "unix:@sum", "unixgram:@sum"] {
        for (name, value) in [("mode", "\"0660\""), ("owner", "\"root\""), ("group", "\"root\"")] {
            let expected = [format!("listeners[0].{name}: {NO_FILE}")];
            assert_eq!(found(listen, &format!("\"{name}\": {value}")), expected, "{listen}");
        }
    }
    for listen in ["tcp://:1", "udp://:1", "unixgram:///run/sum"] {
        let expected = [format!("listeners[0].allow_users: {NO_USER}")];
        assert_eq!(found(listen, r#""allow_users": ["root"]"#), expected, "{listen}");
    }
    for (listen, member, expected) in [
        ("unix:///s", r#""allow_users": []"#, "allow_users: expected at least one user, found an empty array"),
        ("unix:///s", r#""receive_buffer": "1MiB""#, "receive_buffer: expected on a UDP listener only"),
        (
            "unix:///s",
            r#""reuse_port": true"#,
            "reuse_port: expected false: several processes cannot have the same Unix socket",
        ),
        ("unixgram:///s", r#""receive_buffer": "1MiB""#, "receive_buffer: expected on a UDP listener only"),
        (
            "unixgram:///s",
            r#""backlog": 5"#,
            "backlog: expected on a listener of streams only; a datagram socket has no connections to accept",
        ),
        (
            "unix:///s",
            r#""mode": "660""#,
            "mode: expected permissions as three octal digits after a zero, such as \"0660\", found \"660\"",
        ),
        (
            "unix:///s",
            r#""owner": """#,
            "owner: expected a name or a number in quotes, such as \"www-data\" or \"33\", found \"\"",
        ),
    ] {
        assert_eq!(found(listen, member), [format!("listeners[0].{expected}")], "{listen}");
    }
}

#[test]
fn a_protocol_for_tcp_serves_unix_streams_and_one_for_udp_datagrams() {
    assert_eq!(
        problems(r#""listen": "unixgram:///s", "protocol": "time""#),
        ["listeners[0].protocol: expected a protocol for Unix datagrams, found \"time\", which is for TCP"]
    );
    assert_eq!(
        problems(r#""listen": "unix:///run/../s", "protocol": "time""#),
        [
            "listeners[0].listen: expected a path of plain names, without \".\", \"..\", and \"//\", found \"unix:///run/../s\""
        ]
    );
}

#[test]
fn a_path_belongs_to_one_listener() {
    let mut config = Config::without_listeners();
    let registry = Registry::built_in();
    config.add_listener("sum=unix:///run/sum", &registry).expect("free");
    let clash = config.add_listener("time=unix:/run/sum", &registry).expect_err("taken");
    assert_eq!(clash, "expected an address of its own, found the address of the listener sum-unix");
    config.add_listener("sum=unixgram:@sum", &registry).expect("another address");
    assert_eq!(config.listeners[1].limits, Limits::default());
}
