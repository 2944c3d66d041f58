//! Demands on file servers: the real one meets them with every policy for existing names, and one with the usual
//! mistakes misses the right ones.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::checker::{Report, check, run};
use crate::server::Server;

/// A directory that is removed at the end of a test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("museum-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("received")).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn received(&self) -> String {
        self.0.join("received").into_os_string().into_string().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn meet_every_demand(existing: &str) {
    for protocol in ["file", "file-sized"] {
        let scratch = Scratch::new(&format!("{protocol}-{existing}"));
        let received = scratch.received();
        let server = Server::of_files(protocol, &scratch.0, existing);
        let options = ["--full", "--existing", existing, "--directory", &received, "--timeout", "50s"];
        let Report { code, text } = check(&server, &options);
        assert_eq!(code, 0, "{protocol}, {existing}: {text}");
        assert!(text.ends_with(" met, 0 missed\n") && !text.contains("not tried"), "{text}");
        assert_eq!(fs::read_dir(&received).unwrap().count(), 0, "its files are removed");
    }
}

#[test]
fn files_meet_every_demand_when_a_name_that_exists_is_refused() {
    meet_every_demand("refuse");
}

#[test]
fn files_meet_every_demand_when_a_name_that_exists_is_replaced() {
    meet_every_demand("replace");
}

#[test]
fn files_meet_every_demand_when_a_name_that_exists_gets_a_number() {
    meet_every_demand("number");
}

#[test]
fn a_policy_other_than_existing_says_is_a_miss() {
    let scratch = Scratch::new("policy");
    let server = Server::of_files("file", &scratch.0, "refuse");
    let Report { code, text } =
        check(&server, &["--existing", "replace", "--only", "existing,race", "--keep-going", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("MISSED  existing") && text.contains("MISSED  race"), "{text}");
}

#[test]
fn a_file_that_is_not_where_it_should_be_is_a_miss() {
    let scratch = Scratch::new("elsewhere");
    let server = Server::of_files("file", &scratch.0, "refuse");
    let elsewhere = scratch.0.to_str().unwrap();
    let Report { code, text } = check(&server, &["--directory", elsewhere, "--only", "answers", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("MISSED  answers") && text.contains("got       no file: "), "{text}");
}

#[test]
fn the_checker_names_the_files_that_it_cannot_remove() {
    let scratch = Scratch::new("left");
    let received = scratch.received();
    let server = Server::of_files("file", &scratch.0, "refuse");
    let Report { code, text } = check(&server, &["--only", "answers", "--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
    let left = fs::read_dir(&received).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let prefix = left.rsplit_once('-').unwrap().0;
    assert!(text.contains(&format!("names begin with {prefix} are left")), "{text}");

    let Report { code, .. } = check(&server, &["--directory", &received, "--only", "answers", "--timeout", "50s"]);
    let names = fs::read_dir(&received).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!((code, names.collect::<Vec<_>>()), (0, vec![left.into()]), "the files of another run stay");
    let Report { code, text } = check(&server, &["--directory", "/nonexistent"]);
    assert!(code == 1 && text.contains("/nonexistent") && !text.contains("ok"), "{text}");
}

#[track_caller]
fn naive_misses(protocol: &str, demands: &[(&str, &str)]) {
    let scratch = Scratch::new(&format!("naive-{protocol}"));
    let received = scratch.received();
    let url = format!("tcp://{}", naive(PathBuf::from(&received), protocol == "file-sized"));
    let told = |demand: &str, timeout: &str| {
        let Report { code, text } =
            run(&[protocol, &url, "--only", demand, "--directory", &received, "--timeout", timeout]);
        (code, text)
    };
    let (code, text) = told("answers,together,split,empty,burst,silent", "50s");
    assert_eq!(code, 0, "{text}");
    for (demand, words) in demands {
        // Only where the server waits for bytes that never come does the checker need to wait as well.
        let (code, text) = told(demand, if ["existing", "race"].contains(demand) { "4s" } else { "50s" });
        assert!(code == 1 && text.contains(&format!("MISSED  {demand} ")) && text.contains(words), "{text}");
    }
}

const HALF: (&str, &str) = ("half", "got       a file of ");
const EXISTING: (&str, &str) = ("existing", "a file with this name");
const RACE: (&str, &str) = ("race", "another client");

#[test]
fn a_server_that_saves_under_the_final_name_misses_half_and_existing() {
    naive_misses("file", &[HALF, EXISTING, RACE]);
}

#[test]
fn a_server_that_does_not_count_received_bytes_misses_cut() {
    naive_misses("file-sized", &[("cut", "got       OK"), HALF, EXISTING, RACE]);
}

/// Serves for as long as the test runs. Returns the address.
fn naive(directory: PathBuf, is_sized: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let directory = Arc::new(directory);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let directory = Arc::clone(&directory);
            thread::spawn(move || save(stream.unwrap(), &directory, is_sized));
        }
    });
    address
}

/// Saves the bytes up to FIN under the given name, and checks neither the size nor an existing file.
fn save(mut stream: TcpStream, directory: &Path, is_sized: bool) -> io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let mut name = String::new();
    input.read_line(&mut name)?;
    let name = name.trim_end();
    let mut file = File::create(directory.join(name))?;
    if is_sized {
        stream.write_all(b"OK\n")?;
        input.read_line(&mut String::new())?;
        stream.write_all(b"OK\n")?;
        io::copy(&mut input, &mut file)?;
        return stream.write_all(b"OK\n");
    }
    stream.write_all(b"ok\n")?;
    let saved = io::copy(&mut input, &mut file)?;
    writeln!(stream, "saved {name} {saved}")
}
