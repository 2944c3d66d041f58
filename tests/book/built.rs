//! The book as mdBook makes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex_lite::Regex;

use crate::{links, root};

/// Builds the book into `target/doc/book`, if mdBook is here.
fn build() -> Option<PathBuf> {
    let book = root().join("target/doc/book");
    let mdbook = Command::new("mdbook").arg("build").arg(root().join("docs")).arg("--dest-dir").arg(&book).output();
    let Ok(built) = mdbook else {
        assert!(std::env::var_os("CI").is_none(), "mdbook is missing");
        eprintln!("SKIPPED: mdbook is missing (cargo install mdbook), so the book has not been built");
        return None;
    };
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success() && !said.contains("WARN"), "{said}");
    Some(book)
}

/// Every page of HTML in a book, by its path there.
fn html(book: &Path) -> BTreeMap<String, String> {
    let entries = [book.to_owned(), book.join("build")].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.strip_prefix(book).unwrap().to_str().unwrap().to_owned();
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .map(|path| (name(&path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn matches(regex: &str, text: &str) -> BTreeSet<String> {
    let regex = Regex::new(regex).unwrap();
    regex.captures_iter(text).map(|found| found[1].replace("&amp;", "&")).collect()
}

fn ids(text: &str) -> BTreeSet<String> {
    matches(r#"\bid="([^"]*)""#, text)
}

#[test]
fn every_link_of_the_built_book_leads_somewhere_and_there_is_a_search() {
    let Some(book) = build() else { return };
    let pages = html(&book);
    assert!(pages.contains_key("index.html") && pages.contains_key("ten-minutes.html"));
    let anchors: BTreeMap<_, _> = pages.iter().map(|(name, text)| (name.as_str(), ids(text))).collect();
    let crate_pages = book.join("../reactor");
    let is_documented = crate_pages.join("index.html").is_file();
    assert!(is_documented || std::env::var_os("CI").is_none(), "cargo doc has not been run");
    let mut broken = Vec::new();
    for (name, text) in &pages {
        for link in matches(r#"\b(?:href|src)="([^"]*)""#, text) {
            let is_elsewhere = link.starts_with("https://") || link.starts_with("data:");
            if is_elsewhere || (link.starts_with("../reactor/") && !is_documented) {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = &*if file.is_empty() { name.clone() } else { links::from(name, file) };
            let is_here = |anchors: &BTreeSet<String>| anchors.contains(anchor);
            let anchored = anchor.is_empty()
                || anchors.get(file).is_some_and(is_here)
                || fs::read_to_string(book.join(file)).is_ok_and(|text| is_here(&ids(&text)));
            if !book.join(file).is_file() || !anchored {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    if is_documented {
        let front = fs::read_to_string(crate_pages.join("index.html")).unwrap();
        let links: Vec<_> = matches(r#"\bhref="\.\./book/([^"]*)""#, &front).into_iter().collect();
        assert!(!links.is_empty(), "the page of the crate does not lead to the book");
        broken.extend(links.into_iter().filter(|link| !pages.contains_key(link)));
    }
    assert!(broken.is_empty(), "{broken:#?}");
    let index = fs::read_dir(&book).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(index.into_iter().any(|name| name.starts_with("searchindex")), "no index to search in");
}
