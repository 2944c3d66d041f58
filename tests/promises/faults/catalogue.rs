//! `docs/reliability.md` is complete, and the tests that it names exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CASES: u32 = 124;

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md")).unwrap()
}

/// Every source, with the path of its module: `src/protocol/sum` for that file, its `tests` and the modules below them.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut directories: Vec<PathBuf> = ["src", "tests"].map(PathBuf::from).into();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&directory)).unwrap() {
            let path = directory.join(entry.unwrap().file_name());
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.with_extension("");
                let module = module.to_str().unwrap().replace("/tests", "");
                sources.push((module, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources
}

/// The paths of tests between backticks.
fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |quoted: &&str| {
        let parts: Vec<_> = quoted.split("::").collect();
        let is_name =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        parts.len() > 1 && parts.iter().all(is_name)
    };
    text.split('`').skip(1).step_by(2).filter(is_path)
}

fn row(document: &str, case: u32) -> &str {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let row = rows.into_iter().find(|(number, _)| *number == case.to_string());
    row.unwrap_or_else(|| panic!("case {case} has no row")).1
}

/// Each promise, from its number to the next one's.
fn promises(document: &str) -> Vec<String> {
    let (_, rest) = document.split_once("## Promised\n").unwrap();
    let (promised, _) = rest.split_once("\n## ").unwrap();
    let mut promises: Vec<String> = Vec::new();
    for line in promised.lines() {
        if line.starts_with(|letter: char| letter.is_ascii_digit()) {
            promises.push(String::new());
        }
        *promises.last_mut().unwrap() += &format!("{} ", line.trim());
    }
    promises
}

/// The cases of a promise: `Cases 1-3, 10;`.
fn cases(promise: &str) -> Vec<u32> {
    let Some((_, list)) = promise.split_once(" Cases ") else { return Vec::new() };
    let list = list.split([';', '.']).next().unwrap();
    let ranges = list.split(", ").map(|range| range.split_once('-').unwrap_or((range, range)));
    ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse().unwrap()).collect()
}

#[test]
fn every_test_that_the_document_names_exists() {
    let (document, sources) = (document(), sources());
    for test in tests_in(&document) {
        let (module, name) = test.rsplit_once("::").unwrap();
        let (module, function) = (format!("/{}", module.replace("::", "/")), format!("fn {name}("));
        let exists = sources.iter().any(|(path, text)| path.ends_with(&module) && text.contains(&function));
        assert!(exists, "there is no test {test}");
    }
}

#[test]
fn every_case_has_a_row_with_tests_or_the_reason_why_it_waits() {
    let (document, sources) = (document(), sources());
    for case in 1..=CASES {
        let row = row(&document, case);
        assert!(tests_in(row).count() > 0 || row.contains("waits: "), "case {case} has no test");
    }
    for (_, text) in &sources {
        for own in text.split("fn case_").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name) {
            if own.starts_with(|letter: char| letter.is_ascii_digit()) {
                assert!(document.contains(&format!("::case_{own}`")), "case_{own} is not in the table");
            }
        }
    }
}

#[test]
fn every_promise_has_tests_and_every_tested_case_has_a_promise() {
    let document = document();
    let mut promised = BTreeSet::new();
    for promise in promises(&document) {
        let cases = cases(&promise);
        assert!(!cases.is_empty() || tests_in(&promise).count() > 0, "no test shows that {promise}");
        promised.extend(cases);
    }
    for case in 1..=CASES {
        let is_tried = tests_in(row(&document, case)).count() > 0;
        assert!(!is_tried || promised.contains(&case), "case {case} belongs to no promise");
    }
    assert!(promised.iter().all(|case| (1..=CASES).contains(case)));
}
