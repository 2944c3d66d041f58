//! Explains to the author of a text why it is not JSON.

use super::quoted::quoted;

/// Explains what was expected and found at `offset`, where the parser failed with `reason`.
pub(super) fn explain(text: &str, offset: usize, reason: &str) -> String {
    let rest = text.get(offset..).unwrap_or_default();
    if text.trim().is_empty() {
        return "expected JSON, found an empty file".to_owned();
    }
    if is_yaml(text) {
        return "expected JSON, which begins with \"{\", found YAML".to_owned();
    }
    match reason {
        "EOF while parsing a value" => return "expected a value, found the end of the file".to_owned(),
        "EOF while parsing a list" => return "expected \"]\", found the end of the file".to_owned(),
        "EOF while parsing an object" => return "expected \"}\", found the end of the file".to_owned(),
        "EOF while parsing a string" => return "expected a double quote, found the end of the file".to_owned(),
        _ => {}
    }
    if rest.starts_with('\'') {
        "expected double quotes, found a single quote".to_owned()
    } else if rest.starts_with('#') {
        "expected a comment to begin with \"//\", found \"#\"".to_owned()
    } else if rest.starts_with("/*") {
        "expected \"*/\" at the end of a comment, found the end of the file".to_owned()
    } else if let ("expected value" | "key must be a string", Some(word)) = (reason, word(rest)) {
        format!("expected double quotes around a name or a string, found {}", quoted(word))
    } else {
        format!("expected JSON, found a syntax error: {reason}")
    }
}

/// Whether `text` begins like YAML and not like JSON: with a marker, an element of a list, or a name without quotes before a
/// colon.
fn is_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().is_some_and(|line| {
        let is_member = |name: &str| word(line).is_some_and(|word| word.len() == name.len());
        let has_member = line.split_once(':').is_some_and(|(name, rest)| {
            is_member(name.trim_end()) && (rest.is_empty() || rest.starts_with(char::is_whitespace))
        });
        line.starts_with("---") || line.starts_with("%YAML") || line.starts_with("- ") || has_member
    })
}

/// Returns the word at the front of `text`, if there is one that JSON does not define.
fn word(text: &str) -> Option<&str> {
    let is_in_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '$');
    let end = text.find(|character| !is_in_word(character)).unwrap_or(text.len());
    let word = &text[..end];
    let begins = word.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '$'));
    (begins && !matches!(word, "true" | "false" | "null")).then_some(word)
}

#[cfg(test)]
mod tests {
    use crate::json::Document;

    #[test]
    fn a_text_that_is_not_json_is_named_for_what_it_is() {
        let empty = "expected JSON, found an empty file";
        let yaml = "expected JSON, which begins with \"{\", found YAML";
        let single = "expected double quotes, found a single quote";
        for (text, expected) in [
            ("", empty),
            (" \n\t", empty),
            ("listeners:\n  - listen: tcp://:1\n", yaml),
            ("# mine\n\nlisteners: []", yaml),
            ("---\nlisteners: []", yaml),
            ("- a", yaml),
            ("{'listeners': []}", single),
            ("{\"listeners\": ['a']}", single),
            ("{ # mine\n}", "expected a comment to begin with \"//\", found \"#\""),
            ("# mine\n{}", "expected a comment to begin with \"//\", found \"#\""),
            ("{} /* mine", "expected \"*/\" at the end of a comment, found the end of the file"),
            ("{listeners: []}", "expected double quotes around a name or a string, found \"listeners\""),
            ("{\"a\": True}", "expected double quotes around a name or a string, found \"True\""),
            ("{\"a\": 1 2}", "expected JSON, found a syntax error: expected `,` or `}`"),
            ("{\"a\": 1", "expected \"}\", found the end of the file"),
            ("[1,", "expected a value, found the end of the file"),
            ("[1", "expected \"]\", found the end of the file"),
            ("[\"a", "expected a double quote, found the end of the file"),
            ("// mine", "expected a value, found the end of the file"),
        ] {
            assert_eq!(Document::parse(text).expect_err(text).message, expected, "{text:?}");
        }
    }
}
