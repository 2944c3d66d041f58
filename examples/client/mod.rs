//! What every example client needs. The other files of this directory are included by those clients that need them, and
//! `send/`, `sum/` and `uppercase/` have the parts of one client each.

pub(crate) mod attempt;
pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod output;
pub(crate) mod span;
pub(crate) mod url;
pub(crate) mod wait;
