//! Compares the lines of a page with the lines of a run: the difference to show, and the lines to print instead.

use crate::dialects;
use crate::varies::{HOLE, Varies};

/// The result for a printed line, or for a seen one.
enum Change<'a> {
    /// Printed and seen.
    Same(&'a String, &'a String),
    /// A hole, and a line that it hides.
    Hidden,
    /// A line that is a hole.
    Hole(&'a String),
    Printed(&'a String),
    Seen(&'a String),
}

/// The most lines for which the two are compared line by line; beyond, everything counts as different.
const LINES_MAX: usize = 2000;

/// The changes that keep most of what is printed.
fn changes<'a>(varies: &Varies, printed: &'a [String], seen: &'a [String]) -> Vec<Change<'a>> {
    if printed.len().max(seen.len()) > LINES_MAX {
        return printed.iter().map(Change::Printed).chain(seen.iter().map(Change::Seen)).collect();
    }
    // The number of lines from here on that can be kept.
    let mut kept = vec![vec![0_usize; seen.len() + 1]; printed.len() + 1];
    for i in (0..printed.len()).rev() {
        for j in (0..=seen.len()).rev() {
            let is_hole = printed[i] == HOLE;
            let mut best = kept[i + 1][j] + usize::from(is_hole);
            if j < seen.len() {
                best = best.max(kept[i][j + 1]);
                if !is_hole && varies.same_line(&printed[i], &seen[j]) {
                    best = best.max(kept[i + 1][j + 1] + 2);
                }
            }
            kept[i][j] = best;
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut changes = Vec::new();
    while i < printed.len() || j < seen.len() {
        if i < printed.len() && printed[i] == HOLE {
            if j < seen.len() && kept[i][j + 1] == kept[i][j] {
                changes.push(Change::Hidden);
                j += 1;
            } else {
                changes.push(Change::Hole(&printed[i]));
                i += 1;
            }
        } else if i < printed.len()
            && j < seen.len()
            && kept[i][j] == kept[i + 1][j + 1] + 2
            && varies.same_line(&printed[i], &seen[j])
        {
            changes.push(Change::Same(&printed[i], &seen[j]));
            (i, j) = (i + 1, j + 1);
        } else if i < printed.len() && kept[i][j] == kept[i + 1][j] {
            changes.push(Change::Printed(&printed[i]));
            i += 1;
        } else {
            changes.push(Change::Seen(&seen[j]));
            j += 1;
        }
    }
    changes
}

/// The lines with `-` before those that only the page has and `+` before those that were only seen.
pub(crate) fn show(varies: &Varies, printed: &[String], seen: &[String]) -> String {
    let mut shown = String::new();
    for change in changes(varies, printed, seen) {
        let (mark, line) = match change {
            Change::Same(line, _) | Change::Hole(line) => (' ', line),
            Change::Printed(line) => ('-', line),
            Change::Seen(line) => ('+', line),
            Change::Hidden => continue,
        };
        shown.push_str(&format!("{mark} {line}\n"));
    }
    shown
}

/// The lines to print instead: those seen, with the holes that still fit.
pub(crate) fn renewed(varies: &Varies, printed: &[String], seen: &[String]) -> Vec<String> {
    let new = |change: Change<'_>| match change {
        Change::Same(printed, _) if printed.contains(HOLE) => Some(printed.clone()),
        Change::Same(_, seen) | Change::Seen(seen) => Some(dialects::translated(seen).into_owned()),
        Change::Hole(hole) => Some(hole.clone()),
        Change::Hidden | Change::Printed(_) => None,
    };
    changes(varies, printed, seen).into_iter().filter_map(new).collect()
}
