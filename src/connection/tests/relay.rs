//! Relays on two strict wires: no split, fault or slow reader at either side changes what arrives at the other.

use std::io::ErrorKind;
use std::time::Duration;

use super::layer::{Frames, sealed};
use super::{SECOND, limits};
use crate::limits::Limits;
use crate::protocol::CloseReason;
use crate::testing::pair::{Act, Got, Pair, Side};
use crate::testing::{Edges, Fault, every_split};

const LONG: Duration = Duration::from_secs(1000);
const EDGES: [Edges; 3] = [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent];

fn run(sides: [Side; 2], edges: Edges, acts: &[Act]) -> [Got; 2] {
    Pair::new(sides, edges, Limits::default()).run(acts, LONG)
}

fn send(side: usize, bytes: &[u8]) -> Act {
    Act::Send(side, bytes.to_vec())
}

/// Asserts that both peers got everything and a FIN.
fn assert_both(got: &[Got; 2], sent: [&[u8]; 2], context: &str) {
    for (got, sent) in got.iter().zip(sent) {
        assert_eq!(got.sent.escape_ascii().to_string(), sent.escape_ascii().to_string(), "{context}");
        assert_eq!((got.reset, got.reason), (false, Some(CloseReason::Eof)), "{context}");
    }
}

#[test]
fn what_either_peer_sends_arrives_at_the_other_however_it_is_split() {
    for edges in EDGES {
        for side in [0, 1] {
            every_split(b"request", |chunks| {
                let mut acts: Vec<_> = chunks.iter().map(|chunk| send(side, chunk)).collect();
                acts.extend([send(1 - side, b"early"), Act::Fin(side), send(1 - side, b", late"), Act::Fin(1 - side)]);
                let got = run(Default::default(), edges, &acts);
                let mut sent: [&[u8]; 2] = [b"early, late", b"request"];
                sent.rotate_left(side);
                assert_both(&got, sent, &format!("{edges:?} {chunks:?}"));
                assert!(got[1 - side].fin, "the first FIN is passed on by itself");
            });
        }
    }
}

#[test]
fn no_harmless_fault_at_either_side_changes_what_arrives() {
    let acts = [send(0, b"one"), send(1, b"two"), Act::Fin(0), send(1, b"three"), Act::Fin(1)];
    for edges in EDGES {
        for window in [1, 4, usize::MAX] {
            let sides = [0, 1].map(|_| Side { window, ..Side::default() });
            let clean = run(sides.clone(), edges, &acts);
            for side in [0, 1] {
                for call in 0..clean[side].calls {
                    for fault in Fault::HARMLESS {
                        let mut sides = sides.clone();
                        sides[side].fault = Some((call, fault));
                        let context = format!("{fault:?} at call {call} of side {side}, {edges:?}, window {window}");
                        assert_both(&run(sides, edges, &acts), [b"twothree", b"one"], &context);
                    }
                }
            }
        }
    }
}

#[test]
fn a_reset_at_any_call_resets_the_other_side() {
    let acts = [send(0, b"one"), send(1, b"two"), send(0, b"three")];
    for edges in EDGES {
        for side in [0, 1] {
            let run = |sides| Pair::new(sides, edges, Limits::default()).run(&acts, Duration::ZERO);
            let calls = run(Default::default())[side].calls;
            for call in 0..calls {
                let mut sides: [Side; 2] = Default::default();
                sides[side].fault = Some((call, Fault::Reset));
                let got = run(sides);
                assert_eq!(got[side].reason, Some(CloseReason::Transport(ErrorKind::ConnectionReset)));
                assert_eq!((got[1 - side].reason, got[1 - side].reset), (Some(CloseReason::OtherSide), true));
                assert!(b"onethree".starts_with(&got[1].sent) && b"two".starts_with(&got[0].sent));
            }
        }
    }
    let got = run(Default::default(), Edges::ShortReads, &[send(0, b"one"), Act::Reset(0)]);
    assert_eq!((&got[1].sent[..], got[1].reset, got[1].fin), (&b"one"[..], true, false));
}

#[test]
fn a_slow_peer_holds_one_max_pending_output_and_no_fin_overtakes() {
    for edges in EDGES {
        for side in [0, 1] {
            let limits = limits(|limits| limits.max_pending_output = 1000);
            let much: Vec<u8> = (0..=255).cycle().take(100_000).collect();
            let mut sides: [Side; 2] = Default::default();
            sides[1 - side] = Side { window: 10, reads: false, ..Side::default() };
            let acts = [send(side, &much), Act::Fin(side), Act::Pause(SECOND)];
            let stuck = Pair::new(sides.clone(), edges, limits.clone()).run(&acts, Duration::ZERO);
            assert_eq!((stuck[1 - side].pending_max, stuck[1 - side].sent.len()), (1000, 10));
            assert!(!stuck[1 - side].fin);
            let acts = [&acts[..], &[Act::Read(1 - side), send(1 - side, b"answer"), Act::Fin(1 - side)]].concat();
            let got = Pair::new(sides, edges, limits).run(&acts, LONG);
            let mut sent: [&[u8]; 2] = [b"answer", &much];
            sent.rotate_left(side);
            assert_both(&got, sent, "once it reads");
        }
    }
}

#[test]
fn what_the_protocols_left_unconsumed_comes_first() {
    let mut sides: [Side; 2] = Default::default();
    sides[0].received = b"before, ".to_vec();
    sides[1].received = vec![b'x'; 300_000];
    let acts = [send(0, b"after"), send(1, b"y"), Act::Fin(0), Act::Fin(1)];
    let [first, second] = run(sides, Edges::WouldBlock, &acts);
    assert_eq!((second.sent, first.sent.len(), first.sent.last()), (b"before, after".to_vec(), 300_001, Some(&b'y')));
}

#[test]
fn a_new_connection_whose_peer_ends_at_once_waits_for_the_one_that_asked() {
    for edges in EDGES {
        let mut sides: [Side; 2] = Default::default();
        sides[1].early = Some(b"everything");
        let got = run(sides, edges, &[send(0, b"thanks"), Act::Fin(0)]);
        assert_both(&got, [b"everything", b"thanks"], &format!("{edges:?}"));
    }
}

#[test]
fn a_layer_at_one_side_is_not_seen_at_the_other() {
    for edges in EDGES {
        let mut sides: [Side; 2] = Default::default();
        sides[0].layer = Some(|| Box::<Frames>::default());
        every_split(&sealed("plain"), |chunks| {
            let mut acts: Vec<_> = chunks.iter().map(|chunk| send(0, chunk)).collect();
            acts.extend([Act::Fin(0), send(1, b"answer"), Act::Fin(1)]);
            let got = run(sides.clone(), edges, &acts);
            assert_both(&got, [&sealed("answer"), b"plain"], &format!("{edges:?} {chunks:?}"));
        });
    }
}

#[test]
fn silence_at_both_sides_ends_both_and_activity_at_one_keeps_both() {
    let acts: Vec<_> = (0..5).flat_map(|_| [Act::Pause(20 * SECOND), send(1, b"x")]).collect();
    let got = run(Default::default(), Edges::ShortReads, &acts);
    assert_eq!(got[0].sent, b"xxxxx");
    for got in got {
        assert_eq!((got.fin, got.reset, got.reason), (true, false, Some(CloseReason::Idle)));
    }
}

#[test]
fn silence_at_both_sides_begins_when_the_slower_one_has_read() {
    let limits = limits(|limits| {
        limits.write_timeout = 100 * SECOND;
        limits.linger_timeout = Duration::from_nanos(1);
    });
    let mut sides: [Side; 2] = Default::default();
    sides[1] = Side { window: 10, reads: false, ..Side::default() };
    let acts = [send(0, &[0; 100]), Act::Pause(40 * SECOND), Act::Read(1)];
    for got in Pair::new(sides, Edges::ShortReads, limits).run(&acts, LONG) {
        assert_eq!((got.reason, got.ended.as_secs()), (Some(CloseReason::Idle), 70));
    }
}

#[test]
fn a_reader_that_stops_is_reset_and_so_is_the_other_side() {
    let mut sides: [Side; 2] = Default::default();
    sides[1] = Side { window: 10, reads: false, ..Side::default() };
    let got = run(sides, Edges::ShortReads, &[send(0, &[0; 100])]);
    assert_eq!((got[1].reset, got[1].reason), (true, Some(CloseReason::WriteTimeout)));
    assert_eq!((got[0].reset, got[0].reason), (true, Some(CloseReason::OtherSide)));
}

#[test]
fn a_lifetime_ends_both_sides_gracefully_also_after_a_fin() {
    let limits = limits(|limits| limits.lifetime = Some(5 * SECOND));
    for acts in [&[][..], &[Act::Fin(0)]] {
        let got = Pair::new(Default::default(), Edges::ShortReads, limits.clone()).run(acts, LONG);
        assert_eq!([got[0].reason, got[1].reason], [Some(CloseReason::Lifetime), Some(CloseReason::OtherSide)]);
        assert_eq!([got[0].reset, got[1].reset], [false, false]);
        assert!(got[0].fin || !acts.is_empty());
    }
}
