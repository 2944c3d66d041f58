//! The labs of the book: what its pages print is what one sees.
//!
//! A block of `docs/*.md` whose fence says `console lab=NAME` is typed on a machine of its own, and what it prints is
//! compared; `docs/labs.md` tells how they are written. Each is a test named `page::NAME`.
//!
//! - `cargo test --test labs ten-minutes::` does those of one page;
//! - `LABS_REFRESH=1 cargo test --test labs` writes what is seen into the pages.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod difference;
mod lab;
mod markdown;
mod own;
mod pages;
mod play;
mod processes;
mod terminal;
mod tools;
mod varies;
mod watch;

use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::lab::Lab;
use crate::play::{LAB_TIME_MAX, Mode, REFRESH_TIME_MAX};

/// Labs that run at the same time.
const AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).min(AT_ONCE));
    // On mio's fallback over poll(2) the server makes other system calls than the pages show.
    let labs = if cfg!(mio_unsupported_force_poll_poll) { Ok(Vec::new()) } else { pages::labs() };
    let mut trials = own::trials();
    match labs {
        Ok(labs) => trials.extend(labs.into_iter().map(trial)),
        Err(problem) => trials.push(Trial::test("every_lab_can_be_read", move || Err(problem.into()))),
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(lab: Lab) -> Trial {
    let lacks = own::no_machine().or_else(|| {
        let missing = tools::missing(&lab);
        (!missing.is_empty()).then(|| format!("what is in the packages {}", missing.join(", ")))
    });
    tried(lab.title(), lacks, move || run(&lab))
}

/// A test, which is skipped where this machine lacks something, and fails there if it runs for everybody.
fn tried(title: String, lacks: Option<String>, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let is_skipped = lacks.is_some() && std::env::var_os("CI").is_none();
    if let Some(lacks) = lacks.as_ref().filter(|_| is_skipped) {
        eprintln!("SKIPPED: {title}, since this machine lacks {lacks}");
    }
    let test = move || match lacks {
        Some(lacks) => Err(format!("this machine lacks {lacks}").into()),
        None => test(),
    };
    Trial::test(title, test).with_ignored_flag(is_skipped)
}

fn run(lab: &Lab) -> Result<(), Failed> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(tools::build).clone()?;
    if std::env::var_os("LABS_REFRESH").is_some_and(|set| !set.is_empty()) {
        let seen = play::play(lab, Mode::Refresh, REFRESH_TIME_MAX)?;
        return Ok(pages::refresh(lab, &seen)?);
    }
    play::play(lab, Mode::Compare, LAB_TIME_MAX)?;
    Ok(())
}
