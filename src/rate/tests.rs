//! Rates and buckets, against a model that remembers all events.

use std::time::Duration;

use super::*;

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

fn at(milliseconds: u64) -> Time {
    Time::ORIGIN.after(Duration::from_millis(milliseconds))
}

#[test]
fn a_full_bucket_is_taken_at_once_and_then_a_token_after_each_interval() {
    let (rate, mut bucket) = (rate("4/s"), Bucket::FULL);
    let taken: Vec<_> = (0..6).map(|_| bucket.take(rate, at(0))).collect();
    assert_eq!(taken, [true, true, true, true, false, false]);
    assert_eq!(bucket.has_token_at(rate, at(0)), at(250));
    assert!(!bucket.take(rate, at(249)) && bucket.take(rate, at(250)) && !bucket.take(rate, at(250)));
    assert_eq!(bucket.has_token_at(rate, at(300)), at(500));
    // After a pause it is full, and not fuller.
    assert_eq!((0..6).filter(|_| bucket.take(rate, at(60_000))).count(), 4);
}

#[test]
fn a_period_admits_twice_the_rate_at_most_and_a_steady_peer_always() {
    let (rate, mut bucket) = (rate("10/s"), Bucket::FULL);
    let admitted: Vec<u64> = (0..20_000).filter(|time| bucket.take(rate, at(*time))).collect();
    for window in admitted.windows(21) {
        assert!(window[20] - window[0] >= 1000, "{window:?}");
    }
    assert!((200..=210).contains(&admitted.len()), "{}", admitted.len());
    let mut steady = Bucket::FULL;
    assert!((0..1000).all(|tick| steady.take(rate, at(100 * tick))));
}

#[test]
fn the_largest_and_the_smallest_rate_do_not_overflow() {
    for text in ["1000000/s", "1/h", "0/s"] {
        let (rate, mut bucket) = (rate(text), Bucket::FULL);
        assert!(bucket.take(rate, Time::ORIGIN), "{text}");
        bucket.take(rate, at(u64::MAX / 2_000_000));
    }
}

#[test]
fn a_bucket_is_kept_for_as_long_as_it_is_not_full() {
    let (rate, mut buckets) = (rate("3/s"), Buckets::default());
    let mut model: HashMap<u64, Bucket> = HashMap::new();
    let mut chance = 1_u64;
    for time in 0..20_000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let key = (chance >> 60) % 5;
        let expected = model.entry(key).or_insert(Bucket::FULL).take(rate, at(time * 20));
        assert_eq!(buckets.take(key, rate, at(time * 20)), expected, "{key} at {time}");
    }
}

#[test]
fn any_number_of_keys_fits_into_the_table_and_idle_ones_are_forgotten() {
    let (rate, mut buckets) = (rate("1/s"), Buckets::default());
    for key in 0..3 * RATE_TABLE_MAX {
        assert!(buckets.take(key, rate, at(1)), "a new key is admitted, although the table is full");
        assert!(buckets.len() <= RATE_TABLE_MAX);
    }
    assert!(!buckets.take(3 * RATE_TABLE_MAX - 1, rate, at(2)), "the newest are remembered");
    assert!(buckets.take(0, rate, at(2_100)));
    assert_eq!(buckets.len(), 1, "after two periods without them all others are full");
}
