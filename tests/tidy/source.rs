//! The sources, found as the compiler finds them: by the declarations of modules, from `src/lib.rs` on.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::paths::{Token, tokens};
use crate::{root, text};

/// A file of the library, without the parts that only tests see.
pub(crate) struct Source {
    /// Relative to the package: `src/kernel/mio.rs`.
    pub(crate) path: String,
    /// `kernel`, `mio`; nothing for `src/lib.rs`.
    pub(crate) module: Vec<String>,
    /// With blanks in place of tests.
    pub(crate) text: String,
    /// The text with blanks in place of comments and literals too.
    pub(crate) code: String,
    /// Where its tests were.
    tests: Vec<Range<usize>>,
    /// The modules that it declares in files of their own, with whether only tests see them.
    declares: Vec<(Vec<String>, bool)>,
}

impl Source {
    pub(crate) fn new(path: &str, module: &[&str], text: &str) -> Self {
        let code = text::code(text);
        let tests = text::tests(&code);
        let is_test = |at| tests.iter().any(|range| range.contains(&at));
        Self {
            declares: declared(&code).into_iter().map(|(path, at)| (path, is_test(at))).collect(),
            path: path.to_owned(),
            module: module.iter().map(|name| (*name).to_owned()).collect(),
            text: text::without(text, &tests),
            code: text::without(&code, &tests),
            tests,
        }
    }

    /// Lines without those of tests.
    pub(crate) fn lines(&self) -> usize {
        let of_tests: usize = self.tests.iter().map(|range| self.text[range.clone()].lines().count()).sum();
        self.text.lines().count() - of_tests
    }

    /// The line of a place, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    /// `kernel` for `src/kernel.rs` and all below it; none for `src/lib.rs`.
    pub(crate) fn room(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

/// Every file of the library except those that only tests see.
pub(crate) fn sources() -> &'static [Source] {
    &LIBRARY.sources
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut library = Library::default();
    library.follow(&root().join("src/lib.rs"), &[], false);
    library
});

#[derive(Default)]
struct Library {
    sources: Vec<Source>,
    /// All files, including those that only tests see.
    files: BTreeSet<PathBuf>,
}

impl Library {
    fn follow(&mut self, file: &Path, module: &[&str], for_tests: bool) {
        let whole = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.files.insert(file.to_owned());
        let source = Source::new(file.strip_prefix(root()).unwrap().to_str().unwrap(), module, &whole);
        for (path, is_test) in &source.declares {
            let below: Vec<_> = module.iter().copied().chain(path.iter().map(String::as_str)).collect();
            self.follow(&file_of(file, path), &below, for_tests || *is_test);
        }
        if !for_tests {
            self.sources.push(source);
        }
    }
}

/// The modules that have a file of their own, with those around them in this file, and where they are declared.
fn declared(code: &str) -> Vec<(Vec<String>, usize)> {
    let tokens = tokens(code);
    let mut around: Vec<Option<&str>> = Vec::new();
    let mut found = Vec::new();
    for (index, (at, token)) in tokens.iter().enumerate() {
        match (token, tokens[..index].last().map(|before| before.1), tokens.get(index + 1).map(|next| next.1)) {
            (Token::Word(name), Some(Token::Word("mod")), Some(Token::Other(b';'))) => {
                let path = around.iter().flatten().copied().chain([*name]);
                found.push((path.map(str::to_owned).collect(), *at));
            }
            (Token::Other(b'{'), Some(Token::Word(name)), _)
                if index >= 2 && tokens[index - 2].1 == Token::Word("mod") =>
            {
                around.push(Some(name));
            }
            (Token::Other(b'{'), ..) => around.push(None),
            (Token::Other(b'}'), ..) => drop(around.pop()),
            _ => {}
        }
    }
    found
}

/// The file of a module that `file` declares.
fn file_of(file: &Path, path: &[String]) -> PathBuf {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let directory = file.parent().unwrap();
    let below = if ["lib", "mod"].contains(&stem) { directory.to_owned() } else { directory.join(stem) };
    let module = path.iter().fold(below, |below, name| below.join(name));
    let flat = module.with_extension("rs");
    if flat.exists() { flat } else { module.join("mod.rs") }
}

/// The files below `directory` with this extension.
pub(crate) fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_file_of_the_library_is_a_module() {
    let program = root().join("src/main.rs");
    let is_lost = |file: &PathBuf| !LIBRARY.files.contains(file) && *file != program;
    let lost: Vec<_> = files_below(&root().join("src"), "rs").into_iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "no module is declared for {lost:?}");
}
