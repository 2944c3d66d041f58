//! The planted bugs, by subject. Bugs at one place are next to each other.

mod accepting;
mod closing;
mod deadlines;
mod disk;
mod messages;
mod names;
mod opening;
mod proxies;
mod reading;
mod relay;
mod reload;
mod slots;
mod stopping;
mod sum;
mod udp;
mod writing;

use crate::bug::Bug;

/// All bugs, each with its own name.
pub(crate) fn all() -> Vec<&'static Bug> {
    let rooms = [
        accepting::BUGS,
        slots::BUGS,
        opening::BUGS,
        proxies::BUGS,
        reading::BUGS,
        writing::BUGS,
        closing::BUGS,
        deadlines::BUGS,
        stopping::BUGS,
        udp::BUGS,
        sum::BUGS,
        names::BUGS,
        disk::BUGS,
        relay::BUGS,
        reload::BUGS,
        messages::BUGS,
    ];
    rooms.into_iter().flatten().collect()
}
