//! Finds where a JSON value ends, or the first byte that no JSON value can have there (RFC 8259).
//!
//! Every byte is looked at once, in whatever pieces it comes; the state between two bytes is all that is kept. So the
//! verdict cannot depend on how the bytes were split. The grammar is the one `match` in [`Scanner::step`].

/// Levels of nesting: more than any honest request has, and few enough for one bit each.
pub(super) const DEPTH_MAX: u32 = u128::BITS;

/// What the bytes seen so far are. Positions count from the first byte of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The beginning of a value.
    Unfinished,
    /// A value of so many bytes. A number or a word ends only when a byte follows that cannot belong to it.
    Value(usize),
    /// No value begins with these bytes, and the byte at this index is the first at fault.
    NotJson(usize),
    /// The bracket at this index opens a level too many.
    TooDeep(usize),
    /// The value is longer than allowed.
    TooLong,
}

/// The state of one scan.
#[derive(Debug)]
pub(super) struct Scanner {
    bytes_max: usize,
    /// How many bytes have been looked at.
    scanned: usize,
    state: State,
    character: &'static [Class],
    word: &'static [u8],
    /// Whether the string that is being scanned is the name of a member.
    in_name: bool,
    depth: u32,
    /// One bit for each open level, the innermost lowest: 1 for an object, 0 for an array.
    objects: u128,
}

/// What has just been seen, and so what may follow.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A value must begin.
    Value,
    /// `[`
    OpenArray,
    /// An element of an array.
    Element,
    /// `{`
    OpenObject,
    /// The comma after a member of an object.
    NextMember,
    /// The name of a member.
    Name,
    /// A member of an object.
    Member,
    /// The inside of a string, between two characters.
    Text,
    /// A part of one character of a string; the bytes of `character` complete it.
    Character,
    /// `\` in a string
    Escape,
    /// `\u`
    Unicode,
    /// `\ud`: a surrogate, unless an ordinary character.
    UnicodeD,
    /// `-`
    Minus,
    /// `0` as the first digit
    Zero,
    /// Digits of an integer
    Integer,
    /// `.`
    Point,
    /// Digits after the point
    Fraction,
    /// `e`
    Exponent,
    /// The sign of an exponent
    ExponentSign,
    /// Digits of an exponent
    Power,
    /// A part of `true`, `false` or `null`; the letters of `word` complete it.
    Letters,
    /// `true`, `false` or `null`
    Word,
}

/// How one byte was taken.
enum Step {
    To(State),
    /// A value ended before this byte, which is still to be taken.
    Before(State),
    /// The outermost value ends with this byte.
    Last,
    /// The outermost value ended before this byte.
    Past,
    Fault,
    TooDeep,
}

/// Whether a byte may stand at some place within a character.
type Class = fn(&u8) -> bool;

const HEX: Class = u8::is_ascii_hexdigit;

/// A byte of a code point after its first (RFC 3629).
const TAIL: Class = |byte| matches!(byte, 0x80..=0xbf);

/// The rest of `\ud8`: the escape of a high surrogate goes on with that of a low one.
const HIGH_SURROGATE: &[Class] = &[
    HEX,
    HEX,
    |byte| *byte == b'\\',
    |byte| *byte == b'u',
    |byte| matches!(byte, b'd' | b'D'),
    |byte| matches!(byte, b'c'..=b'f' | b'C'..=b'F'),
    HEX,
    HEX,
];

/// Whether a byte in a string is a character that needs no more care, as most are.
const fn is_plain(byte: &u8) -> bool {
    matches!(byte, b' '..=0x7f) && !matches!(byte, b'"' | b'\\')
}

impl Scanner {
    /// A scan that has seen nothing yet, for values of at most `bytes_max` bytes.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            scanned: 0,
            state: State::Value,
            character: &[],
            word: &[],
            in_name: false,
            depth: 0,
            objects: 0,
        }
    }

    /// How many bytes have been looked at.
    pub(super) const fn scanned(&self) -> usize {
        self.scanned
    }

    /// Goes on from where the last call stopped. `text` is the same as then, with more behind it.
    pub(super) fn scan(&mut self, text: &[u8]) -> Verdict {
        let allowed = &text[..text.len().min(self.bytes_max)];
        loop {
            if let (State::Text, Some(rest)) = (self.state, allowed.get(self.scanned..)) {
                self.scanned += rest.iter().take_while(|byte| is_plain(byte)).count();
            }
            let Some(byte) = text.get(self.scanned) else { return Verdict::Unfinished };
            let step = self.step(*byte);
            if self.scanned == self.bytes_max && !matches!(step, Step::Past) {
                return Verdict::TooLong;
            }
            match step {
                Step::To(state) => {
                    self.state = state;
                    self.scanned += 1;
                }
                Step::Before(state) => self.state = state,
                Step::Last => return Verdict::Value(self.scanned + 1),
                Step::Past => return Verdict::Value(self.scanned),
                Step::Fault => return Verdict::NotJson(self.scanned),
                Step::TooDeep => return Verdict::TooDeep(self.scanned),
            }
        }
    }

    /// Whether what has been seen is a value if nothing follows: true of numbers and words only.
    pub(super) const fn may_end(&self) -> bool {
        use State::{Fraction, Integer, Power, Word, Zero};
        self.depth == 0 && matches!(self.state, Zero | Integer | Fraction | Power | Word)
    }

    fn step(&mut self, byte: u8) -> Step {
        use State::*;
        use Step::{Fault, To};
        match (self.state, byte) {
            (Text, b'"') => self.close_string(),
            (Text, b'\\') => To(Escape),
            (Text, _) if is_plain(&byte) => To(Text),
            (Text, 0xc2..=0xdf) => self.expect(&[TAIL]),
            (Text, 0xe0) => self.expect(&[|byte| matches!(byte, 0xa0..=0xbf), TAIL]),
            (Text, 0xed) => self.expect(&[|byte| matches!(byte, 0x80..=0x9f), TAIL]),
            (Text, 0xe1..=0xef) => self.expect(&[TAIL, TAIL]),
            (Text, 0xf0) => self.expect(&[|byte| matches!(byte, 0x90..=0xbf), TAIL, TAIL]),
            (Text, 0xf1..=0xf3) => self.expect(&[TAIL, TAIL, TAIL]),
            (Text, 0xf4) => self.expect(&[|byte| matches!(byte, 0x80..=0x8f), TAIL, TAIL]),
            (Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => To(Text),
            (Escape, b'u') => To(Unicode),
            (Unicode, b'd' | b'D') => To(UnicodeD),
            (Unicode, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.expect(&[HEX, HEX, HEX]),
            (UnicodeD, b'0'..=b'7') => self.expect(&[HEX, HEX]),
            (UnicodeD, b'8' | b'9' | b'a' | b'b' | b'A' | b'B') => self.expect(HIGH_SURROGATE),
            (Character, _) => match self.character {
                [class, rest @ ..] if class(&byte) => self.expect(rest),
                _ => Fault,
            },
            (Text | Escape | Unicode | UnicodeD, _) => Fault,

            (Integer, b'0'..=b'9') => To(Integer),
            (Value | OpenArray | Minus, b'0') => To(Zero),
            (Value | OpenArray | Minus, b'1'..=b'9') => To(Integer),
            (Value | OpenArray, b'-') => To(Minus),
            (Zero | Integer, b'.') => To(Point),
            (Point | Fraction, b'0'..=b'9') => To(Fraction),
            (Zero | Integer | Fraction, b'e' | b'E') => To(Exponent),
            (Exponent, b'+' | b'-') => To(ExponentSign),
            (Exponent | ExponentSign | Power, b'0'..=b'9') => To(Power),
            (Minus | Point | Exponent | ExponentSign, _) => Fault,
            (Zero | Integer | Fraction | Power, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') => Fault,

            (Value | OpenArray, b't') => self.spell(b"rue"),
            (Value | OpenArray, b'f') => self.spell(b"alse"),
            (Value | OpenArray, b'n') => self.spell(b"ull"),
            (Letters, _) => match self.word {
                [letter, rest @ ..] if byte == *letter => self.spell(rest),
                _ => Fault,
            },
            (Word, b'a'..=b'z' | b'A'..=b'Z') => Fault,

            (Zero | Integer | Fraction | Power | Word, _) => self.after_value().map_or(Step::Past, Step::Before),

            (Value | OpenArray | OpenObject | NextMember, b'"') => self.open_string(),
            (Value | OpenArray, b'{') => self.open(true),
            (Value | OpenArray, b'[') => self.open(false),
            (Element, b',') => To(Value),
            (Member, b',') => To(NextMember),
            (Name, b':') => To(Value),
            (OpenArray | Element, b']') | (OpenObject | Member, b'}') => self.close(),
            (state, b' ' | b'\t' | b'\n' | b'\r') => To(state),
            (Value | OpenArray | Element | OpenObject | NextMember | Name | Member, _) => Fault,
        }
    }

    /// A character of a string goes on with bytes of these classes, if with any.
    fn expect(&mut self, rest: &'static [Class]) -> Step {
        self.character = rest;
        Step::To(if rest.is_empty() { State::Text } else { State::Character })
    }

    /// A word goes on with these letters, if with any.
    fn spell(&mut self, rest: &'static [u8]) -> Step {
        self.word = rest;
        Step::To(if rest.is_empty() { State::Word } else { State::Letters })
    }

    fn open(&mut self, object: bool) -> Step {
        if self.depth == DEPTH_MAX {
            return Step::TooDeep;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        Step::To(if object { State::OpenObject } else { State::OpenArray })
    }

    fn close(&mut self) -> Step {
        self.depth -= 1;
        self.objects >>= 1;
        self.after_value().map_or(Step::Last, Step::To)
    }

    /// A string is the name of a member exactly where no value may stand.
    fn open_string(&mut self) -> Step {
        self.in_name = matches!(self.state, State::OpenObject | State::NextMember);
        Step::To(State::Text)
    }

    fn close_string(&self) -> Step {
        if self.in_name { Step::To(State::Name) } else { self.after_value().map_or(Step::Last, Step::To) }
    }

    /// What a value is that has just ended, unless it is the outermost one.
    const fn after_value(&self) -> Option<State> {
        match (self.depth, self.objects & 1) {
            (0, _) => None,
            (_, 0) => Some(State::Element),
            _ => Some(State::Member),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::protocol::feed::Chance;

    fn scan(text: &[u8]) -> Verdict {
        Scanner::new(usize::MAX).scan(text)
    }

    /// What serde_json says about a whole text.
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

    /// Appends a random value, some of them wrong. No number is too large for serde_json; JSON itself sets no bounds.
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

    /// Every verdict, and the place of every fault, against a parser that has been tried more than ours.
    #[test]
    fn the_verdict_is_that_of_serde_json_for_every_text() {
        let mut verdicts = [0; 3];
        for seed in 0..60_000 {
            let mut chance = Chance::new(seed);
            let mut text = String::new();
            generate(&mut chance, 0, &mut text);
            if chance.below(2) == 0 && !text.is_empty() {
                let damage =
                    chance.one_of(&["", "{", "}", "[", "]", "\"", "\\", ",", ":", "0", "e", "-", ".", " ", "t", "\0"]);
                let at =
                    (0..=text.len()).rev().find(|at| *at <= chance.below(text.len()) && text.is_char_boundary(*at));
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
                // The first byte at fault is the first after which no string is left.
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
}
