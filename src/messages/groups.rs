//! Groups by name, with their members.

use std::collections::HashMap;

use slab::Slab;

use super::WhenFull;
use super::accounts::{Accounts, Membership};
use crate::limits::{GROUP_NAME_BYTES_MAX, GROUPS_MAX, GROUPS_PER_CONNECTION_MAX};
use crate::messages::NotSent;
use crate::token::ConnectionId;

/// The groups of one listener. A group exists while it has members.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The index of each group.
    names: HashMap<Box<str>, u32>,
    /// The groups.
    groups: Slab<Group>,
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name.
    name: Box<str>,
    /// The members, in any order: a member that leaves is replaced by the last one.
    pub(super) members: Vec<Member>,
    /// What happens to each of them that has no room, by its place. A vector of its own, so that a member takes 17 bytes and not 24.
    pub(super) when_full: Vec<WhenFull>,
}

/// One member of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// The connection.
    pub(super) id: ConnectionId,
    /// The number of the newest message that the member got, missed, or sent before it joined.
    pub(super) seen: u64,
}

impl Groups {
    /// Returns the index of a group that has members.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// Returns a group, unless its last member has left.
    pub(super) fn get(&mut self, group: u32) -> Option<&mut Group> {
        self.groups.get_mut(group as usize)
    }

    /// Adds a connection to the group `name`, which is made if it has no members. `newest` is the number of the newest message:
    /// a member gets later ones. A member that joins again only changes what happens when it has no room.
    ///
    /// # Errors
    /// A bound is reached.
    pub(super) fn join(
        &mut self,
        accounts: &mut Accounts,
        id: ConnectionId,
        name: &str,
        when_full: WhenFull,
        newest: u64,
    ) -> Result<(), NotSent> {
        let account = accounts.open(id);
        let group = match self.find(name) {
            Some(group) => {
                if let Some(membership) = account.memberships.iter().find(|membership| membership.group == group) {
                    self.groups[group as usize].when_full[membership.place as usize] = when_full;
                    return Ok(());
                }
                group
            }
            None if self.groups.len() >= GROUPS_MAX || name.len() > GROUP_NAME_BYTES_MAX => return Err(NotSent::Full),
            None => u32::MAX,
        };
        if account.memberships.len() >= GROUPS_PER_CONNECTION_MAX {
            return Err(NotSent::Full);
        }
        let group = if group == u32::MAX { self.make(name) } else { group };
        let Group { members, when_full: policies, .. } = &mut self.groups[group as usize];
        let membership = Membership { group, place: members.len() as u32 };
        members.push(Member { id, seen: newest });
        policies.push(when_full);
        // Most connections are in one group or two, and there may be many connections: no spare room.
        account.memberships = account.memberships.iter().copied().chain([membership]).collect();
        Ok(())
    }

    fn make(&mut self, name: &str) -> u32 {
        let group = self.groups.insert(Group { name: name.into(), members: Vec::new(), when_full: Vec::new() }) as u32;
        self.names.insert(name.into(), group);
        group
    }

    /// Removes a connection from the group `name`, if it is a member.
    pub(super) fn leave(&mut self, accounts: &mut Accounts, id: ConnectionId, name: &str) {
        let Some(group) = self.find(name) else { return };
        let Some(account) = accounts.get(id) else { return };
        let Some(membership) = account.memberships.iter().copied().find(|membership| membership.group == group) else {
            return;
        };
        account.memberships = account.memberships.iter().copied().filter(|other| *other != membership).collect();
        self.remove(accounts, membership);
    }

    /// Removes a member from its group. Its account is already without that membership.
    pub(super) fn remove(&mut self, accounts: &mut Accounts, Membership { group, place }: Membership) {
        let Group { members, when_full, .. } = &mut self.groups[group as usize];
        members.swap_remove(place as usize);
        when_full.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize).map(|member| member.id)
            && let Some(account) = accounts.get(moved)
            && let Some(membership) = account.memberships.iter_mut().find(|membership| membership.group == group)
        {
            membership.place = place;
        }
        if members.is_empty() {
            let Group { name, .. } = self.groups.remove(group as usize);
            self.names.remove(&name);
        } else if members.capacity() / 4 > members.len() {
            members.shrink_to(members.len() * 2);
            when_full.shrink_to(members.len() * 2);
        }
    }
}
