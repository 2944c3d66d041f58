//! Sizes: a file and a function must be short enough to read in one go.

use crate::paths::{Token, tokens};
use crate::source::{Source, sources};

/// Lines of a file, without its tests.
const FILE_LINES_MAX: usize = 480;
/// Lines of a function, from its name to its end.
const FUNCTION_LINES_MAX: usize = 70;
/// Files that are longer, and may not grow.
const LONGER_FILES: [(&str, usize); 0] = [];
/// Functions that may be longer, and why.
const LONGER_FUNCTIONS: [(&str, &str, &str); 1] =
    [("src/protocol/sum/scanner.rs", "step", "a table: what JSON says may follow on what")];

fn problems(sources: &[Source], longer: &[(&str, usize)]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources {
        let lines = source.lines();
        let exception = longer.iter().find(|(path, _)| *path == source.path);
        let most = exception.map_or(FILE_LINES_MAX, |(_, most)| *most);
        if lines > most {
            problems.push(format!("{}: {lines} lines, {most} at most", source.path));
        } else if exception.is_some() && lines <= FILE_LINES_MAX {
            problems.push(format!("{} does not need its exception any more", source.path));
        }
        for (name, lines, at) in functions(&source.code) {
            let may_be_longer =
                LONGER_FUNCTIONS.iter().any(|(path, longer, _)| *path == source.path && *longer == name);
            if lines > FUNCTION_LINES_MAX && !may_be_longer {
                let line = source.line(at);
                problems
                    .push(format!("{}:{line}: fn {name}: {lines} lines, {FUNCTION_LINES_MAX} at most", source.path));
            }
        }
    }
    let is_gone = |path: &str| sources.iter().all(|source| source.path != path);
    problems.extend(longer.iter().filter(|(path, _)| is_gone(path)).map(|(path, _)| format!("there is no {path}")));
    problems
}

/// Every function that has a body: its name, its lines, and where it begins.
fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let tokens = tokens(code);
    let starts = tokens.windows(2).enumerate().filter_map(|(index, pair)| match pair {
        [(at, Token::Word("fn")), (_, Token::Word(name))] => Some((index, *at, *name)),
        _ => None,
    });
    let ends = |index: usize| {
        let mut depth = 0;
        for (at, token) in &tokens[index..] {
            match token {
                Token::Other(b'(' | b'[' | b'{') => depth += 1,
                Token::Other(b')' | b']') => depth -= 1,
                Token::Other(b'}') if depth == 1 => return Some(*at),
                Token::Other(b'}') => depth -= 1,
                Token::Other(b';') if depth == 0 => return None,
                _ => {}
            }
        }
        None
    };
    starts
        .filter_map(|(index, at, name)| {
            let end = ends(index)?;
            Some((name, code[at..=end].lines().count(), at))
        })
        .collect()
}

#[test]
fn files_and_functions_are_short() {
    let problems = problems(sources(), &LONGER_FILES);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::{FILE_LINES_MAX, FUNCTION_LINES_MAX, functions, problems};
    use crate::source::Source;

    #[test]
    fn too_long_files_and_functions_are_reported_without_their_tests() {
        let told = |text: &str, longer: &[(&str, usize)]| problems(&[Source::new("src/x.rs", &["x"], text)], longer);
        let full = "\n".repeat(FILE_LINES_MAX);
        assert_eq!(told(&full, &[]), [""; 0]);
        assert_eq!(told(&format!("{full}#[cfg(test)]\nmod tests {{\n\n\n}}\n"), &[]), [""; 0]);
        assert_eq!(told(&format!("{full}\n"), &[]), ["src/x.rs: 481 lines, 480 at most"]);
        assert_eq!(told(&full, &[("src/x.rs", 500)]), ["src/x.rs does not need its exception any more"]);
        assert_eq!(told(&full, &[("src/y.rs", 500)]), ["there is no src/y.rs"]);
        let body = "\n".repeat(FUNCTION_LINES_MAX - 1);
        assert_eq!(told(&format!("\nfn f() {{{body}}}\n"), &[]), [""; 0]);
        assert_eq!(told(&format!("\nfn f() {{{body}\n}}\n"), &[]), ["src/x.rs:2: fn f: 71 lines, 70 at most"]);
    }

    #[test]
    fn a_function_ends_where_its_block_does() {
        let code = "trait A { fn a(&self) -> [u8; 2]; }\nfn b(c: fn(u8) -> u8) -> [u8; 2] {\n  if d { e }\n  f\n}\nfn g() {}\n";
        let found: Vec<_> = functions(code).into_iter().map(|(name, lines, _)| (name, lines)).collect();
        assert_eq!(found, [("b", 4), ("g", 1)]);
    }
}
