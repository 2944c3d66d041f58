//! The table of contents, the map from the book to the source, and the list of the examples.

use std::collections::BTreeSet;
use std::fs;

use crate::{links, pages, root};

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed = links::of(&summary);
    let names: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(names.len(), listed.len(), "a page is listed twice");
    let pages: BTreeSet<_> = pages().into_iter().map(|page| page.name).filter(|name| name != "SUMMARY.md").collect();
    assert_eq!(names, pages);
}

#[test]
fn every_file_on_the_map_is_in_the_source() {
    let map = fs::read_to_string(root().join("docs/map.md")).unwrap();
    let rows = map.lines().filter(|line| line.starts_with("| ")).skip(1);
    let named = rows.filter_map(|row| row.split('|').nth(2)).flat_map(|column| column.split('`').skip(1).step_by(2));
    let files: Vec<_> = named.collect();
    assert!(files.len() > 10, "{files:?}");
    let missing: Vec<_> = files.into_iter().filter(|file| !root().join("src").join(file).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The file of each program that cargo makes of this package's examples and benches, in `examples`.
fn examples() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"examples/")?.strip_suffix('"'));
    // An entry without a path is in cargo's default directory.
    let front = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().file_name());
    let front = front.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".rs"));
    paths.map(str::to_owned).chain(front).collect()
}

#[test]
fn the_list_of_the_examples_has_each_of_them_once() {
    let list = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let listed = links::of(&list);
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), examples());
    assert_eq!(listed.len(), examples().len(), "one is listed twice");
}
