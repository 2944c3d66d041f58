//! Pictures that are drawn from a source file.

use std::fs;
use std::process::Command;

use crate::root;

#[test]
fn a_picture_is_as_new_as_its_description() {
    let directory = root().join("docs/images");
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "dot")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // `.ci/diagrams` notes in the picture the cksum(1) of its source file.
        let sum = Command::new("cksum").arg(name).current_dir(&directory).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let picture = fs::read_to_string(path.with_extension("svg")).unwrap_or_default();
        assert!(picture.contains(&format!("<!-- {} -->", sum.trim())), "{name} has changed: run .ci/diagrams");
    }
}
