//! The live page: one HTML file without a network, which only looks. It asks `/listeners` and `/connections` each second.
//!
//! The policy of its answer permits one script and one style, by their hashes, and requests to this server. So text that a
//! peer has chosen cannot become a script, even if the page inserted it as markup. A recording is shown in a frame, whose page
//! has a policy of its own ([`RECORDING_POLICY`]) and cannot reach the page around it.

use super::http::{HTML, OK, Response};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The content security policy, with the SHA-256 of the script and of the style (Content Security Policy Level 3, 2.3.1).
const POLICY: &str = "Content-Security-Policy: default-src 'none'; \
    script-src 'sha256-7FHAg0Q6kD/hF8lBLzlDSM279eLfKrGZ8U2/w9FlwFo='; \
    style-src 'sha256-uMIuP4YtgEerFChHhYkTUH9mP5JScabgGtvI04pOq6g='; \
    connect-src 'self'; frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// The policy of a recording, in addition to the one of its page, which forbids the network: it has no origin, and a frame of
/// this server alone may show it.
pub(super) const RECORDING_POLICY: &str = "Content-Security-Policy: sandbox allow-scripts; frame-ancestors 'self'\r\n";

/// Returns the page.
pub(super) fn response() -> Response {
    let page = PAGE.replacen("{{style}}", STYLE, 1).replacen("{{script}}", SCRIPT, 1);
    Response { headers: POLICY, ..Response::new(OK, HTML, page) }
}

#[cfg(test)]
mod tests;
