//! The table of contents, and the map from the book to the source.

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
