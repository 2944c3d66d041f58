//! A JSON text, and the positions of its values.

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, ParseOptions, Scanner, ScannerOptions, parse_to_ast};

use super::quoted::quoted;
use super::syntax;

/// A parsed JSON text. A place in the text is a byte offset: at most one value or one name of a member starts there.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    pub(crate) root: Value<'a>,
}

/// Why a text is not JSON (RFC 8259) with comments and trailing commas, and the place.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// JSON, with comments and trailing commas in addition.
const COMMENTED: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

const TOKENS: ScannerOptions = ScannerOptions {
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl<'a> Document<'a> {
    /// Parses `text` twice. serde_json goes first: it is strict, and allows 128 levels of nesting. The parser that knows
    /// positions and comments would accept form feeds, other white space, and control characters in strings.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        if text.starts_with('\u{feff}') {
            return Err(SyntaxError { offset: 0, message: "expected JSON, found a byte order mark".to_owned() });
        }
        let plain = plain(text);
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&plain) {
            let message = error.to_string();
            let reason = message.split(" at line ").next().unwrap_or_default();
            let offset = offset(&plain, error.line(), error.column());
            return Err(SyntaxError { offset, message: syntax::explain(text, offset, reason) });
        }
        let parsed = parse_to_ast(text, &CollectOptions::default(), &COMMENTED)
            .map_err(|error| SyntaxError { offset: error.range().start, message: error.kind().to_string() })?;
        let root = parsed
            .value
            .ok_or_else(|| SyntaxError { offset: 0, message: "expected JSON, found nothing".to_owned() })?;
        Ok(Self { root })
    }

    /// Returns the path of the value at `offset`, such as `listeners[1].limits`; empty for the root. The name of a member has
    /// the path of its object.
    pub(crate) fn path(&self, offset: usize) -> String {
        self.find(offset).0
    }

    /// Returns the path of the innermost value around `offset`, and the value.
    pub(crate) fn find(&self, offset: usize) -> (String, &Value<'a>) {
        let mut path = String::new();
        let mut value = &self.root;
        while value.start() != offset {
            let child = match value {
                Value::Object(object) => {
                    object.properties.iter().find(|member| encloses(*member, offset)).map(|member| {
                        if member.value.start() <= offset {
                            push_name(&mut path, member.name.as_str());
                        }
                        &member.value
                    })
                }
                Value::Array(array) => {
                    array.elements.iter().enumerate().find(|(_, element)| encloses(*element, offset)).map(
                        |(index, element)| {
                            path.push_str(&format!("[{index}]"));
                            element
                        },
                    )
                }
                _ => None,
            };
            match child {
                Some(child) if child.start() <= offset => value = child,
                _ => break,
            }
        }
        (path, value)
    }
}

/// Returns `text` with blanks in place of comments and trailing commas, byte for byte, so that everything else keeps its place.
/// From the first invalid token on the text stays as it is.
fn plain(text: &str) -> String {
    let mut plain = text.as_bytes().to_vec();
    let mut scanner = Scanner::new(text, &TOKENS);
    let (mut after_value, mut comma) = (false, None);
    while let Ok(Some(token)) = scanner.scan() {
        match token {
            Token::CommentLine(_) | Token::CommentBlock(_) => {
                plain[scanner.token_start()..scanner.token_end()].fill(b' ')
            }
            // Only a comma directly behind a value is a trailing comma.
            Token::Comma => {
                comma = after_value.then(|| scanner.token_start());
                after_value = false;
            }
            Token::CloseBrace | Token::CloseBracket => {
                if let Some(comma) = comma.take() {
                    plain[comma] = b' ';
                }
                after_value = true;
            }
            Token::OpenBrace | Token::OpenBracket | Token::Colon => (after_value, comma) = (false, None),
            _ => (after_value, comma) = (true, None),
        }
    }
    // The bytes are UTF-8, because tokens begin and end between characters.
    String::from_utf8(plain).unwrap_or_else(|_| text.to_owned())
}

/// Returns line and column of a byte of `text`, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Returns the offset of a line and column of serde_json, whose columns count bytes from 1; column 0 is the start of an empty
/// line.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let offset = line_start + column.saturating_sub(1);
    (0..=offset).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0)
}

fn encloses(node: &impl Ranged, offset: usize) -> bool {
    (node.start()..node.end()).contains(&offset)
}

/// Appends the name of a member to a path.
pub(crate) fn push_name(path: &mut String, name: &str) {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    } else {
        path.push_str(&format!("[{}]", quoted(name)));
    }
}

/// Returns the value of the first member `name`, if `value` is an object that has one.
pub(crate) fn member<'v, 'a>(value: &'v Value<'a>, name: &str) -> Option<&'v Value<'a>> {
    members(value).iter().find(|member| member.name.as_str() == name).map(|member| &member.value)
}

/// Returns the members of `value`; none if `value` is not an object.
pub(crate) fn members<'v, 'a>(value: &'v Value<'a>) -> &'v [ObjectProp<'a>] {
    value.as_object().map_or(&[], |object| &object.properties)
}

/// Returns an object with the members of `own`, and the members of `base` that `own` does not have.
pub(crate) fn merged<'a>(own: &Object<'a>, base: Option<&Value<'a>>) -> Value<'a> {
    let mut merged = own.clone();
    let inherited = base.map_or(&[][..], members).iter();
    let is_new =
        |member: &&ObjectProp<'_>| own.properties.iter().all(|known| known.name.as_str() != member.name.as_str());
    merged.properties.extend(inherited.filter(is_new).cloned());
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_with_comments_and_trailing_commas_passes() {
        for text in [
            "",
            " ",
            "{} {}",
            "{\"a\":1 \"b\":2}",
            "{,}",
            "[,]",
            "[1,,]",
            "[1 /* a */ 2]",
            "{\"a\":,}",
            "{} // a\n {}",
            "{},",
            "1 / 2",
            "{} /* a",
            "/* a */",
            "// a",
            "# a\n{}",
            "{\"a\":1,'b':2,}",
            "[\"a // b\n\"]",
            "{'a':1}",
            "{a:1}",
            "[0x10]",
            "[+1]",
            "[.5]",
            "[5.]",
            "[01]",
            "[NaN]",
            "[-Infinity]",
            "[\"\\x41\"]",
            "[\"\n\"]",
            "[\"\t\"]",
            "\u{feff}{}",
            "{}\u{feff}",
            "\u{b}{}",
            "\u{c}{}",
            "\u{a0}{}",
            "{}\0",
            "[\"a\0\"]",
            "[\"\\ud800\"]",
            "[\"open",
            "[1e999]",
            "{\"a\"",
            "[tru]",
            "[True]",
        ] {
            assert!(Document::parse(text).is_err(), "{text:?}");
        }
        for text in [
            "// a\n{}",
            "{/* a */}",
            "{\"a\":1,}",
            "[1,]",
            "[[1,], {\"a\": [2,],} ,\n // b, ]\n /* c, } */ ] // d",
            "[\"// a\", \"/* b */\", \",]\", \"\\\"// c\"]",
            "//\u{e4}\u{2028}\r\n[/**/]",
        ] {
            assert!(Document::parse(text).is_ok(), "{text:?}");
        }
        for text in ["{}", " \r\n\t[ ] ", "\"\\ud83d\\ude00\\u0000\\/\"", "-0", "1e5", "[0.5E-7,{\"\":null}]"] {
            assert!(Document::parse(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_exhausting_the_stack() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
            assert!(Document::parse(&text).unwrap_err().message.contains("recursion limit"));
        }
    }

    #[test]
    fn a_syntax_error_has_its_place_and_columns_count_characters() {
        for (text, expected) in [
            ("{\n  \"a\": 1,,\n}", (2, 10)),
            ("/* ä\n */ [ // ö\n 'x']", (3, 2)),
            ("/*", (1, 1)),
            ("[\"äöü\", x]", (1, 9)),
            ("", (1, 1)),
            ("[\n", (2, 1)),
            ("[1\n\n  oops", (3, 3)),
        ] {
            let error = Document::parse(text).unwrap_err();
            assert_eq!(line_and_column(text, error.offset), expected, "{text:?}: {}", error.message);
        }
    }

    #[test]
    fn every_value_and_every_name_knows_its_path() {
        let text = r#"{ "a": [1, { "b c": {}, "": 2 }], "d": { "e": true } }"#;
        let document = Document::parse(text).unwrap();
        for (needle, path) in [
            ("{ \"a\"", ""),
            ("\"a\"", ""),
            ("1", "a[0]"),
            ("{ \"b", "a[1]"),
            ("\"b c", "a[1]"),
            ("{}", "a[1][\"b c\"]"),
            ("2", "a[1][\"\"]"),
            ("true", "d.e"),
            ("\"e", "d"),
        ] {
            assert_eq!(document.path(text.find(needle).unwrap()), path, "{needle}");
        }
    }
}
