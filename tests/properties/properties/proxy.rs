//! Properties of the PROXY header.

use reactor::proxy::read;

/// However the bytes arrive, the outcome is the same, and it is certain as soon as it is known. A header that is read names the
/// same client when it is written again, in either version.
pub(crate) fn proxy(input: &[u8]) {
    let outcome = read(input);
    let known = (1..=input.len()).find(|end| read(&input[..*end]) != Ok(None));
    match known {
        None => assert!(input.is_empty() || outcome == Ok(None)),
        // What comes behind changes nothing.
        Some(end) => (end..=input.len()).for_each(|end| assert_eq!(read(&input[..end]), outcome, "{end}")),
    }
    if let Ok(Some((header, bytes))) = outcome {
        assert_eq!(known, Some(bytes), "a header is read when its last byte comes");
        for again in [header.version_1(), header.version_2()] {
            let read = read(&again).expect("a header").expect("a whole one");
            assert_eq!((read.0.source(), read.1), (header.source(), again.len()));
        }
    }
}
