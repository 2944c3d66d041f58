//! Who may connect to a Unix socket: its mode, its owner, and a list of users.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Expected, from_string};

/// The processes that may connect to a Unix socket. The mode, the owner and the group are those of its file (`unix(7)`, "Pathname socket
/// ownership and permissions"); a socket without a path has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UnixAccess {
    /// The permissions of the file.
    pub mode: FileMode,
    /// The owner of the file; `None` for the user of the server.
    pub owner: Option<Account>,
    /// The group of the file; `None` for the group of the server.
    pub group: Option<Account>,
    /// The users whose processes may connect; `None` for everybody who may write to the file.
    pub allow_users: Option<Vec<Account>>,
}

/// The permissions of a file: `0660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

const MODE: Expected = Expected("permissions as three octal digits after a zero, such as \"0660\"");

/// Only the user of the server, until the configuration admits others. The mode does not depend on the umask, so it is the
/// same wherever the server is started.
impl Default for FileMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FileMode {
    /// Returns the bits of `chmod(2)`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let digits = text.strip_prefix('0').filter(|digits| digits.len() == 3).ok_or(MODE)?;
        if !digits.bytes().all(|digit| matches!(digit, b'0'..=b'7')) {
            return Err(MODE);
        }
        u32::from_str_radix(digits, 8).map(Self).map_err(|_| MODE)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A user or a group: its name, or its number in decimal digits. A name is looked up when the server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Account {
    /// A name of this machine (`passwd(5)`, `group(5)`).
    Name(String),
    /// A number.
    Id(u32),
}

const ACCOUNT: Expected = Expected("a name or a number in quotes, such as \"www-data\" or \"33\"");

impl FromStr for Account {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text.is_empty()
            || text.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == ':')
        {
            return Err(ACCOUNT);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The largest number means "no change" to `chown(2)`.
            return text.parse().ok().filter(|id| *id != u32::MAX).map(Self::Id).ok_or(ACCOUNT);
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, MODE)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for FileMode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^0[0-7]{3}$", "examples": ["0660"] })
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, ACCOUNT)
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Account {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Account".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^\\s:]+$", "examples": ["www-data", "33"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_a_zero_and_three_octal_digits() {
        for (text, bits) in [("0600", 0o600), ("0660", 0o660), ("0000", 0), ("0777", 0o777)] {
            let mode: FileMode = text.parse().expect("a mode");
            assert_eq!((mode.bits(), mode.to_string().as_str()), (bits, text));
        }
        for text in ["", "600", "00600", "0800", "1600", "0x60", "+600", "06 0", "rw-"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
        assert_eq!(FileMode::default().to_string(), "0600");
    }

    #[test]
    fn an_account_is_a_name_or_a_number() {
        for (text, account) in [("33", Account::Id(33)), ("www-data", Account::Name("www-data".into()))] {
            assert_eq!(text.parse(), Ok(account.clone()));
            assert_eq!(account.to_string(), text);
        }
        for text in ["", "a b", "a:b", "a\n", "4294967295", "4294967296"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
