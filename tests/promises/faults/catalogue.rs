//! The table of `docs/reliability.md` is whole, and what it names exists.

use std::fs;
use std::path::Path;

fn sources(directory: &Path) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: std::path::PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => fs::read_to_string(&path).unwrap(),
        _ => String::new(),
    };
    entries.map(text).collect()
}

#[test]
fn every_case_has_a_row_and_every_test_in_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let sources = ["src", "tests"].map(|part| sources(&root.join(part))).concat();
    let rows: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
    for number in 1..=96 {
        let row = rows.iter().find(|(case, _)| *case == number.to_string());
        let (_, row) = row.unwrap_or_else(|| panic!("case {number} has no row"));
        let tests: Vec<_> = row.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        assert!(!tests.is_empty() || row.contains("waits: ") || row.contains("open: "), "case {number} has no test");
        for test in tests {
            let (_, name) = test.rsplit_once("::").unwrap();
            assert!(sources.contains(&format!("fn {name}(")), "case {number}: there is no test {name}");
        }
    }
    for own in sources.split("fn case_").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name) {
        if own.starts_with(|letter: char| letter.is_ascii_digit()) {
            assert!(document.contains(&format!("::case_{own}`")), "case_{own} is not in the table");
        }
    }
}
