//! Code in the book is copied from the sources. Before a block is `<!-- code: FILE:ITEM -->`, or `FILE` alone for the
//! whole file; the block is that text. Or before it is `<!-- difference: FILE:ITEM FILE:ITEM -->`.

use std::fs;

use crate::differences;
use crate::item;
use crate::markdown::{self, Block};
use crate::{pages, root};

/// The text that a block must contain, if a comment names a source.
fn code_of(block: &Block) -> Option<Result<String, String>> {
    let is_source = |keyword: &str| keyword == "code" || keyword == "difference";
    let (keyword, place) = block.comments.iter().rfind(|(keyword, _)| is_source(keyword))?;
    let found = if keyword == "code" { find(place) } else { differences::between(place) };
    Some(found.map_err(|problem| format!("line {}: {place}: {problem}", block.line)))
}

pub(crate) fn find(place: &str) -> Result<String, String> {
    let (file, item) = place.split_once(':').unwrap_or((place, ""));
    let source = fs::read_to_string(root().join(file)).map_err(|error| error.to_string())?;
    if item.is_empty() { Ok(source) } else { item::find(&source, item) }
}

#[test]
fn code_in_the_book_equals_the_sources() {
    let refresh = std::env::var_os("LABS_REFRESH").is_some_and(|set| !set.is_empty());
    let mut problems = Vec::new();
    for page in pages() {
        let mut renewed = page.text.clone();
        for block in markdown::blocks(&page.text).iter().rev() {
            match code_of(block) {
                None => {}
                Some(Ok(code)) if code == block.body => {}
                Some(Ok(code)) if refresh => renewed.replace_range(block.range.clone(), &code),
                Some(Ok(code)) => problems.push(format!(
                    "docs/{}:{}: the source differs; LABS_REFRESH=1 copies it:\n{code}",
                    page.name, block.line
                )),
                Some(Err(problem)) => problems.push(format!("docs/{}: {problem}", page.name)),
            }
        }
        if renewed != page.text {
            fs::write(&page.path, renewed).unwrap();
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_block_of_code_names_its_source_or_is_marked_as_a_sketch() {
    let mut without = Vec::new();
    for page in pages() {
        for block in markdown::blocks(&page.text) {
            if ["rust", "diff"].contains(&&*block.info) && code_of(&block).is_none() {
                without.push(format!("docs/{}:{}", page.name, block.line));
            }
        }
    }
    assert!(without.is_empty(), "code without a source: {without:?}; a sketch is `rust,ignore`");
}
