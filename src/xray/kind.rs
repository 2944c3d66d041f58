//! The kinds of records: a view draws all records of one kind alike.

use super::record::{Call, Phase, What};

/// The kind of a record. The page has a sign and a legend for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Turn,
    Wait,
    Event,
    Visit,
    Left,
    Read,
    Fin,
    Write,
    Short,
    Again,
    Failed,
    Protocol,
    Call,
    Accepted,
    Phase,
    Full,
    Relieved,
    Deadline,
    JobOut,
    JobBack,
    Trouble,
    Reap,
    Closed,
    Command,
    Stopping,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub(super) const ALL: [Self; 25] = [
        Self::Turn,
        Self::Wait,
        Self::Event,
        Self::Visit,
        Self::Left,
        Self::Read,
        Self::Fin,
        Self::Write,
        Self::Short,
        Self::Again,
        Self::Failed,
        Self::Protocol,
        Self::Call,
        Self::Accepted,
        Self::Phase,
        Self::Full,
        Self::Relieved,
        Self::Deadline,
        Self::JobOut,
        Self::JobBack,
        Self::Trouble,
        Self::Reap,
        Self::Closed,
        Self::Command,
        Self::Stopping,
    ];

    /// Returns the kind of `what`.
    pub(super) fn of(what: &What) -> Self {
        match *what {
            What::Turn { .. } => Self::Turn,
            What::Event(_) | What::Message { taken: true, .. } => Self::Event,
            What::Due | What::Expired(_) => Self::Deadline,
            What::Accepted { .. } | What::Announced { .. } | What::Connects { .. } => Self::Accepted,
            What::Visit => Self::Visit,
            What::Left { .. } => Self::Left,
            What::Call { call: Call::Wait { .. }, .. } => Self::Wait,
            What::Call { answer, .. } if answer.would_block() => Self::Again,
            // Its usual answer is `EINPROGRESS`.
            What::Call { call: Call::Connect, .. } => Self::Call,
            What::Call { answer, .. } if answer.errno().is_some() => Self::Failed,
            What::Call { call: Call::Read { .. } | Call::Discard { .. }, answer } if answer.count() == Some(0) => {
                Self::Fin
            }
            What::Call {
                call:
                    Call::Read { .. } | Call::Discard { .. } | Call::Splice { .. } | Call::Receive { .. } | Call::ReceiveOne,
                ..
            } => Self::Read,
            What::Call { call: Call::Write { offered } | Call::Send { offered, .. }, answer } => {
                if answer.count().is_some_and(|count| count < offered) { Self::Short } else { Self::Write }
            }
            What::Call { call: Call::SendOne, .. } => Self::Write,
            What::Call { .. } => Self::Call,
            What::Asked { .. } => Self::Protocol,
            What::Phase(Phase::Closed, _) | What::Closed(_) => Self::Closed,
            What::Phase(..) => Self::Phase,
            What::Full { .. } => Self::Full,
            What::Relieved { .. } => Self::Relieved,
            What::JobOut { taken: true } => Self::JobOut,
            What::JobBack { panicked: false } => Self::JobBack,
            What::Message { taken: false, .. }
            | What::JobOut { taken: false }
            | What::JobBack { panicked: true }
            | What::Dropped(_)
            | What::Paused(_)
            | What::Stale => Self::Trouble,
            What::Command(_) => Self::Command,
            What::Stopping { .. } => Self::Stopping,
            What::Reap => Self::Reap,
        }
    }

    /// Returns the name of the kind, by which the page finds its sign.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Wait => "wait",
            Self::Event => "event",
            Self::Visit => "visit",
            Self::Left => "left",
            Self::Read => "read",
            Self::Fin => "fin",
            Self::Write => "write",
            Self::Short => "short",
            Self::Again => "again",
            Self::Failed => "failed",
            Self::Protocol => "protocol",
            Self::Call => "call",
            Self::Accepted => "accepted",
            Self::Phase => "phase",
            Self::Full => "full",
            Self::Relieved => "relieved",
            Self::Deadline => "deadline",
            Self::JobOut => "job out",
            Self::JobBack => "job back",
            Self::Trouble => "trouble",
            Self::Reap => "reap",
            Self::Closed => "closed",
            Self::Command => "command",
            Self::Stopping => "stopping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_kind_is_its_place_in_the_list() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{}", kind.name());
        }
    }
}
