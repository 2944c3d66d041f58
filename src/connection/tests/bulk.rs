//! Bulk data on its way to a sink: all of it, in order, within its buffers.

use std::io;
use std::sync::{Arc, Mutex};

use super::SECOND;
use crate::limits::{BULK_BUFFER_BYTES, BULK_BUFFERS_PER_CONNECTION_MAX};
use crate::protocol::{CloseReason, Context, Event, ProtocolError, Reply, Sink, Step, Stored, StreamProtocol, Within};
use crate::testing::{Edges, Script, converse, every_fault, every_split};

/// Takes `name\n`, then bytes until EOF or `at_most`, on a sink that may fail.
pub(super) struct Upload {
    at_most: u64,
    written: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

struct Paper(Arc<Mutex<Vec<u8>>>, usize);

impl Sink for Paper {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut written = self.0.lock().expect("no panic");
        if written.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.extend_from_slice(bytes);
        Ok(())
    }

    fn takes_pipes(&self) -> bool {
        true
    }
}

impl StreamProtocol for Upload {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            return Ok(Step::wait(Within::Request));
        };
        let paper = Paper(Arc::clone(&self.written), self.room);
        Ok(Step::bulk(paper, self.at_most, Self::stored).consuming(end + 1))
    }
}

impl Upload {
    fn stored(&mut self, stored: Stored<Paper>, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        stored.result.map_err(|_| ProtocolError::new("disk", "disk full\n"))?;
        cx.out.extend_from_slice(format!("{} stored, {} left\n", stored.bytes, rest.len()).as_bytes());
        Ok(Step::again(0))
    }
}

pub(super) fn upload(at_most: u64, room: usize) -> (Upload, Arc<Mutex<Vec<u8>>>) {
    let written = Arc::new(Mutex::new(Vec::new()));
    (Upload { at_most, written: Arc::clone(&written), room }, written)
}

#[test]
fn bulk_data_arrives_whole_and_in_order_whatever_its_size() {
    for size in [0, 1, 65_535, 65_536, 262_143, 262_144, 262_145, 3_000_000] {
        let contents: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
            let (protocol, written) = upload(u64::MAX, usize::MAX);
            let script = Script::new().edges(edges).send("name\n").send(&contents).fin();
            assert_eq!(converse(protocol, &script).sent, format!("{size} stored, 0 left\n").as_bytes());
            assert!(*written.lock().expect("no panic") == contents, "{size} bytes, {edges:?}");
        }
    }
}

#[test]
fn bulk_data_arrives_whole_however_few_buffers_others_leave() {
    let contents = vec![7; 5 * BULK_BUFFER_BYTES + 1];
    for buffers in 1..=BULK_BUFFERS_PER_CONNECTION_MAX {
        let (protocol, written) = upload(u64::MAX, usize::MAX);
        let script = Script::new().buffers(buffers).job_time(SECOND).send("name\n").send(&contents).fin();
        assert_eq!(converse(protocol, &script).reason, CloseReason::Eof);
        assert!(*written.lock().expect("no panic") == contents, "{buffers} buffers");
    }
}

#[test]
fn bulk_data_ends_at_its_length_and_the_rest_is_delivered() {
    every_split(b"name\n0123456789name\nabcdefghij", |chunks| {
        let (protocol, written) = upload(10, usize::MAX);
        let transcript = converse(protocol, &Script::new().send_all(chunks).fin());
        assert_eq!(*written.lock().expect("no panic"), b"0123456789abcdefghij");
        assert_eq!(transcript.sent.iter().filter(|byte| **byte == b'\n').count(), 2);
    });
}

#[test]
fn bulk_data_survives_every_harmless_fault() {
    let script = Script::new().send("name\nsome ").send("contents").send_fin("!").window(5);
    every_fault(|| upload(u64::MAX, usize::MAX).0, &script);
    every_fault(|| upload(4, usize::MAX).0, &Script::new().send("name\nsomename\nmore").fin());
}

#[test]
fn while_a_worker_writes_the_next_bytes_are_read_within_bounds() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let script = Script::new().job_time(SECOND).send("name\n").send("first").send(vec![7; 4 * BULK_BUFFER_BYTES]);
    let transcript = converse(protocol, &script.cut());
    let room = BULK_BUFFERS_PER_CONNECTION_MAX * BULK_BUFFER_BYTES;
    let read = transcript.stats.received_bytes as usize;
    assert!((room - BULK_BUFFER_BYTES..=room + b"name\n".len()).contains(&read), "{read} bytes");
    assert_eq!(*written.lock().expect("no panic"), b"first", "the job that was out ends, and no other begins");
}

/// Waits for the FIN, then stores all but the first byte.
struct Late(Arc<Mutex<Vec<u8>>>);

impl StreamProtocol for Late {
    fn on_bytes(&mut self, _input: &[u8], _cx: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Request))
    }

    fn on_event(&mut self, event: Event, _rest: &[u8], _cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof => Ok(Step::bulk(Paper(Arc::clone(&self.0), usize::MAX), u64::MAX, Self::stored).consuming(1)),
            _ => Ok(Step::finish()),
        }
    }
}

impl Late {
    fn stored(&mut self, _: Stored<Paper>, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::finish())
    }
}

#[test]
fn what_came_before_the_fin_is_stored_although_storing_began_after_it() {
    every_split(b"name", |chunks| {
        let written = Arc::new(Mutex::new(Vec::new()));
        converse(Late(Arc::clone(&written)), &Script::new().send_all(chunks).fin());
        assert_eq!(*written.lock().expect("no panic"), b"ame");
    });
}

#[test]
fn when_the_disk_fails_the_peer_can_read_why_although_it_goes_on_sending() {
    let (protocol, _) = upload(u64::MAX, 100);
    let script = (0..50).fold(Script::new().send("name\n"), |script, _| script.send([7; 50]));
    let transcript = converse(protocol, &script.fin());
    assert_eq!(transcript.sent, b"disk full\n");
    assert!(!transcript.reset);
}

#[test]
fn silence_in_the_middle_of_contents_is_idle() {
    let (protocol, _) = upload(u64::MAX, usize::MAX);
    let transcript = converse(protocol, &Script::new().send("name\nabc").pause(29 * SECOND).send("d"));
    assert_eq!((transcript.reason, transcript.elapsed), (CloseReason::Idle, 59 * SECOND));
}

#[test]
fn a_slow_disk_does_not_count_as_silence_of_the_peer() {
    let (protocol, written) = upload(u64::MAX, usize::MAX);
    let script = Script::new().job_time(31 * SECOND).send("name\nbefore ").pause(45 * SECOND).send("after").fin();
    assert_eq!(converse(protocol, &script).reason, CloseReason::Eof);
    assert_eq!(*written.lock().expect("no panic"), b"before after");
}
