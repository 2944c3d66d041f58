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

/// Every lab of the book.
pub(crate) fn labs() -> Result<Vec<Lab>, String> {
    let mut labs = Vec::new();
    let entries = fs::read_dir(directory()).map_err(|error| error.to_string())?;
    for path in entries.map(|entry| entry.unwrap().path()) {
        let Some(chapter) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".md")) else { continue };
        let page = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        labs.append(&mut lab::labs(chapter, &page)?);
    }
    Ok(labs)
}

/// Writes what was seen into the page, unless it is what the page prints.
pub(crate) fn refresh(lab: &Lab, seen: &[Vec<String>]) -> Result<(), String> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = directory().join(format!("{}.md", lab.chapter));
    let page = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let renewed = refreshed(&page, lab, seen);
    if renewed != page {
        fs::write(&path, renewed).map_err(|error| error.to_string())?;
        println!("{} is written anew", lab.title());
    }
    Ok(())
}

/// The page with what was seen in the blocks of a lab. If only what may vary differs, nothing changes.
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
