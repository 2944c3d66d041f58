//! What `.github/` tells a contributor: each command, path and test that it names exists, and the workflow runs every step of
//! `.ci/check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd};

use crate::{links, root};

const PAGES: [&str; 3] = ["CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"];
/// A path that a page names begins with one of these.
const PLACES: [&str; 7] = [".cargo/", ".ci/", ".github/", "docs/", "examples/", "src/", "tests/"];

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page(name: &str) -> String {
    text(&format!(".github/{name}"))
}

/// The lines of code of a page, within its sentences and between them.
fn code(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_block = false;
    let mut add = |code: CowStr<'_>| lines.extend(code.lines().map(|line| line.trim().to_owned()));
    for event in Parser::new_ext(page, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_block = true,
            Event::End(TagEnd::CodeBlock) => is_block = false,
            Event::Code(code) => add(code),
            Event::Text(code) if is_block => add(code),
            _ => {}
        }
    }
    lines
}

/// The targets in `tests/`, as cargo finds them.
fn suites() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("tests")).unwrap().map(|entry| entry.unwrap().path());
    let targets =
        entries.filter(|path| path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file());
    targets.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The steps of `.ci/check`.
fn steps() -> Vec<String> {
    let script = text(".ci/check");
    let list = script.split_once("\nsteps=(").and_then(|(_, rest)| rest.split_once(')')).unwrap().0;
    list.split_whitespace().map(str::to_owned).collect()
}

/// The text of every file at or below a path.
fn all_below(path: &Path) -> String {
    if path.is_dir() {
        fs::read_dir(path).unwrap().map(|entry| all_below(&entry.unwrap().path())).collect()
    } else {
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }
}

/// What a line of code names that does not exist.
fn unknown(line: &str) -> Vec<String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let each = words.iter().enumerate().flat_map(|(index, word)| {
        let rest = &words[index + 1..];
        let simple = unknown_path(word).or_else(|| unknown_variable(word));
        simple.into_iter().chain(match *word {
            ".ci/check" | ".ci/setup" => unknown_steps(rest),
            "--test" if line.contains("cargo test") => unknown_test(rest).into_iter().collect(),
            _ => Vec::new(),
        })
    });
    each.collect()
}

fn unknown_path(word: &str) -> Option<String> {
    let path = word.trim_matches(|letter| "\"',;".contains(letter));
    let is_unknown = PLACES.iter().any(|place| path.starts_with(place)) && !root().join(path).exists();
    is_unknown.then(|| path.to_owned())
}

fn unknown_variable(word: &str) -> Option<String> {
    let (variable, _) = word.split_once('=')?;
    let is_ours = ["REACTOR_", "LABS_", "SURFACE_"].iter().any(|start| variable.starts_with(start));
    let is_unknown = is_ours && !all_below(&root().join("tests")).contains(&format!("\"{variable}\""));
    is_unknown.then(|| variable.to_owned())
}

fn unknown_steps(named: &[&str]) -> Vec<String> {
    let steps = steps();
    let named = named.iter().take_while(|word| !word.starts_with(['-', '&', '|']));
    named.filter(|step| !steps.iter().any(|known| known == *step)).map(|step| format!("step {step}")).collect()
}

/// A suite, or the part of one that a filter chooses.
fn unknown_test(named: &[&str]) -> Option<String> {
    let suite = named.first()?;
    if !suites().contains(*suite) {
        return Some(format!("--test {suite}"));
    }
    // `labs` checks itself whether the page in a filter exists.
    let filter = named.get(1).filter(|filter| !filter.contains(['-', '&', '|']))?;
    let files = ["", ".rs"].map(|end| all_below(&root().join(format!("tests/{suite}{end}"))));
    let module = root().join(format!("tests/{suite}/{}.rs", filter.trim_end_matches(':')));
    let exists = files.concat().contains(filter) || module.exists();
    (!exists).then(|| format!("--test {suite} {filter}"))
}

#[test]
fn what_the_pages_for_contributors_name_exists() {
    let mut problems = Vec::new();
    for name in PAGES {
        let page = page(name);
        let unknown = code(&page).into_iter().flat_map(|line| unknown(&line));
        problems.extend(unknown.map(|what| format!(".github/{name}: {what}")));
        for link in links::of(&page).into_iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = fs::read_to_string(root().join(".github").join(file));
            if !target.is_ok_and(|target| anchor.is_empty() || links::anchors(&target).contains(anchor)) {
                problems.push(format!(".github/{name}: {link}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_guide_lists_every_suite() {
    let page = page("CONTRIBUTING.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `cargo test --test ")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), suites());
}

#[test]
fn the_bug_that_the_guide_plants_fits_the_source() {
    let page = page("CONTRIBUTING.md");
    let value = |key: &str| page.split_once(&format!("{key}: ")).unwrap().1.split('"').nth(1).unwrap().to_owned();
    let source = text(&value("file"));
    assert_eq!(source.matches(&value("right")).count(), 1, "right");
    assert!(source.contains(&format!("fn {}(", value("function"))));
    let test = value("caught_by");
    assert!(source.contains(&format!("fn {}(", test.rsplit("::").next().unwrap())), "{test}");
}

#[test]
fn the_workflow_runs_every_step_once() {
    let workflow = page("workflows/ci.yml");
    let (_, matrix) = workflow.split_once("        steps:\n").unwrap();
    let rows = matrix.lines().map_while(|line| line.strip_prefix("          - "));
    let mut run: Vec<_> = rows.flat_map(str::split_whitespace).map(str::to_owned).collect();
    let mut steps = steps();
    run.sort();
    steps.sort();
    assert_eq!(run, steps);
}

#[cfg(test)]
mod tests {
    use super::{code, unknown};

    #[test]
    fn what_does_not_exist_is_found() {
        let told = |line: &str| unknown(line);
        assert_eq!(told("cargo test --test tidy graph::"), [""; 0]);
        assert_eq!(told("LABS_REFRESH=1 cargo test --test labs ten-minutes::x"), [""; 0]);
        assert_eq!(told("vi tests/none.rs src/lib.rs"), ["tests/none.rs"]);
        // In one piece it would be found here.
        let variable = ["REACTOR_", "NONE"].concat();
        assert_eq!(told(&format!("{variable}=1 cargo test --test none")), [&variable, "--test none"]);
        assert_eq!(told("cargo test --test tidy no_such_test"), ["--test tidy no_such_test"]);
        assert_eq!(told(".ci/check format none && .ci/setup"), ["step none"]);
        assert_eq!(code("a `b`\n\n```sh\nc\n d\n```\n"), ["b", "c", "d"]);
    }
}
