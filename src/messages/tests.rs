//! The exchange alone: what it counts, and that it calls no destructor of a plug-in while it is locked.

use std::iter;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::exchange::Attended;
use super::*;
use crate::limits::{MESSAGES_BYTES_MAX, MESSAGES_PER_SENDER_MAX};
use crate::token::Token;

fn exchange(room: usize) -> Arc<Attended> {
    Attended::new(Arc::new(Alarm::new(Box::new(|| ()))), room)
}

fn id(slot: u32) -> ConnectionId {
    ConnectionId::of(Token { slot, generation: slot + 1 })
}

/// Delivers everything. `taken`: whether the connections take it.
fn deliver(exchange: &Attended, taken: bool) {
    exchange.deliver(|_, parcel| {
        if let Parcel::Post(post) = parcel
            && taken
        {
            *post = None;
        }
        Handed { taken, again: false, goes_on: true }
    });
}

/// Posts `bytes` until one is refused. Returns the number of those before, and why.
fn fill(exchange: &Attended, bytes: &[u8]) -> (usize, NotSent) {
    let mut posts = iter::repeat_with(|| {
        let sent = exchange.sender().post(id(1), bytes);
        deliver(exchange, true);
        sent
    });
    let mut count = 0;
    let why = posts.find_map(|sent| sent.map(|()| count += 1).err());
    (count, why.expect("refused"))
}

#[test]
fn short_messages_are_counted_with_their_place_in_a_queue() {
    for bytes in [0, 1, COUNTED_BYTES_MIN] {
        let exchange = exchange(1 << 20);
        exchange.admit(id(1));
        assert_eq!(fill(&exchange, &vec![b'x'; bytes]), ((1 << 20) / COUNTED_BYTES_MIN, NotSent::Full));
    }
}

#[test]
fn what_no_receiver_will_ever_have_room_for_is_too_long() {
    let exchange = exchange(usize::MAX);
    exchange.admit(id(1));
    assert_eq!(fill(&exchange, &vec![b'x'; MESSAGES_BYTES_MAX]), (1, NotSent::Full));
    assert_eq!(fill(&exchange, &vec![b'x'; MESSAGES_BYTES_MAX + 1]), (0, NotSent::TooLong));
}

#[test]
fn the_room_of_a_connection_grows_with_its_limit() {
    let exchange = exchange(1000);
    exchange.admit(id(1));
    assert_eq!(fill(&exchange, &[b'x'; 1001]), (0, NotSent::TooLong));
    for (limit, fits) in [(2002, 2), (1000, 0), (4004, 2)] {
        exchange.widen(limit);
        assert_eq!(fill(&exchange, &[b'x'; 1001]), (fits, NotSent::Full), "{limit}");
    }
}

/// Sends a message when it is dropped.
struct Last(Sender, mpsc::Sender<Result<(), NotSent>>);

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.post(id(2), "last words"));
    }
}

#[test]
fn a_value_that_is_dropped_undelivered_may_send_a_message() {
    let exchange = exchange(1000);
    [1, 2].into_iter().for_each(|slot| exchange.admit(id(slot)));
    let (dropped, results) = mpsc::channel();
    let last = || Payload::Value(Value::new(Last(exchange.sender(), dropped.clone())));
    let values: Vec<_> = iter::repeat_with(last).take(4).collect();
    // A destructor that waits for the lock waits for ever, so another thread calls it.
    thread::spawn(move || {
        let mut values = values.into_iter();
        let mut post = |from, to| values.next().map(|value| exchange.post(from, to, value));
        assert_eq!(post(None, id(3)), Some(Err(NotSent::Gone)));
        assert_eq!(exchange.sender().post(id(1), [0; 990]), Ok(()));
        assert_eq!(post(None, id(1)), Some(Err(NotSent::Full)));
        deliver(&exchange, false);
        exchange.join(id(2), "group", WhenFull::Skip).expect("a member");
        let sent = iter::repeat_with(|| exchange.cast(Some(id(2)), "group", b"")).take_while(Result::is_ok).count();
        assert_eq!(sent, usize::from(MESSAGES_PER_SENDER_MAX));
        assert_eq!(post(Some(id(2)), id(1)), Some(Err(NotSent::Full)));
        assert_eq!(post(None, id(1)), Some(Ok(())));
        deliver(&exchange, false);
    });
    for what in ["no account", "no room", "too many sent", "not taken"] {
        assert_eq!(results.recv_timeout(Duration::from_secs(20)), Ok(Ok(())), "{what}");
    }
}
