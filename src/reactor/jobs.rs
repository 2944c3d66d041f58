//! Jobs: out to a worker, and back as a notice. And the buffers that uploads share, since they come back with jobs.

use super::{Owner, Reactor, Remains};
use crate::bulk::Returned;
use crate::kernel::{Kernel, Panicked, Token};
use crate::protocol::{Job, Outcome};
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    pub(super) fn note_done(&mut self, token: Token, result: Result<Outcome, Panicked>) {
        let buffers = &mut self.buffers;
        let Some(slot) = self.slots.get_mut(token.slot as usize).filter(|slot| slot.generation == token.generation)
        else {
            self.stale_notices += 1;
            return xray::about(token, || What::Stale);
        };
        xray::about(token, || What::JobBack { panicked: result.is_err() });
        match &mut slot.owner {
            Owner::Connection(connection) => {
                connection.note_done(result, self.now, buffers);
                self.queue(token.slot);
            }
            Owner::Remains(Remains::Last) => self.closed.push(token.slot),
            Owner::Remains(remains @ Remains::Unwanted(_)) => {
                let last = match std::mem::replace(remains, Remains::Last) {
                    Remains::Unwanted(last) => last,
                    Remains::Last => None,
                };
                match Returned::new(result, buffers).into_remains() {
                    None if last.is_none() => self.closed.push(token.slot),
                    unwanted => self.submit(token.slot, Job::discarding(unwanted, last)),
                }
            }
            Owner::Listener(_) | Owner::Mailbox(_) => {}
        }
        self.wake_buffer_waiters();
    }

    pub(super) fn submit(&mut self, key: u32, job: Job) {
        let slot = &mut self.slots[key as usize];
        let token = Token { slot: key, generation: slot.generation };
        let submitted = self.kernel.submit(token, job);
        xray::record(|| What::JobOut { taken: submitted.is_ok() });
        if submitted.is_err() {
            if let Some(suppressed) = self.job_log.allow(self.now) {
                log::error!(
                    "no worker takes a job: the queue is full or no thread can be started ({suppressed} such lines suppressed)"
                );
            }
            match &mut slot.owner {
                Owner::Connection(connection) => {
                    // One that ended in the visit which made the job is about to be reaped already.
                    let was_over = connection.is_over();
                    connection.note_done(Err(Panicked), self.now, &mut self.buffers);
                    if !was_over {
                        self.queue(key);
                    }
                }
                _ => self.closed.push(key),
            }
        }
    }

    /// Has uploads go on that wait for a buffer. Hardly ever is there one, and every visit asks.
    pub(super) fn wake_buffer_waiters(&mut self) {
        if !self.buffer_waiters.is_empty() {
            self.hand_out_buffers();
        }
    }

    pub(super) fn hand_out_buffers(&mut self) {
        let mut free = self.buffers.free();
        while free > 0
            && let Some(token) = self.buffer_waiters.pop_front()
        {
            // Whoever is over by now leaves its turn to the next.
            if let Some(slot) = self.slot(token)
                && let Owner::Connection(connection) = &slot.owner
                && !connection.is_over()
            {
                slot.wants_buffer = false;
                self.queue(token.slot);
                free -= 1;
            }
        }
    }
}
