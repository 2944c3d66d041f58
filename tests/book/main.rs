//! The book is consistent: its code equals the sources, its links have targets, and mdBook builds it.
//!
//! `LABS_REFRESH=1 cargo test --test book code` copies the code into the pages again. `cargo test --test labs` checks
//! the transcripts.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod built;
#[path = "../../examples/tools/ladder/capture.rs"]
mod capture;
mod code;
mod differences;
mod doors;
mod item;
mod ladders;
mod links;
mod machines;
#[path = "../labs/markdown.rs"]
mod markdown;
#[path = "../../examples/tools/ladder/picture.rs"]
mod picture;
mod pictures;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page of the book.
struct Page {
    path: PathBuf,
    /// The name of its file, with its folder in `docs/` if it is in one.
    name: String,
    text: String,
}

/// Every page, and the file that lists them.
fn pages() -> Vec<Page> {
    let docs = root().join("docs");
    let mut pages = Vec::new();
    for folder in [docs.clone(), docs.join("build")] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
            let name = path.strip_prefix(&docs).unwrap().to_str().unwrap().to_owned();
            pages.push(Page { text: fs::read_to_string(&path).unwrap(), path, name });
        }
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}
