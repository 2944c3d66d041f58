//! Recordings of the X-ray for a protocol that inquires: one at a time, and none while another X-ray runs.

use std::io::{self, Write};

use super::super::{Reactor, recording};
use crate::kernel::{Kernel, Token};
use crate::snapshot::{Form, Tape};
use crate::xray::{self, Recording, View};

impl<K: Kernel> Reactor<K> {
    /// Starts a recording for the connection `who`. Returns false if this thread records already.
    pub(super) fn start_recording(&mut self, who: Token) -> bool {
        if xray::is_on() {
            return false;
        }
        xray::start();
        for endpoint in self.endpoints.iter_mut() {
            endpoint.served = xray::serves(|| Some(recording::served(endpoint)));
        }
        self.inquired.recorder = Some(who);
        true
    }

    /// Ends the recording of the connection `who`, if it has one, and returns a copy.
    pub(super) fn finish_recording(&mut self, who: Token) -> Option<Box<dyn Tape>> {
        self.inquired.recorder.take_if(|recorder| *recorder == who)?;
        let recording = self.recording();
        xray::stop();
        recording.map(|recording| Box::new(recording) as Box<dyn Tape>)
    }

    /// Ends the recording of a connection that has ended, if it has one.
    pub(in crate::reactor) fn drop_recording(&mut self, who: Token) {
        if self.inquired.recorder.take_if(|recorder| *recorder == who).is_some() {
            xray::stop();
        }
    }
}

impl Tape for Recording {
    fn write(&self, form: Form, to: &mut dyn Write) -> io::Result<()> {
        let view = match form {
            Form::Page => View::Page,
            Form::Text => View::Text,
            Form::TraceEvents => View::TraceEvents,
        };
        view.write(self, to)
    }
}
