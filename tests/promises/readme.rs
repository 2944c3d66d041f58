//! The transcripts of the README are what a reader sees.

use std::process::Command;

use serde_json::json;

use crate::support::{Scratch, every_protocol, server};

const README: &str = include_str!("../../README.md");

/// The ports that the README names, and the listeners behind them.
const PORTS: [(&str, &str); 6] = [
    ("5656", "sum-tcp"),
    ("8001", "uppercase-tcp"),
    ("8008", "file-tcp"),
    ("8009", "file-sized-tcp"),
    ("8330", "time-tcp"),
    ("7020", "greeting-tcp"),
];

fn nc_works() -> bool {
    let works = Command::new("nc")
        .arg("-h")
        .output()
        .is_ok_and(|help| String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).contains("-N"));
    if !works {
        assert!(std::env::var_os("CI").is_none(), "the nc of OpenBSD is missing");
        eprintln!("SKIPPED: the nc of OpenBSD is missing, so this test did nothing");
    }
    works
}

#[test]
fn the_commands_of_the_readme_print_its_transcripts() {
    if !nc_works() {
        return;
    }
    let received = Scratch::new();
    let server = server(&json!({ "listeners": every_protocol(&received) }));
    let block = README.split("## A minute with nc").nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let lines: Vec<_> = block.lines().filter_map(|line| line.split_once(" # ")).collect();
    assert_eq!(lines.len(), 7);
    for (line, comment) in lines {
        let (port, name) = PORTS.iter().find(|(port, _)| line.contains(&format!("127.0.0.1 {port}"))).unwrap();
        let name = if line.contains("-u") { "sum-udp" } else { name };
        let real = server.address(name).port().to_string();
        let line = line.replace(&format!("127.0.0.1 {port}"), &format!("127.0.0.1 {real}"));
        let output = Command::new("sh").args(["-c", &line]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let expected = match *port {
            "8008" => format!("ok\nsaved notes.txt {}\n", README.len()),
            "8009" => "OK\nOK\nOK\n".into(),
            "8330" => {
                assert!(printed.starts_with("20") && printed.ends_with("Z\n"), "{printed}");
                continue;
            }
            _ => format!("{}\n", comment.trim().trim_end_matches(", by UDP")),
        };
        assert_eq!(printed, expected, "{line}");
    }
    assert_eq!(received.contents("notes.txt"), README.as_bytes());
    assert_eq!(received.contents("a.txt"), b"hello");
}
