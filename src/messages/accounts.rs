//! What each connection has under way. A table by slot: an account is found by an index, and takes 32 bytes.

use crate::token::{ConnectionId, Token};

/// The accounts of the connections of one listener that can be sent messages.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// By slot. Empty while there is no account.
    by_slot: Vec<Account>,
    /// The number of accounts in use.
    open: usize,
}

/// What one connection has under way.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The generation of the owner; meaningless unless `is_open`.
    generation: u32,
    /// Whether the account is in use.
    is_open: bool,
    /// Messages of this connection that the loop has not delivered yet.
    pub(super) sent: u16,
    /// Bytes for this connection that the loop has not delivered yet.
    pub(super) coming: u32,
    /// Bytes that the loop has delivered to the connection, and the connection not yet to its protocol.
    pub(super) waiting: u32,
    /// The groups that the connection is in.
    pub(super) memberships: Box<[Membership]>,
}

/// One group that a connection is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    /// The group.
    pub(super) group: u32,
    /// The place of the connection among the members of the group.
    pub(super) place: u32,
}

impl Accounts {
    /// Returns the account of a connection, unless it has none.
    pub(super) fn get(&mut self, id: ConnectionId) -> Option<&mut Account> {
        let token = id.token();
        let account = self.by_slot.get_mut(token.slot as usize)?;
        (account.is_open && account.generation == token.generation).then_some(account)
    }

    /// Returns the account of a connection, opened if there is none.
    pub(super) fn open(&mut self, id: ConnectionId) -> &mut Account {
        let token = id.token();
        let slot = token.slot as usize;
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, Account::default);
        }
        let account = &mut self.by_slot[slot];
        debug_assert!(!account.is_open || account.generation == token.generation, "an earlier owner has an account");
        if !account.is_open {
            *account = Account { generation: token.generation, is_open: true, ..Account::default() };
            self.open += 1;
        }
        account
    }

    /// Returns all accounts in use, with their owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Account)> {
        let open = self.by_slot.iter().enumerate().filter(|(_, account)| account.is_open);
        open.map(|(slot, account)| {
            let generation = account.generation;
            (ConnectionId::of(Token { slot: slot as u32, generation }), account)
        })
    }

    /// Closes the account of a connection, and returns it.
    pub(super) fn close(&mut self, id: ConnectionId) -> Option<Account> {
        let account = std::mem::take(self.get(id)?);
        self.open -= 1;
        if self.open == 0 {
            self.by_slot = Vec::new();
        }
        Some(account)
    }
}
