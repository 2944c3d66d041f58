//! The house is tidy: what is true of the sources and should stay so, each a test over their text.
//!
//! `LABS_REFRESH=1 cargo test --test tidy` draws the rooms anew in docs/design.md. A limit or an exception stands at the top of
//! the module that checks it, with its reason; an exception that is needed no more fails as well.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod deny;
mod graph;
#[path = "../labs/markdown.rs"]
mod markdown;
mod packages;
mod paths;
mod places;
mod reading;
mod rooms;
mod rules;
mod sizes;
mod source;
mod text;

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn design() -> String {
    fs::read_to_string(root().join("docs/design.md")).unwrap()
}
