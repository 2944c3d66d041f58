//! How a piece of the museum differs from the right server: what `diff` would print, without comments.

use crate::{code, links, markdown, pages};

/// Equal lines that are printed around a change.
const CONTEXT: usize = 2;

/// For the lines that are left out.
const GAP: &str = "…";

/// The difference between two items, which `code` compares with the block.
pub(crate) fn between(places: &str) -> Result<String, String> {
    let (right, wrong) = places.split_once(' ').ok_or("it takes two places")?;
    Ok(shown(&without_comments(&code::find(right)?), &without_comments(&code::find(wrong)?)))
}

fn without_comments(code: &str) -> Vec<String> {
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

/// The lines of both with their marks, as `diff` prints them.
fn marked(right: &[String], wrong: &[String]) -> Vec<(char, String)> {
    // The number of lines from here on that are in both.
    let mut common = vec![vec![0_usize; wrong.len() + 1]; right.len() + 1];
    for i in (0..right.len()).rev() {
        for j in (0..wrong.len()).rev() {
            common[i][j] =
                if right[i] == wrong[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < right.len() || j < wrong.len() {
        if i < right.len() && j < wrong.len() && right[i] == wrong[j] {
            lines.push((' ', right[i].clone()));
            (i, j) = (i + 1, j + 1);
        } else if j == wrong.len() || (i < right.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', right[i].clone()));
            i += 1;
        } else {
            lines.push(('+', wrong[j].clone()));
            j += 1;
        }
    }
    lines
}

fn shown(right: &[String], wrong: &[String]) -> String {
    let lines = marked(right, wrong);
    let changed: Vec<_> = (0..lines.len()).filter(|index| lines[*index].0 != ' ').collect();
    let is_near = |index: usize| changed.iter().any(|change| change.abs_diff(index) <= CONTEXT);
    let mut shown = String::new();
    let mut is_left_out = false;
    for (index, (mark, line)) in lines.iter().enumerate() {
        if is_near(index) {
            shown.push_str(format!("{mark} {line}").trim_end());
            shown.push('\n');
        } else if !is_left_out && !shown.is_empty() {
            shown.push_str(&format!("  {GAP}\n"));
        }
        is_left_out = !is_near(index);
    }
    shown.strip_suffix(&format!("  {GAP}\n")).map_or_else(|| shown.clone(), str::to_owned)
}

#[test]
fn every_piece_of_the_museum_is_printed_or_its_difference_is() {
    let museum = pages().into_iter().find(|page| page.name == "museum.md").unwrap();
    let places = markdown::blocks(&museum.text).into_iter().flat_map(|block| block.comments);
    let places: Vec<_> = places.filter(|(keyword, _)| keyword == "code" || keyword == "difference").collect();
    let rows = museum.text.lines().filter_map(|line| line.split(" | [`").nth(1)?.split("`](").next());
    let pieces: Vec<_> = rows.map(|piece| format!("examples/tools/broken/{}.rs:", piece.replace('-', "_"))).collect();
    assert!(pieces.len() > 20, "{pieces:?}");
    let missing: Vec<_> =
        pieces.iter().filter(|piece| !places.iter().any(|(_, place)| place.contains(*piece))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_step_links_the_pieces_that_the_museum_names_for_it() {
    let pages = pages();
    let text = |name: &str| &pages.iter().find(|page| page.name == name).unwrap().text;
    let rows = text("museum.md").lines().filter(|line| line.starts_with("| [") && line.contains("](build/"));
    let mut steps = 0;
    for row in rows {
        let named = links::of(row);
        let (step, pieces) = named.split_first().unwrap();
        let (_, after) = text(step).split_once("\nSee it fail: ").unwrap();
        let linked = links::of(after.split_once("\n\n").unwrap().0);
        assert_eq!(linked, pieces.iter().map(|piece| format!("../museum.md{piece}")).collect::<Vec<_>>(), "{step}");
        steps += 1;
    }
    assert_eq!(steps, 11, "every step but the first");
}

#[cfg(test)]
mod tests {
    use super::{shown, without_comments};

    #[test]
    fn a_change_is_shown_with_the_lines_around_it() {
        let right = without_comments("/// Comment.\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
        let wrong = without_comments("a\nb\n// Why.\nc\nD\ne\nf\ng\nh\ni\nnew\nj\n");
        assert_eq!(shown(&right, &wrong), "  b\n  c\n- d\n+ D\n  e\n  f\n  …\n  h\n  i\n+ new\n  j\n");
        assert_eq!(shown(&right, &right), "");
    }
}
