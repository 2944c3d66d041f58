//! A reader starts a new machine for each lab, and must see where one begins: the name in the fence is not shown.

use std::collections::BTreeSet;

use crate::{markdown, pages};

const NEW: &str = "# terminal 1, new machine\n";

#[test]
fn only_the_first_line_of_a_lab_says_that_its_machine_is_new() {
    let mut wrong = Vec::new();
    for page in pages() {
        let mut begun = BTreeSet::new();
        for block in markdown::blocks(&page.text) {
            let Some(name) = block.info.strip_prefix("console lab=") else { continue };
            let is_first = begun.insert(name.to_owned());
            if block.body.starts_with(NEW) != is_first || block.body.matches(NEW).count() != usize::from(is_first) {
                wrong.push(format!("docs/{}:{}", page.name, block.line));
            }
        }
    }
    assert!(wrong.is_empty(), "a lab begins with {NEW:?}, and goes on without it: {wrong:?}");
}
