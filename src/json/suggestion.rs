//! Suggestions for misspelt names: did you mean?

/// Longer names are not compared: they are hardly misspellings, and the time grows with the length.
const NAME_BYTES_MAX: usize = 64;

/// Returns the name among `known` of which `name` is most likely a misspelling: with at most one mistake in three letters (an
/// insertion, deletion or substitution, or two letters swapped), ignoring case.
pub(crate) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let name = name.to_lowercase();
    let slips_max = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), candidate))
        .filter(|(slips, candidate)| *slips <= slips_max && *slips < candidate.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_the_name_and_nonsense_finds_none() {
        let known = ["idle_timeout", "linger_timeout", "lifetime", "sum"];
        for (written, meant) in [
            ("idel_timeout", Some("idle_timeout")),
            ("idleTimeout", Some("idle_timeout")),
            ("Lifetime", Some("lifetime")),
            ("smu", Some("sum")),
            ("colour", None),
            ("", None),
            (&"x".repeat(1_000_000), None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written:.20}");
        }
    }
}
