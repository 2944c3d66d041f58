//! Pictures that are drawn from a source file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::root;

/// Whether a picture is of this source file: the program that draws it notes the cksum(1) of the source in it.
fn is_new(picture: &Path, source: &Path) -> bool {
    let (directory, name) = (source.parent().unwrap(), source.file_name().unwrap());
    let sum = Command::new("cksum").arg(name).current_dir(directory).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let picture = fs::read_to_string(picture).unwrap_or_default();
    !sum.trim().is_empty() && picture.contains(&format!("<!-- {} -->", sum.trim()))
}

#[test]
fn a_picture_is_as_new_as_its_description() {
    let entries = fs::read_dir(root().join("docs/images")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "dot")) {
        assert!(is_new(&path.with_extension("svg"), &path), "{} has changed: run .ci/diagrams", path.display());
    }
}

#[test]
fn the_curve_of_utilisation_is_as_new_as_its_program() {
    let (picture, program) = (root().join("docs/images/utilisation.svg"), root().join(".ci/utilisation"));
    assert!(is_new(&picture, &program), ".ci/utilisation has changed: run it");
}
