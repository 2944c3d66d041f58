//! Every mistake in a configuration is reported in one run, each with its place.

mod agreement;
mod coming;
mod unix;

use super::*;

fn registry() -> Registry {
    Registry::built_in()
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse("r.json", text, &registry())
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Returns the report for `text`, a line for each problem.
fn reported(text: &str) -> Vec<String> {
    parse(text).expect_err(text).to_string().lines().map(str::to_owned).collect()
}

/// Returns the report for a configuration with one listener that has `members`, without file, line and column.
fn reported_for(members: &str) -> Vec<String> {
    let text = format!("{{\"listeners\": [{{{members}}}]}}");
    let problems = parse(&text).expect_err(&text);
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
fn five_mistakes_are_five_messages_in_the_order_of_the_text() {
    let text = r#"{
  "listeners": [
    { "listen": "tcp://127.0.0.1:1", "protocol": "smu" },
    { "listen": "tcp://127.0.0.1", "protocol": "time",
      "limits": { "idel_timeout": "30s", "idle_timeout": "30 sekunden" } }
  ],
  "shutdown_timeout": 10
}"#;
    assert_eq!(
        reported(text),
        [
            "r.json:3:50: listeners[0].protocol: unknown protocol \"smu\"; did you mean \"sum\"?",
            "r.json:4:17: listeners[1].listen: expected a port at the end, after \":\", found \"tcp://127.0.0.1\"",
            "r.json:5:19: listeners[1].limits: unknown member \"idel_timeout\"; did you mean \"idle_timeout\"?",
            "r.json:5:58: listeners[1].limits.idle_timeout: expected a duration such as \"30s\" (a whole number and ns, us, ms, s, m, h or d), found \"30 sekunden\"",
            "r.json:7:23: shutdown_timeout: expected a duration such as \"30s\" (a whole number and ns, us, ms, s, m, h or d), found 10",
        ]
    );
}

#[test]
fn what_is_wrong_with_a_listener_is_reported() {
    let tcp = r#""listen": "tcp://127.0.0.1:1", "protocol": "time""#;
    let udp = r#""listen": "udp://127.0.0.1:1", "protocol": "sum""#;
    for (members, expected) in [
        (String::new(), &["listeners[0]: missing member \"listen\"", "listeners[0]: missing member \"protocol\""][..]),
        (
            r#""listen": 1, "protocol": null"#.to_owned(),
            &[
                "listeners[0].listen: expected an address such as \"tcp://127.0.0.1:5656\", found 1",
                "listeners[0].protocol: expected a string, found null",
            ],
        ),
        (
            r#""listen": "udp://:1", "protocol": "time""#.to_owned(),
            &["listeners[0].protocol: expected a protocol for UDP, found \"time\", which is for TCP"],
        ),
        (
            r#""listen": "tcp://:1", "protocol": "nonsense""#.to_owned(),
            &["listeners[0].protocol: unknown protocol \"nonsense\"; expected \"sum\", \"uppercase\", \"file\", \
             \"file-sized\", \"time\", \"greeting\", \"admin\" or \"agent\""],
        ),
        (
            format!("{tcp}, \"limits\": {{\"idle_timeout\": \"0s\", \"max_connections\": 0, \"lifetime\": \"0s\"}}"),
            &[
                "listeners[0].limits.idle_timeout: expected more than zero, found \"0s\"",
                "listeners[0].limits.max_connections: expected more than zero, found 0",
            ],
        ),
        (
            format!("{tcp}, \"limits\": {{\"max_connections\": -1, \"max_pending_output\": 1024}}"),
            &[
                "listeners[0].limits.max_connections: expected a whole number that is not negative, found -1",
                "listeners[0].limits.max_pending_output: expected a size such as \"64KiB\" (a whole number and B, KiB, MiB, GiB or TiB), found 1024",
            ],
        ),
        (format!("{tcp}, \"limits\": []"), &["listeners[0].limits: expected an object, found an array"]),
        (
            format!("{tcp}, \"limits\": {{\"idle_timeout\": null}}"),
            &[
                "listeners[0].limits.idle_timeout: expected a duration such as \"30s\" (a whole number and ns, us, ms, s, m, h or d), found null",
            ],
        ),
        (format!("{tcp}, \"backlog\": 0"), &["listeners[0].backlog: expected more than zero, found 0"]),
        (
            format!("{tcp}, \"backlog\": 2147483648"),
            &["listeners[0].backlog: expected at most 2147483647, found 2147483648"],
        ),
        (
            format!("{tcp}, \"backlog\": 1.0"),
            &["listeners[0].backlog: expected a whole number from 0 to 4294967295, found 1.0"],
        ),
        (
            format!("{tcp}, \"receive_buffer\": \"1MiB\""),
            &["listeners[0].receive_buffer: expected on a UDP listener only"],
        ),
        (
            r#""listen": "fd:web", "protocol": "time", "receive_buffer": "1MiB", "backlog": 5, "reuse_port": true"#
                .to_owned(),
            &[
                "listeners[0].receive_buffer: expected in the socket unit as ReceiveBuffer=, because the socket is a passed one",
                "listeners[0].backlog: expected in the socket unit as Backlog=, because the socket is a passed one",
                "listeners[0].reuse_port: expected in the socket unit as ReusePort=, because the socket is a passed one",
            ],
        ),
        (
            format!("{udp}, \"backlog\": 5"),
            &["listeners[0].backlog: expected on a TCP listener only; UDP has no connections to accept"],
        ),
        (
            format!("{udp}, \"limits\": {{\"idle_timeout\": \"1s\"}}"),
            &["listeners[0].limits.idle_timeout: expected on a TCP listener only; UDP has no connections to limit"],
        ),
        (
            format!("{udp}, \"receive_buffer\": \"2GiB\""),
            &["listeners[0].receive_buffer: expected at most 2147483647, found \"2GiB\""],
        ),
        (
            format!("{tcp}, \"name\": \"a b\""),
            &["listeners[0].name: expected a name without white space, found \"a b\""],
        ),
        (
            format!("{tcp}, \"name\": \"\""),
            &["listeners[0].name: expected a name of at least one character, found \"\""],
        ),
        (
            format!("{tcp}, \"name\": \"a\\u0007\""),
            &["listeners[0].name: expected a name without control characters, found \"a\\u{7}\""],
        ),
        (format!("{tcp}, \"protocol\": \"sum\""), &["listeners[0]: member \"protocol\" given twice; expected it once"]),
        (
            format!("{tcp}, \"options\": {{\"x\": 1}}"),
            &["listeners[0].options: unknown member \"x\"; no members are allowed here"],
        ),
    ] {
        assert_eq!(reported_for(&members), expected, "{members}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_file_is_reported() {
    for (text, expected) in [
        ("[]", "r.json:1:1: expected an object, found an array"),
        ("{}", "r.json:1:1: missing member \"listeners\""),
        (r#"{"listeners": []}"#, "r.json:1:15: listeners: expected at least one listener, found an empty array"),
        (r#"{"listeners": {}}"#, "r.json:1:15: listeners: expected an array, found an object"),
        (r#"{"listeners": [7]}"#, "r.json:1:16: listeners[0]: expected an object, found 7"),
        ("{\"listeners\": [],,}", "r.json:1:18: expected JSON, found a syntax error: key must be a string"),
    ] {
        assert_eq!(reported(text), [expected], "{text}");
    }
}

#[test]
fn a_mistake_that_every_listener_inherits_is_reported_once() {
    let listener =
        |port: u16| format!(r#"{{"listen": "tcp://:{port}", "protocol": "time", "limits": {{"lifetime": "1h"}}}}"#);
    let text = format!(
        r#"{{"limits": {{"idle_timeout": "x", "write_timeout": "0s"}}, "listeners": [{}, {}], "max_pending_output_total": "0B"}}"#,
        listener(1),
        listener(2)
    );
    assert_eq!(
        reported(&text),
        [
            "r.json:1:29: limits.idle_timeout: expected a duration such as \"30s\" (a whole number and ns, us, ms, s, m, h or d), found \"x\"",
            "r.json:1:51: limits.write_timeout: expected more than zero, found \"0s\"",
            "r.json:1:249: max_pending_output_total: expected more than zero, found \"0B\"",
        ]
    );
}

#[test]
fn there_are_from_1_to_256_workers() {
    let text = |workers: &str| {
        format!(r#"{{"listeners": [{{"listen": "tcp://:1", "protocol": "time"}}], "workers": {workers}}}"#)
    };
    let expected = [
        ("0", "workers: expected more than zero, found 0"),
        ("257", "workers: expected at most 256, found 257"),
        ("-1", "workers: expected a whole number that is not negative, found -1"),
        ("\"4\"", "workers: expected a whole number that is not negative, found \"4\""),
    ];
    for (workers, expected) in expected {
        let told = reported(&text(workers));
        assert!(matches!(&told[..], [told] if told.ends_with(expected)), "{told:?}");
    }
    for workers in [1, 256] {
        let config = Config::parse("r.json", &text(&workers.to_string()), &Registry::built_in()).unwrap();
        assert_eq!(config.workers, workers);
    }
}

#[test]
fn names_and_addresses_are_unique() {
    let text = r#"{"listeners": [
        {"name": "a", "listen": "tcp://127.0.0.1:80", "protocol": "time"},
        {"name": "a", "listen": "tcp4://127.0.0.1:80", "protocol": "time"},
        {"name": "b", "listen": "udp://127.0.0.1:80", "protocol": "sum"},
        {"listen": "tcp://:0", "protocol": "time"}, {"listen": "tcp://:0", "protocol": "time"},
        {"listen": "tcp://:80", "protocol": "time"},
        {"listen": "tcp6://:90", "protocol": "time"},
        {"listen": "tcp://127.0.0.1:90", "protocol": "time"},
        {"listen": "tcp://[::1]:90", "protocol": "time"},
        {"listen": "fd:web", "protocol": "time"}, {"listen": "fd:3", "protocol": "time"},
        {"listen": "fd:web", "protocol": "time"}
    ]}"#;
    assert_eq!(
        reported(text),
        [
            "r.json:3:18: listeners[1].name: expected a unique name, found the name of listeners[0]",
            "r.json:3:33: listeners[1].listen: expected an address of its own, found the address of listeners[0]",
            "r.json:6:20: listeners[5].listen: expected an address of its own, found every address, which includes the address of \
             listeners[0]",
            "r.json:9:20: listeners[8].listen: expected an address of its own, found one of listeners[6], which listens on every \
             address",
            "r.json:11:20: listeners[11].listen: expected a socket of its own, found the socket of listeners[9]",
        ]
    );
}

#[test]
fn listeners_without_a_name_get_a_free_one() {
    let config = accepted(
        r#"{"listeners": [
            {"listen": "tcp://:1", "protocol": "sum"}, {"listen": "tcp://:2", "protocol": "sum"},
            {"name": "sum-tcp-2", "listen": "tcp://:3", "protocol": "sum"}, {"listen": "tcp://:4", "protocol": "sum"},
            {"listen": "udp6://:1", "protocol": "sum"}
        ]}"#,
    );
    let names: Vec<_> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["sum-tcp", "sum-tcp-3", "sum-tcp-2", "sum-tcp-4", "sum-udp6"]);
}

#[test]
fn a_listener_has_its_own_limits_and_the_rest_from_the_top() {
    let config = accepted(
        r#"{"limits": {"idle_timeout": "5s", "request_timeout": "0s", "max_connections": 7},
            "listeners": [
                {"listen": "tcp://:1", "protocol": "time", "limits": {"idle_timeout": "1h", "max_connections_per_ip": 3}},
                {"listen": "tcp://:2", "protocol": "time"},
                {"listen": "udp://:2", "protocol": "sum", "receive_buffer": "1MiB"},
                {"listen": "fd:3", "protocol": "sum", "limits": {"idle_timeout": "1h", "max_connections_per_ip": 3}}
            ]}"#,
    );
    let top =
        Limits { idle_timeout: Duration::from_secs(5), request_timeout: None, max_connections: 7, ..Limits::default() };
    let own = Limits { idle_timeout: Duration::from_secs(3600), max_connections_per_ip: Some(3), ..top };
    assert_eq!(config.limits, top);
    assert_eq!(config.listeners[1].limits, top);
    assert_eq!(config.listeners[0].limits, own);
    assert_eq!(config.listeners[2].receive_buffer, Some(1 << 20));
    assert_eq!((&config.listeners[3].limits, config.listeners[3].name.as_str()), (&own, "sum-fd"));
    assert_eq!(accepted(&config.to_json()), config);
}

#[test]
fn a_listener_of_the_command_line_equals_one_in_the_file() {
    let registry = registry();
    let mut config = Config::without_listeners();
    config.add_listener("sum=tcp://127.0.0.1:1", &registry).unwrap();
    config.add_listener("sum=udp://127.0.0.1:1", &registry).unwrap();
    config.add_listener("sum=tcp://127.0.0.1:0", &registry).unwrap();
    assert_eq!(
        config,
        accepted(
            r#"{"listeners": [{"listen": "tcp://127.0.0.1:1", "protocol": "sum"},
                {"listen": "udp://127.0.0.1:1", "protocol": "sum"}, {"listen": "tcp://127.0.0.1:0", "protocol": "sum"}]}"#
        )
    );
    for (argument, expected) in [
        ("sum", "expected PROTOCOL=URL, such as \"sum=tcp://127.0.0.1:5656\""),
        ("smu=tcp://:1", "unknown protocol \"smu\"; did you mean \"sum\"?"),
        ("time=udp://:1", "expected a protocol for UDP, found \"time\", which is for TCP"),
        ("sum=tcp://:x", "expected a port from 0 to 65535 at the end, found \"tcp://:x\""),
        ("sum=tcp4://127.0.0.1:1", "expected an address of its own, found the address of the listener sum-tcp"),
        (
            "sum=tcp://:1",
            "expected an address of its own, found every address, which includes the address of the listener sum-tcp",
        ),
    ] {
        assert_eq!(config.add_listener(argument, &registry).unwrap_err(), expected);
    }
    assert_eq!(config.listeners.len(), 3);
}

#[test]
fn hostile_texts_end_in_a_bounded_report() {
    let members: String = (0..100_000).map(|number| format!("\"x{number}\":0,")).collect();
    let repeated = "\"a\":0,".repeat(100_000);
    let elements = "{},".repeat(100_000);
    let empty = r#"{"listen":"tcp://:9","protocol":"time","name":"n"},"#.repeat(20_000);
    // All of them have one port and addresses of their own, and the last takes every address.
    let mut alike: String = (0..15_000)
        .map(|number| format!(r#"{{"listen":"tcp://10.0.{}.{}:9","protocol":"time"}},"#, number / 250, number % 250))
        .collect();
    alike.push_str(r#"{"listen":"tcp://:9","protocol":"time"},"#);
    for text in [
        format!("{{{members}\"listeners\":[]}}"),
        format!("{{{repeated}\"listeners\":[]}}"),
        format!("{{\"listeners\":[{elements}{{}}]}}"),
        format!("{{\"listeners\":[{empty}{{}}]}}"),
        format!("{{\"listeners\":[{alike}{{}}]}}"),
        format!("{{{}\"listeners\":[]}}", "/**/,".repeat(100_000)),
        format!("{{\"{}\":0}}", "n".repeat(1_000_000)),
    ] {
        let problems = parse(&text).unwrap_err();
        assert!((1..=100).contains(&problems.iter().count()));
        assert!(problems.to_string().lines().all(|line| line.len() < 300));
    }
}

#[test]
fn an_unreadable_file_and_a_wrong_one_are_different_errors() {
    let directory = std::env::temp_dir().join(format!("reactor-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let fifo = directory.join("fifo");
    let _ = nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU);
    for path in [directory.as_path(), &fifo, &directory.join("missing"), Path::new("/dev/null"), Path::new("a\0b")] {
        assert!(matches!(Config::read(path, &registry()), Err(ReadError::Unreadable { .. })), "{}", path.display());
    }
    let large = vec![b' '; CONFIG_BYTES_MAX + 1];
    for (content, expected) in [
        (&b"{\n  \"\xff\"}"[..], "2:4: expected UTF-8, found an invalid byte"),
        (b"{\0}", "1:2: expected JSON, found a syntax error: key must be a string"),
        (b"", "1:1: expected JSON, found an empty file"),
        (&large, "1:1: expected a file of at most 1MiB, found a larger one"),
    ] {
        let path = directory.join("wrong.json");
        std::fs::write(&path, content).unwrap();
        match Config::read(&path, &registry()) {
            Err(ReadError::Wrong(problems)) => {
                assert_eq!(problems.to_string(), format!("{}:{expected}", path.display()))
            }
            other => panic!("{other:?}"),
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_log_has_a_form_a_file_with_its_mode_and_an_access_log() {
    let of = |log: &str| format!(r#"{{"listeners": [{{"listen": "tcp://:1", "protocol": "sum"}}], "log": {log}}}"#);
    let config = accepted(&of(r#"{"format": "json", "access": "errors", "file": "a.log", "file_mode": "0600"}"#));
    let (file, file_mode) = (Some("a.log".into()), 0o600);
    assert_eq!(config.log, LogConfig { format: LogFormat::Json, access: Access::Errors, file, file_mode });
    assert_eq!(accepted(&config.to_json()), config);
    assert_eq!(accepted(&of("{}")).log, Config::without_listeners().log);
    for (log, expected) in [
        (r#"{"format": "xml"}"#, r#"log.format: expected "auto", "text" or "json", found "xml""#),
        (r#"{"access": true}"#, r#"log.access: expected "off", "errors" or "all", found true"#),
        (r#"{"file": ""}"#, "log.file: expected the path of a file, found an empty string"),
        (r#"{"file": "a\u0000b"}"#, "log.file: expected the path of a file, found a NUL in it"),
        (
            r#"{"file_mode": 640}"#,
            "log.file_mode: expected a mode such as \"0640\" (a 0 and three octal digits, the first of them 2, 3, 6 or 7), found 640",
        ),
        (r#"{"fromat": "json"}"#, r#"log: unknown member "fromat"; did you mean "format"?"#),
    ] {
        let reported = reported(&of(log));
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].ends_with(expected), "{reported:?}");
    }
}
