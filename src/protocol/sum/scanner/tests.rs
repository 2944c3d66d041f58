use serde_json::Value;

use super::*;
use crate::protocol::tests::chance::Chance;

fn scan(text: &[u8]) -> Verdict {
    Scanner::new(usize::MAX).scan(text)
}

/// The verdict of serde_json on a whole text.
#[derive(Debug, PartialEq, Eq)]
enum Whole {
    Value,
    Unfinished,
    NotJson,
}

fn whole(text: &[u8]) -> Whole {
    match serde_json::from_slice::<Value>(text) {
        Ok(_) => Whole::Value,
        Err(error) if error.is_eof() => Whole::Unfinished,
        Err(_) => Whole::NotJson,
    }
}

/// Appends a random value, which may be wrong. No number is too large for serde_json; JSON itself sets no bounds.
fn generate(chance: &mut Chance, depth: usize, text: &mut String) {
    match chance.below(if depth > 4 { 6 } else { 10 }) {
        0..3 => text.push_str(chance.one_of(&[
            "0",
            "-0",
            "-1",
            "12",
            "1.5",
            "0.0",
            "1e5",
            "2E-3",
            "-10.25e+7",
            "true",
            "false",
            "null",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "1.e1",
            "tru",
            "nulll",
            "NaN",
            "",
        ])),
        3..6 => generate_string(chance, text),
        6..8 => generate_list(chance, text, "[", "]", |chance, text| generate(chance, depth + 1, text)),
        _ => generate_list(chance, text, "{", "}", |chance, text| {
            generate_string(chance, text);
            text.push_str(chance.one_of(&[":", ":", ":", " : ", "::", ""]));
            generate(chance, depth + 1, text);
        }),
    }
}

fn generate_string(chance: &mut Chance, text: &mut String) {
    text.push('"');
    for _ in 0..chance.below(4) {
        text.push_str(chance.one_of(&[
            "a",
            "{",
            "]",
            "\\\"",
            "\\\\",
            "\\/",
            "\\n",
            "\\u0041",
            "\\uD83D\\uDE00",
            "\\ud7ff",
            "\\ue000",
            "ä",
            "漢",
            "😀",
            "\u{7f}",
            "\\x",
            "\\u00g0",
            "\n",
        ]));
    }
    text.push('"');
}

fn generate_list(
    chance: &mut Chance,
    text: &mut String,
    open: &str,
    close: &str,
    item: impl Fn(&mut Chance, &mut String),
) {
    text.push_str(open);
    for index in 0..chance.below(4) {
        text.push_str(if index == 0 {
            chance.one_of(&["", "", "", " ", ","])
        } else {
            chance.one_of(&[",", ",", " ,\n", ""])
        });
        item(chance, text);
    }
    text.push_str(close);
}

/// Compares every verdict, and the place of every fault, with a well-tested parser.
#[test]
fn scanner_and_serde_json_agree_about_every_text() {
    let mut verdicts = [0; 3];
    for seed in 0..60_000 {
        let mut chance = Chance::new(seed);
        let mut text = String::new();
        generate(&mut chance, 0, &mut text);
        if chance.below(2) == 0 && !text.is_empty() {
            let damage =
                chance.one_of(&["", "{", "}", "[", "]", "\"", "\\", ",", ":", "0", "e", "-", ".", " ", "t", "\0"]);
            let at = (0..=text.len()).rev().find(|at| *at <= chance.below(text.len()) && text.is_char_boundary(*at));
            text.insert_str(at.unwrap_or(0), damage);
        }
        let bytes = text.as_bytes();
        match scan(bytes) {
            Verdict::Value(len) => {
                verdicts[0] += 1;
                assert_eq!(whole(&bytes[..len]), Whole::Value, "seed {seed}: {text}");
            }
            Verdict::Unfinished => {
                verdicts[1] += 1;
                let mut scanner = Scanner::new(usize::MAX);
                scanner.scan(bytes);
                let expected = if scanner.may_end() { Whole::Value } else { Whole::Unfinished };
                assert_eq!(whole(bytes), expected, "seed {seed}: {text}");
            }
            Verdict::NotJson(index) => {
                verdicts[2] += 1;
                // Digits of an escape are judged four at a time by serde_json.
                let digits: &[u8] = if text.contains("\\u") { b"000" } else { b"" };
                let fault = [&bytes[..=index], digits].concat();
                assert_eq!(whole(&fault), Whole::NotJson, "seed {seed}: {text}");
                assert_ne!(whole(&bytes[..index]), Whole::NotJson, "seed {seed}: {text}");
            }
            Verdict::TooDeep(_) | Verdict::TooLong => unreachable!("neither deep nor long: {text}"),
        }
    }
    assert!(verdicts.iter().all(|count| *count > 5_000), "{verdicts:?}");
}

#[test]
fn a_string_is_accepted_exactly_if_it_is_utf8_without_control_characters() {
    let bytes = [
        0x1f, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4,
        0xf5,
    ];
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..4 {
        for string in &strings {
            let quoted = [b"\"", &string[..], b"\""].concat();
            let accepted = scan(&quoted) == Verdict::Value(quoted.len());
            assert_eq!(accepted, whole(&quoted) == Whole::Value, "{}", quoted.escape_ascii());
            // The first wrong byte is the first after which no string is possible.
            if let Verdict::NotJson(index) = scan(&quoted) {
                let completes = |tail: &[u8]| whole(&[&quoted[..index], tail, b"\""].concat()) == Whole::Value;
                let viable = [
                    &b""[..],
                    b"\x80",
                    b"\x90",
                    b"\xa0",
                    b"\x80\x80",
                    b"\x90\x80",
                    b"\xa0\x80",
                    b"\x80\x80\x80",
                    b"\x90\x80\x80",
                ];
                assert!(index == 0 || viable.iter().any(|tail| completes(tail)), "{}", quoted.escape_ascii());
            }
        }
        strings = strings.iter().flat_map(|head| bytes.map(|byte| [&head[..], &[byte]].concat())).collect();
    }
}

#[test]
fn an_escaped_surrogate_counts_only_as_half_of_a_pair() {
    for code in 0..=0xffff_u16 {
        let text = format!("\"\\u{code:04x}\"");
        assert_eq!(scan(text.as_bytes()) == Verdict::Value(8), whole(text.as_bytes()) == Whole::Value, "{text}");
        let pair = format!("\"\\uDBFF\\u{code:04X}\"");
        assert_eq!(scan(pair.as_bytes()) == Verdict::Value(14), (0xdc00..0xe000).contains(&code), "{pair}");
    }
    for (text, index) in [
        (r#""\udc00""#, 4),
        (r#""\ud800""#, 7),
        (r#""\ud800x""#, 7),
        (r#""\ud800\n""#, 8),
        (r#""\ud800\u0041""#, 9),
        (r#""\ud800\ud800""#, 10),
        (r#""\u12x4""#, 5),
    ] {
        assert_eq!(scan(text.as_bytes()), Verdict::NotJson(index), "{text}");
    }
}

#[test]
fn a_byte_that_has_been_looked_at_is_not_looked_at_again() {
    let text = br#"{"A": [1.5e3, "\ud83d\ude00", {"x": null}], "B": -12}"#;
    let mut scanner = Scanner::new(text.len());
    for end in 1..text.len() {
        let mut forgotten = vec![0; end - 1];
        forgotten.push(text[end - 1]);
        assert_eq!(scanner.scan(&forgotten), Verdict::Unfinished, "{end}");
        assert_eq!(scanner.scanned(), end);
    }
    assert_eq!(scanner.scan(text), Verdict::Value(text.len()));
}
