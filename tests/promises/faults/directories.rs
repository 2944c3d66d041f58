//! H: directories for received files, on file systems that support less.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Process, Scratch, ask, eventually, listener_with, root_works, strace_works};

/// A server of `file-sized` with these options.
fn with(options: &Value) -> Value {
    json!({ "listeners": [listener_with("file-sized", &json!({ "options": options }))] })
}

fn upload(server: &Process, name: &str, contents: &str) -> String {
    let head = format!("{name}\n{}\n", contents.len());
    String::from_utf8(ask(server.address("file-sized-tcp"), &[head.as_bytes(), contents.as_bytes()])).unwrap()
}

/// Starts a server under another command line, which must fail because of its directory. Returns its error.
#[track_caller]
fn refused(prefix: &[&str], config: &Value) -> String {
    let scratch = Scratch::new();
    let file = scratch.path().join("reactor.json");
    fs::write(&file, config.to_string()).unwrap();
    let line: Vec<_> = prefix.iter().chain(&[env!("CARGO_BIN_EXE_reactor"), "-c"]).collect();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).arg(&file).current_dir(scratch.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.any(|line| line == "ready");
    if ready {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(!ready, "it starts");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(73), "{said}");
    said
}

/// A command line under which these system calls fail.
fn failing<'a>(injections: &[&'a str]) -> Vec<&'a str> {
    let inject = injections.iter().flat_map(|injection| ["-e", injection]);
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null"].into_iter().chain(inject).collect()
}

const STORED: &str = "OK\nOK\nOK\n";

/// A directory that is writable but not readable, removed at the end.
struct Unreadable(Scratch);

impl Unreadable {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o300)).unwrap();
        Self(scratch)
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        fs::set_permissions(self.0.path(), Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_directory_is_created_below_one_that_may_be_written_and_not_read() {
    let parent = Unreadable::new();
    let directory = parent.0.path().join("deep/received");
    let config = with(&json!({ "directory": directory }));
    // Root may read everything, unless it drops that capability (`capabilities(7)`).
    let prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let prefix = if fs::metadata("/proc/self").unwrap().uid() == 0 { &prefix[..] } else { &[] };
    for name in ["first", "second"] {
        let server = Process::under(prefix, &config);
        assert_eq!(upload(&server, name, "hello"), STORED);
    }
    assert_eq!(fs::read(directory.join("second")).unwrap(), b"hello");
}

#[test]
fn a_start_that_fails_leaves_no_directory_behind() {
    if !strace_works() {
        return;
    }
    let scratch = Scratch::new();
    let directory = scratch.path().join("deep/received");
    let config = with(&json!({ "directory": directory }));
    for _ in 0..2 {
        let said = refused(&failing(&["inject=fsync:error=EIO"]), &config);
        let deep = scratch.path().join("deep");
        assert!(said.contains(&format!("the name of {} cannot be made durable", deep.display())), "{said}");
        assert_eq!(scratch.names(), [""; 0]);
    }
    let server = Process::start(&config);
    assert_eq!(upload(&server, "a", "hello"), STORED);
}

/// A command line that mounts a file system of a kind at `at`, for its own process only.
fn mounting(kind: &str, at: &Path) -> [String; 6] {
    let script = format!("mount -t {kind} none '{}' && exec \"$@\"", at.display());
    ["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned)
}

#[test]
fn a_floor_where_the_file_system_tells_no_size_is_refused_at_the_start() {
    if !root_works() {
        return;
    }
    let scratch = Scratch::new();
    let prefix = mounting("ramfs", scratch.path());
    let prefix: Vec<_> = prefix.iter().map(String::as_str).collect();
    let said = refused(&prefix, &with(&json!({ "directory": scratch.path(), "free_space_floor": "1MiB" })));
    assert!(said.contains("free_space_floor is set, but the file system does not report its size"), "{said}");
    let server = Process::under(&prefix, &with(&json!({ "directory": scratch.path() })));
    assert_eq!(upload(&server, "a", "hello"), STORED);
}

#[test]
fn without_hard_links_a_file_gets_its_name_by_renaming_and_replaces_none() {
    if !strace_works() {
        return;
    }
    for existing in ["refuse", "number", "replace"] {
        let scratch = Scratch::new();
        let config = with(&json!({ "directory": scratch.path(), "existing": existing }));
        let server = Process::under(&failing(&["inject=linkat:error=EPERM"]), &config);
        assert_eq!(upload(&server, "a", "one"), STORED);
        let (again, names, contents) = match existing {
            "refuse" => ("error: a exists already\n", &["a"][..], "one"),
            "number" => (STORED, &["a", "a (2)"][..], "one"),
            _ => (STORED, &["a"][..], "two"),
        };
        assert_eq!(upload(&server, "a", "two"), again, "{existing}");
        assert_eq!(
            (&scratch.names()[..], &scratch.contents("a")[..]),
            (&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..], contents.as_bytes())
        );
    }
}

#[test]
fn without_links_and_renameat2_a_start_error_suggests_replace() {
    if !strace_works() {
        return;
    }
    let scratch = Scratch::new();
    let prefix = failing(&["inject=linkat:error=EPERM", "inject=renameat2:error=EINVAL"]);
    for existing in ["refuse", "number"] {
        let said = refused(&prefix, &with(&json!({ "directory": scratch.path(), "existing": existing })));
        assert!(said.contains("its file system has no hard links (EPERM"), "{said}");
        assert!(
            said.contains(r#"set "existing" to "replace", or choose a directory on another file system"#),
            "{said}"
        );
    }
    let server = Process::under(&prefix, &with(&json!({ "directory": scratch.path(), "existing": "replace" })));
    for contents in ["one", "two"] {
        assert_eq!(upload(&server, "a", contents), STORED);
        assert_eq!((scratch.names(), scratch.contents("a")), (vec!["a".to_owned()], contents.into()));
    }
}

#[test]
fn without_locks_uploads_work_and_left_overs_stay_with_a_warning() {
    if !strace_works() {
        return;
    }
    for errno in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let scratch = Scratch::new();
        let left_over = ".reactor-0123456789abcdef.tmp";
        fs::write(scratch.path().join(left_over), "left").unwrap();
        let config = with(&json!({ "directory": scratch.path() }));
        let server = Process::under(&failing(&[&format!("inject=flock:error={errno}")]), &config);
        assert_eq!(upload(&server, "a", "hello"), STORED);
        assert_eq!(scratch.names(), [left_over, "a"]);
        let warnings = || server.log().matches("its file system has no locks").count();
        eventually("it warns", || warnings() > 0);
        assert_eq!(warnings(), 1, "{}", server.log());
        drop(server);
        drop(Process::start(&config));
        assert_eq!(scratch.names(), ["a"], "where there are locks again");
    }
}

#[test]
fn where_a_directory_cannot_be_synced_the_start_says_which_step_failed() {
    if !strace_works() {
        return;
    }
    let scratch = Scratch::new();
    let said = refused(&failing(&["inject=fsync:error=EINVAL"]), &with(&json!({ "directory": scratch.path() })));
    assert!(said.contains("the names in it cannot be made durable (fsync of a directory: Invalid argument"), "{said}");
    assert!(said.contains("choose a directory on another file system"), "{said}");
}
