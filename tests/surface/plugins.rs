//! Two plug-ins: the first example that users copied, which CHANGELOG.md tells how to adapt, and the one in README.md.

use std::collections::BTreeSet;

use syn::Item;

use crate::modules::flat;

const CHANGELOG: &str = include_str!("../../CHANGELOG.md");
const README: &str = include_str!("../../README.md");

/// `examples/plugin.rs` of commit 6a364bf.
const OLD: &str = include_str!("plugin.old.rs");
/// The same, adapted.
const ADAPTED: &str = include_str!("plugin.rs");

/// Rows of a table in CHANGELOG.md that say which code is replaced by which, piece by piece.
fn listed() -> Vec<Vec<(&'static str, &'static str)>> {
    let rows = CHANGELOG.lines().filter_map(|line| {
        let (before, now) = line.trim().strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        let quoted = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        (quoted(before).count() == quoted(now).count()).then(|| quoted(before).zip(quoted(now)).collect())
    });
    rows.collect()
}

/// The names that a program imports, and the rest of it without what is said of the whole.
fn parts(text: &str) -> (BTreeSet<String>, String) {
    let mut file = syn::parse_file(text).unwrap();
    file.attrs.clear();
    let mut names = BTreeSet::new();
    file.items.retain(|item| match item {
        Item::Use(item) => {
            names.extend(flat(item).into_iter().filter_map(|(name, _)| name));
            false
        }
        _ => true,
    });
    (names, prettyplease::unparse(&file))
}

/// As CHANGELOG.md writes it: it has other names for what a plug-in names itself.
fn as_listed(code: &str) -> String {
    code.replace("_peer:", "peer:").replace("Box::new(Self)", "Box::new(x)")
}

/// The code of `old` after all changes that are listed and meet it, and those changes.
fn adapted(old: &str) -> (String, Vec<(&'static str, &'static str)>) {
    let old = as_listed(old);
    let meets = |row: &Vec<(&str, &str)>| row.iter().all(|(before, _)| old.contains(before));
    let made: Vec<_> = listed().into_iter().filter(meets).flatten().collect();
    (made.iter().fold(old.clone(), |code, (before, now)| code.replace(before, now)), made)
}

#[test]
fn the_old_plugin_needs_the_changes_that_the_changelog_lists_alone() {
    let ((names_before, before), (names_now, now)) = (parts(OLD), parts(ADAPTED));
    let (expected, made) = adapted(&before);
    assert_eq!(expected, as_listed(&now));
    for name in names_before.difference(&names_now) {
        assert!(made.iter().any(|(before, _)| before.contains(name)), "{name} is imported no more");
    }
    for name in names_now.difference(&names_before) {
        assert!(made.iter().any(|(_, now)| now.contains(name)), "{name} is imported");
    }
}

#[test]
fn the_plugin_of_the_readme_is_14_lines_and_one_registration() {
    let code = README.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let plugin = code.find("struct Reverse").zip(code.find("\n}\n")).map(|(start, end)| &code[start..end + 2]).unwrap();
    assert_eq!(plugin.lines().filter(|line| !line.trim().is_empty()).count(), 14, "{plugin}");
    assert!(plugin.contains("impl StreamProtocol for Reverse"), "{plugin}");
    let registrations = code.lines().filter(|line| line.contains("registry."));
    assert_eq!(registrations.collect::<Vec<_>>().len(), 1, "{code}");
}
