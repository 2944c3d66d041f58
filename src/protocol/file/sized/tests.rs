use super::*;
use crate::limits::Limits;
use crate::protocol::CloseReason;
use crate::protocol::file::File;
use crate::protocol::file::tests::{
    MILLISECOND, SECOND, connect, drip, every_fault_spares_the_disk, play, received, replies,
};
use crate::protocol::tests::chance::Chance;
use crate::testing::{Edges, Fault, Links, MemoryDisk, Operation, Script, converse, every_split, same_for_every_split};
use crate::units::{Size, Span};

const QUIET: Duration = Duration::from_millis(50);

/// Returns what a client gets for `stream` and FIN, however the stream is split.
fn serve(stream: &[u8]) -> String {
    let transcript = same_for_every_split(|| connect::<FileSized>(&MemoryDisk::new(), FileOptions::default()), stream);
    received(&transcript).to_owned()
}

#[test]
fn whichever_job_no_worker_takes_the_client_gets_an_error_and_no_file() {
    for jobs in 0..4 {
        let disk = MemoryDisk::new();
        let transcript = play::<FileSized>(&disk, &Script::new().jobs_taken(jobs).send("a\n5\nhello").fin());
        let told = "OK\n".repeat(jobs.min(2)) + "error: the server cannot write files at the moment\n";
        assert_eq!((received(&transcript), disk.names()), (&told[..], vec![]));
        assert_eq!(transcript.reason, CloseReason::NoWorker);
    }
}

#[test]
fn an_old_client_gets_a_bare_ok_for_each_part() {
    let disk = MemoryDisk::new();
    let upload =
        |script: Script, name, size, contents| script.send(name).pause(QUIET).send(size).pause(QUIET).send(contents);
    let script = upload(upload(Script::new(), "a", "5", "hello"), "b", "3", "abc").fin();
    let transcript = play::<FileSized>(&disk, &script);
    let one = ["", "OK", "", "OK", "OK"];
    assert_eq!(replies(&transcript), [&[""][..], &one, &one, &[""]].concat());
    assert_eq!(transcript.reason, CloseReason::Eof);
    assert_eq!([disk.contents("a").unwrap(), disk.contents("b").unwrap()], [&b"hello"[..], b"abc"]);
}

#[test]
fn silence_of_50_ms_ends_a_bare_name_or_size_and_of_49_ms_does_not() {
    let disk = MemoryDisk::new();
    let script = Script::new().send("no").pause(49 * MILLISECOND).send("tes").pause(QUIET);
    let script = script.send("1").pause(49 * MILLISECOND).send("0").pause(QUIET).send("0123456789").fin();
    assert_eq!(replies(&play::<FileSized>(&disk, &script)), ["", "", "", "", "OK", "", "", "", "OK", "OK", ""]);
    assert_eq!(disk.contents("notes").unwrap(), b"0123456789");
}

#[test]
fn once_the_first_name_has_ended_with_a_newline_silence_ends_nothing() {
    let disk = MemoryDisk::new();
    let script = Script::new().send("a\n").pause(SECOND).send("10").pause(10 * SECOND).send("00\n").send([b'x'; 1000]);
    let script = script.send("b").pause(10 * SECOND).send("c\n0\n").fin();
    let transcript = play::<FileSized>(&disk, &script);
    assert_eq!(replies(&transcript), ["", "OK\n", "", "", "", "OK\n", "OK\n", "", "", "OK\nOK\nOK\n", ""]);
    assert_eq!((disk.contents("a").unwrap().len(), disk.names()), (1000, vec!["a".to_owned(), "bc".to_owned()]));
}

#[test]
fn after_a_bare_first_name_each_answer_ends_as_what_it_answers() {
    let disk = MemoryDisk::new();
    let script = Script::new().send("a").pause(QUIET).send("2\nhi").send("b\n").send("1").pause(QUIET).send("x");
    assert_eq!(replies(&play::<FileSized>(&disk, &script))[1..], ["", "OK", "OK\nOK\n", "OK\n", "", "OK", "OK"]);
}

#[test]
fn uploads_with_newlines_may_be_pipelined_and_split_anywhere() {
    let stream = b"a\n5\nhelloempty\r\n0\r\nb\n3\na\nb";
    assert_eq!(serve(stream), "OK\n".repeat(9));
    for first in 0..=stream.len() {
        every_split(&stream[first..], |chunks| {
            let disk = MemoryDisk::new();
            let script = Script::new().job_time(MILLISECOND).send(&stream[..first]).send_all(chunks).fin();
            assert_eq!(received(&play::<FileSized>(&disk, &script)), "OK\n".repeat(9), "{first}, then {chunks:?}");
            let contents = ["a", "b", "empty"].map(|name| disk.contents(name).unwrap());
            assert_eq!(contents, [b"hello".to_vec(), b"a\nb".to_vec(), vec![]]);
        });
    }
}

#[test]
fn an_empty_file_is_answered_in_two_writes() {
    let script = Script::new().send("a").pause(QUIET).send("0").pause(QUIET);
    assert_eq!(play::<FileSized>(&MemoryDisk::new(), &script).writes, [b"OK"; 3]);
}

#[test]
fn the_last_ok_is_sent_only_after_the_last_step_has_succeeded() {
    for (sent, steps) in [
        ("a\n5\nhello", &[Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory][..]),
        ("a\n0\n", &[Operation::Sync, Operation::Link, Operation::SyncDirectory]),
    ] {
        for &step in steps {
            let disk = MemoryDisk::new();
            disk.fail(step, 1, io::ErrorKind::StorageFull.into());
            let transcript = play::<FileSized>(&disk, &Script::new().send(sent));
            assert_eq!(received(&transcript), "OK\nOK\nerror: the disk is full\n", "{step:?}");
            assert_eq!(disk.names(), [""; 0], "{step:?}");
        }
    }
}

#[test]
fn the_last_ok_means_that_the_file_survives_a_loss_of_power() {
    let disk = MemoryDisk::new();
    assert_eq!(received(&play::<FileSized>(&disk, &Script::new().send("a\n5\nhello"))), "OK\nOK\nOK\n");
    assert_eq!(disk.after_crash(Links::Lost).contents("a").unwrap(), b"hello");
    let order = [Operation::Create, Operation::Write, Operation::Sync, Operation::Link, Operation::SyncDirectory];
    assert_eq!(disk.log()[2..], order);
}

#[test]
fn fin_at_any_place_within_an_upload_is_an_error_and_no_file() {
    let stream = b"name\n12\nhello, world";
    for end in 0..=stream.len() {
        let (oks, part) = match end {
            0 => (0, None),
            1..5 => (0, Some("name")),
            5..8 => (1, Some("size")),
            8..20 => (2, Some("contents")),
            _ => (3, None),
        };
        let error = part.map(|part| format!("error: the connection ended within the {part}\n")).unwrap_or_default();
        let expected = "OK\n".repeat(oks) + &error;
        assert_eq!(serve(&stream[..end]), expected, "FIN after {end} bytes");
        let disk = MemoryDisk::new();
        let transcript = play::<FileSized>(&disk, &Script::new().send_fin(&stream[..end]));
        assert_eq!(disk.names().len(), usize::from(oks == 3), "FIN after {end} bytes");
        assert_eq!(transcript.reason == CloseReason::Eof, part.is_none(), "FIN after {end} bytes");
    }
}

#[test]
fn surplus_bytes_are_the_next_name_and_never_appended() {
    let disk = MemoryDisk::new();
    let transcript = play::<FileSized>(&disk, &Script::new().send("a\n2\nhi/surplus\n"));
    assert_eq!(received(&transcript), "OK\nOK\nOK\nerror: the name has a slash at byte 1\n");
    assert_eq!(disk.contents("a").unwrap(), b"hi");
}

#[test]
fn what_is_refused_gets_an_error_instead_of_its_ok_and_creates_nothing() {
    let options =
        || FileOptions { max_size: Size::bytes(1000), free_space_floor: Size::bytes(500), ..FileOptions::default() };
    let cases = [
        ("../a\n", "", "the name has a dot at byte 1"),
        ("taken\n1\nx", "", "taken exists already"),
        ("a\n-1\n", "OK\n", "the size has something other than a digit at byte 1"),
        ("a\n12x", "OK\n", "the connection ended within the size"),
        ("a\n\n", "OK\n", "the size is empty"),
        ("a\n00000000000000000001\n", "OK\n", "the size is longer than 19 digits"),
        ("a\n1001\nx", "OK\n", "the file is larger than 1000 bytes"),
        ("a\n9999999999999999999\n", "OK\n", "the file is larger than 1000 bytes"),
        ("a\n501\n", "OK\n", "the disk is full"),
    ];
    for (stream, accepted, error) in cases {
        let mut disks = Vec::new();
        let transcript = same_for_every_split(
            || {
                let disk = MemoryDisk::new();
                disk.insert("taken", b"");
                disk.set_capacity(1000);
                disks.push(disk.clone());
                connect::<FileSized>(&disk, options())
            },
            stream.as_bytes(),
        );
        assert_eq!(received(&transcript), format!("{accepted}error: {error}\n"), "{stream:?}");
        assert!(disks.iter().all(|disk| !disk.log().contains(&Operation::Create)), "{stream:?}");
    }
}

#[test]
fn without_a_quiet_period_even_the_first_name_needs_its_newline() {
    let options = FileOptions { name_quiet: Span::from_millis(0), ..FileOptions::default() };
    let script = Script::new().send("a").pause(10 * SECOND).send("b\n0\n").fin();
    let transcript = converse(connect::<FileSized>(&MemoryDisk::new(), options), &script);
    assert_eq!(replies(&transcript), ["", "", "", "OK\nOK\nOK\n", ""]);
}

#[test]
fn both_file_protocols_share_a_directory() {
    let disk = MemoryDisk::new();
    play::<FileSized>(&disk, &Script::new().send("a\n1\nx"));
    let transcript = play::<File>(&disk, &Script::new().send("a\n"));
    assert_eq!(received(&transcript), "error: a exists already\n");
}

#[test]
fn faults_change_no_upload_and_a_reset_leaves_only_complete_files() {
    for window in [1, 3, usize::MAX] {
        for script in [
            Script::new().send("a\n5\nhel").send("lob\n").send("0\nc\n3").send_fin("\nabc"),
            Script::new().job_time(MILLISECOND).send("a\n5\n").send("hel").send("lob\n2\nhi").fin(),
            Script::new().send("a").pause(QUIET).send("5").pause(QUIET).send("hello").fin(),
        ] {
            every_fault_spares_the_disk::<FileSized>(&script.window(window));
        }
    }
}

#[test]
fn every_file_is_stored_whatever_the_pieces_pauses_and_faults() {
    for seed in 0..200 {
        let mut chance = Chance::new(seed);
        let sizes: Vec<_> = (0..chance.below(5)).map(|_| [0, 1, 5, 300, 300_000][chance.below(5)]).collect();
        let contents = |number: usize| vec![b'0' + number as u8; sizes[number]];
        let mut stream = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            stream.extend_from_slice(format!("{number}\n{size}\n").as_bytes());
            stream.extend_from_slice(&contents(number));
        }
        let edges = [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent][chance.below(3)];
        let job_time = [Duration::ZERO, MILLISECOND, SECOND][chance.below(3)];
        let mut script = Script::new().edges(edges).job_time(job_time).window([1, 3, usize::MAX][chance.below(3)]);
        script = script.fault(chance.below(40), Fault::HARMLESS[chance.below(3)]);
        script = script.send("first\n0\n");
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let most = [2, 10, 100_000, 1_000_000][chance.below(4)].max(stream.len() / 100);
            let (piece, others) = rest.split_at(1 + chance.below(most.min(rest.len())));
            script = script.send(piece);
            if chance.below(3) == 0 {
                script = script.pause(MILLISECOND * chance.below(2000) as u32);
            }
            rest = others;
        }
        let disk = MemoryDisk::new();
        let transcript = play::<FileSized>(&disk, &script.fin());
        assert_eq!(received(&transcript), "OK\n".repeat(3 * (1 + sizes.len())), "seed {seed}");
        assert_eq!(transcript.reason, CloseReason::Eof, "seed {seed}");
        for number in 0..sizes.len() {
            assert!(disk.contents(&number.to_string()).unwrap() == contents(number), "seed {seed}, file {number}");
        }
    }
}

#[test]
fn a_connection_that_breaks_within_an_upload_leaves_nothing() {
    for sent in ["a", "a\n", "a\n5", "a\n5\n", "a\n5\nhell"] {
        for job_time in [Duration::ZERO, MILLISECOND] {
            let script = Script::new().job_time(job_time).send(sent);
            for script in [script.clone().reset(), script.clone().cut(), script.pause(10 * MILLISECOND).reset()] {
                let disk = MemoryDisk::new();
                let transcript = play::<FileSized>(&disk, &script);
                assert_eq!(disk.names(), [""; 0], "{script:?}");
                assert!(["reset", "shutdown"].contains(&transcript.reason.name()), "{script:?}");
            }
        }
    }
}

#[test]
fn a_peer_that_never_reads_costs_the_limit_and_one_upload_and_is_reset() {
    let limits = Limits { max_pending_output: 30, ..Limits::default() };
    let uploads: String = (0..100).map(|number| format!("{number}\n1\nx")).collect();
    let disk = MemoryDisk::new();
    let transcript =
        play::<FileSized>(&disk, &Script::new().limits(limits).never_reads(3).send(&uploads).send(uploads));
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::WriteTimeout, 30 * SECOND));
    assert!(transcript.reset);
    let pending = transcript.pending_bytes_max;
    assert!((30..30 + b"OK\nOK\nOK\n".len()).contains(&pending), "{pending} bytes");
}

#[test]
fn deadlines_end_an_upload_without_an_error_line_and_without_a_file() {
    let mortal = || Script::new().limits(Limits { lifetime: Some(10 * SECOND), ..Limits::default() });
    let dripped_size = (0..19).fold(Script::new().send("a\n"), |script, _| script.send("0").pause(2 * SECOND));
    let linger = 2 * SECOND;
    for (script, reason, elapsed, told) in [
        (Script::new().send("a\n"), CloseReason::Idle, 30 * SECOND, "OK\n"),
        (drip(Script::new().send("a\n0\n"), &"n".repeat(40)), CloseReason::RequestTimeout, 30 * SECOND, "OK\nOK\nOK\n"),
        (dripped_size, CloseReason::RequestTimeout, 30 * SECOND, "OK\n"),
        (Script::new().send("a\n9\nhel").pause(29 * SECOND).send("lo"), CloseReason::Idle, 59 * SECOND, "OK\nOK\n"),
        (drip(mortal().send("a\n"), "12\nhello, world"), CloseReason::Lifetime, 10 * SECOND, "OK\nOK\n"),
    ] {
        let disk = MemoryDisk::new();
        let transcript = play::<FileSized>(&disk, &script);
        assert_eq!((transcript.reason, received(&transcript), transcript.reset), (reason, told, false));
        assert!((elapsed..=elapsed + linger).contains(&transcript.elapsed), "{reason}: {:?}", transcript.elapsed);
        assert_eq!(disk.names().len(), told.len() / 9, "{reason}");
    }
}

#[test]
fn a_shutdown_closes_between_requests_and_waits_for_the_end_of_one() {
    for (script, told, names) in [
        (Script::new().stop().send("a\n"), "", 0),
        (Script::new().send("a\n1\nx").stop().send("b\n"), "OK\nOK\nOK\n", 1),
        (Script::new().send("a\n").stop().pause(20 * SECOND).send("1\nx"), "OK\nOK\nOK\n", 1),
        (Script::new().send("a\n1").stop().pause(20 * SECOND).send("\nx"), "OK\nOK\nOK\n", 1),
        (Script::new().send("a\n1").stop().send("\nxb\n").send("0\n"), "OK\nOK\nOK\nOK\nOK\nOK\n", 2),
        (Script::new().send("a\n5\nhel").stop().pause(20 * SECOND).send("lo"), "OK\nOK\nOK\n", 1),
        (Script::new().send("a\n5\nhel").stop().cut(), "OK\nOK\n", 0),
    ] {
        let disk = MemoryDisk::new();
        let transcript = play::<FileSized>(&disk, &script);
        assert_eq!((received(&transcript), disk.names().len()), (told, names), "{script:?}");
        assert_eq!(transcript.reason, CloseReason::Shutdown, "{script:?}");
    }
}
