//! What the server does, as JSON.

use serde_json::{Value, json};

use crate::snapshot::{Door, Histogram, Row, Snapshot};
use crate::stats::Tally;

/// The media type.
pub(super) const KIND: &str = "application/json";

/// Returns what each connection waits for, the longest wait first.
pub(super) fn connections(snapshot: &Snapshot) -> String {
    let table = &snapshot.table;
    let rows: Vec<_> = table.rows.iter().map(connection).collect();
    line(&json!({ "connections": rows, "all": tally(&table.all), "more": table.rest.total() }))
}

/// Returns a row. A member that says nothing of this slot is `null`.
fn connection(row: &Row) -> Value {
    json!({
        "number": row.number.to_string(),
        "peer": row.peer.as_ref().map(ToString::to_string),
        "proxy": row.proxy.as_ref().map(ToString::to_string),
        "listener": row.listener,
        "state": row.state,
        "age_s": row.age.as_secs_f64(),
        "in": row.moved.map(|moved| moved.received),
        "out": row.moved.map(|moved| moved.sent),
        "counted_from_the_start": row.moved.map(|moved| !moved.is_part),
        "pending": row.pending_bytes,
        "deadline_s": row.deadline.map(|left| left.as_secs_f64()),
        "why": row.why.to_string(),
    })
}

/// Returns the counters of each listener, and how the loop spends its time.
pub(super) fn listeners(snapshot: &Snapshot) -> String {
    let doors: Vec<_> = snapshot.doors.iter().map(listener).collect();
    let pulse = &snapshot.pulse;
    let bounds: Vec<_> = (0..Histogram::BUCKETS - 1).map(Histogram::bound).collect();
    line(&json!({
        "ready": snapshot.readiness.reason().is_none(),
        "reason": snapshot.readiness.reason(),
        "loop": {
            "turns": pulse.turns.count(),
            "turn_bounds_us": bounds,
            "turn_counts": pulse.turns.counts,
            "busy_s": pulse.turns.sum as f64 / 1e9,
            "wait_s": pulse.waited as f64 / 1e9,
            "ready_slots": snapshot.ready_slots,
        },
        "pending_output": snapshot.pending_bytes.0,
        "pending_output_limit": snapshot.pending_bytes.1,
        "listeners": doors,
    }))
}

/// Returns the counters of a listener or datagram socket.
fn listener(door: &Door) -> Value {
    let stats = &door.stats;
    let mut all = json!({
        "name": door.name,
        "protocol": door.protocol,
        "listen": door.url,
        "received_bytes": stats.received_bytes,
        "sent_bytes": stats.sent_bytes,
        "slow_turns": stats.slow_turns,
    });
    let of_the_transport = match door.transport.is_stream() {
        true => json!({
            "open": door.open,
            "limit": door.open_max,
            "accepted": stats.accepted,
            "closed": tally(&stats.closed),
            "refused": tally(&stats.refused),
            "paused": door.paused,
            "pauses": tally(&stats.paused),
            "accept_queue": door.accept_queue.map(|(waiting, _)| waiting),
            "accept_queue_limit": door.accept_queue.map(|(_, most)| most),
        }),
        false => json!({
            "received_datagrams": stats.received_datagrams,
            "sent_datagrams": stats.sent_datagrams,
            "dropped": tally(&stats.refused),
            "error_answers": tally(&stats.error_answers),
            "receive_errors": stats.receive_errors,
            "dropped_by_the_kernel": door.kernel_drops,
        }),
    };
    if let (Value::Object(all), Value::Object(more)) = (&mut all, of_the_transport) {
        all.extend(more);
    }
    all
}

/// Returns counts by reason.
fn tally(tally: &Tally) -> Value {
    tally.iter().map(|(reason, count)| (reason.to_owned(), json!(count))).collect()
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
