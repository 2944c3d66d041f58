//! The book can be read in each of its themes, on a wide and on a narrow screen.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::chromium::open;
use crate::support::Scratch;

/// Pages for one start of the browser.
const AT_ONCE: usize = 8;

#[test]
fn every_page_of_the_book_fits_the_screen_and_its_text_has_contrast() {
    let directory = Scratch::new();
    let (book, look) = (directory.path().join("book"), directory.path().join("look.html"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let built = Command::new("mdbook").arg("build").arg(docs).arg("--dest-dir").arg(&book).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let entries = [book.clone(), book.join("build")].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut pages: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| is_page(path)).collect();
    pages.sort();
    assert!(pages.len() > 50, "{pages:?}");
    for pages in pages.chunks(AT_ONCE) {
        let addresses: Vec<_> = pages.iter().map(|page| format!("file://{}", page.display())).collect();
        let script = format!("const PAGES = {};\n{}", serde_json::json!(addresses), include_str!("book.js"));
        fs::write(&look, format!("<!doctype html><body><script>{script}</script></body>")).unwrap();
        let shown = open(&look, "");
        assert_eq!((&*shown.text("found"), &*shown.text("looked")), ("", &*pages.len().to_string()));
    }
}

/// Whether the reader sees it as a page: not the list of chapters alone, and not all pages in one for the printer.
fn is_page(path: &Path) -> bool {
    let is_html = path.extension().is_some_and(|extension| extension == "html");
    is_html && !path.ends_with("toc.html") && !path.ends_with("print.html")
}
