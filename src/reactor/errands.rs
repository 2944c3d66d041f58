//! Errands: owners of slots submit jobs, and get the results. The buffers of uploads are here too, because they come back with
//! jobs.

use super::reload::{DISCARDER, RELOADER, note_discarded};
use super::{Owner, Reactor, Remains};
use crate::amounts::Rounded;
use crate::budget::Class;
use crate::bulk::Returned;
use crate::job::{Job, Outcome};
use crate::kernel::{Kernel, NoWorker, Panicked, Token, Waiting};
use crate::protocol::ConnectionId;
use crate::visit::{Errand, Left, Status};
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Delivers the result of a job, and frees the slot of a closed connection after its last job.
    pub(super) fn note_done(&mut self, token: Token, result: Result<Outcome, Panicked>) {
        let buffers = &mut self.lent.buffers;
        // Rule 4: the result for an earlier owner of the slot is ignored.
        let Some(slot) = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
        else {
            match token {
                RELOADER => return self.note_reloaded(result),
                DISCARDER => return note_discarded(result),
                _ => {}
            }
            self.totals.stale_notices += 1;
            return xray::about(token, || What::Stale);
        };
        xray::about(token, || What::JobBack { panicked: result.is_err() });
        match &mut slot.owner {
            Owner::Connection(_) => {
                if let Some(result) = self.note_looked_up(result) {
                    self.answer(token, result);
                }
            }
            Owner::Remains(Remains::Last) => {
                if let Err(panicked) = result {
                    let what = format!("its last job panicked{}", panicked.detail());
                    self.endpoints[slot.endpoint].log_bug(self.moment.now, token, None, &what);
                }
                self.queue_ended(token.slot);
            }
            Owner::Remains(remains @ Remains::Unwanted(_)) => {
                let last = match std::mem::replace(remains, Remains::Last) {
                    Remains::Unwanted(last) => last,
                    Remains::Last => None,
                };
                let returned = Returned::new(result, buffers);
                buffers.pipes.rest();
                if let Some(panicked) = returned.panicked() {
                    let what = format!("a job panicked{}", panicked.detail());
                    self.endpoints[slot.endpoint].log_bug(self.moment.now, token, None, &what);
                }
                match returned.into_remains() {
                    None if last.is_none() => self.queue_ended(token.slot),
                    unwanted => self.submit(token.slot, Job::discarding(unwanted, last)),
                }
            }
            Owner::Listener(_) | Owner::Mailbox(_) | Owner::Opening(_) => {}
        }
        self.wake_buffer_waiters();
    }

    /// Ends a visit: runs its errand, arms its deadline, and queues its slot, as one of class `again` if its budget is used up.
    /// Inlined: on the hot path a call would cost twenty instructions.
    #[inline(always)]
    pub(super) fn settle(&mut self, key: u32, Left { status, deadline }: Left, errand: Option<Errand>, again: Class) {
        if let Some(errand) = errand {
            self.run_errand(key, errand);
        }
        match status {
            Status::Waiting => self.deadlines.arm(key, deadline),
            Status::Again => {
                self.totals.spent_visits += 1;
                self.deadlines.arm(key, deadline);
                self.queue_as(key, again);
            }
            Status::WantsBuffer => {
                self.deadlines.arm(key, deadline);
                self.wait_for_buffer(key);
            }
            Status::Relays => self.relay(key),
            Status::Closed => self.queue_ended(key),
        }
    }

    /// Runs the errand of a visit. Not inlined: most visits have none.
    #[inline(never)]
    pub(super) fn run_errand(&mut self, key: u32, errand: Errand) {
        match errand {
            Errand::Job(job) => {
                self.submit(key, job);
                self.note_piped(key);
            }
            Errand::Connect(connect) => self.begin_connect(key, connect),
            Errand::Relay(other) => self.begin_relay(key, other),
            Errand::LetGo(made, next) => self.run_after(key, made, next),
        }
    }

    /// Runs `next`, if there is one, then lets go of a new connection, unless `next` has joined it with the one that asked.
    #[cold]
    fn run_after(&mut self, key: u32, made: ConnectionId, next: Option<Box<Errand>>) {
        if let Some(next) = next {
            self.run_errand(key, *next);
        }
        self.let_go(self.token(key), made.token());
    }

    /// Submits a job to the workers of its listener.
    pub(super) fn submit(&mut self, key: u32, mut job: Job) {
        let slot = &self.slots[key as usize];
        let token = slot.token(key);
        job.listener = self.endpoints[slot.endpoint].lane;
        self.answer_inquiry(token, &mut job);
        let submitted = self.kernel.submit(token, job);
        xray::record(|| What::JobOut { taken: submitted.is_ok() });
        if let Err(why) = submitted {
            self.refuse_job(key, &why);
        }
    }

    /// Handles a job that no worker takes: a connection closes once its output is sent; a slot that waits only for its last job
    /// is freed.
    fn refuse_job(&mut self, key: u32, why: &NoWorker) {
        let slot = &mut self.slots[key as usize];
        let endpoint = self.endpoints[slot.endpoint].name();
        let allowed = self.logs.job.allow(self.moment.now);
        match &mut slot.owner {
            Owner::Connection(connection) => {
                if let Some(suppressed) = allowed {
                    let peer = connection.peer();
                    log::error!("{endpoint}: job refused, so {peer} is closed: {why}{suppressed}");
                }
                // If the visit that made the job also ended the connection, its slot waits for reaping already.
                let was_over = connection.is_closed();
                connection.note_refused(self.moment.now, &mut self.lent.buffers);
                if !was_over {
                    self.queue(key);
                }
            }
            _ => {
                if let Some(suppressed) = allowed {
                    log::error!("{endpoint}: last job of a closed connection refused: {why}{suppressed}");
                }
                self.queue_ended(key);
            }
        }
    }

    /// Logs a warning of jobs that have waited for long. Rule 13: the kernel limits the rate of this notice.
    pub(super) fn warn_of_waiting(&self, Waiting { listener, jobs, workers, since, .. }: Waiting) {
        let Some(endpoint) = self.endpoints.homes().find(|endpoint| endpoint.lane == listener) else { return };
        let (name, since) = (endpoint.name(), Rounded(since));
        log::warn!("{name}: a job has waited {since} for a worker: {workers} busy, {jobs} waiting (see workers)");
    }

    /// Makes an upload wait for a buffer behind the others, unless it waits already.
    pub(super) fn wait_for_buffer(&mut self, key: u32) {
        let slot = &mut self.slots[key as usize];
        if !std::mem::replace(&mut slot.wants_buffer, true) {
            self.waiters.buffer.push_back(slot.token(key));
        }
    }

    /// Wakes uploads that wait for a buffer. On the hot path, and rarely is one waiting. Inlined: a call would cost seventeen
    /// instructions.
    #[inline(always)]
    pub(super) fn wake_buffer_waiters(&mut self) {
        if !self.waiters.buffer.is_empty() {
            self.queue_buffer_waiters();
        }
    }

    /// Queues up to one waiting upload for each free buffer.
    #[cold]
    fn queue_buffer_waiters(&mut self) {
        let mut free = self.lent.buffers.free();
        while free > 0
            && let Some(token) = self.waiters.buffer.pop_front()
        {
            // A connection that has closed meanwhile needs no buffer.
            if let Some(slot) = self.slot(token)
                && let Owner::Connection(connection) = &slot.owner
                && !connection.is_closed()
            {
                slot.wants_buffer = false;
                self.queue(token.slot);
                free -= 1;
            }
        }
    }
}
