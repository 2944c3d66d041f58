//! Ladders in the book are drawn from its transcripts: above a picture is `<!-- ladder: LAB 1-3 -->`, which names the segments
//! of a lab on the same page. `windows` behind them prints the windows too.

use std::collections::BTreeSet;
use std::fs;

use crate::capture::{self, Item, Segment};
use crate::picture::{self, Choice};
use crate::{markdown, pages, root};

/// The segments that a lab of a page prints in the terminal of the capture.
fn segments(page: &str, lab: &str) -> Vec<Item> {
    let info = format!("console lab={lab}");
    let blocks = markdown::blocks(page);
    let mut lines = Vec::new();
    for block in blocks.iter().filter(|block| block.info == info) {
        let mut terminal = "1";
        for line in block.body.lines() {
            if let Some(number) = line.strip_prefix("# terminal ") {
                terminal = number.split(',').next().unwrap_or_default();
            }
            lines.push((terminal, line));
        }
    }
    let capturing = lines.iter().find(|(_, line)| Segment::parse(line).is_some()).map(|(terminal, _)| *terminal);
    capture::items(lines.iter().filter(|(terminal, _)| Some(*terminal) == capturing).map(|(_, line)| *line))
}

/// The ladders of a page: the file of each picture, and what must be in it.
fn ladders(page: &str) -> Vec<(String, Result<String, String>)> {
    let mut ladders = Vec::new();
    let code: Vec<_> = markdown::blocks(page).into_iter().map(|block| block.range).collect();
    let start = |line: &str| line.as_ptr() as usize - page.as_ptr() as usize;
    let lines: Vec<_> = page.lines().filter(|line| !code.iter().any(|code| code.contains(&start(line)))).collect();
    for pair in lines.windows(2) {
        let Some(rest) = pair[0].strip_prefix("<!-- ladder: ") else { continue };
        let file = pair[1].rsplit_once("](").and_then(|(_, file)| file.strip_suffix(')')).unwrap_or_default();
        let draw = || {
            let (lab, choice) = rest.strip_suffix(" -->")?.split_once(' ')?;
            picture::draw(&segments(page, lab), &Choice::parse(choice)?)
        };
        ladders.push((file.to_owned(), draw().ok_or_else(|| format!("no such segments: {rest}"))));
    }
    ladders
}

#[test]
fn a_ladder_is_what_its_lab_prints() {
    let refresh = std::env::var_os("LABS_REFRESH").is_some_and(|set| !set.is_empty());
    let mut drawn = BTreeSet::new();
    let mut problems = Vec::new();
    for page in pages() {
        for (file, picture) in ladders(&page.text) {
            let path = root().join("docs").join(&file);
            match picture {
                Err(problem) => problems.push(format!("docs/{}: {problem}", page.name)),
                Ok(picture) if fs::read_to_string(&path).is_ok_and(|old| old == picture) => {}
                Ok(picture) if refresh => fs::write(&path, picture).unwrap(),
                Ok(_) => {
                    problems.push(format!("docs/{}: {file} is older than its lab: LABS_REFRESH=1 draws it", page.name))
                }
            }
            drawn.insert(path);
        }
    }
    let entries = fs::read_dir(root().join("docs/images")).unwrap().map(|entry| entry.unwrap().path());
    let ladders = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("ladder-"));
    problems
        .extend(ladders.filter(|path| !drawn.contains(path)).map(|path| format!("{} is on no page", path.display())));
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(drawn.len() > 3, "{drawn:?}");
}

#[cfg(test)]
mod tests {
    use super::{ladders, segments};

    const PAGE: &str = "\
```console lab=one
# terminal 2, words
…
IP a.1 > b.2: Flags [S], seq 9, win 9, length 0

# terminal 1
…
```

Prose.

```console lab=one
# terminal 2
IP b.2 > a.1: Flags [S.], seq 5, ack 10, win 9, length 0
…
IP a.1 > b.2: Flags [.], ack 1, win 9, length 0
```

<!-- ladder: one 1-2 -->
![A ladder](images/ladder-one.svg)

<!-- ladder: one 4- -->
![A ladder](images/ladder-none.svg)

```text
<!-- ladder: one 1- -->
![In an example](images/ladder-example.svg)
```
";

    #[test]
    fn the_segments_of_a_lab_come_from_all_its_blocks() {
        let items = segments(PAGE, "one");
        assert_eq!(items.len(), 4, "three segments, and a hole in the terminal of the capture: {items:?}");
        assert!(segments(PAGE, "two").is_empty());
    }

    #[test]
    fn a_ladder_names_its_picture_and_its_segments() {
        let ladders = ladders(PAGE);
        let [(one, Ok(picture)), (none, Err(problem))] = &ladders[..] else { panic!("{ladders:?}") };
        assert_eq!((one.as_str(), none.as_str()), ("images/ladder-one.svg", "images/ladder-none.svg"));
        assert!(picture.contains("SYN+ACK, seq 5, ack 10") && problem.contains("one 4-"), "{picture} {problem}");
    }
}
