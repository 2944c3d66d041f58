//! Errands: what owners of slots ask of the loop, and how the answers come back. And the buffers that uploads share, since they
//! come back with jobs.

use super::{Owner, Reactor, Remains};
use crate::amounts::Rounded;
use crate::budget::Class;
use crate::bulk::Returned;
use crate::job::{Job, Outcome};
use crate::kernel::{Kernel, NoWorker, Panicked, Token, Waiting};
use crate::visit::{Errand, Left, Status};
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    pub(super) fn note_done(&mut self, token: Token, result: Result<Outcome, Panicked>) {
        let buffers = &mut self.lent.buffers;
        let Some(slot) = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
        else {
            self.totals.stale_notices += 1;
            return xray::about(token, || What::Stale);
        };
        xray::about(token, || What::JobBack { panicked: result.is_err() });
        match &mut slot.owner {
            Owner::Connection(connection) => {
                connection.note_done(result, self.moment.now, buffers);
                self.queue(token.slot);
            }
            Owner::Remains(Remains::Last) => {
                if let Err(panicked) = result {
                    let what = format!("its last job panicked{}", panicked.detail());
                    self.endpoints[slot.endpoint].tell_bug(self.moment.now, token, None, &what);
                }
                self.queue_over(token.slot);
            }
            Owner::Remains(remains @ Remains::Unwanted(_)) => {
                let last = match std::mem::replace(remains, Remains::Last) {
                    Remains::Unwanted(last) => last,
                    Remains::Last => None,
                };
                let returned = Returned::new(result, buffers);
                if let Some(panicked) = returned.panicked() {
                    let what = format!("a job panicked{}", panicked.detail());
                    self.endpoints[slot.endpoint].tell_bug(self.moment.now, token, None, &what);
                }
                match returned.into_remains() {
                    None if last.is_none() => self.queue_over(token.slot),
                    unwanted => self.submit(token.slot, Job::discarding(unwanted, last)),
                }
            }
            Owner::Listener(_) | Owner::Mailbox(_) | Owner::Opening(_) => {}
        }
        self.wake_buffer_waiters();
    }

    /// Does what a visit of any owner came to: its errand, its deadline and its next visit, which is one of `again` if its budget
    /// was used up. Each visit of a connection ends here: a call would cost it twenty instructions.
    #[inline(always)]
    pub(super) fn settle(&mut self, key: u32, Left { status, deadline }: Left, errand: Option<Errand>, again: Class) {
        self.run_errand(key, errand);
        match status {
            Status::Waiting => self.deadlines.arm(key, deadline),
            Status::Again => {
                self.deadlines.arm(key, deadline);
                self.queue_as(key, again);
            }
            Status::WantsBuffer => {
                self.deadlines.arm(key, deadline);
                self.wait_for_buffer(key);
            }
            Status::Closed => self.queue_over(key),
        }
    }

    /// Does what a visit has asked for, if anything.
    #[inline]
    pub(super) fn run_errand(&mut self, key: u32, errand: Option<Errand>) {
        match errand {
            Some(Errand::Job(job)) => self.submit(key, job),
            None => {}
        }
    }

    pub(super) fn submit(&mut self, key: u32, mut job: Job) {
        let slot = &self.slots[key as usize];
        let token = slot.token(key);
        job.listener = slot.endpoint;
        let submitted = self.kernel.submit(token, job);
        xray::record(|| What::JobOut { taken: submitted.is_ok() });
        if let Err(why) = submitted {
            self.refuse_job(key, &why);
        }
    }

    /// No worker takes a job: a connection closes once its output is sent; a slot that waits only for a last job is freed.
    fn refuse_job(&mut self, key: u32, why: &NoWorker) {
        let slot = &mut self.slots[key as usize];
        let endpoint = self.endpoints[slot.endpoint].name();
        let allowed = self.logs.job.allow(self.moment.now);
        match &mut slot.owner {
            Owner::Connection(connection) => {
                if let Some(suppressed) = allowed {
                    let peer = connection.peer();
                    log::error!("{endpoint}: no worker takes a job, so {peer} is closed: {why}{suppressed}");
                }
                // One that ended in the visit which made the job is about to be reaped already.
                let was_over = connection.is_closed();
                connection.note_refused(self.moment.now, &mut self.lent.buffers);
                if !was_over {
                    self.queue(key);
                }
            }
            _ => {
                if let Some(suppressed) = allowed {
                    log::error!("{endpoint}: no worker takes the last job of a connection: {why}{suppressed}");
                }
                self.queue_over(key);
            }
        }
    }

    /// Warns of jobs that have waited for long. The kernel tells that seldom enough.
    pub(super) fn tell_waiting(&self, Waiting { listener, jobs, workers, since, .. }: Waiting) {
        let Some(endpoint) = self.endpoints.get(listener as usize) else { return };
        let (name, since) = (endpoint.name(), Rounded(since));
        log::warn!("{name}: a job has waited {since} for a worker: {workers} busy, {jobs} waiting (see workers)");
    }

    /// An upload waits for a buffer behind the others, unless it waits already.
    pub(super) fn wait_for_buffer(&mut self, key: u32) {
        let slot = &mut self.slots[key as usize];
        if !std::mem::replace(&mut slot.wants_buffer, true) {
            self.waiters.buffer.push_back(slot.token(key));
        }
    }

    /// Wakes uploads that wait for a buffer. Each visit calls this and hardly ever finds one waiting, so that case is fast.
    pub(super) fn wake_buffer_waiters(&mut self) {
        if !self.waiters.buffer.is_empty() {
            self.hand_out_buffers();
        }
    }

    pub(super) fn hand_out_buffers(&mut self) {
        let mut free = self.lent.buffers.free();
        while free > 0
            && let Some(token) = self.waiters.buffer.pop_front()
        {
            // A connection that has ended meanwhile needs none.
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
