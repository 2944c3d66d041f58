//! Code that every example client needs. Each client includes the other files of this directory that it needs; `send/`,
//! `sum/` and `uppercase/` have the parts of one client each.

pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod if_ready;
pub(crate) mod output;
pub(crate) mod span;
pub(crate) mod url;
pub(crate) mod wait;
