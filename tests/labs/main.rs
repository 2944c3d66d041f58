//! The labs of the book: its transcripts are what a reader sees.
//!
//! A block of `docs/*.md` whose fence says `console lab=NAME` is typed on its own machine, and its output is compared;
//! `docs/labs.md` tells how to write labs. Each is a test named `page::NAME`.
//!
//! - `cargo test --test labs ten-minutes::` runs the labs of one page;
//! - `LABS_REFRESH=1 cargo test --test labs` writes the output into the pages.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod dialects;
mod difference;
mod lab;
mod markdown;
mod own;
mod pages;
mod panes;
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

/// Labs that run at the same time: they wait most of the time.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).min(AT_ONCE));
    let mut trials = own::trials();
    trials.extend(panes::trials());
    // On mio's fallback over poll(2) the server makes different system calls than the pages show.
    if !cfg!(mio_unsupported_force_poll_poll) {
        trials.extend(pages::labs().into_iter().flat_map(|(chapter, labs)| page(&chapter, labs)));
    }
    if let Some(chapter) = arguments.filter.as_deref().and_then(|filter| unknown_page(filter, &trials)) {
        eprintln!("{chapter}:: names no lab: there is none in docs/{chapter}.md, or no such page");
        // Cargo passes a filter to all tests, and it may name a module of another one; but no module has such a name.
        if chapter.contains('-') {
            return ExitCode::FAILURE;
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The labs of a page. A page that cannot be read is a failed test instead, under a name that matches the same filter.
fn page(chapter: &str, labs: Result<Vec<Lab>, String>) -> Vec<Trial> {
    match labs {
        Ok(labs) => labs.into_iter().map(trial).collect(),
        Err(problem) => vec![Trial::test(format!("{chapter}::can_be_read"), move || Err(problem.into()))],
    }
}

/// The page in the filter `PAGE::`, if it has no lab.
fn unknown_page<'a>(filter: &'a str, trials: &[Trial]) -> Option<&'a str> {
    let chapter = filter.strip_suffix("::")?;
    trials.iter().all(|trial| !trial.name().contains(filter)).then_some(chapter)
}

fn trial(lab: Lab) -> Trial {
    let missing = own::no_machine().or_else(|| {
        let missing = tools::missing(&lab);
        (!missing.is_empty()).then(|| format!("the packages {}", missing.join(", ")))
    });
    let missing = missing.or_else(|| tools::missing_setting(&lab).map(|path| format!("a kernel that has {path}")));
    tried(lab.title(), missing, move || run(&lab))
}

/// A test that is skipped where something is missing on this machine, or fails there if `CI` is set.
fn tried(title: String, missing: Option<String>, test: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    let is_skipped = missing.is_some() && std::env::var_os("CI").is_none();
    if let Some(missing) = missing.as_ref().filter(|_| is_skipped) {
        eprintln!("SKIPPED: {title}, because this machine is missing {missing}");
    }
    let test = move || match missing {
        Some(missing) => Err(format!("this machine is missing {missing}").into()),
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
