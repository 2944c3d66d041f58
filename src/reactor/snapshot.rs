//! Answers inquiries: copies counters, the table of slots or a recording for a job.

mod pulse;
mod recorder;
mod rows;

use std::sync::Arc;

pub(super) use self::pulse::Pulse;
use self::rows::why_paused;
use super::stop::Stop;
use super::{Owner, Reactor, Slot};
use crate::endpoint::Endpoint;
use crate::job::Job;
use crate::kernel::{DatagramSocket, Kernel, Token};
use crate::listener::Pause;
use crate::log_writer;
use crate::snapshot::{Door, Question, Readiness, Snapshot};

impl<K: Kernel> Reactor<K> {
    /// Answers the question of a job of the connection `who`, if it has one.
    pub(super) fn answer_inquiry(&mut self, who: Token, job: &mut Job) {
        let Some(question) = job.question() else { return };
        let snapshot = match question {
            Question::Readiness => Snapshot { readiness: self.readiness(), ..Snapshot::default() },
            Question::Counters => self.counters(),
            Question::Connections(wanted) => {
                self.ledger.begin(self.moment.now, self.generation);
                Snapshot { table: self.rows(wanted), ..self.counters() }
            }
            Question::StartRecording => Snapshot { is_recording: self.start_recording(who), ..Snapshot::default() },
            Question::FinishRecording => Snapshot { tape: self.finish_recording(who), ..Snapshot::default() },
        };
        job.answer(snapshot);
    }

    /// Returns whether new connections should come to this server.
    ///
    /// A listener at its `max_connections` or its `connection_rate` is as busy as its administrator wants it to be, so the server is ready all the same.
    fn readiness(&self) -> Readiness {
        match self.stop {
            Stop::No(_) => {}
            Stop::Leaving(..) => return Readiness::Leaving,
            Stop::Graceful(_) | Stop::Cut(..) => return Readiness::Stopping,
        }
        let short = self.endpoints.current().iter().find_map(|endpoint| {
            let pause = self.pause_of(endpoint)?;
            let is_short = !matches!(pause, Pause::Full("max_connections") | Pause::Rate);
            is_short.then(|| format!("{}: accepting is paused: {}", endpoint.name(), why_paused(pause)))
        });
        short.map_or(Readiness::Ready, Readiness::Paused)
    }

    /// Copies all counters.
    fn counters(&mut self) -> Snapshot {
        self.endpoints.gather();
        let totals = &self.totals;
        let buffers = &self.lent.buffers;
        Snapshot {
            readiness: self.readiness(),
            ready_slots: self.queues.iter().count(),
            stale_notices: totals.stale_notices,
            spent_visits: totals.spent_visits,
            reloads: self.in_force.counts,
            has_reload_failed: self.in_force.failure.is_some(),
            loaded_at: Some(self.in_force.loaded_at),
            lost_log_lines: log_writer::lost_lines(),
            pending_bytes: (totals.pending_bytes, totals.pending_bytes_max),
            descriptors: (totals.descriptors, Some(totals.descriptors_max).filter(|most| *most != usize::MAX)),
            buffers: (buffers.lent(), buffers.free()),
            jobs: self.kernel.jobs(),
            doors: self.endpoints.current().iter().map(|endpoint| self.door(endpoint)).collect(),
            configuration: Arc::clone(&self.inquired.configuration),
            pulse: self.take_pulse(),
            ..Snapshot::default()
        }
    }

    /// Copies the counters of a listener or datagram socket.
    fn door(&self, endpoint: &Endpoint) -> Door {
        let owner = self.owner_of(endpoint);
        let (mut accept_queue, mut kernel_drops) = (None, None);
        match owner {
            Some(Owner::Listener(listener)) => accept_queue = self.kernel.accept_queue(&listener.socket),
            Some(Owner::Mailbox(mailbox)) => kernel_drops = mailbox.socket.drops(),
            _ => {}
        }
        Door {
            name: endpoint.name().to_owned(),
            protocol: endpoint.protocol().to_owned(),
            transport: endpoint.transport(),
            url: endpoint.url(),
            open: endpoint.open_connections(),
            open_max: endpoint.limits.max_connections,
            stats: endpoint.stats.clone(),
            paused: self.pause_of(endpoint).map(why_paused),
            accept_queue,
            kernel_drops,
        }
    }

    /// Returns the owner of a listener's socket, unless the socket is closed.
    fn owner_of(&self, endpoint: &Endpoint) -> Option<&Owner<K>> {
        let slot = self.slots.get(endpoint.door.slot as usize);
        let slot: Option<&Slot<K>> = slot.filter(|slot| slot.generation == endpoint.door.generation);
        slot.map(|slot| &slot.owner)
    }

    /// Returns why accepting is paused, if it is.
    fn pause_of(&self, endpoint: &Endpoint) -> Option<Pause> {
        match self.owner_of(endpoint) {
            Some(Owner::Listener(listener)) => listener.paused,
            _ => None,
        }
    }
}
