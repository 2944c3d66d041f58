//! The text of a Rust file, with blanks in place of the parts that a check must not see.

use std::ops::Range;

/// Returns the code: comments and literals are blanks, and every other byte keeps its place.
pub(crate) fn code(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let length = no_code(text.as_bytes(), at);
        blank(&mut bytes, at..at + length);
        at += length.max(1);
    }
    String::from_utf8(bytes).unwrap()
}

fn blank(bytes: &mut [u8], range: Range<usize>) {
    bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of the comment or literal that begins here; 0 if none does.
fn no_code(bytes: &[u8], at: usize) -> usize {
    if !matches!(bytes[at], b'/' | b'"' | b'\'' | b'r') {
        return 0;
    }
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest),
        [b'\'', b'\\', ..] => quoted(rest),
        [b'\'', ..] => {
            // One character, of up to four bytes; anything else is a lifetime or a label.
            let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]))
                .map_or(0, |text| text.chars().next().map_or(0, char::len_utf8));
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        [b'r', ..] => {
            let before = |back: usize| at.checked_sub(back).map_or(b' ', |index| bytes[index]);
            let is_start = !is_word(before(1)) || matches!(before(1), b'b' | b'c') && !is_word(before(2));
            if is_start { raw(rest) } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// A literal that ends at the quote it begins with, unless a backslash precedes it.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != rest[0] {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"`, `r#"…"#`; 0 if it is a raw identifier.
fn raw(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = 2 + hashes;
    let found = rest[body..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |length| body + length + end.len())
}

/// Where `code` is for tests alone: the items below `#[cfg(test)]`, with the attribute.
pub(crate) fn tests(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(doctest)]"] {
        for (start, _) in code.match_indices(attribute) {
            ranges.push(start..item_end(code, start));
        }
    }
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// The end of the item that begins here with an attribute: behind its block or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let bytes = code.as_bytes();
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        let is_last = match byte {
            b';' => depth == 0,
            // A list of imports, or a value, has a semicolon behind its block.
            b'}' => depth == 0 && !code[at + 1..].trim_start().starts_with(';'),
            _ => false,
        };
        if is_last {
            return at + 1;
        }
        assert!(depth >= 0, "#[cfg(test)] is not on an item: {}", &code[start..at]);
    }
    code.len()
}

pub(crate) fn without(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        blank(&mut bytes, range.clone());
    }
    String::from_utf8(bytes).unwrap()
}

#[cfg(test)]
mod tests {
    use super::{code, tests, without};

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("a \" // b", c)"#, r"f(           , c)"),
            (r##"f(r#"a " b"#, c)"##, r"f(          , c)"),
            (r##"f(br#"a " b"#, c)"##, r"f(b          , c)"),
            (r"f('{', '\'', b'}', '…')", r"f(   ,     , b   ,      )"),
            ("fn f<'a>(a: &'a str) {}", "fn f<'a>(a: &'a str) {}"),
            ("r#type::new()", "r#type::new()"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn code_for_tests_only_is_found() {
        let text =
            "use a;\n#[cfg(test)]\nuse b::{c, d};\nfn e() {}\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nfn g() {}\n";
        let rest = without(text, &tests(text));
        let words: Vec<_> = rest.split_whitespace().collect();
        assert_eq!(words.join(" "), "use a; fn e() {} fn g() {}");
        let text = "#[cfg(test)]\n#[path = \"x.rs\"]\nmod x;\nmod y;\n#[cfg(unix)]\nmod z;\n";
        assert_eq!(without(text, &tests(text)).trim_start(), "mod y;\n#[cfg(unix)]\nmod z;\n");
    }
}
