//! `--xray` and `--step`: where the X-ray of a server goes.

use std::io::{self, IsTerminal, stderr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use log::{error, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::keyboard::Keyboard;
use crate::xray::{self, View, Written};

/// The value of `--xray`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `-`: text on stderr, as things happen.
    Live,
    /// A file, written when the server stops and on SIGUSR1.
    File(PathBuf, View),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(target: &str) -> Result<Self, String> {
        if target == "-" {
            return Ok(Self::Live);
        }
        match View::of(Path::new(target)) {
            Some(view) => Ok(Self::File(target.into(), view)),
            None => {
                let endings: Vec<_> = View::ALL.iter().map(|view| format!(".{}", view.ending())).collect();
                Err(format!("expected a name that ends in {}, or - for text on stderr", endings.join(", ")))
            }
        }
    }
}

/// The recorder of the loop on this thread, from before the sockets are opened until the loop has ended.
#[derive(Debug)]
pub(super) struct Xray {
    live: Option<Written>,
    /// The end of a socket pair on which a signal ends the steps.
    end_of_steps: Option<UnixStream>,
}

impl Xray {
    /// Starts the recorder if an option asks for it. A view that cannot be opened is left out with a warning, because clients are
    /// served without it as well.
    pub(super) fn start(target: Option<&Target>, step: bool) -> Self {
        let mut it = Self { live: None, end_of_steps: None };
        if target.is_none() && !step {
            return it;
        }
        xray::start();
        if step {
            let ends =
                UnixStream::pair().map_err(|error| warn!("SIGTERM and SIGINT do not end the steps: {error}")).ok();
            let (end, signals) = ends.unzip();
            it.end_of_steps = end;
            let mut keyboard = Keyboard::new(io::stdin(), signals);
            xray::step(move || keyboard.enter(), stderr());
        }
        match target {
            // The steps show each turn already.
            Some(Target::Live) if step => {}
            Some(Target::Live) => match xray::watch(stderr()) {
                Ok(live) => it.live = Some(live),
                Err(error) => warn!("cannot write the X-ray to stderr: {error}"),
            },
            Some(Target::File(path, view)) => xray::save_to(path.clone(), *view),
            None => {}
        }
        it
    }

    /// Makes SIGTERM and SIGINT end the steps, so that the loop handles them without Enter. Call this once the loop watches these
    /// signals.
    pub(super) fn watch_signals(&mut self) {
        let Some(end) = self.end_of_steps.take() else { return };
        let mut signals = vec![SIGTERM, SIGINT];
        if stderr().is_terminal() {
            signals.push(SIGHUP);
        }
        let register = |signal| end.try_clone().and_then(|clone| pipe::register(signal, clone));
        if let Err(error) = signals.into_iter().try_for_each(|signal| register(signal).map(drop)) {
            warn!("SIGTERM and SIGINT do not end the steps: {error}");
        }
    }
}

impl Drop for Xray {
    fn drop(&mut self) {
        if thread::panicking() {
            if let Some(last) = xray::last(None) {
                error!("the loop panicked; its last records:\n{last}");
            }
            xray::save_last(Vec::new);
        }
        xray::stop();
        if let Some(live) = self.live.take() {
            live.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_stderr_or_a_file_whose_ending_is_known() {
        assert_eq!("-".parse(), Ok(Target::Live));
        assert_eq!("a/b.txt".parse(), Ok(Target::File("a/b.txt".into(), View::Text)));
        for wrong in ["", "x", "x.pdf", "txt", "-.", "--"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
