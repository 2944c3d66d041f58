//! The blocks of a page that a test uses: fenced code, and the comments before it.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A fenced block of code.
pub(crate) struct Block {
    /// The info string of the opening fence: `console lab=hello`.
    pub(crate) info: String,
    /// The text between the fences.
    pub(crate) body: String,
    /// Where that text is in the page.
    pub(crate) range: Range<usize>,
    /// The line of the page on which the text begins, counted from 1.
    pub(crate) line: usize,
    /// The comments `<!-- KEYWORD: REST -->` since the block before.
    pub(crate) comments: Vec<(String, String)>,
}

/// Every fenced block that is not part of a list or a quotation.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut comments = Vec::new();
    let mut open: Option<(String, Range<usize>)> = None;
    let mut depth = 0;
    for (event, range) in Parser::new(page).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if depth == 0 => {
                let start = page[range.start..].find('\n').map_or(page.len(), |end| range.start + end + 1);
                open = Some((info.to_string(), start..start));
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                assert!(!info.contains("lab="), "a lab in a list or a quotation would not be found: {info}");
            }
            Event::Text(_) => {
                if let Some((_, body)) = &mut open {
                    body.end = range.end;
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((info, range)) = open.take() {
                    let line = page[..range.start].lines().count() + 1;
                    let body = page[range.clone()].to_owned();
                    blocks.push(Block { info, body, range, line, comments: std::mem::take(&mut comments) });
                }
            }
            Event::Start(Tag::List(_) | Tag::BlockQuote(_)) => depth += 1,
            Event::End(TagEnd::List(_) | TagEnd::BlockQuote(_)) => depth -= 1,
            Event::Html(html) => comments.extend(comment(&html)),
            _ => {}
        }
    }
    blocks
}

/// `<!-- KEYWORD: REST -->` on a line of its own.
fn comment(html: &str) -> Option<(String, String)> {
    let text = html.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim();
    let (keyword, rest) = text.split_once(':')?;
    Some((keyword.to_owned(), rest.trim().to_owned()))
}
