//! The sentences of a page: what a reader reads beside code, transcripts and pictures.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Where a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Heading,
    Cell,
    Text,
}

/// A sentence, a heading, or a part of a list or a table that does not end like a sentence.
#[derive(Debug)]
pub(crate) struct Sentence {
    /// The line of its first word, counted from 1.
    pub(crate) line: usize,
    pub(crate) place: Place,
    /// Each word; a piece of code within the sentence is one word, in backticks.
    pub(crate) words: Vec<String>,
}

impl Sentence {
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }

    /// The number of words, without signs between blanks.
    pub(crate) fn length(&self) -> usize {
        self.words.iter().filter(|word| word.contains(char::is_alphanumeric)).count()
    }
}

/// A piece of text without a boundary of Markdown in it: words with their lines.
#[derive(Default)]
struct Piece {
    words: Vec<(usize, String)>,
    /// The next text continues the last word.
    is_open: bool,
}

impl Piece {
    fn add(&mut self, line: usize, text: &str) {
        for (index, part) in text.split([' ', '\n']).enumerate() {
            match self.words.last_mut() {
                Some((_, word)) if index == 0 && self.is_open => word.push_str(part),
                _ if part.is_empty() => {}
                _ => self.words.push((line, part.to_owned())),
            }
            self.is_open = index == 0 && self.is_open || !part.is_empty();
        }
        self.is_open = !text.ends_with([' ', '\n']) && !self.words.is_empty();
    }

    /// Adds a piece of code as a part of a word.
    fn add_code(&mut self, line: usize, code: &str) {
        self.add(line, &format!("`{}`", code.replace([' ', '\n'], "\u{a0}")));
    }

    fn sentences(&mut self, place: Place) -> Vec<Sentence> {
        let words = std::mem::take(&mut self.words);
        self.is_open = false;
        let mut sentences = Vec::new();
        let mut line = 0;
        let mut open: Vec<String> = Vec::new();
        for (index, (at, word)) in words.iter().enumerate() {
            if open.is_empty() {
                line = *at;
            }
            open.push(word.clone());
            let next = words.get(index + 1).map(|(_, next)| next.as_str());
            if next.is_none_or(|next| ends(word) && begins(next)) {
                sentences.push(Sentence { line, place, words: std::mem::take(&mut open) });
            }
        }
        sentences
    }
}

/// Whether a sentence may end with this word.
fn ends(word: &str) -> bool {
    word.trim_end_matches([')', '"', '\'', '”']).ends_with(['.', '?', '!'])
}

/// Whether a sentence may begin with this word.
fn begins(word: &str) -> bool {
    let first = word.trim_start_matches(['(', '"', '\'', '“']).chars().next();
    first.is_some_and(|letter| letter.is_uppercase() || letter.is_ascii_digit() || "`#".contains(letter))
}

/// The sentences of a page, in their sequence.
pub(crate) fn sentences(page: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut piece = Piece::default();
    let mut place = Place::Text;
    let mut is_code = false;
    for (event, range) in Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter() {
        let line = page[..range.start].matches('\n').count() + 1;
        match event {
            Event::Text(_) if is_code => {}
            Event::Text(text) => piece.add(line, &text),
            Event::Code(code) => piece.add_code(line, &code),
            Event::SoftBreak | Event::HardBreak => piece.add(line, " "),
            // A link, and words that are in italics or bold, are parts of a sentence.
            Event::Start(Tag::Link { .. } | Tag::Emphasis | Tag::Strong)
            | Event::End(TagEnd::Link | TagEnd::Emphasis | TagEnd::Strong)
            | Event::InlineHtml(_) => {}
            Event::Start(tag) => {
                sentences.extend(piece.sentences(place));
                is_code = matches!(tag, Tag::CodeBlock(_));
                place = match tag {
                    Tag::Heading { .. } => Place::Heading,
                    Tag::TableCell => Place::Cell,
                    _ => Place::Text,
                };
            }
            Event::End(_) => {
                sentences.extend(piece.sentences(place));
                (is_code, place) = (false, Place::Text);
            }
            _ => {}
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::{Place, sentences};

    #[test]
    fn a_page_is_cut_into_sentences() {
        let page = "# A head\n\nOne *two*\nthree. (Four\n`fi ve. X`.) Six, e.g. seven:\n\n```sh\nno. Code\n```\n\n\
            - An [it\n  em](x.md)!\n\n| A. B |\n|---|\n| c |\n";
        let found: Vec<_> = sentences(page).into_iter().map(|found| (found.line, found.place, found.text())).collect();
        let expected = [
            (1, Place::Heading, "A head"),
            (3, Place::Text, "One two three."),
            (4, Place::Text, "(Four `fi\u{a0}ve.\u{a0}X`.)"),
            (5, Place::Text, "Six, e.g. seven:"),
            (11, Place::Text, "An it em!"),
            (14, Place::Cell, "A."),
            (14, Place::Cell, "B"),
            (16, Place::Cell, "c"),
        ];
        assert_eq!(found, expected.map(|(line, place, text)| (line, place, text.to_owned())));
    }
}
