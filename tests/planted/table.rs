//! The table of `docs/reliability.md`.

use std::fs;
use std::path::PathBuf;

use crate::bug::{Bug, Catcher};
use crate::suite::Caught;

const HEAD: &str = "| bug | what the server does | cases | caught by | at |\n|---|---|---|---|---|\n";

/// A row without the place where the bug was caught, which shifts with each change of the server.
fn row(bug: &Bug) -> String {
    let cases: Vec<_> = bug.cases.iter().map(u32::to_string).collect();
    let catcher = match bug.caught_by {
        Catcher::Seeds => "`simulation`".to_owned(),
        Catcher::Unit(test) | Catcher::Promise(test) => format!("`{}`", test.replace("tests::", "")),
    };
    format!("| {} | {} | {} | {catcher}", bug.name, bug.does, cases.join(", "))
}

fn document() -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md"));
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The text before the rows, the rows, and the text after them.
fn split(text: &str) -> (&str, &str, &str) {
    let (before, rest) = text.split_once(HEAD).expect("docs/reliability.md has the table of the planted bugs");
    let length = rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let (rows, after) = rest.split_at(length);
    (before, rows, after)
}

/// The rows agree with the list, except for the place where a bug was caught.
pub(crate) fn check(bugs: &[&Bug]) {
    let (_, text) = document();
    let (_, rows, _) = split(&text);
    let listed: Vec<_> = rows.lines().filter_map(|row| Some(row.strip_suffix(" |")?.rsplit_once(" | ")?.0)).collect();
    let expected: Vec<_> = bugs.iter().map(|bug| row(bug)).collect();
    assert_eq!(listed, expected, "REACTOR_PLANTED_TABLE=write cargo test --test planted rewrites it");
}

pub(crate) fn write(results: &[(&Bug, Result<Caught, String>)]) {
    let (path, text) = document();
    let (before, _, after) = split(&text);
    let at = |caught: &Caught| match caught.at {
        Some((seed, turn)) => format!("seed {seed}, turn {turn}"),
        None => "—".to_owned(),
    };
    let rows =
        results.iter().filter_map(|(bug, result)| Some(format!("{} | {} |\n", row(bug), at(result.as_ref().ok()?))));
    fs::write(path, [before, HEAD, &rows.collect::<String>(), after].concat()).unwrap();
}
