//! Did you mean?

/// Longer names are no slip of the pen, and comparing them costs time that grows with their length.
const NAME_BYTES_MAX: usize = 64;

/// The name among `known` that `name` most likely is a misspelling of: at most one slip in three letters (insertion,
/// deletion, exchange, or two letters swapped), upper and lower case aside.
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
    fn a_slip_of_the_pen_finds_the_name_and_nonsense_finds_none() {
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
