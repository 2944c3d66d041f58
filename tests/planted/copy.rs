//! A copy of the server in which every bug is planted, and none is switched on.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bug::Bug;

/// The files that the tests of the copy need.
const COPIED: [&str; 7] = ["Cargo.toml", "Cargo.lock", "README.md", "docs", "examples", "src", "tests"];

/// Files that they do not need: the workspace for fuzzing, this test, and the copy's build.
const LEFT_OUT: [&str; 3] = ["tests/fuzz", "tests/planted", "target"];

/// Brings the copy in `to` up to date. An unchanged file is not touched, so that cargo has little to do.
pub(crate) fn update(to: &Path, bugs: &[&Bug]) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let misfits: Vec<_> = bugs.iter().filter_map(|bug| Some((bug.name, misfit(bug, from)?))).collect();
    assert!(misfits.is_empty(), "the source has changed where these were planted: {misfits:#?}");
    let mut files = BTreeSet::new();
    for part in COPIED {
        list(from, Path::new(part), &mut files);
    }
    files.insert("src/planted.rs".into());
    for file in &files {
        let contents = match file.to_str().unwrap() {
            "src/planted.rs" => include_bytes!("switch.rs").to_vec(),
            // It is a separate workspace, whatever is around it.
            "Cargo.toml" => [&fs::read(from.join(file)).unwrap()[..], b"\n[workspace]\n"].concat(),
            "src/lib.rs" => {
                [b"#![allow(warnings)]\n", &fs::read(from.join(file)).unwrap()[..], b"\nmod planted;\n"].concat()
            }
            name => plant(name, fs::read(from.join(file)).unwrap(), bugs),
        };
        let target = to.join(file);
        if fs::read(&target).ok().as_ref() != Some(&contents) {
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(&target, contents).unwrap();
        }
    }
    let mut copied = BTreeSet::new();
    list(to, Path::new(""), &mut copied);
    for gone in copied.difference(&files) {
        fs::remove_file(to.join(gone)).unwrap();
    }
}

/// The reason why a bug cannot be planted, if any.
fn misfit(bug: &Bug, root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join(bug.file)).map_err(|error| error.to_string());
    text.and_then(|text| find(bug, &text)).err().map(|why| format!("{}: {why}", bug.file))
}

/// The files at or below `part` of `root`, relative to `root`.
fn list(root: &Path, part: &Path, files: &mut BTreeSet<PathBuf>) {
    let path = root.join(part);
    if LEFT_OUT.iter().any(|left_out| part == Path::new(left_out)) {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(root, &part.join(entry.unwrap().file_name()), files);
        }
    } else {
        files.insert(part.to_owned());
    }
}

/// The text of `file` with every bug that belongs there, each behind its switch.
fn plant(file: &str, contents: Vec<u8>, bugs: &[&Bug]) -> Vec<u8> {
    let bugs: Vec<_> = bugs.iter().filter(|bug| bug.file == file).collect();
    if bugs.is_empty() {
        return contents;
    }
    let mut text = String::from_utf8(contents).unwrap();
    let mut places: Vec<(Range<usize>, Vec<&Bug>)> = Vec::new();
    for bug in bugs {
        let place = find(bug, &text).unwrap();
        match places.iter_mut().find(|(taken, _)| taken.start < place.end && place.start < taken.end) {
            None => places.push((place, vec![bug])),
            Some((taken, others)) if *taken == place => others.push(bug),
            Some((_, others)) => panic!("{} and {} overlap", bug.name, others[0].name),
        }
    }
    places.sort_by_key(|(place, _)| place.start);
    for (place, bugs) in places.into_iter().rev() {
        let switched = switch(&bugs, &text[place.clone()]);
        text.replace_range(place, &switched);
    }
    text.into_bytes()
}

/// Where the text that a bug replaces is; not among the tests.
fn find(bug: &Bug, text: &str) -> Result<Range<usize>, String> {
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let head = only(text, &format!("fn {}", bug.function), |rest| rest.starts_with(['(', '<']))?;
    let line = text[..head].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = text[line..].len() - text[line..].trim_start_matches(' ').len();
    let end = format!("\n{}}}\n", " ".repeat(indent));
    let length = text[head..].find(&end).ok_or_else(|| format!("fn {} does not end", bug.function))?;
    let start = head + only(&text[head..head + length], bug.right, |_| true)?;
    Ok(start..start + bug.right.len())
}

/// Where `wanted` is, if it occurs exactly once with the right text behind it.
fn only(text: &str, wanted: &str, followed: impl Fn(&str) -> bool) -> Result<usize, String> {
    let mut found = text.match_indices(wanted).filter(|(start, _)| followed(&text[start + wanted.len()..]));
    match (found.next(), found.next()) {
        (Some((start, _)), None) => Ok(start),
        (None, _) => Err(format!("there is no `{wanted}`")),
        (Some(_), Some(_)) => Err(format!("there is more than one `{wanted}`")),
    }
}

/// `if ... else` is an expression and a statement alike; as an expression it needs parentheses in some places.
fn switch(bugs: &[&Bug], right: &str) -> String {
    let mut text: String =
        bugs.iter().map(|bug| format!("if crate::planted::on({:?}) {{ {} }} else ", bug.name, bug.wrong)).collect();
    text = format!("{text}{{ {right} }}");
    if right.ends_with([';', '}']) { text } else { format!("({text})") }
}
