//! The programs that labs use.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Input, Lab};

/// The tools that a reader must install, and their packages on Debian.
const INSTALLED: [(&str, &str); 8] = [
    ("nc", "netcat-openbsd"),
    ("ss", "iproute2"),
    ("ip", "iproute2"),
    ("strace", "strace"),
    ("tcpdump", "tcpdump"),
    ("socat", "socat"),
    ("ps", "procps"),
    ("python3", "python3"),
];

/// Commands that change nothing.
pub(crate) const LOOKING: [&str; 14] =
    ["awk", "cat", "cut", "grep", "head", "ip", "ls", "pgrep", "ps", "sort", "ss", "tail", "uniq", "wc"];

/// Where cargo puts the programs of this package.
pub(crate) fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_reactor")).parent().unwrap()
}

/// Builds the examples: `cargo test --test labs` alone does not.
pub(crate) fn build() -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--examples", "--target-dir"]).arg(programs().parent().unwrap());
    if programs().ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().map_err(|error| error.to_string())?;
    built.success().then_some(()).ok_or_else(|| "the examples do not build".to_owned())
}

/// Packages that a lab needs and that are not on this machine.
pub(crate) fn missing(lab: &Lab) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for step in &lab.steps {
        let until = step.until.iter();
        let lines = until.chain(if let Input::Command(lines) = &step.input { &lines[..] } else { &[] });
        for word in lines.flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric())) {
            let tool = INSTALLED.iter().find(|(name, _)| *name == word);
            missing.extend(tool.filter(|(name, _)| !is_here(name)).map(|(_, package)| *package));
            // tcpdump becomes another user, and for that a namespace needs more users than one.
            if word == "tcpdump" && !nix::unistd::geteuid().is_root() && !is_here("newuidmap") {
                missing.push("uidmap");
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// A setting of the kernel that a lab names and this kernel does not have: it is older than the lab.
pub(crate) fn missing_setting(lab: &Lab) -> Option<&str> {
    let commands = lab.steps.iter().filter_map(|step| match &step.input {
        Input::Command(lines) => Some(lines),
        _ => None,
    });
    let words = commands.flatten().flat_map(|line| line.split([' ', '\'', '"', ';']));
    words.filter(|word| word.starts_with("/proc/sys/")).find(|path| !Path::new(path).exists())
}

pub(crate) fn is_here(tool: &str) -> bool {
    if tool == "nc" {
        // Of all netcats only the one of OpenBSD ends as the pages show.
        let help = Command::new("nc").arg("-h").output();
        return help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains("OpenBSD"));
    }
    let places = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".split(':');
    places.map(|place| PathBuf::from(place).join(tool)).any(|path| path.exists())
}
