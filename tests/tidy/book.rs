//! The book in plain English: short sentences, and headings by which a reader finds a subject.

use std::collections::BTreeSet;
use std::fs;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::prose::{Place, Sentence, sentences};
use crate::root;
use crate::source::files_below;

/// Words of a sentence. A piece of code is one word.
const WORDS_MAX: usize = 30;

/// Headings that chapters have in common, or that lead to no subject.
const STANDING: [&str; 10] = [
    "A solution",
    "Further",
    "Hints",
    "How to read a transcript",
    "The demands",
    "The idea",
    "The steps",
    "Try it",
    "What you have seen",
    "Your result",
];

/// Phrases that the book avoids, and what to write instead, besides those of `words.rs`.
const KIN: [(&str, &str); 8] = [
    ("those of", "the noun again"),
    ("mostly", "usually, most of the time"),
    ("everybody", "all clients"),
    ("but for", "except for"),
    ("the own", "its own"),
    ("ends for itself", "is closed separately"),
    ("between the chairs", "does not fit one layer"),
    ("next to no", "hardly any"),
];

/// Every page except the table of contents, which has only titles: its path below the package, and its text.
fn pages() -> Vec<(String, String)> {
    let files = files_below(&root().join("docs"), "md");
    let page = |file: &std::path::PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (path, fs::read_to_string(file).unwrap())
    };
    files.iter().filter(|file| !file.ends_with("SUMMARY.md")).map(page).collect()
}

/// The pages that SUMMARY.md lists between the page about the book and the cards.
fn chapters() -> BTreeSet<String> {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let (_, after) = summary.split_once("\n# First steps").unwrap();
    let (before, _) = after.split_once("\n# Cards").unwrap();
    let mut chapters = BTreeSet::new();
    for event in Parser::new(before) {
        if let Event::Start(Tag::Link { dest_url, .. }) = event {
            chapters.insert(format!("docs/{dest_url}"));
        }
    }
    chapters
}

/// The words of each term of the glossary: what is bold there, and what is in italics.
fn terms() -> Vec<Vec<String>> {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let mut terms = Vec::new();
    let mut is_term = false;
    for event in Parser::new_ext(&glossary, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Strong | Tag::Emphasis) => is_term = true,
            Event::End(TagEnd::Strong | TagEnd::Emphasis) => is_term = false,
            // `RST, reset` are two.
            Event::Text(text) if is_term => terms.extend(text.split(", ").map(words)),
            _ => {}
        }
    }
    terms
}

/// The words of a text in small letters, without signs.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Whether a word is a form of another one: a plural, or a form of the verb.
fn is_form(word: &str, of: &str) -> bool {
    let endings = ["", "s", "es", "ed", "d", "ing"];
    endings.iter().any(|ending| word.strip_suffix(ending) == Some(of))
        || of.strip_suffix('e').is_some_and(|stem| word.strip_suffix("ing") == Some(stem))
}

fn has_term(heading: &str, terms: &[Vec<String>]) -> bool {
    let heading = words(heading);
    let fits = |place: &[String], term: &[String]| place.iter().zip(term).all(|(word, of)| is_form(word, of));
    terms.iter().any(|term| heading.windows(term.len()).any(|place| fits(place, term)))
}

fn describe(path: &str, sentence: &Sentence, what: &str) -> String {
    format!("{path}:{}: {what}: {}", sentence.line, sentence.text())
}

fn report(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{}\n{} places: {rule}", problems.join("\n"), problems.len());
}

#[test]
fn every_heading_of_a_chapter_has_a_term_of_the_glossary() {
    let (chapters, terms) = (chapters(), terms());
    assert!(chapters.len() > 30 && terms.len() > 100, "{chapters:?}, {terms:?}");
    let mut problems = Vec::new();
    for (path, text) in pages().iter().filter(|(path, _)| chapters.contains(path)) {
        for sentence in sentences(text).iter().filter(|sentence| sentence.place == Place::Heading) {
            let heading = sentence.text();
            if !STANDING.contains(&heading.as_str()) && !has_term(&heading, &terms) {
                problems.push(describe(path, sentence, "no term of docs/glossary.md"));
            }
        }
    }
    report(&problems, "a heading names its subject by a term of the field");
}

#[test]
fn every_chapter_says_how_difficult_it_is_and_how_long_it_takes() {
    let mut problems = Vec::new();
    for (path, text) in pages().iter().filter(|(path, _)| chapters().contains(path)) {
        let head = sentences(text).into_iter().skip(1).take(2).map(|sentence| sentence.text()).collect::<Vec<_>>();
        let is_head = head[0].starts_with("Difficulty ")
            && head[0].ends_with(" of 3.")
            && [" minutes", " hours"].iter().any(|unit| head[1].contains(unit));
        if !is_head {
            problems.push(format!("{path}: {}", head.join(" ")));
        }
    }
    report(&problems, "below its title a chapter has `*Difficulty 2 of 3. 40 minutes with the labs.*`");
}

#[test]
fn no_sentence_of_the_book_is_long() {
    let mut problems = Vec::new();
    for (path, text) in pages() {
        for sentence in sentences(&text).iter().filter(|sentence| sentence.place != Place::Cell) {
            let length = sentence.length();
            if length > WORDS_MAX {
                problems.push(describe(&path, sentence, &format!("{length} words")));
            }
        }
    }
    report(&problems, "a sentence has 30 words at most");
}

/// Verbs that follow a subject which is itself a clause: `what does not fit` waits.
const MAIN_VERBS: [&str; 10] = ["is", "are", "was", "were", "waits", "stays", "goes", "comes", "remains", "ends"];
const JOINS: [&str; 12] = ["and", "but", "or", "so", "because", "since", "while", "when", "if", "that", "which", "as"];
const PRONOUNS: [&str; 6] = ["it", "they", "we", "you", "he", "each"];
const PREPOSITIONS: [&str; 10] = ["at", "by", "for", "from", "in", "like", "of", "on", "to", "with"];

/// Whether the clause that begins with these words is the subject of a verb, as in `what does not fit waits here`. In `what
/// each client waits for` it is not, nor in `what it is counted by` or `what is lost`.
fn has_main_verb(words: &[String]) -> bool {
    let is_last = |word: &String| word.ends_with([',', ';', ':', '.', ')']);
    let length = words.iter().position(is_last).map_or(words.len(), |last| last + 1);
    let clause: Vec<_> = words[..length].iter().map(|word| word.trim_end_matches([',', ';', ':', '.', ')'])).collect();
    let length = clause.iter().position(|word| JOINS.contains(word)).unwrap_or(length);
    // The verb of the subject comes before, and a word after.
    (2..length.saturating_sub(1)).any(|at| {
        let is_of_subject = at == 2 && PRONOUNS.contains(&clause[1]);
        let ends_relative = at + 2 == length && PREPOSITIONS.contains(&clause[at + 1]);
        MAIN_VERBS.contains(&clause[at]) && !is_of_subject && !ends_relative
    })
}

/// Where `who` or `what` begins a sentence or a clause, and asks nothing: it is the subject, and hides the actor.
fn free_subjects(sentence: &Sentence) -> Vec<&str> {
    let words = &sentence.words;
    let is_subject = |at: usize| {
        let word = words[at].trim_start_matches(['(', '"']);
        let Some(before) = at.checked_sub(1).map(|before| words[before].as_str()) else {
            return ["Who", "What"].contains(&word);
        };
        let is_clause = before.ends_with(';') || ["so", "because", "since", "but"].contains(&before);
        // Here a list of subjects may begin too: the calls, and what they cost.
        let may_be_clause = before.ends_with([':', ',']) || before == "and";
        ["who", "what"].contains(&word) && (is_clause || may_be_clause && has_main_verb(&words[at..]))
    };
    let asks = words.last().is_some_and(|last| last.contains('?'));
    (0..words.len()).filter(|at| !asks && is_subject(*at)).map(|at| words[at].as_str()).collect()
}

#[test]
fn who_and_what_are_subjects_of_questions_only() {
    let mut problems = Vec::new();
    for (path, text) in pages() {
        for sentence in sentences(&text).iter().filter(|sentence| sentence.place != Place::Heading) {
            for word in free_subjects(sentence) {
                problems.push(describe(&path, sentence, word));
            }
        }
    }
    report(&problems, "name the actor or the thing: a client that, the bytes that");
}

#[test]
fn the_book_has_no_idiom_of_another_language() {
    let mut problems = Vec::new();
    for (path, text) in pages() {
        for sentence in &sentences(&text) {
            let prose = sentence.words.iter().filter(|word| !word.contains('`')).cloned().collect::<Vec<_>>();
            let text = format!(" {} ", words(&prose.join(" ")).join(" "));
            for (phrase, instead) in KIN.iter().filter(|(phrase, _)| text.contains(&format!(" {phrase} "))) {
                problems.push(describe(&path, sentence, &format!("\"{phrase}\" -> {instead}")));
            }
        }
    }
    report(&problems, "the words are plain");
}

#[cfg(test)]
mod tests {
    use super::{free_subjects, has_term, words};
    use crate::prose::sentences;

    #[test]
    fn a_free_subject_is_found() {
        let found = |page: &str| sentences(page).iter().map(|found| free_subjects(found).join(" ")).collect::<Vec<_>>();
        assert_eq!(found("Who asks is answered. (What is lost\nis counted.)"), ["Who", "(What"]);
        assert_eq!(found("It is full, so what comes waits; who sends it waits too."), ["what who"]);
        assert_eq!(found("Who asks? It says what it did, and who asked."), ["", ""]);
        assert_eq!(found("It is full: what does not fit waits in a queue. The rest is here."), ["what", ""]);
        assert_eq!(found("If it is full, what comes is lost, and what a peer sends is counted."), ["what what"]);
        assert_eq!(
            found("It says what it costs, what each waits for, what it is counted by and what a call is."),
            [""]
        );
    }

    #[test]
    fn a_term_is_found_in_its_forms() {
        let terms = [words("Partial write"), words("Event loop"), words("FIN")];
        for heading in ["Partial writes", "Two event loops", "fin: the end", "`FIN`"] {
            assert!(has_term(heading, &terms), "{heading}");
        }
        for heading in ["Write partially", "The loop", "Fine"] {
            assert!(!has_term(heading, &terms), "{heading}");
        }
    }
}
