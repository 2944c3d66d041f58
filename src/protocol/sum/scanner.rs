//! Finds the end of a JSON value, or the first byte that no JSON value can have at its place (RFC 8259).
//!
//! The scanner takes each byte once, and keeps only the state between two bytes. So the verdict cannot depend on how the
//! bytes were split. The grammar is the one `match` in [`Scanner::step`].

/// Levels of nesting: more than any honest request has, and so few that one bit for each fits into a word.
pub(super) const DEPTH_MAX: u32 = u128::BITS;

/// What the bytes scanned so far are. Positions count from the first byte of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The beginning of a value.
    Unfinished,
    /// A value of this many bytes. A number or a word ends only at a byte that cannot belong to it.
    Value(usize),
    /// No JSON value: the byte at this index is the first that is wrong.
    NotJson(usize),
    /// The bracket at this index opens one level too many.
    TooDeep(usize),
    /// The value is longer than allowed.
    TooLong,
}

/// The state of one scan.
#[derive(Debug)]
pub(super) struct Scanner {
    bytes_max: usize,
    /// The number of bytes scanned.
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

/// What has just been scanned, and so what may follow.
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

/// What the scanner did with one byte.
enum Step {
    To(State),
    /// A value ended before this byte, which has not been scanned.
    Before(State),
    /// The outermost value ends with this byte.
    Last,
    /// The outermost value ended before this byte.
    Past,
    Fault,
    TooDeep,
}

/// Whether a byte may be at a certain place within a character.
type Class = fn(&u8) -> bool;

const HEX: Class = u8::is_ascii_hexdigit;

/// A byte of a code point after its first (RFC 3629).
const TAIL: Class = |byte| matches!(byte, 0x80..=0xbf);

/// The rest of `\ud8`: after the escape of a high surrogate comes the escape of a low one.
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

/// Whether a byte in a string is a whole character by itself, as most are.
const fn is_plain(byte: &u8) -> bool {
    matches!(byte, b' '..=0x7f) && !matches!(byte, b'"' | b'\\')
}

impl Scanner {
    /// Creates a scanner at the start of a value of at most `bytes_max` bytes.
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

    /// Returns the number of bytes scanned.
    pub(super) const fn scanned(&self) -> usize {
        self.scanned
    }

    /// Continues where the last call stopped. `text` begins with the text of that call.
    pub(super) fn scan(&mut self, text: &[u8]) -> Verdict {
        let allowed = &text[..text.len().min(self.bytes_max)];
        let (mut scanned, mut state) = (self.scanned, self.state);
        let verdict = loop {
            let rest = allowed.get(scanned..).unwrap_or_default();
            scanned += match state {
                State::Text => rest.iter().take_while(|byte| is_plain(byte)).count(),
                State::Integer => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
                _ => 0,
            };
            let Some(byte) = text.get(scanned) else { break Verdict::Unfinished };
            match self.step(state, *byte) {
                Step::To(next) if scanned < self.bytes_max => {
                    state = next;
                    scanned += 1;
                }
                Step::Past => break Verdict::Value(scanned),
                Step::To(_) => break Verdict::TooLong,
                _ if scanned == self.bytes_max => break Verdict::TooLong,
                Step::Before(next) => state = next,
                Step::Last => break Verdict::Value(scanned + 1),
                Step::Fault => break Verdict::NotJson(scanned),
                Step::TooDeep => break Verdict::TooDeep(scanned),
            }
        };
        (self.scanned, self.state) = (scanned, state);
        verdict
    }

    /// Whether the scanned bytes are a value if nothing follows: true for numbers and words only.
    pub(super) const fn may_end(&self) -> bool {
        use State::{Fraction, Integer, Power, Word, Zero};
        self.depth == 0 && matches!(self.state, Zero | Integer | Fraction | Power | Word)
    }

    fn step(&mut self, state: State, byte: u8) -> Step {
        use State::*;
        use Step::{Fault, To};
        match state {
            OpenArray if byte == b']' => self.close(),
            Value | OpenArray => match byte {
                b'{' => self.open(true),
                b'[' => self.open(false),
                b'"' => self.open_string(false),
                b'-' => To(Minus),
                b'0' => To(Zero),
                b'1'..=b'9' => To(Integer),
                b't' => self.spell(b"rue"),
                b'f' => self.spell(b"alse"),
                b'n' => self.spell(b"ull"),
                _ => white_space(state, byte),
            },
            OpenObject if byte == b'}' => self.close(),
            OpenObject | NextMember => match byte {
                b'"' => self.open_string(true),
                _ => white_space(state, byte),
            },
            Name => match byte {
                b':' => To(Value),
                _ => white_space(state, byte),
            },
            Element => match byte {
                b',' => To(Value),
                b']' => self.close(),
                _ => white_space(state, byte),
            },
            Member => match byte {
                b',' => To(NextMember),
                b'}' => self.close(),
                _ => white_space(state, byte),
            },

            Text => match byte {
                b'"' => self.close_string(),
                b'\\' => To(Escape),
                _ if is_plain(&byte) => To(Text),
                0xc2..=0xdf => self.expect(&[TAIL]),
                0xe0 => self.expect(&[|byte| matches!(byte, 0xa0..=0xbf), TAIL]),
                0xed => self.expect(&[|byte| matches!(byte, 0x80..=0x9f), TAIL]),
                0xe1..=0xef => self.expect(&[TAIL, TAIL]),
                0xf0 => self.expect(&[|byte| matches!(byte, 0x90..=0xbf), TAIL, TAIL]),
                0xf1..=0xf3 => self.expect(&[TAIL, TAIL, TAIL]),
                0xf4 => self.expect(&[|byte| matches!(byte, 0x80..=0x8f), TAIL, TAIL]),
                _ => Fault,
            },
            Character => match self.character {
                [class, rest @ ..] if class(&byte) => self.expect(rest),
                _ => Fault,
            },
            Escape => match byte {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => To(Text),
                b'u' => To(Unicode),
                _ => Fault,
            },
            Unicode => match byte {
                b'd' | b'D' => To(UnicodeD),
                b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => self.expect(&[HEX, HEX, HEX]),
                _ => Fault,
            },
            UnicodeD => match byte {
                b'0'..=b'7' => self.expect(&[HEX, HEX]),
                b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => self.expect(HIGH_SURROGATE),
                _ => Fault,
            },

            Minus => match byte {
                b'0' => To(Zero),
                b'1'..=b'9' => To(Integer),
                _ => Fault,
            },
            Integer if byte.is_ascii_digit() => To(Integer),
            Zero | Integer => match byte {
                b'.' => To(Point),
                b'e' | b'E' => To(Exponent),
                b'0'..=b'9' | b'+' | b'-' => Fault,
                _ => self.end(),
            },
            Point => match byte {
                b'0'..=b'9' => To(Fraction),
                _ => Fault,
            },
            Fraction => match byte {
                b'0'..=b'9' => To(Fraction),
                b'e' | b'E' => To(Exponent),
                b'+' | b'-' | b'.' => Fault,
                _ => self.end(),
            },
            Exponent if matches!(byte, b'+' | b'-') => To(ExponentSign),
            Exponent | ExponentSign => match byte {
                b'0'..=b'9' => To(Power),
                _ => Fault,
            },
            Power => match byte {
                b'0'..=b'9' => To(Power),
                b'+' | b'-' | b'.' | b'e' | b'E' => Fault,
                _ => self.end(),
            },

            Letters => match self.word {
                [letter, rest @ ..] if byte == *letter => self.spell(rest),
                _ => Fault,
            },
            Word => match byte {
                b'a'..=b'z' | b'A'..=b'Z' => Fault,
                _ => self.end(),
            },
        }
    }

    /// Expects bytes of these classes, the rest of a character of a string.
    fn expect(&mut self, rest: &'static [Class]) -> Step {
        self.character = rest;
        Step::To(if rest.is_empty() { State::Text } else { State::Character })
    }

    /// Expects these letters, the rest of a word.
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

    fn open_string(&mut self, is_name: bool) -> Step {
        self.in_name = is_name;
        Step::To(State::Text)
    }

    fn close_string(&self) -> Step {
        if self.in_name { Step::To(State::Name) } else { self.after_value().map_or(Step::Last, Step::To) }
    }

    /// Ends a number or a word before the byte at hand.
    fn end(&self) -> Step {
        self.after_value().map_or(Step::Past, Step::Before)
    }

    /// Returns the state after the value that has just ended, unless it was the outermost one.
    const fn after_value(&self) -> Option<State> {
        match (self.depth, self.objects & 1) {
            (0, _) => None,
            (_, 0) => Some(State::Element),
            _ => Some(State::Member),
        }
    }
}

/// Accepts white space between two tokens, and nothing else.
const fn white_space(state: State, byte: u8) -> Step {
    if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') { Step::To(state) } else { Step::Fault }
}

#[cfg(test)]
mod tests;
