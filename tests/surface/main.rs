//! The part of the crate that a program may rely on: the whole public surface, as a listing that is compared with the
//! source, and an old plug-in that still compiles.
//!
//! After a change of the surface `SURFACE_REFRESH=1 cargo test --test surface` rewrites `tests/surface/public-api.txt`.
//! Its changes belong in CHANGELOG.md.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod listing;
mod modules;
#[expect(dead_code, reason = "it is a program, and only its tests run here")]
mod plugin;
mod plugins;
mod strip;

use std::path::Path;
use std::{env, fs};

use crate::listing::Listing;
use crate::modules::Modules;

const HEAD: &str = "\
// All names that a program can use from this crate. `SURFACE_REFRESH=1 cargo test --test surface` writes them from the source.
// Bodies, comments, private and hidden items are left out.

";

#[test]
fn the_listing_of_the_public_surface_equals_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = root.join("tests/surface/public-api.txt");
    let modules = Modules::of(&root.join("src/lib.rs"));
    let actual = format!("{HEAD}{}", prettyplease::unparse(&Listing::new(&modules).file()));
    if env::var_os("SURFACE_REFRESH").is_some() {
        fs::write(&listed, &actual).unwrap();
    }
    let expected = fs::read_to_string(&listed).unwrap_or_default();
    let changed = expected.lines().zip(actual.lines()).find(|(expected, actual)| expected != actual);
    let help = "see the head of tests/surface/main.rs";
    assert!(expected == actual, "the public surface has changed, first here, listed and actual: {changed:#?}; {help}");
}
