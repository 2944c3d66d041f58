//! Proof that the tests can fail: bugs that servers have had, planted one by one, each caught by the existing suite.
//!
//! `bugs/` lists them: the text of the source, and the text with the bug. No bug is in `src`: the test makes a copy of
//! the server with every bug behind a switch, builds its tests once, and runs them once for each bug, with only that
//! bug switched on.
//!
//! - `REACTOR_PLANTED=NAME cargo test --test planted` tries one bug and prints the failure that caught it;
//! - `REACTOR_PLANTED_TABLE=write cargo test --test planted` rewrites the table of `docs/reliability.md`.

// The bugs and the tests are the same on mio's fallback over `poll(2)`.
#![cfg(not(mio_unsupported_force_poll_poll))]
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod bug;
mod bugs;
mod copy;
mod suite;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use self::bug::{Bug, Catcher};
use self::suite::{Caught, Suite};

/// The cases that every server of this kind must pass first: each has its own bug.
const FIRST_CASES: [u32; 25] =
    [1, 3, 4, 12, 13, 15, 16, 20, 29, 30, 32, 33, 36, 43, 44, 52, 53, 54, 62, 63, 70, 71, 73, 74, 82];

/// Bugs tried at the same time.
const AT_ONCE: usize = 2;

#[test]
fn every_planted_bug_is_caught_by_the_suite_as_it_is() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let all = bugs::all();
    copy::update(&directory, &all);
    let suite = Suite::build(&directory);
    let only = env::var("REACTOR_PLANTED").ok();
    let bugs: Vec<_> = all.into_iter().filter(|bug| only.as_ref().is_none_or(|only| bug.name == only)).collect();
    assert!(!bugs.is_empty(), "no such bug");
    for catcher in bugs.iter().map(|bug| bug.caught_by).collect::<BTreeSet<_>>() {
        assert_eq!(suite.run(catcher, None), Err("it passed".to_owned()), "{catcher:?} without a bug");
    }
    let caught = try_all(&suite, &bugs);
    let mut escaped = Vec::new();
    for (bug, result) in &caught {
        match result {
            Ok(caught) => println!("{}: {:?}: {caught}", bug.name, bug.caught_by),
            Err(instead) => escaped.push(format!("{}: {:?}: {instead}", bug.name, bug.caught_by)),
        }
    }
    assert!(escaped.is_empty(), "not caught: {escaped:#?}");
    if only.is_none() && env::var("REACTOR_PLANTED_TABLE").is_ok_and(|what| what == "write") {
        table::write(&caught);
    }
}

/// Tries every bug, a few at a time. The results are in the order of the list.
fn try_all<'a>(suite: &Suite, bugs: &[&'a Bug]) -> Vec<(&'a Bug, Result<Caught, String>)> {
    let (queue, results) = (Mutex::new(bugs.iter().enumerate()), Mutex::new(BTreeMap::new()));
    let try_next = || {
        let next = queue.lock().unwrap().next();
        let Some((index, bug)) = next else { return false };
        let caught = suite.run(bug.caught_by, Some(bug.name));
        results.lock().unwrap().insert(index, (*bug, caught));
        true
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| while try_next() {});
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

#[test]
fn each_of_the_first_cases_has_a_bug_and_most_fall_to_the_default_seeds() {
    let bugs = bugs::all();
    let names: BTreeSet<_> = bugs.iter().map(|bug| bug.name).collect();
    assert_eq!(names.len(), bugs.len(), "two bugs have the same name");
    for case in FIRST_CASES {
        assert!(bugs.iter().any(|bug| bug.cases.contains(&case)), "case {case} has no planted bug");
    }
    let by_seeds = bugs.iter().filter(|bug| bug.caught_by == Catcher::Seeds).count();
    assert!(by_seeds >= 10 && 2 * by_seeds > bugs.len(), "{by_seeds} of {}", bugs.len());
}

#[test]
fn the_table_in_the_document_lists_every_bug_and_nothing_else() {
    table::check(&bugs::all());
}
