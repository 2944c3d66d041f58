//! The rules of docs/design.md are cited where they are kept: `Rule 2: …` in a comment.

use std::collections::{BTreeMap, BTreeSet};

use crate::design;
use crate::source::{Source, sources};

/// The numbers of the rules, as the section of that name lists them.
fn rules(page: &str) -> BTreeSet<u32> {
    let section = page.split("\n## The rules\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split_once(". **")?.0.parse().ok()).collect()
}

/// The numbers that comments cite, each with the places.
fn cited(sources: &[Source]) -> BTreeMap<u32, Vec<String>> {
    let mut cited: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            for (_, rest) in comment.match_indices("Rule ").map(|(at, rule)| comment.split_at(at + rule.len())) {
                let what = rest.split_once(": ");
                if let Some((number, _)) = what.and_then(|(number, what)| Some((number.parse().ok()?, what))) {
                    cited.entry(number).or_default().push(format!("{}:{}", source.path, index + 1));
                }
            }
        }
    }
    cited
}

fn problems(page: &str, sources: &[Source]) -> Vec<String> {
    let (rules, cited) = (rules(page), cited(sources));
    let uncited = rules.iter().filter(|rule| !cited.contains_key(rule));
    let unknown = cited.iter().filter(|(rule, _)| !rules.contains(rule));
    let mut problems: Vec<_> = uncited.map(|rule| format!("rule {rule} is cited nowhere in src")).collect();
    problems.extend(unknown.map(|(rule, places)| format!("there is no rule {rule}: {}", places.join(", "))));
    problems
}

#[test]
fn each_rule_is_cited_where_it_is_kept() {
    let rules = rules(&design());
    assert!(!rules.is_empty() && rules.iter().copied().eq(1..=rules.len() as u32), "{rules:?}");
    let problems = problems(&design(), sources());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::problems;
    use crate::source::Source;

    const PAGE: &str =
        "1. **No rule.**\n\n## The rules\n\n1. **One.**\n   2. more\n2. **Two.**\n\n## Others\n\n3. **No rule.**\n";

    #[test]
    fn an_uncited_rule_and_an_unknown_rule_are_reported() {
        let told = |text: &str| problems(PAGE, &[Source::new("src/x.rs", &["x"], text)]);
        assert_eq!(told("// Rule 1: this.\nf(); // Rule 2: that."), [""; 0]);
        let uncited = told("/// Rule 1: this.\n#[cfg(test)]\nmod tests {\n    // Rule 2: that.\n}\n");
        assert_eq!(uncited, ["rule 2 is cited nowhere in src"]);
        let unknown = told("// Rule 1: this.\n// Rule 2: that.\n\n//! Rule 3: else.\n");
        assert_eq!(unknown, ["there is no rule 3: src/x.rs:4"]);
    }
}
