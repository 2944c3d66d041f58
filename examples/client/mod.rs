//! What every example client needs. The other files of this directory are included by those clients that need them.

pub(crate) mod attempt;
pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod output;
pub(crate) mod span;
pub(crate) mod url;
pub(crate) mod wait;
