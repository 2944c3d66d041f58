//! Links as a code host follows them: from page to page.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{pages, root};

/// The targets of the links and images of a page.
pub(crate) fn of(page: &str) -> Vec<String> {
    let destination = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    };
    Parser::new_ext(page, Options::ENABLE_TABLES).filter_map(destination).collect()
}

/// The anchors of a code host and of mdBook for the headings of a page: the words in lower case with hyphens between
/// them, and a number behind repeated ones. A renamed heading keeps its old anchor above it: `<a id="old-words"></a>`.
pub(crate) fn anchors(page: &str) -> BTreeSet<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(page, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::InlineHtml(html) | Event::Html(html) => {
                let ids = html.split("<a id=\"").skip(1).filter_map(|id| id.split_once('"'));
                anchors.extend(ids.map(|(id, _)| id.to_owned()));
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default();
                let kept = text.to_lowercase().replace(' ', "-");
                let anchor: String =
                    kept.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect();
                let count = counts.entry(anchor.clone()).or_default();
                anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
                *count += 1;
            }
            _ => {}
        }
    }
    anchors
}

/// The file in `docs/` to which a link of a page leads.
pub(crate) fn from(page: &str, link: &str) -> String {
    match page.rsplit_once('/') {
        Some((folder, _)) => link.strip_prefix("../").map_or_else(|| format!("{folder}/{link}"), str::to_owned),
        None => link.to_owned(),
    }
}

#[test]
fn every_page_that_the_checker_names_is_there() {
    let pages = pages();
    let tool = root().join("examples/tools/check");
    let texts = ["cause.rs", "steps.rs"].map(|file| std::fs::read_to_string(tool.join(file)).unwrap());
    let quoted = texts.iter().flat_map(|text| text.split('"')).filter_map(|text| text.strip_prefix("docs/"));
    let named: Vec<_> = quoted.map(|link| link.split_once('#').unwrap_or((link, ""))).collect();
    assert!(named.len() > 40, "{named:?}");
    let is_there = |&&(file, anchor): &&(&str, &str)| {
        let page = pages.iter().find(|page| page.name == file);
        page.is_some_and(|page| anchor.is_empty() || anchors(&page.text).contains(anchor))
    };
    let missing: Vec<_> = named.iter().filter(|link| !is_there(link)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_link_leads_to_a_page_an_anchor_or_the_web() {
    let pages = pages();
    let anchors: BTreeMap<_, _> = pages.iter().map(|page| (page.name.as_str(), anchors(&page.text))).collect();
    let mut broken = Vec::new();
    for page in &pages {
        for link in of(&page.text) {
            // The map leads to the documentation of the crate, which only the built book has beside it.
            if link.starts_with("https://") || (page.name == "map.md" && link.starts_with("../reactor/")) {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let file = if file.is_empty() { page.name.clone() } else { from(&page.name, file) };
            // Files outside docs/ are not part of the book that mdBook builds.
            let exists = !file.starts_with("..") && root().join("docs").join(&file).is_file();
            let anchored = anchor.is_empty() || anchors.get(&*file).is_some_and(|anchors| anchors.contains(anchor));
            if !exists || !anchored {
                broken.push(format!("docs/{}: {link}", page.name));
            }
        }
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let local = of(&readme).into_iter().filter(|link| !link.starts_with("https://"));
    broken.extend(local.filter(|link| !root().join(link).is_file()).map(|link| format!("README.md: {link}")));
    assert!(broken.is_empty(), "{broken:#?}");
}
