//! `--xray` and `--step`: where the X-ray of a server goes.

use std::fmt::Display;
use std::io::{self, stderr, stdin};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use log::error;

use crate::xray::{self, View, Written};

/// What `--xray` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `-`: text on stderr, as it happens.
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
                Err(format!("the ending chooses how it is shown: {}; or - for text on stderr", endings.join(", ")))
            }
        }
    }
}

/// The recorder of the loop on this thread, from before its sockets are opened until it is over.
#[derive(Debug)]
pub(super) struct Xray {
    live: Option<Written>,
}

impl Xray {
    /// Starts it, if anybody wants to see anything.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread to be had.
    pub(super) fn start(target: Option<&Target>, step: bool) -> Result<Self, String> {
        let mut it = Self { live: None };
        if target.is_none() && !step {
            return Ok(it);
        }
        xray::start();
        if step {
            xray::step(stdin().lock(), stderr());
        }
        match target {
            // Each turn is shown already.
            Some(Target::Live) if step => {}
            Some(Target::Live) => it.live = Some(xray::watch(stderr()).map_err(cannot("start the X-ray"))?),
            Some(Target::File(path, view)) => {
                let what = format!("write the X-ray to {}", path.display());
                xray::save_to(path.clone(), *view).map_err(cannot(what))?;
            }
            None => {}
        }
        Ok(it)
    }
}

fn cannot(what: impl Display) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {what}: {error}")
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
