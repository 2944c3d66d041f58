//! The pages of the book, and writing transcripts into them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::lab::{self, Lab};
use crate::markdown;

/// Labs run at the same time, and several may be on one page.
static WRITING: Mutex<()> = Mutex::new(());

pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The labs of each page, or its error. A page in a folder is named with it: `build/01-listen`.
pub(crate) fn labs() -> Vec<(String, Result<Vec<Lab>, String>)> {
    let folders = [directory(), directory().join("build")];
    let entries = folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let pages = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let chapter = path.strip_prefix(directory()).ok()?.to_str()?.strip_suffix(".md")?.to_owned();
        let page = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
        let labs = page.and_then(|page| lab::labs(&chapter, &page));
        Some((chapter, labs))
    });
    pages.collect()
}

/// Writes the seen lines into the page, unless the page prints them already.
pub(crate) fn refresh(lab: &Lab, seen: &[Vec<String>]) -> Result<(), String> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = directory().join(format!("{}.md", lab.chapter));
    let page = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let renewed = refreshed(&page, lab, seen);
    if renewed != page {
        fs::write(&path, renewed).map_err(|error| error.to_string())?;
        println!("{} is rewritten", lab.title());
    }
    Ok(())
}

/// The page with the seen lines in the blocks of a lab. If only varying parts differ, nothing changes.
pub(crate) fn refreshed(page: &str, lab: &Lab, seen: &[Vec<String>]) -> String {
    let agrees = |(step, seen): (&lab::Step, &Vec<String>)| lab.varies.agrees(&step.seen, seen);
    if lab.steps.iter().zip(seen).all(agrees) {
        return page.to_owned();
    }
    let renew = |(step, seen): (&lab::Step, &Vec<String>)| crate::difference::renewed(&lab.varies, &step.seen, seen);
    let renewed: Vec<_> = lab.steps.iter().zip(seen).map(renew).collect();
    let mut page = page.to_owned();
    let blocks = markdown::blocks(&page);
    let own = blocks.iter().filter(|block| lab::lab_name(&block.info) == Some(&*lab.name));
    let changes: Vec<_> = own.map(|block| block.range.clone()).zip(lab.bodies(&renewed)).collect();
    for (range, body) in changes.into_iter().rev() {
        page.replace_range(range, &body);
    }
    page
}
