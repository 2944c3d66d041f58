//! Plain English: phrases that a reader with another first language stumbles over, and what to write instead.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{fs, mem};

use crate::source::files_below;
use crate::{markdown, root, text};

/// What is searched: files, and directories with every text below them.
const SCOPE: [&str; 8] = [
    "src",
    "examples",
    "tests",
    "README.md",
    "docs",
    // CONTRIBUTING.md has examples of what to avoid.
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/RELEASING.md",
    ".github/SECURITY.md",
];
const TEXTS: [&str; 7] = ["css", "html", "js", "json", "md", "rs", "yml"];
/// Not searched.
const LEFT_OUT: [(&str, &str); 3] = [
    ("tests/fuzz", "what it builds is there too"),
    ("tests/properties/corpus", "inputs, not words"),
    ("tests/tidy/words.rs", "it has the phrases themselves"),
];

/// A phrase to avoid, what may stay of it, and what to write instead. `a|b` is either word, `*` any one, and `..` up to
/// [`GAP`] of them.
struct Phrase(&'static str, &'static [&'static str], &'static str);

const GAP: usize = 8;

const PHRASES: [Phrase; 45] = [
    Phrase("somebody|nobody", &[], "the actor: a peer, a client, a plug-in, the administrator, no connection"),
    Phrase("whoever|whomever|whom", &[], "the actor: a client that, the peer to which"),
    Phrase("lack|lacks|lacked|lacking", &[], "is missing, is out of, has no"),
    Phrase("dear|dearer|dearest", &[], "expensive"),
    Phrase("gives", &["gives up|way|back", "gives it|them|itself|this|that up|back"], "returns"),
    Phrase(
        "is|are|was|were over",
        &[
            "is|are|was|were over a|an|any|both|its|the|their|this *",
            "is|are|was|were over tcp|udp|ip|ipv4|ipv6|tls|http|unix",
        ],
        "has ended, is closed, has expired",
    ),
    Phrase("gave", &["gave up|way|back", "gave it|them|itself|this|that up|back"], "returned"),
    Phrase("shall", &[], "must, is to, should"),
    Phrase("ought", &[], "must, should"),
    Phrase("so many|much", &["so many|much .. that"], "that many, a number of, up to"),
    Phrase("stand|stands|stood", &["stand|stands|stood for", "stand|stands|stood in for"], "is"),
    Phrase("be it", &["may|can|must|should|could|will|would be it"], "whether ... or"),
    Phrase("that of", &[], "the noun again"),
    Phrase("to be had", &[], "available"),
    Phrase(
        "is|are|was|were no *",
        &[
            "there is|are|was|were no *",
            "is|are|was|were no better|bigger|earlier|faster|fewer|greater|higher|larger|later|less|longer|lower|more|shorter",
            "is|are|was|were no slower|smaller|sooner|worse",
        ],
        "is not a",
    ),
    Phrase("is|are|was|were none", &["there is|are|was|were none"], "is not one"),
    Phrase("is|are|was|were|be|been told", &[], "is reported, is notified"),
    Phrase("at home", &[], "not held by a worker"),
    Phrase("stop|stops|stopped|stopping|leave|leaves|leaving|end|ends|ended in order", &[], "gracefully"),
    Phrase("newcomer|newcomers", &[], "new connections"),
    Phrase("take|takes|taking|took leave", &[], "closes"),
    Phrase("goodbye", &[], "close"),
    Phrase("want of", &[], "out of, without"),
    Phrase("way of a|every|each|the byte", &[], "the path of a byte, the hot path"),
    Phrase("how much came", &[], "the number of bytes received"),
    Phrase("so|as it is with", &[], "the same is true of"),
    Phrase("the lamp", &[], "readiness"),
    Phrase("as long|many|much|often as one|you likes|like", &[], "any time, any number"),
    Phrase("as you like", &[], "at your option"),
    Phrase("/// has", &[], "Makes, Lets"),
    Phrase("/// who", &[], "the actor: a client that"),
    Phrase("one's own", &[], "your own"),
    Phrase("nothing but", &[], "only"),
    Phrase("seldom|scarcely", &[], "rarely"),
    Phrase("in vain", &[], "without an answer, for ever"),
    Phrase("as good as", &[], "almost"),
    Phrase("afresh|anew", &[], "again"),
    Phrase("no sooner", &[], "as soon as"),
    Phrase("come|comes|came of", &[], "results from"),
    Phrase("become|becomes|became of", &[], "happens to"),
    Phrase("go|goes by", &[], "uses, follows"),
    Phrase("hang|hangs|hung up", &[], "closes"),
    Phrase("hold|holds|holding|held up", &["hold|holds|holding|held up to"], "delays, blocks"),
    Phrase("the books", &[], "the counters"),
    Phrase(
        "lest|whence|wherein|whereby|therein|thereof|hitherto|henceforth",
        &[],
        "so that not, from which, in which, so far",
    ),
];

/// Where a phrase is right: the file, a part of the line, and why.
const RIGHT: [(&str, &str, &str); 3] = [
    ("tests/museum/main.rs", "hang_up_closes_at_the_fin", "the name of an exhibit, which is a usual name of a close"),
    ("tests/surface/plugin.old.rs", "of one's own", "a file of an old commit"),
    ("tests/surface/plugin.rs", "of one's own", "the same file, adapted"),
];

/// Characters of the name of a test.
const NAME_LENGTH_MAX: usize = 70;

/// A word in small letters, or a sign, and the number of its line.
type Token = (usize, String);

/// The tokens of a text, without the signs of comments.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let doc = line.trim_start();
        let line = doc.trim_start_matches(['/', '!', '*', '#', '>']);
        if doc.starts_with("/// Has ") || doc.starts_with("/// Who ") {
            tokens.push((index + 1, "///".into()));
        }
        // The name of a test is a sentence.
        let spaced: String = line
            .split_inclusive(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .map(|part| if part.matches('_').count() > 2 { part.replace('_', " ") } else { part.into() })
            .collect();
        let mut word = String::new();
        for letter in spaced.chars().chain([' ']) {
            if letter.is_alphanumeric() || "_'".contains(letter) {
                word.extend(letter.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                tokens.push((index + 1, mem::take(&mut word)));
            }
            if letter != ' ' {
                tokens.push((index + 1, letter.into()));
            }
        }
    }
    tokens
}

/// The words of a phrase, those of what may stay of it, and what to write instead.
type Split = (Vec<&'static str>, Vec<Vec<&'static str>>, &'static str);

/// The phrases by each of their first words.
static BY_WORD: LazyLock<HashMap<&str, Vec<Split>>> = LazyLock::new(|| {
    let split = |pattern: &'static str| pattern.split(' ').collect::<Vec<_>>();
    let mut by_word: HashMap<_, Vec<Split>> = HashMap::new();
    for Phrase(pattern, right, instead) in PHRASES {
        for word in split(pattern)[0].split('|') {
            let right = right.iter().map(|right| split(right)).collect();
            by_word.entry(word).or_default().push((split(pattern), right, instead));
        }
    }
    by_word
});

/// The number of tokens, from the first one on, that the pattern matches.
fn matched(pattern: &[&str], tokens: &[Token]) -> Option<usize> {
    let [first, rest @ ..] = pattern else { return Some(0) };
    if *first == ".." {
        return (0..=GAP).find_map(|gap| Some(gap + matched(rest, tokens.get(gap..)?)?));
    }
    let (_, word) = tokens.first()?;
    let is_word = word.starts_with(char::is_alphanumeric);
    let fits = if *first == "*" { is_word } else { first.split('|').any(|either| either == word) };
    if fits { Some(1 + matched(rest, &tokens[1..])?) } else { None }
}

/// What is found of the phrases: its line, its words, and what to write instead.
fn found(text: &str) -> Vec<(usize, String, &'static str)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        for (pattern, right, instead) in BY_WORD.get(tokens[at].1.as_str()).into_iter().flatten() {
            let Some(length) = matched(pattern, &tokens[at..]) else { continue };
            // What is right begins with the phrase or one word before it.
            let is_right = |from: usize| {
                right.iter().any(|right| matched(right, &tokens[from..]).is_some_and(|end| from + end >= at + length))
            };
            if !is_right(at) && !is_right(at.saturating_sub(1)) {
                let words: Vec<_> = tokens[at..at + length].iter().map(|(_, word)| word.as_str()).collect();
                found.push((tokens[at].0, words.join(" "), *instead));
            }
        }
    }
    found
}

fn texts() -> Vec<PathBuf> {
    let mut files: Vec<_> = SCOPE
        .iter()
        .map(|part| root().join(part))
        .flat_map(|path| {
            if path.is_dir() { TEXTS.iter().flat_map(|end| files_below(&path, end)).collect() } else { vec![path] }
        })
        .collect();
    files.retain(|file| LEFT_OUT.iter().all(|(left_out, _)| !file.starts_with(root().join(left_out))));
    files
}

/// A page with blanks in place of transcripts, which have the words of other programs, of Python, and of the anchors of
/// old headings.
fn prose(page: &str) -> String {
    let is_other = |info: &str| info.contains("lab=") || info == "python";
    let transcripts = markdown::blocks(page).into_iter().filter(|block| is_other(&block.info));
    let anchors = page.match_indices("<a id=\"").map(|(at, _)| at..at + page[at..].find('>').unwrap());
    text::without(page, &transcripts.map(|block| block.range).chain(anchors).collect::<Vec<_>>())
}

fn relative(file: &Path) -> &str {
    file.strip_prefix(root()).unwrap().to_str().unwrap()
}

#[test]
fn the_words_are_plain() {
    let (mut problems, mut used) = (Vec::new(), BTreeSet::new());
    for file in texts() {
        let (path, mut text) = (relative(&file), fs::read_to_string(&file).unwrap());
        if path.starts_with("docs/") {
            text = prose(&text);
        }
        let lines: Vec<_> = text.lines().collect();
        for (line, found, instead) in found(&text) {
            match RIGHT.iter().position(|(at, part, _)| *at == path && lines[line - 1].contains(part)) {
                Some(index) => drop(used.insert(index)),
                None => problems.push(format!("{path}:{line}: \"{found}\" -> {instead}")),
            }
        }
    }
    let unused = RIGHT.iter().enumerate().filter(|(index, _)| !used.contains(index));
    problems.extend(unused.map(|(_, (path, part, _))| format!("{path} needs no exception any more: {part}")));
    assert!(problems.is_empty(), "{}\n{} places", problems.join("\n"), problems.len());
}

/// The names of the tests of a text that are too long.
fn long_names(text: &str) -> Vec<&str> {
    let name = |line: &str| line.trim_start().starts_with("#[test]");
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        is_test |= name(line);
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            names.push(rest.split('(').next().unwrap_or_default());
            is_test = false;
        }
    }
    names.retain(|name| name.len() > NAME_LENGTH_MAX);
    names
}

#[test]
fn the_names_of_tests_are_short() {
    let mut long = Vec::new();
    for file in texts().iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let text = fs::read_to_string(file).unwrap();
        long.extend(
            long_names(&text).into_iter().map(|name| format!("{}: {name}: {} characters", relative(file), name.len())),
        );
    }
    assert!(long.is_empty(), "{}\n{} names, {NAME_LENGTH_MAX} characters at most", long.join("\n"), long.len());
}

#[cfg(test)]
mod tests {
    use super::{found, long_names};

    fn told(text: &str) -> Vec<String> {
        found(text).into_iter().map(|(line, found, _)| format!("{line}: {found}")).collect()
    }

    #[test]
    fn a_phrase_is_found_in_prose_in_names_and_across_lines() {
        assert_eq!(told("x\n/// It Gives a byte."), ["2: gives"]);
        assert_eq!(told("fn a_slow_disk_delays_nobody_else() {}"), ["1: nobody"]);
        assert_eq!(told("// the deadline is\n    // over."), ["1: is over"]);
        assert_eq!(told("- A name is no\n  number."), ["1: is no number"]);
        assert_eq!(told("/// Has the loop\n/// has go on."), ["1: /// has"]);
    }

    #[test]
    fn what_is_right_is_left_alone() {
        for text in [
            "It gives up. It gives it up. It gives way.",
            "It is over the limit. The request was over UDP.",
            "There is no byte. It is no longer open. There are none.",
            "so many bytes that it stops; A stands for the first term",
            "a blackboard, dearth, shallow, lacquer",
            "if self.period_end.is_none_or(|end| has_ended(end)) { holds up to 4 }",
        ] {
            assert_eq!(told(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_name_of_a_test_has_a_length() {
        let text = |length| {
            format!("fn {0}() {{}}\n#[test]\n#[cfg(unix)]\nfn {1}() {{}}\n", "b".repeat(99), "a".repeat(length))
        };
        assert_eq!(long_names(&text(70)), [""; 0]);
        assert_eq!(long_names(&text(71)), ["a".repeat(71)]);
    }
}
