//! Rules for the source text, each checked by a test.
//!
//! `LABS_REFRESH=1 cargo test --test tidy` draws the rooms in docs/design.md again. A limit or an exception is at the
//! top of the module that checks it, with its reason; an exception that is no longer needed fails as well.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod book;
mod deny;
mod graph;
#[path = "../labs/markdown.rs"]
mod markdown;
mod packages;
mod paths;
mod places;
mod prose;
mod reading;
mod rooms;
mod rules;
mod sizes;
mod source;
mod text;
mod words;

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn design() -> String {
    fs::read_to_string(root().join("docs/design.md")).unwrap()
}
