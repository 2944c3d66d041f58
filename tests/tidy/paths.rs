//! The paths that a module names, in `use` and in code alike.

use crate::source::Source;
use crate::text::is_word;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    /// `::`
    Into,
    Other(u8),
}

/// The words and signs of code, and where they begin.
pub(crate) fn tokens(code: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        let (token, length) = match &bytes[at..] {
            _ if length > 0 => (Token::Word(&code[at..at + length]), length),
            [b':', b':', ..] => (Token::Into, 2),
            [byte, ..] => (Token::Other(*byte), 1),
            [] => break,
        };
        if !matches!(token, Token::Other(byte) if byte.is_ascii_whitespace()) {
            tokens.push((at, token));
        }
        at += length;
    }
    tokens
}

/// A path as it is written, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) at: usize,
    pub(crate) words: Vec<&'a str>,
    /// It is in a `use`.
    pub(crate) is_import: bool,
}

/// Every path of at least two words, and every import; each branch of a `use` separately.
pub(crate) fn named(code: &str) -> Vec<Named<'_>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].1 {
            // The visibility of an item is not a path that it knows.
            Token::Word("pub") if tokens.get(at + 1).is_some_and(|next| next.1 == Token::Other(b'(')) => {
                while tokens[at].1 != Token::Other(b')') {
                    at += 1;
                }
                at += 1;
            }
            Token::Word("use") => at = imports(&tokens, at + 1, &[], &mut found),
            Token::Word(_) => at = path(&tokens, at, &mut found),
            _ => at += 1,
        }
    }
    found
}

/// Reads one branch of a `use`, down to its leaves. Returns where it ends.
fn imports<'a>(tokens: &[(usize, Token<'a>)], mut at: usize, before: &[&'a str], found: &mut Vec<Named<'a>>) -> usize {
    let mut words = before.to_vec();
    while let Some((place, token)) = tokens.get(at) {
        match token {
            Token::Word("as") => at += 2,
            Token::Word("self") if !before.is_empty() => at += 1,
            Token::Word(word) => {
                words.push(word);
                at += 1;
            }
            Token::Other(b'*') | Token::Into => at += 1,
            Token::Other(b'{') => {
                at += 1;
                while tokens[at].1 != Token::Other(b'}') {
                    at = imports(tokens, at, &words, found);
                    if tokens[at].1 == Token::Other(b',') {
                        at += 1;
                    }
                }
                return at + 1;
            }
            Token::Other(_) => {
                found.push(Named { at: *place, words, is_import: true });
                break;
            }
        }
    }
    at
}

/// Reads a path in code. Returns where it ends.
fn path<'a>(tokens: &[(usize, Token<'a>)], start: usize, found: &mut Vec<Named<'a>>) -> usize {
    let mut words = Vec::new();
    let mut at = start;
    while let Some((_, Token::Word(word))) = tokens.get(at) {
        words.push(*word);
        at += 1;
        if tokens.get(at).is_none_or(|next| next.1 != Token::Into) {
            break;
        }
        at += 1;
    }
    if words.len() > 1 {
        found.push(Named { at: tokens[start].0, words, is_import: false });
    }
    at
}

/// The module, or the item in one, that a path of `source` leads to, from the root of the library on. `None` if it begins
/// with a name that is in scope there: what brought it into scope is a path as well.
pub(crate) fn absolute(source: &Source, words: &[&str]) -> Option<Vec<String>> {
    let (first, mut rest) = words.split_first()?;
    let mut module = match *first {
        "crate" => Vec::new(),
        "self" => source.module.clone(),
        "super" => source.module[..source.module.len().checked_sub(1)?].to_vec(),
        _ => return None,
    };
    while let Some(("super", after)) = rest.split_first().map(|(first, after)| (*first, after)) {
        module.pop();
        rest = after;
    }
    module.extend(rest.iter().map(|word| (*word).to_owned()));
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::{absolute, named};
    use crate::source::Source;

    fn names(code: &str) -> Vec<String> {
        named(code).iter().map(|named| named.words.join("::")).collect()
    }

    #[test]
    fn each_branch_of_a_use_is_a_path() {
        let code =
            "pub(in super::super) use crate::{a, b::{self, c::*, D as E}};\nuse crate::xray::{self, What};\nuse f;";
        let expected = ["crate::a", "crate::b", "crate::b::c", "crate::b::D", "crate::xray", "crate::xray::What", "f"];
        assert_eq!(names(code), expected);
    }

    #[test]
    fn paths_in_code_count_as_well() {
        let code = "fn f(a: crate::kernel::Token) -> Vec<super::super::b::C> { d::<e::F>() }";
        assert_eq!(names(code), ["crate::kernel::Token", "super::super::b::C", "e::F"]);
    }

    #[test]
    fn super_leads_out_of_a_room() {
        let source = Source::new("src/a/b.rs", &["a", "b"], "");
        let leads = |path: &str| absolute(&source, &path.split("::").collect::<Vec<_>>()).map(|path| path.join("::"));
        assert_eq!(leads("super::super::c::D").as_deref(), Some("c::D"));
        assert_eq!(leads("super::D").as_deref(), Some("a::D"));
        assert_eq!(leads("self::D").as_deref(), Some("a::b::D"));
        assert_eq!(leads("crate::c").as_deref(), Some("c"));
        assert_eq!(leads("std::c"), None);
    }
}
