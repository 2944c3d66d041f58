//! Users and groups of this machine: from names to numbers. A look-up may read files or ask a service, so it happens only at
//! the start, and on a worker at a reload.

use std::io;

use nix::unistd::{Group, User};

use crate::address::access::{Account, UnixAccess};
use crate::kernel::FileOptions;

/// Returns the options of the file of a Unix socket.
///
/// # Errors
/// A name is unknown.
pub(crate) fn file_options(access: &UnixAccess) -> io::Result<FileOptions> {
    let owner = access.owner.as_ref().map(user).transpose()?;
    let group = access.group.as_ref().map(group).transpose()?;
    Ok(FileOptions::new(access.mode.bits(), owner, group))
}

/// Returns the numbers of the users that may connect; `None` for everybody.
///
/// # Errors
/// A name is unknown.
pub(crate) fn allowed(access: &UnixAccess) -> io::Result<Option<Box<[u32]>>> {
    access.allow_users.as_ref().map(|users| users.iter().map(user).collect()).transpose()
}

fn user(account: &Account) -> io::Result<u32> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Name(name) => {
            let user = User::from_name(name)?.ok_or_else(|| unknown("user", name))?;
            Ok(user.uid.as_raw())
        }
    }
}

fn group(account: &Account) -> io::Result<u32> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Name(name) => {
            let group = Group::from_name(name)?.ok_or_else(|| unknown("group", name))?;
            Ok(group.gid.as_raw())
        }
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {what} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_number_and_an_unknown_name_an_error() {
        let name = |name: &str| Account::Name(name.to_owned());
        assert_eq!(user(&name("root")).expect("on every machine"), 0);
        assert_eq!((user(&Account::Id(7)).ok(), group(&Account::Id(8)).ok()), (Some(7), Some(8)));
        let error = user(&name("no-such-user-here")).expect_err("unknown");
        assert_eq!(error.to_string(), "there is no user no-such-user-here");
        let error = group(&name("no-such-group-here")).expect_err("unknown");
        assert_eq!(error.to_string(), "there is no group no-such-group-here");
    }
}
