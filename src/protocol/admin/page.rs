//! The live page: one HTML file without a network, which only looks. It asks `/listeners` and `/connections` each second.
//!
//! The policy of its answer permits one script and one style, by their hashes, and requests to this server. So text that a
//! peer has chosen cannot become a script, even if the page inserted it as markup.

use super::http::{HTML, OK, Response};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The content security policy, with the SHA-256 of the script and of the style (Content Security Policy Level 3, 2.3.1).
const POLICY: &str = "Content-Security-Policy: default-src 'none'; \
    script-src 'sha256-utBoV9Ee+5W5+Byjdt/J2n3GGU2jYGxNv0wf14kQgss='; \
    style-src 'sha256-t4/DIdwgPrAsK+KJp8l0/Xof6nNv62na9gVhbksgShs='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// Returns the page.
pub(super) fn response() -> Response {
    let page = PAGE.replacen("{{style}}", STYLE, 1).replacen("{{script}}", SCRIPT, 1);
    Response { headers: POLICY, ..Response::new(OK, HTML, page) }
}

#[cfg(test)]
mod tests;
