//! Where the log goes, in which form, and whether it has a line for each connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{Expected, from_string};

/// The target of the records of the access log.
pub const ACCESS_LOG: &str = "reactor::access";

/// The log. Only [`access`](Self::access) concerns a program that embeds the server: such a program has a logger of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogConfig {
    /// The form of the lines.
    pub format: LogFormat,
    /// Which connections get a line when they end.
    pub access: Access,
    /// The file that the command appends to; `None` for stderr.
    pub file: Option<PathBuf>,
    /// The mode of a log file that the command creates (`chmod(2)`).
    pub file_mode: u32,
}

/// The form of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// Text; if systemd-journald reads stderr, without the time and with the priority in front (`sd-daemon(3)`).
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Every format, by its name.
    pub(crate) const NAMES: [&str; 3] = ["auto", "text", "json"];
}

impl FromStr for LogFormat {
    type Err = Expected;

    fn from_str(name: &str) -> Result<Self, Expected> {
        match name {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Expected("\"auto\", \"text\" or \"json\"")),
        }
    }
}

/// Which connections get a line in the log when they end: the access log, whose records have the target `reactor::access`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Access {
    /// None.
    #[default]
    Off,
    /// Those that neither the peer's FIN nor the protocol ended.
    Errors,
    /// All.
    All,
}

/// The mode of a file, written `"0640"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl Mode {
    /// What is expected of a mode in another form.
    const EXPECTED: Expected =
        Expected("a mode such as \"0640\" (a 0 and three octal digits, the first of them 2, 3, 6 or 7)");
    /// The permission to write that the owner needs (`inode(7)`: `S_IWUSR`).
    const OWNER_WRITES: u32 = 0o200;
}

impl FromStr for Mode {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let digits = text
            .strip_prefix('0')
            .filter(|digits| digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
        mode.filter(|mode| mode & Self::OWNER_WRITES != 0).map(Self).ok_or(Self::EXPECTED)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_string(deserializer, Self::EXPECTED)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Mode {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^0[2367][0-7]{2}$", "examples": ["0640"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_lets_its_owner_write() {
        for text in ["0640", "0600", "0200", "0777"] {
            assert_eq!(text.parse::<Mode>().map(|mode| mode.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("0640".parse(), Ok(Mode(0o640)));
        for text in ["", "640", "00640", "0o640", "0680", "1640", "0440", "-640", "0+40", "0 40", "rw-r-----"] {
            assert_eq!(text.parse::<Mode>(), Err(Mode::EXPECTED), "{text}");
        }
    }

    #[test]
    fn every_format_has_its_name() {
        for name in LogFormat::NAMES {
            let format: LogFormat = name.parse().expect("a name");
            assert_eq!(serde_json::to_value(format).expect("a string"), name);
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
