//! JSON with comments and trailing commas, as people write it. All problems are reported at once, each with its place, what was
//! expected and what was found.

mod deserialize;
mod document;
mod problems;
mod quoted;
mod suggestion;
mod syntax;

pub(crate) use self::deserialize::{alternatives, describe_value};
pub(crate) use self::document::{Document, member, members, merged, push_name};
pub(crate) use self::problems::Findings;
pub use self::problems::{Problem, Problems};
pub(crate) use self::quoted::quoted;
pub(crate) use self::suggestion::nearest;
