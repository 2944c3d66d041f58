//! The reading list of `src/lib.rs`: its first four steps are the path of a byte, and stay short and plain.

use crate::source::{Source, sources};

/// Steps 1 to 4: from a system call to a turn of the loop.
const STEPS: usize = 4;
/// Lines in them, without blank ones and tests.
const LINES_MAX: usize = 2400;
/// One protocol is enough as an example.
const LEFT_OUT: [&str; 1] = ["src/protocol/greeting.rs"];
/// Words that the path of a byte must not know. One line as a seam is allowed.
const ABSENT: [&str; 12] = [
    "admin",
    "batching",
    "layer",
    "opening",
    "proxy",
    "reload",
    "rustls",
    "systemd",
    "tls",
    "transport",
    "unix",
    "uring",
];
/// Files that have more to do with such a word, and why.
const SEAMS: [(&str, &str, &str); 6] = [
    ("layer", "src/connection.rs", "a connection takes over the one that its opening made"),
    ("opening", "src/connection.rs", "a connection begins with what its opening left"),
    ("opening", "src/reactor.rs", "it drives an opening as it drives a connection"),
    ("transport", "src/connection.rs", "what a connection is generic over"),
    ("transport", "src/connection/conversation.rs", "what a connection is generic over"),
    ("transport", "src/connection/line.rs", "the seam itself: all calls of a transport"),
];

/// The files that the first steps of a list name, as `name.rs` or as a link to a module.
fn listed(root: &str) -> Vec<String> {
    let list = root.split("//! # Reading the source\n").nth(1).unwrap_or_default();
    let list = list.split(&format!("//! {}. ", STEPS + 1)).next().unwrap_or_default();
    let list = list.split_once("//! 1. ").map_or("", |(_, list)| list);
    let parts: Vec<_> = list.split('`').collect();
    let quoted = parts.windows(2).step_by(2).filter_map(|pair| match pair {
        [before, name] if before.ends_with('[') => Some(*name),
        [_, name] => name.strip_suffix(".rs"),
        _ => None,
    });
    quoted.map(|name| format!("src/{name}.rs")).filter(|file| !LEFT_OUT.contains(&file.as_str())).collect()
}

fn reading_list() -> Vec<&'static Source> {
    let of = |path: &str| sources().iter().find(|source| source.path == path);
    let root = of("src/lib.rs").unwrap();
    let listed = listed(&root.text);
    listed.iter().map(|path| of(path).unwrap_or_else(|| panic!("src/lib.rs lists {path}"))).collect()
}

fn lines(source: &Source) -> usize {
    source.text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Lines with words that must be absent, except a single line.
fn strangers(source: &Source) -> Vec<String> {
    let is_word = |line: &str, word: &str| {
        line.split(|letter: char| !letter.is_alphanumeric()).any(|found| found.eq_ignore_ascii_case(word))
    };
    let mut strangers = Vec::new();
    for word in ABSENT {
        let lines = source.text.lines().enumerate().filter(|(_, line)| is_word(line, word)).skip(1);
        let mut lines = lines.map(|(index, line)| format!("{}:{}: {line}", source.path, index + 1)).peekable();
        if !SEAMS.iter().any(|(known, path, _)| *known == word && *path == source.path) {
            strangers.extend(lines);
        } else if lines.peek().is_none() {
            strangers.push(format!("{} needs no exception for {word} any more", source.path));
        }
    }
    let configured = source.code.lines().enumerate().filter(|(_, line)| line.contains("cfg(feature"));
    strangers.extend(configured.map(|(index, line)| format!("{}:{}: {line}", source.path, index + 1)));
    strangers
}

#[test]
fn the_reading_list_is_short() {
    let list = reading_list();
    let counts: Vec<_> = list.iter().map(|source| format!("{:5}  {}", lines(source), source.path)).collect();
    let sum: usize = list.iter().map(|source| lines(source)).sum();
    assert!(sum <= LINES_MAX, "{}\n{sum:5}  lines, {LINES_MAX} at most", counts.join("\n"));
    // The list is not short because it leaves out part of the path of a byte.
    let is_on_the_way = |source: &&Source| {
        let calls = [".on_bytes(", "attempt("].iter().any(|call| source.code.contains(call));
        matches!(source.room(), Some("attempt" | "reactor")) && source.module.len() == 1
            || source.room() == Some("connection") && (calls || source.module.len() == 1)
    };
    for part in sources().iter().filter(is_on_the_way) {
        assert!(list.iter().any(|source| source.path == part.path), "{} is not on the list", part.path);
    }
    println!("{}\n{sum:5}  lines", counts.join("\n"));
}

#[test]
fn the_reading_list_covers_the_hot_path_alone() {
    let list = reading_list();
    for (word, path, _) in SEAMS {
        assert!(list.iter().any(|source| source.path == path), "{path}, a seam for {word}, is not on the list");
    }
    let strangers: Vec<_> = list.into_iter().flat_map(strangers).collect();
    assert!(strangers.is_empty(), "{}", strangers.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::{lines, listed, strangers};
    use crate::source::Source;

    #[test]
    fn the_first_steps_name_their_files() {
        let root = "//! # Reading the source\n//!\n//! One `x.rs`:\n//!\n//! 1. `a.rs`: `a`. `b/c.rs`: b.\n//! 2. [`d`]: or\n\
                    //!    `protocol/greeting.rs`.\n//! 3. `e.rs`\n//! 4. `f.rs`\n//! 5. `g.rs`\n";
        assert_eq!(listed(root), ["src/a.rs", "src/b/c.rs", "src/d.rs", "src/e.rs", "src/f.rs"]);
    }

    #[test]
    fn a_seam_is_one_line_and_no_line_depends_on_a_feature() {
        let told = |text: &str| strangers(&Source::new("src/x.rs", &["x"], text));
        assert_eq!(told("let tls = 1;\nunixtime(administrator);\n"), [""; 0]);
        assert_eq!(told("let tls = 1;\n\nlet b = Tls::new();\n"), ["src/x.rs:3: let b = Tls::new();"]);
        assert_eq!(told("struct Layer;\nf(layer);\n"), ["src/x.rs:2: f(layer);"]);
        let of_a_seam = |text: &str| strangers(&Source::new("src/connection.rs", &["connection"], text));
        let two = "layer(opening, transport);\n".repeat(2);
        assert_eq!(of_a_seam(&two), [""; 0]);
        assert_eq!(of_a_seam(&two.replace("layer", "f")), ["src/connection.rs needs no exception for layer any more"]);
        assert_eq!(told("#[cfg(feature = \"x\")]\nf();"), ["src/x.rs:1: #[cfg(feature =    )]"]);
    }

    #[test]
    fn blank_lines_and_tests_are_not_counted() {
        let text = "// a\n\nuse x::y;\npub use y::{\n    z,\n};\nb();\n#[cfg(test)]\nmod tests {\n    c();\n}\n";
        assert_eq!(lines(&Source::new("src/x.rs", &["x"], text)), 6);
    }
}
