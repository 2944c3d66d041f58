//! Addresses of Unix sockets: `unix:///run/sum.sock` and `unix:@sum`.

use std::fmt;
use std::str::FromStr;

use super::Transport;
use crate::limits::{UNIX_ADDRESS_BYTES_MAX, UNIX_DIRECTORY_BYTES_MAX};
use crate::units::Expected;

/// The address of a Unix socket (`unix(7)`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UnixAddress {
    /// An absolute path.
    Path(String),
    /// A name without a file and without permissions, which only Linux has. It ends with its last byte: no padding follows.
    Abstract(String),
}

const ADDRESS: Expected =
    Expected("an absolute path or a name after \"@\", such as \"unix:///run/sum.sock\" or \"unix:@sum\"");

/// The pattern of such an address in the JSON Schema, which does not check its length.
pub(super) const PATTERN: &str = "unix(gram)?:(//)?(/[^\\s]+|@[^\\s]+)";

/// Returns the transport and the address of a URL of a Unix socket; `None` for any other URL.
pub(super) fn parse(url: &str) -> Option<Result<(Transport, UnixAddress), Expected>> {
    let (scheme, rest) = url.split_once(':')?;
    let transport = match scheme {
        "unix" => Transport::Unix,
        "unixgram" => Transport::UnixDatagram,
        _ => return None,
    };
    Some(rest.strip_prefix("//").unwrap_or(rest).parse().map(|address| (transport, address)))
}

impl FromStr for UnixAddress {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        // Spaces separate the words of a line of output.
        if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(Expected("a path or a name without white space and control characters"));
        }
        if let Some(name) = text.strip_prefix('@') {
            return match name.len() {
                0 => Err(ADDRESS),
                1..=UNIX_ADDRESS_BYTES_MAX => Ok(Self::Abstract(name.to_owned())),
                _ => Err(Expected("a name of at most 107 bytes after \"@\"")),
            };
        }
        let inner = text.strip_prefix('/').ok_or(ADDRESS)?;
        // One spelling for each file, so that two listeners with one path are noticed.
        if inner.split('/').any(|component| matches!(component, "" | "." | "..")) {
            return Err(Expected("a path of plain names, without \".\", \"..\", and \"//\""));
        }
        if text.len() > UNIX_ADDRESS_BYTES_MAX {
            return Err(Expected("a path of at most 107 bytes"));
        }
        if text.rfind('/').is_some_and(|end| end > UNIX_DIRECTORY_BYTES_MAX) {
            return Err(Expected("a directory of at most 101 bytes, with room for the temporary name of a socket"));
        }
        Ok(Self::Path(text.to_owned()))
    }
}

/// As it follows `unix:` in a URL: `///run/sum.sock` or `@sum`.
impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "//{path}"),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::address::{Listen, Transport, UnixAddress};

    fn listen(text: &str) -> Listen {
        text.parse().unwrap_or_else(|expected| panic!("{text}: {expected}"))
    }

    #[test]
    fn a_unix_address_is_printed_in_one_spelling_and_read_again() {
        for (written, printed) in [
            ("unix:///run/sum.sock", "unix:///run/sum.sock"),
            ("unix:/run/sum.sock", "unix:///run/sum.sock"),
            ("unixgram:///run/sum.sock", "unixgram:///run/sum.sock"),
            ("unix:@sum", "unix:@sum"),
            ("unix://@sum", "unix:@sum"),
            ("unixgram:@sum:1/x", "unixgram:@sum:1/x"),
        ] {
            assert_eq!(listen(written).to_string(), printed);
            assert_eq!(listen(printed), listen(written));
        }
        assert_eq!(listen("unix:@sum").unix, Some(UnixAddress::Abstract("sum".into())));
        assert_eq!(listen("unixgram:/s").transport, Transport::UnixDatagram);
    }

    #[test]
    fn an_invalid_unix_address_is_refused() {
        for text in [
            "unix",
            "unix:",
            "unix://",
            "unix://run/sum.sock",
            "unix:run/sum.sock",
            "unix:@",
            "unix:///",
            "unix:///run/",
            "unix:////run/sum",
            "unix:///run/../sum",
            "unix:///run/./sum",
            "unix:///run/a b",
            "unix:///run/a\0b",
            "unix:@a\nb",
            "unix4:///run/sum",
            "UNIX:///run/sum",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_unix_address_has_at_most_107_bytes() {
        let path = |bytes: usize| format!("unix:///{}", "x".repeat(bytes - 1));
        let name = |bytes: usize| format!("unix:@{}", "x".repeat(bytes));
        let short = |directory: usize| format!("unix:///{}/s", "x".repeat(directory - 1));
        for (most, url) in [(107, &path as &dyn Fn(usize) -> String), (107, &name), (101, &short)] {
            assert!(url(most).parse::<Listen>().is_ok(), "{}", url(most));
            let error = url(most + 1).parse::<Listen>().expect_err("too long");
            assert!(error.0.contains(&most.to_string()), "{}", error.0);
        }
    }

    #[test]
    fn two_listeners_with_one_unix_address_clash_whatever_the_type() {
        let clash = |one: &str, other: &str| listen(one).clash(&listen(other), "a").is_some();
        assert!(clash("unix:///run/sum", "unix:/run/sum") && clash("unix:///run/sum", "unixgram:///run/sum"));
        assert!(!clash("unix:///run/sum", "unix:///run/sun") && !clash("unix:///run/sum", "tcp://:80"));
        // Abstract names of streams and of datagrams are two name spaces (`unix(7)`).
        assert!(clash("unix:@sum", "unix:@sum") && !clash("unix:@sum", "unixgram:@sum"));
        assert!(!clash("unix:@/run/sum", "unix:///run/sum") && !clash("tcp://:0", "unix:@sum"));
    }
}
