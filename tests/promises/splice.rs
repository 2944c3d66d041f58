//! Uploads by `splice(2)`: nothing shows the client that the bytes of its file never were in the memory of the server.

use std::fs;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{MsgFlags, send};
use serde_json::{Value, json};

use crate::support::{
    Client, Fault, Process, Random, Scratch, Strace, Trial, ask, eventually, faults_work, listener, listener_with,
    root_works, strace_works,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const STORED: &str = "OK\nOK\nOK\n";

/// The disk of a traced server is so slow that buffers fill, and pipes take their place.
const SLOW_DISK: &str = "write:delay_enter=50000";

fn sized() -> [Value; 1] {
    [listener("file-sized", "tcp")]
}

fn request(name: &str, contents: &[u8]) -> Vec<u8> {
    [format!("{name}\n{}\n", contents.len()).as_bytes(), contents].concat()
}

/// Sends a file, and returns all answers. The FIN comes after them: what is there together with a FIN is not spliced.
fn upload(server: &Process, name: &str, contents: &[u8]) -> String {
    let mut client = Client::connect(server.address("file-sized-tcp"));
    client.ask(format!("{name}\n{}\n", contents.len()), "OK\nOK\n");
    client.send(contents);
    eventually("there is an answer", || client.has_answer());
    client.finish();
    format!("OK\nOK\n{}", String::from_utf8(client.rest()).unwrap())
}

fn received(server: &Process, name: &str) -> Vec<u8> {
    fs::read(server.directory().path().join("received").join(name)).unwrap()
}

#[test]
fn what_is_spliced_is_stored_byte_for_byte_from_both_kinds_of_sockets() {
    if !strace_works() {
        return;
    }
    let sockets = Scratch::new();
    let path = sockets.path().join("files");
    let unix = json!({ "name": "unix", "protocol": "file-sized", "listen": format!("unix:{}", path.display()) });
    let options = ["-e", "trace=splice,write,epoll_ctl", "-e", &format!("inject={SLOW_DISK}")];
    let server = Strace::start(&options, &json!({ "listeners": [listener("file-sized", "tcp"), unix] }));
    let spliced = |server: &Strace| {
        let lines = server.lines();
        let of = |end: &str| lines.iter().filter(|line| line.begins("splice") && line.text.contains(end)).count();
        // From a socket to a pipe, and from a pipe to a file.
        [of("<socket:["), of("/received/")]
    };
    // Changes of what is reported of a connection, and those after which its input is.
    let changes = |server: &Strace| {
        let changed: Vec<_> = server.lines().into_iter().filter(|line| line.text.contains("EPOLL_CTL_MOD")).collect();
        [changed.len(), changed.iter().filter(|line| line.text.contains("EPOLLIN")).count()]
    };
    for (round, size) in [2 * MIB, 3 * MIB + 1, 10 * MIB - 1].into_iter().enumerate() {
        let contents = Random::new(size as u64).bytes(size);
        let before = spliced(&server);
        assert_eq!(upload(&server.process, &format!("tcp{round}"), &contents), STORED);
        assert!(received(&server.process, &format!("tcp{round}")) == contents, "{size}");
        let between = spliced(&server);
        assert!(between[0] > before[0] && between[1] > before[1], "{size} bytes were not spliced");
        let mut client = UnixClient(UnixStream::connect(&path).unwrap());
        assert_eq!(client.upload(&format!("unix{round}"), &contents), STORED);
        assert!(received(&server.process, &format!("unix{round}")) == contents, "{size}");
        assert!(spliced(&server)[0] > between[0], "{size} bytes were not spliced");
        eventually("paused reads are resumed", || {
            let [changed, resumed] = changes(&server);
            2 * resumed == changed
        });
    }
    // Of the largest file more comes than fits into a pipe, while a worker empties it.
    assert!(changes(&server)[1] > 0, "reads were never paused");
}

/// A client over a Unix socket.
struct UnixClient(UnixStream);

impl UnixClient {
    fn upload(&mut self, name: &str, contents: &[u8]) -> String {
        use std::io::{Read as _, Write as _};
        self.0.write_all(&request(name, contents)).unwrap();
        let mut answer = [0; STORED.len()];
        self.0.read_exact(&mut answer).unwrap();
        String::from_utf8(answer.to_vec()).unwrap()
    }
}

#[test]
fn several_files_on_one_connection_are_spliced_apart() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let fault = Fault::on(&trial, &[SLOW_DISK]);
    let files: Vec<_> = (0..6).map(|number| Random::new(number).bytes(number as usize * MIB + 7)).collect();
    let stream: Vec<_> = (0..).zip(&files).map(|(number, file)| request(&format!("{number}"), file)).collect();
    let answer = ask(trial.address("file-sized-tcp"), &[stream.concat()]);
    assert_eq!(String::from_utf8(answer).unwrap(), STORED.repeat(6));
    drop(fault);
    for (number, file) in files.iter().enumerate() {
        assert!(received(&trial, &number.to_string()) == *file, "{number}");
    }
    trial.end();
}

#[test]
fn urgent_data_does_not_stop_an_upload_that_is_spliced() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let fault = Fault::on(&trial, &[SLOW_DISK]);
    let [before, after] = [1, 2].map(|seed| Random::new(seed).bytes(4 * MIB));
    let mut client = Client::connect(trial.address("file-sized-tcp"));
    client.ask(format!("urgent\n{}\n", 8 * MIB), "OK\nOK\n");
    client.send(&before);
    let socket = std::os::fd::AsRawFd::as_raw_fd(client.stream());
    assert_eq!(send(socket, b"!", MsgFlags::MSG_OOB), Ok(1));
    client.send(&after);
    client.expect("OK\n");
    drop(fault);
    assert!(received(&trial, "urgent") == [before, after].concat());
    drop(client);
    trial.end();
}

#[test]
fn where_nothing_can_be_spliced_an_upload_is_stored_all_the_same() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let contents = Random::new(1).bytes(5 * MIB);
    let faults = [
        "splice:error=EINVAL",
        "splice:error=ENOSYS",
        "splice:error=EPERM:when=2+2",
        "pipe2:error=EMFILE",
        "pipe2:error=ENFILE:when=1+2",
    ];
    for (number, injected) in faults.into_iter().enumerate() {
        let fault = Fault::on(&trial, &[SLOW_DISK, injected]);
        assert_eq!(upload(&trial, &format!("{number}"), &contents), STORED, "{injected}");
        drop(fault);
        assert!(received(&trial, &number.to_string()) == contents, "{injected}");
    }
    trial.end();
}

#[test]
fn a_reset_while_an_upload_is_spliced_leaves_nothing() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sized());
    let fault = Fault::on(&trial, &[SLOW_DISK]);
    for number in 0..5 {
        let mut client = Client::connect(trial.address("file-sized-tcp"));
        client.ask(format!("{number}\n{}\n", 100 * MIB), "OK\nOK\n");
        client.send(vec![b'x'; (number + 1) * MIB]);
        client.reset();
    }
    drop(fault);
    let process = trial.end();
    assert_eq!(process.received(), [""; 0]);
}

#[test]
fn of_a_file_that_the_disk_does_not_take_no_byte_reaches_the_next_one() {
    if !faults_work() || !root_works() {
        return;
    }
    let disk = Scratch::new();
    let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).arg(disk.path()).status();
    assert!(mount(&["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).unwrap().success(), "no tmpfs can be mounted");
    let options = json!({ "options": { "directory": disk.path() } });
    let trial = Trial::start(&[listener_with("file-sized", &options)]);
    let fault = Fault::on(&trial, &[SLOW_DISK]);
    for round in 0..3 {
        assert_eq!(upload(&trial, "large", &vec![b'x'; 8 * MIB]), "OK\nOK\nerror: the disk is full\n");
        let contents = Random::new(round).bytes(2 * MIB);
        assert_eq!(upload(&trial, &format!("{round}"), &contents), STORED);
        let path = disk.path().join(round.to_string());
        assert!(fs::read(&path).unwrap() == contents, "round {round}");
        fs::remove_file(path).unwrap();
    }
    drop(fault);
    trial.end();
    let _ = std::process::Command::new("umount").arg("-l").arg(disk.path()).status();
}

/// Kills the server at the `count`-th call of `splice(2)` of one of its threads. Returns whether it was killed.
fn killed_at_splice(count: usize) -> bool {
    let directory = Scratch::new();
    let config =
        json!({ "listeners": [listener_with("file-sized", &json!({ "options": { "directory": directory.path() } }))] });
    let mut server = Process::start(&config);
    let fault = Fault::on(&server, &[SLOW_DISK, &format!("splice:signal=SIGKILL:when={count}")]);
    let contents = Random::new(1).bytes(6 * MIB);
    let mut client = Client::connect(server.address("file-sized-tcp"));
    let sent = std::io::Write::write_all(&mut client.stream(), &request("name", &contents)).is_ok();
    let confirmed = sent && client.try_rest_of(STORED.len()).is_ok_and(|answer| answer == STORED.as_bytes());
    drop(fault);
    let survived = confirmed && server.is_running();
    drop(server);
    let server = Process::start(&config);
    assert!(directory.names().is_empty() || confirmed && directory.contents("name") == contents, "killed at {count}");
    drop(server);
    !survived
}

#[test]
fn killed_at_any_splice_an_upload_is_absent_or_complete() {
    if !faults_work() {
        return;
    }
    let kills = (1..=4).take_while(|count| killed_at_splice(*count)).count();
    assert!(kills > 0, "an upload makes no call of splice");
}

#[test]
fn uploads_that_drip_hold_no_pipe_and_do_not_delay_a_fast_one() {
    const DRIPS: usize = 100;
    let trial = Trial::start(&sized());
    let before = trial.descriptors();
    let mut drips: Vec<_> = (0..DRIPS).map(|_| Client::connect(trial.address("file-sized-tcp"))).collect();
    for (number, drip) in drips.iter_mut().enumerate() {
        drip.ask(format!("drip{number}\n100000\n"), "OK\nOK\n");
    }
    for round in 0..5 {
        drips.iter_mut().for_each(|drip| drip.send([b'x'; 1000]));
        let contents = Random::new(round).bytes(8 * MIB);
        assert_eq!(upload(&trial, &format!("fast{round}"), &contents), STORED);
        assert!(received(&trial, &format!("fast{round}")) == contents);
        eventually("a socket and a file are open for each, and no pipe", || trial.descriptors() == before + 2 * DRIPS);
    }
    drop(drips);
    trial.end();
}

#[test]
fn twenty_uploads_at_once_are_stored_with_the_pipes_there_are() {
    let trial = Trial::start(&sized());
    let contents: Vec<_> = (0..20).map(|number| Random::new(number).bytes(6 * MIB + number as usize)).collect();
    std::thread::scope(|scope| {
        for (number, contents) in contents.iter().enumerate() {
            let trial = &trial;
            scope.spawn(move || assert_eq!(upload(trial, &number.to_string(), contents), STORED));
        }
    });
    for (number, contents) in contents.iter().enumerate() {
        assert!(received(&trial, &number.to_string()) == *contents, "{number}");
    }
    trial.end();
}
