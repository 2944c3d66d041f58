use std::io;
use std::net::SocketAddr;

use super::*;
use crate::limits::Limits;
use crate::protocol::CloseReason;
use crate::testing::{
    Fault, MemoryDisk, Operation, Script, Transcript, converse, every_fault, every_split, same_for_every_split,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MILLISECOND: Duration = Duration::from_millis(1);

/// Opens a connection to the service `S`, whose files go to `disk`.
pub(super) fn connect<S>(disk: &MemoryDisk, options: FileOptions) -> Box<dyn StreamProtocol>
where
    S: StreamService<Options = FileOptions>,
{
    let setup = Setup::new(S::NAME, Arc::new(disk.clone()));
    let peer = Peer::from(SocketAddr::from(([192, 0, 2, 1], 4)));
    S::open(options, &setup).unwrap().connect(&peer).unwrap()
}

/// Plays `script` on a service with the default options.
pub(super) fn play<S: StreamService<Options = FileOptions>>(disk: &MemoryDisk, script: &Script) -> Transcript {
    let transcript = converse(connect::<S>(disk, FileOptions::default()), script);
    assert_eq!(disk.drafts(), 0, "drafts are left");
    transcript
}

/// Returns what the client got.
pub(super) fn received(transcript: &Transcript) -> &str {
    str::from_utf8(&transcript.sent).unwrap()
}

/// Returns what the client got on connecting, and after each step of the script.
pub(super) fn replies(transcript: &Transcript) -> Vec<&str> {
    transcript.replies.iter().map(|reply| str::from_utf8(reply).unwrap()).collect()
}

/// Checks that no harmless fault changes what is stored, and that a reset at any call leaves the files whose commit had begun,
/// complete, and nothing else. `script` must store its files in the order of their names.
pub(super) fn every_fault_spares_the_disk<S: StreamService<Options = FileOptions>>(script: &Script) {
    let stored = |script: &Script| {
        let disk = MemoryDisk::new();
        let calls = play::<S>(&disk, script).calls;
        let commits = disk.log().iter().filter(|&&operation| operation == Operation::Sync).count();
        let files: Vec<_> = disk.names().into_iter().map(|name| (disk.contents(&name).unwrap(), name)).collect();
        (files, commits, calls)
    };
    let (clean, _, calls) = stored(script);
    assert!(!clean.is_empty(), "the script stores something");
    for call in 0..calls {
        for fault in Fault::HARMLESS {
            assert_eq!(stored(&script.clone().fault(call, fault)).0, clean, "{fault:?} at call {call}");
        }
        let (left, commits, _) = stored(&script.clone().fault(call, Fault::Reset));
        assert_eq!(left, clean[..commits], "a reset at call {call}");
    }
    every_fault(|| connect::<S>(&MemoryDisk::new(), FileOptions::default()), script);
}

/// Sends one byte each second.
pub(super) fn drip(script: Script, bytes: &str) -> Script {
    bytes.bytes().fold(script, |script, byte| script.send([byte]).pause(SECOND))
}

fn max_size(bytes: u64) -> FileOptions {
    FileOptions { max_size: Size::bytes(bytes), ..FileOptions::default() }
}

#[test]
fn an_old_client_sends_a_bare_name_and_reads_exactly_ok() {
    let disk = MemoryDisk::new();
    let script = Script::new().send("notes.txt").pause(50 * MILLISECOND).send("hel").send("lo").fin();
    let transcript = play::<File>(&disk, &script);
    assert_eq!(replies(&transcript), ["", "", "ok", "", "", "saved notes.txt 5\n"]);
    assert_eq!(disk.contents("notes.txt").unwrap(), b"hello");
}

#[test]
fn silence_of_50_ms_ends_a_name_and_of_49_ms_does_not() {
    let disk = MemoryDisk::new();
    let script = Script::new().send("no").pause(49 * MILLISECOND).send("tes").pause(49 * MILLISECOND).send("!");
    let transcript = play::<File>(&disk, &script.pause(50 * MILLISECOND).send("hello").fin());
    assert_eq!(replies(&transcript), ["", "", "", "", "", "", "ok", "", "saved notes! 5\n"]);
}

#[test]
fn a_pause_changes_nothing_in_a_name_with_a_newline_or_in_contents() {
    let disk = MemoryDisk::new();
    let script =
        Script::new().send("a\n").pause(SECOND).send("hello").pause(SECOND).send("\nworld").pause(SECOND).fin();
    assert_eq!(received(&play::<File>(&disk, &script)), "ok\nsaved a 11\n");
    assert_eq!(disk.contents("a").unwrap(), b"hello\nworld");
}

#[test]
fn splitting_a_conversation_never_changes_its_answers() {
    let long = "x".repeat(256);
    for (stream, expected) in [
        ("a\r\nhello\nworld", "ok\nsaved a 11\n"),
        ("a\n", "ok\nsaved a 0\n"),
        ("a\n12345678", "ok\nsaved a 8\n"),
        ("../passwd\nroot", "error: the name has a dot at byte 1\n"),
        ("a\tb/c", "error: the name has a control character at byte 2\n"),
        ("\n", "error: the name is empty\n"),
        (&long, "error: the name is longer than 255 bytes\n"),
        ("taken\nnew", "error: taken exists already\n"),
        ("a\nlonger than sixteen", "ok\nerror: the file is larger than 16 bytes\n"),
        ("a\nmore than ten", "ok\nerror: the disk is full\n"),
    ] {
        let transcript = same_for_every_split(
            || {
                let disk = MemoryDisk::new();
                disk.insert("taken", b"");
                disk.set_capacity(if expected.contains("full") { 10 } else { 1000 });
                connect::<File>(&disk, max_size(16))
            },
            stream.as_bytes(),
        );
        assert_eq!(received(&transcript), expected, "{stream:?}");
    }
}

#[test]
fn however_it_is_split_the_contents_are_stored_whole() {
    every_split(b"a\r\nhello\nworld", |chunks| {
        let disk = MemoryDisk::new();
        let (last, before) = chunks.split_last().unwrap();
        play::<File>(&disk, &Script::new().job_time(MILLISECOND).send_all(before).send_fin(last));
        assert_eq!(disk.contents("a").unwrap(), b"hello\nworld", "{chunks:?}");
    });
}

#[test]
fn fin_ends_a_name_as_silence_does_and_contents_anywhere() {
    let stream = "ab\r\nhello";
    for end in 0..=stream.len() {
        let expected = match end {
            0 => String::new(),
            1 => "oksaved a 0\n".to_owned(),
            2 => "oksaved ab 0\n".to_owned(),
            3 => "error: the name has a control character at byte 3\n".to_owned(),
            _ => format!("ok\nsaved ab {}\n", end - 4),
        };
        let connect = || connect::<File>(&MemoryDisk::new(), FileOptions::default());
        let transcript = same_for_every_split(connect, &stream.as_bytes()[..end]);
        assert_eq!(received(&transcript), expected, "FIN after {end} bytes");
    }
}

#[test]
fn fin_before_any_byte_is_not_a_request() {
    let disk = MemoryDisk::new();
    let transcript = play::<File>(&disk, &Script::new().fin());
    assert_eq!((received(&transcript), transcript.reason), ("", CloseReason::Eof));
    assert_eq!(disk.log(), [Operation::Open]);
}

#[test]
fn without_a_quiet_period_a_newline_is_required() {
    let options = || FileOptions { name_quiet: Span::from_millis(0), ..FileOptions::default() };
    for (rest, expected) in [("tes\n", "ok\nsaved notes 0\n"), ("tes", "error: the name does not end in a newline\n")] {
        let script = Script::new().send("no").pause(20 * SECOND).send(rest).fin();
        assert_eq!(received(&converse(connect::<File>(&MemoryDisk::new(), options()), &script)), expected);
    }
}

#[test]
fn what_is_refused_is_refused_before_anything_is_created() {
    let disk = MemoryDisk::new();
    disk.insert("a", b"old");
    for (sent, error, operations) in [
        ("../passwd\nroot", "the name has a dot at byte 1", &[][..]),
        ("a\nnew", "a exists already", &[Operation::Exists]),
    ] {
        let before = disk.log().len() + 1;
        assert_eq!(received(&play::<File>(&disk, &Script::new().send(sent))), format!("error: {error}\n"));
        assert_eq!(&disk.log()[before..], operations, "{sent:?}");
    }
    assert_eq!(disk.contents("a").unwrap(), b"old");
}

#[test]
fn the_answer_has_the_number_that_a_file_was_saved_under() {
    let disk = MemoryDisk::new();
    disk.insert("a.txt", b"old");
    let options = FileOptions { existing: OnExisting::Number, ..FileOptions::default() };
    let transcript = converse(connect::<File>(&disk, options), &Script::new().send_fin("a.txt\nnew"));
    assert_eq!(received(&transcript), "ok\nsaved a (2).txt 3\n");
}

#[test]
fn a_file_may_be_as_large_as_max_size_and_not_a_byte_larger() {
    for (sent, answer) in [("a\n12345", "saved a 5"), ("a\n123456", "error: the file is larger than 5 bytes")] {
        let disk = MemoryDisk::new();
        let transcript = converse(connect::<File>(&disk, max_size(5)), &Script::new().send_fin(sent));
        assert_eq!(received(&transcript), format!("ok\n{answer}\n"));
        assert_eq!((disk.names().len(), disk.drafts()), (usize::from(answer.starts_with("saved")), 0));
    }
}

#[test]
fn a_client_that_goes_on_sending_too_much_can_read_why_it_was_refused() {
    let flood = (0..50).fold(Script::new().send("a\n"), |script, _| script.send([0; 4096]));
    let transcript = converse(connect::<File>(&MemoryDisk::new(), max_size(5)), &flood);
    assert_eq!(received(&transcript), "ok\nerror: the file is larger than 5 bytes\n");
    assert_eq!((transcript.reason, transcript.reset), (CloseReason::Refused("too large"), false));
}

#[test]
fn whichever_job_no_worker_takes_the_client_gets_an_error_and_no_file() {
    for (jobs, answered) in ["", "ok\n", "ok\n"].into_iter().enumerate() {
        let disk = MemoryDisk::new();
        let transcript = play::<File>(&disk, &Script::new().jobs_taken(jobs).send("a\nhello").fin());
        let told = format!("{answered}error: the server cannot write files at the moment\n");
        assert_eq!((received(&transcript), disk.names()), (&told[..], vec![]));
        assert_eq!((transcript.reason, transcript.reset), (CloseReason::NoWorker, false));
    }
}

#[test]
fn saved_is_sent_only_after_the_last_step_has_succeeded() {
    for step in [Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory] {
        let disk = MemoryDisk::new();
        disk.fail(step, 1, io::ErrorKind::StorageFull.into());
        let transcript = play::<File>(&disk, &Script::new().send("a\nhello").fin());
        assert_eq!(received(&transcript), "ok\nerror: the disk is full\n", "{step:?}");
        assert_eq!((disk.names(), transcript.reason), (vec![], CloseReason::Refused("disk full")), "{step:?}");
    }
}

#[test]
fn no_fault_at_any_call_changes_an_upload_and_a_reset_leaves_nothing() {
    for window in [1, 3, usize::MAX] {
        for script in [
            Script::new().send("a\n").send("hel").send("lo").fin(),
            Script::new().send("a\nhello").job_time(MILLISECOND).send(" world").send_fin("!"),
            Script::new().send("a").pause(50 * MILLISECOND).send("hello").fin(),
        ] {
            every_fault_spares_the_disk::<File>(&script.window(window));
        }
    }
}

/// Each part of an upload is a job of 10 ms here: opening, writing, committing.
#[test]
fn a_reset_or_cut_before_the_commit_leaves_nothing_on_the_disk() {
    for milliseconds in 0..40 {
        let upload = Script::new().job_time(10 * MILLISECOND).send_fin("a\nhello").pause(milliseconds * MILLISECOND);
        let disk = MemoryDisk::new();
        let transcript = play::<File>(&disk, &upload.clone().cut());
        let commits = usize::from(milliseconds >= 20);
        assert_eq!(disk.names().len(), commits, "cut after {milliseconds} ms");
        assert_eq!(transcript.reset, milliseconds < 30, "cut after {milliseconds} ms");
        let disk = MemoryDisk::new();
        play::<File>(&disk, &upload.reset());
        assert!(disk.names().len() >= commits, "a reset after {milliseconds} ms");
    }
}

#[test]
fn a_client_that_never_reads_costs_no_more_than_its_answers_and_is_reset() {
    for sent in ["a\n", "a\nhello", "../a\n"] {
        let disk = MemoryDisk::new();
        let steady = (0..100).fold(Script::new().never_reads(0).send(sent), |script, _| script.send("x").pause(SECOND));
        let transcript = play::<File>(&disk, &steady);
        let end = (transcript.reason, transcript.elapsed);
        assert_eq!(end, (CloseReason::WriteTimeout, 30 * SECOND), "{sent:?}");
        assert!(transcript.reset && transcript.pending_bytes_max < 64, "{sent:?}");
        assert_eq!(disk.names(), [""; 0]);
    }
}

#[test]
fn deadlines_end_an_upload_without_an_error_line_and_without_a_file() {
    let impatient = || Script::new().limits(Limits { request_timeout: Some(SECOND / 10), ..Limits::default() });
    let mortal = || Script::new().limits(Limits { lifetime: Some(10 * SECOND), ..Limits::default() });
    let dripped_name = (0..9).fold(impatient(), |script, _| script.send("n").pause(40 * MILLISECOND));
    let linger = 2 * SECOND;
    for (script, reason, elapsed, told) in [
        (Script::new(), CloseReason::Idle, 30 * SECOND, ""),
        (dripped_name, CloseReason::RequestTimeout, SECOND / 10, ""),
        (Script::new().send("a\nhel").pause(29 * SECOND).send("lo"), CloseReason::Idle, 59 * SECOND, "ok\n"),
        (drip(mortal().send("a\n"), "hello, world"), CloseReason::Lifetime, 10 * SECOND + linger, "ok\n"),
    ] {
        let disk = MemoryDisk::new();
        let transcript = play::<File>(&disk, &script);
        assert_eq!((transcript.reason, received(&transcript), transcript.reset), (reason, told, false));
        assert!((elapsed..=elapsed + linger).contains(&transcript.elapsed), "{reason}: {:?}", transcript.elapsed);
        assert_eq!(disk.names(), [""; 0], "{reason}");
    }
}

#[test]
fn slow_contents_outlive_request_timeout_and_slow_jobs_idle_timeout() {
    let slow = Script::new().job_time(100 * SECOND).send("a\n").pause(100 * SECOND);
    let transcript = play::<File>(&MemoryDisk::new(), &drip(slow, &"x".repeat(100)).fin());
    assert_eq!((received(&transcript), transcript.reason), ("ok\nsaved a 100\n", CloseReason::Eof));
}

#[test]
fn a_shutdown_closes_before_a_name_and_waits_for_the_end_of_an_upload() {
    for (script, told, names) in [
        (Script::new().stop().send("a\nhello").fin(), "", 0),
        (Script::new().send("a").stop().pause(50 * MILLISECOND).send("hello").fin(), "oksaved a 5\n", 1),
        (Script::new().send("a\nhel").stop().pause(20 * SECOND).send("lo").fin(), "ok\nsaved a 5\n", 1),
        (Script::new().send("a\nhel").stop().cut(), "ok\n", 0),
        (Script::new().send("a").stop().cut(), "", 0),
    ] {
        let disk = MemoryDisk::new();
        let transcript = play::<File>(&disk, &script);
        assert_eq!((received(&transcript), disk.names().len()), (told, names), "{script:?}");
        let reason = if names == 1 { CloseReason::Eof } else { CloseReason::Shutdown };
        assert_eq!(transcript.reason, reason, "{script:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_opened_keeps_the_service_from_starting() {
    let disk = MemoryDisk::new();
    disk.fail(Operation::Open, 1, io::ErrorKind::PermissionDenied.into());
    let setup = Setup::new("file", Arc::new(disk));
    let error = <File as Service>::open(FileOptions::default(), &setup).unwrap_err();
    assert_eq!(error.to_string(), "cannot use the directory received: permission denied");
}

#[test]
fn options_are_checked_and_unknown_ones_refused() {
    for (directory, found) in [("", "an empty string"), ("a\0b", "a NUL in it")] {
        let options = FileOptions { directory: directory.into(), ..FileOptions::default() };
        let OptionError { path, message } = &File::check(&options).unwrap_err()[0];
        assert_eq!(
            (path.as_str(), message.as_str()),
            ("directory", &*format!("expected the path of a directory, found {found}"))
        );
    }
    let read = |json| serde_json::from_str::<FileOptions>(json);
    assert_eq!(read("{}").unwrap(), FileOptions::default());
    assert_eq!(read(r#"{"existing":"number"}"#).unwrap().existing, OnExisting::Number);
    assert!(read(r#"{"exists":"number"}"#).is_err());
}

#[test]
fn a_floor_is_refused_where_the_file_system_does_not_report_free_space() {
    let open = |floor| {
        let disk = MemoryDisk::new();
        disk.fail(Operation::FreeSpace, 1, io::Error::new(io::ErrorKind::Unsupported, "it does not tell its size"));
        let options = FileOptions { free_space_floor: Size::bytes(floor), ..FileOptions::default() };
        File::open(options, &Setup::new("file", Arc::new(disk))).map(drop)
    };
    assert!(open(0).is_ok());
    let Err(SetupError::Directory { source, .. }) = open(1) else { panic!("it opens") };
    assert!(source.to_string().starts_with("free_space_floor is set, but it does not tell its size: "), "{source}");
}
