//! Bulk data through pipes: as through buffers, whatever a pipe holds and whatever a splice moves.

use std::time::Duration;

use super::SECOND;
use super::bulk::upload;
use crate::protocol::CloseReason;
use crate::testing::{Edges, Fault, Script, converse, every_fault, every_split};

/// The bytes and the pieces of pipes.
const PIPES: [(usize, usize); 6] = [(1, 1), (1, 9), (7, 2), (100, 3), (5000, 1), (1_048_576, 256)];

#[test]
fn spliced_data_arrives_whole_and_in_order_whatever_its_size() {
    for size in [0, 1, 6, 7, 8, 99, 100, 4321] {
        let contents: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        for (bytes, pieces) in PIPES {
            for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
                for job_time in [SECOND / 1000, Duration::ZERO] {
                    let (protocol, written) = upload(u64::MAX, usize::MAX);
                    let script = Script::new().edges(edges).pipes(bytes, pieces).job_time(job_time);
                    let parts = contents.chunks(50).fold(script.send("name\n"), |script, part| script.send(part));
                    let transcript = converse(protocol, &parts.fin());
                    assert_eq!(transcript.sent, format!("{size} stored, 0 left\n").as_bytes(), "{bytes}, {pieces}");
                    assert!(
                        *written.lock().expect("no panic") == contents,
                        "{size} bytes, {bytes}, {pieces}, {edges:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn spliced_data_ends_at_its_length_and_the_rest_is_delivered() {
    for (bytes, pieces) in PIPES {
        every_split(b"name\n0123456789name\nabcdefghij", |chunks| {
            let (protocol, written) = upload(10, usize::MAX);
            let transcript = converse(protocol, &Script::new().pipes(bytes, pieces).send_all(chunks).fin());
            assert_eq!(*written.lock().expect("no panic"), b"0123456789abcdefghij");
            assert_eq!(transcript.sent.iter().filter(|byte| **byte == b'\n').count(), 2);
        });
    }
}

#[test]
fn spliced_data_survives_every_harmless_fault() {
    for (bytes, pieces) in PIPES {
        let script = Script::new().pipes(bytes, pieces).send("name\nsome ").send("contents").send_fin("!").window(5);
        every_fault(|| upload(u64::MAX, usize::MAX).0, &script);
        let script = Script::new().pipes(bytes, pieces).send("name\nsomename\nmore").fin();
        every_fault(|| upload(4, usize::MAX).0, &script);
    }
}

#[test]
fn while_a_worker_empties_a_pipe_what_arrives_stays_in_the_socket() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let script = Script::new().pipes(100, 256).job_time(SECOND).send("name\n").send([7; 1000]);
    let transcript = converse(protocol, &script.cut());
    assert_eq!(transcript.stats.received_bytes, 5 + 100);
    assert_eq!(written.lock().expect("no panic").len(), 100, "the job that was out ends, and no other begins");
}

#[test]
fn when_the_disk_fails_the_peer_can_read_why_although_a_pipe_holds_more() {
    for (bytes, pieces) in PIPES {
        let (protocol, _) = upload(u64::MAX, 100);
        let script = Script::new().pipes(bytes, pieces).send("name\n");
        let script = (0..50).fold(script, |script, _| script.send([7; 50]));
        let transcript = converse(protocol, &script.fin());
        assert_eq!(transcript.sent, b"disk full\n");
        assert!(!transcript.reset);
    }
}

#[test]
fn a_reset_while_data_is_spliced_ends_the_connection() {
    let (protocol, _) = upload(u64::MAX, usize::MAX);
    let transcript = converse(protocol, &Script::new().pipes(100, 5).send("name\n").send("abc").reset());
    assert_eq!(transcript.reason, CloseReason::Transport(std::io::ErrorKind::ConnectionReset));
    let script = Script::new().pipes(100, 5).send("name\n").send("abc").fault(2, Fault::Reset);
    assert_eq!(
        converse(upload(u64::MAX, usize::MAX).0, &script).reason,
        CloseReason::Transport(std::io::ErrorKind::ConnectionReset)
    );
}

#[test]
fn silence_in_the_middle_of_spliced_contents_is_idle() {
    let (protocol, _) = upload(u64::MAX, usize::MAX);
    let script = Script::new().pipes(100, 5).send("name\nabc").pause(29 * SECOND).send("d");
    let transcript = converse(protocol, &script);
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Idle, 59 * SECOND));
}
