//! The context of a demand: the server, and the deadline.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::asker::Asker;
use crate::client::url::Transport;
use crate::demand::Scope;
use crate::files::Files;
use crate::miss::{Miss, Verdict};
use crate::peer::{Client, Room};
use crate::protocol::Protocol;
use crate::server::{Server, Started};

/// A server that takes no byte for this time takes no more.
pub(crate) const STUCK: Duration = Duration::from_millis(500);

/// Questions asked so far, by all clients.
static ASKED: AtomicUsize = AtomicUsize::new(1000);

/// One demand on trial.
pub(crate) struct Trial {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    transport: Transport,
    pub(crate) deadline: Instant,
    pub(crate) files: Files,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "a process is looked at where there is `/proc`"))]
    pid: Option<i32>,
    /// The server, if the checker has started it.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "it is ended where there is `/proc`"))]
    pub(crate) started: Option<Rc<Started>>,
}

impl Trial {
    pub(crate) fn new(address: SocketAddr, scope: &Scope, deadline: Instant, server: &Server) -> Self {
        let (files, started) = (scope.files.clone(), server.started.clone());
        Self {
            address,
            protocol: scope.protocol,
            transport: scope.transport,
            deadline,
            files,
            pid: server.pid(),
            started,
        }
    }

    pub(crate) fn connect(&self) -> Result<Client, Miss> {
        self.connect_with(Room::Ample)
    }

    pub(crate) fn connect_with(&self, room: Room) -> Result<Client, Miss> {
        let client = Client::connect(self.address, room, self.deadline)?;
        if Protocol::FILES.contains(&self.protocol) {
            // A FIN would save the bytes sent so far.
            client.close_by_reset();
        }
        Ok(client)
    }

    /// A client that has been answered, so that the server knows it.
    pub(crate) fn answered_client(&self) -> Result<Client, Miss> {
        let mut client = self.connect()?;
        self.ask(&mut client)?;
        Ok(client)
    }

    /// A number for a question that no other question has.
    pub(crate) fn number(&self) -> usize {
        ASKED.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks a question, and expects its answer.
    pub(crate) fn ask(&self, client: &mut Client) -> Verdict {
        if self.protocol == Protocol::Time {
            return client.expect_time();
        }
        let number = self.number();
        client.send(&self.protocol.question(number))?;
        client.expect(&self.protocol.answer(number))
    }

    /// Expects that a new client is served.
    pub(crate) fn a_client_is_served(&self) -> Verdict {
        match self.transport {
            Transport::Tcp => self.answered_client().map(drop),
            Transport::Udp => self.asker()?.ask(),
        }
    }

    /// Expects that a new client is served in this situation.
    pub(crate) fn others_are_served(&self, meanwhile: &'static str) -> Verdict {
        self.a_client_is_served().map_err(|miss| miss.when(meanwhile))
    }

    pub(crate) fn asker(&self) -> Result<Asker, Miss> {
        Asker::new(self.address, self.deadline)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn process(&self) -> Option<crate::linux::Process> {
        self.pid.map(crate::linux::Process::new)
    }
}
