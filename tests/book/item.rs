//! Items of Rust by their names, found by the layout of rustfmt.

/// An item with its comments and attributes, moved to the left margin: `flush`, `Outbox::advance`, `impl Outbox`.
pub(crate) fn find(source: &str, name: &str) -> Result<String, String> {
    let lines: Vec<_> = source.lines().collect();
    let (within, name) = match name.split_once("::") {
        Some((owner, name)) => (owner, name),
        None => ("", name),
    };
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !is_item(line, name) || (!within.is_empty() && !is_of(&lines[..index], within)) {
            continue;
        }
        found.push(index);
    }
    match found[..] {
        [] => Err("no such item".to_owned()),
        [start] => Ok(extract(&lines, start)),
        _ => Err(format!("there are {}; name one as TYPE::{name}", found.len())),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Whether an item of this name begins here.
fn is_item(line: &str, name: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(header) = rest.strip_suffix(" {").filter(|_| name.starts_with("impl ")) {
        return header == name;
    }
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.strip_prefix(' ').or_else(|| Some(public.split_once(") ")?.1)).unwrap_or(rest);
    }
    for qualifier in ["const ", "async ", "unsafe "] {
        if let Some(after) = rest.strip_prefix(qualifier).filter(|after| after.starts_with("fn ")) {
            rest = after;
        }
    }
    let keywords = ["fn ", "struct ", "enum ", "trait ", "const ", "static ", "type ", "mod ", "macro_rules! "];
    let named = keywords.iter().find_map(|keyword| rest.strip_prefix(keyword));
    named.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| !rest.starts_with(is_word))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether the lines before one open an `impl` or a `trait` of this name around it.
fn is_of(before: &[&str], owner: &str) -> bool {
    let opener = before.iter().rfind(|line| indent(line) == 0 && line.ends_with('{'));
    opener.is_some_and(|line| line.split(|letter| !is_word(letter)).any(|word| word == owner))
}

fn extract(lines: &[&str], start: usize) -> String {
    let margin = indent(lines[start]);
    let is_part = |line: &&&str| {
        let text = line.trim_start();
        indent(line) == margin && (text.starts_with("///") || text.starts_with("#["))
    };
    let first = start - lines[..start].iter().rev().take_while(is_part).count();
    let ends = |line: &&str| indent(line) == margin && (line.ends_with('}') || line.ends_with(';'));
    let last = start + lines[start..].iter().position(ends).unwrap_or(0);
    let moved = |line: &&str| format!("{}\n", line.get(margin..).unwrap_or(""));
    lines[first..=last].iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::find;

    const SOURCE: &str = "\
//! A module.

const LENGTH: usize = 3;

/// A box.
#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
}

impl Outbox {
    /// Moves on.
    pub(crate) fn advance(
        &mut self,
    ) {
        if true {
        }
    }

    fn advance_by(&self) {}
}

impl Other for Inbox {
    const fn advance(&self) {}
}
";

    #[test]
    fn an_item_comes_with_its_comments_and_without_its_margin() {
        assert_eq!(find(SOURCE, "LENGTH").unwrap(), "const LENGTH: usize = 3;\n");
        assert_eq!(
            find(SOURCE, "Outbox").unwrap(),
            "/// A box.\n#[derive(Debug)]\npub(crate) struct Outbox {\n    bytes: Vec<u8>,\n}\n"
        );
        assert_eq!(
            find(SOURCE, "Outbox::advance").unwrap(),
            "/// Moves on.\npub(crate) fn advance(\n    &mut self,\n) {\n    if true {\n    }\n}\n"
        );
        assert_eq!(find(SOURCE, "advance_by").unwrap(), "fn advance_by(&self) {}\n");
        assert_eq!(find(SOURCE, "Inbox::advance").unwrap(), "const fn advance(&self) {}\n");
        assert_eq!(
            find(SOURCE, "impl Other for Inbox").unwrap(),
            "impl Other for Inbox {\n    const fn advance(&self) {}\n}\n"
        );
    }

    #[test]
    fn a_name_that_is_not_there_or_not_alone_is_refused() {
        assert!(find(SOURCE, "bytes").is_err());
        assert!(find(SOURCE, "advance").unwrap_err().contains("there are 2"));
    }
}
