//! The invariants: after each turn, when the faults have stopped, and at the end.

use std::cell::RefCell;
use std::rc::Rc;

use super::clients::{Client, Expectation, State, Upload, excerpt};
use super::kernel::SimulatedKernel;
use super::link::ServerEnd;
use super::openings::Opening;
use super::reloads;
use super::settings::Service;
use super::world::World;
use crate::config::Transport;
use crate::limits::{QUIET_BYTES_MAX, RESERVED_DESCRIPTORS, VISIT_BYTES_MAX};
use crate::protocol::ConnectionId;
use crate::reactor::{Census, Reactor};
use crate::testing::{Links, MemoryDisk};

type Server = Reactor<SimulatedKernel>;

/// Checks after each turn: the invariants of the loop, that no client was treated wrongly, and that confirmed files are
/// durable.
pub(super) fn after_a_turn(world: &Rc<RefCell<World>>, reactor: &Server) -> Result<(), String> {
    let world = &mut *world.borrow_mut();
    let census = reactor.census()?;
    let network = &world.network;
    let listeners = network.listeners.iter().filter(|listener| listener.open).count();
    let sockets = network.sockets.iter().filter(|socket| socket.open).count();
    let links = network.links.iter().filter(|link| link.server == ServerEnd::Open).count();
    let open = (listeners, sockets, links);
    if open != (census.listeners, census.mailboxes, census.connections) {
        return Err(format!("{open:?} listeners, sockets and connections are open, but the loop has {census:?}"));
    }
    // The loop's own jobs have no slot.
    let jobs = world.jobs.values().filter(|(token, _)| token.slot != u32::MAX).count();
    if census.jobs != jobs {
        return Err(format!("{jobs} jobs are unfinished, but the loop awaits {}", census.jobs));
    }
    if let Some(most) = network.chaos.descriptors
        && links + world.disk_memory().drafts() + RESERVED_DESCRIPTORS > most
    {
        return Err(format!("{links} connections and {} files leave no descriptor", world.disk_memory().drafts()));
    }
    if let Some(client) = world.clients.iter().find(|client| matches!(client.state, State::Wronged(_))) {
        return Err(format!("{}: {:?}", client.describe(), client.state));
    }
    if census.stale_notices != network.stale_notices {
        let (ignored, given) = (census.stale_notices, network.stale_notices);
        return Err(format!("{given} notices were stale, but {ignored} were ignored"));
    }
    if census.buffer_waiters > 0 {
        world.network.seen.insert("an upload that waits for a buffer");
    }
    if census.pending_bytes > world.settings.max_pending_output_total {
        world.network.seen.insert("max_pending_output_total");
        world.network.pressed_since.get_or_insert(world.network.turn_began);
    } else {
        world.network.pressed_since = None;
    }
    the_guard_keeps_its_rules(world)?;
    no_message_is_lost(world, reactor)?;
    no_member_holds_too_much(world, reactor)?;
    no_listener_overtakes(world, reactor)?;
    no_wake_up_is_lost(world, reactor)?;
    no_connection_is_read_beyond_its_budget(world)?;
    no_address_has_too_many(world)?;
    hostile_clients_are_closed_in_time(world)?;
    confirmed_is_durable(world)
}

/// Checks that the guarded listener has admitted no client against its rules.
fn the_guard_keeps_its_rules(world: &mut World) -> Result<(), String> {
    world.network.look_at_the_guard();
    world.network.guard.as_mut().and_then(|guard| guard.wrong.take()).map_or(Ok(()), Err)
}

/// Checks that every message which the loop has delivered was right, and that none is missing once the loop has delivered all.
fn no_message_is_lost(world: &mut World, reactor: &Server) -> Result<(), String> {
    world.network.seen.extend(world.ledger.take_seen());
    if let Some(wrong) = world.ledger.wrong() {
        return Err(wrong);
    }
    // A connection that closes does not take messages again.
    if let Some(id) = world.ledger.take_refused().into_iter().find(|id| reactor.takes_messages(*id)) {
        return Err(format!("{id} takes messages, and a post for it was refused"));
    }
    if reactor.message_bytes() > 0 {
        return Ok(());
    }
    match world.ledger.awaiting().into_iter().find(|id| reactor.takes_messages(*id)) {
        Some(id) => Err(format!("a post for {id} was accepted and is nowhere")),
        None => Ok(()),
    }
}

/// Checks that casts do not pile up for a member that does not read. Answers to posts may come before casts that wait for a job.
fn no_member_holds_too_much(world: &World, reactor: &Server) -> Result<(), String> {
    const ANSWER_BYTES_MAX: usize = 200;
    for link in world.network.links.iter().filter(|link| link.server == ServerEnd::Open) {
        let service = world.clients.get(link.client).map_or(Service::Relay, |client| client.plan.service);
        let Some(token) = link.token.filter(|_| matches!(service, Service::Gossip | Service::Relay)) else { continue };
        let pending = reactor.pending_bytes(ConnectionId::of(token));
        // A layer passes on a whole record when its end has come, whatever room there is.
        let is_layered = world.settings.opening == Opening::Layer;
        if service == Service::Relay && !is_layered && pending > world.settings.max_pending_output {
            return Err(format!("{token}: {pending} bytes are pending for one half of a relay"));
        }
        if service == Service::Gossip && pending > 2 * world.settings.max_pending_output + ANSWER_BYTES_MAX {
            return Err(format!("{token}: {pending} bytes are pending for a member that does not read"));
        }
    }
    Ok(())
}

/// Checks that no other listener accepts while a listener is the first that waits for descriptors.
fn no_listener_overtakes(world: &mut World, reactor: &Server) -> Result<(), String> {
    let first = reactor.first_in_short().filter(|index| *index < reactor.endpoints().len());
    let accepted = first.map(|index| {
        let listeners = || world.network.listeners.iter().filter(|listener| listener.open);
        let accepted = |index: usize| {
            let endpoint = &reactor.endpoints()[index];
            let is_tcp = endpoint.transport() == Transport::Tcp;
            let listener = listeners().find(|listener| is_tcp && Some(listener.address) == endpoint.address());
            listener.map_or(0, |listener| listener.accepted)
        };
        (index, accepted(index), (0..reactor.endpoints().len()).map(accepted).sum::<u64>())
    });
    let before = std::mem::replace(&mut world.network.first_in_short, accepted);
    match (before, accepted) {
        (Some((before, its, all)), Some((first, its_now, all_now)))
            if first == before && its == its_now && all < all_now =>
        {
            Err(format!("endpoint {first} waits for descriptors, and {} others got some", all_now - all))
        }
        _ => Ok(()),
    }
}

/// Checks that a slot which waits has nothing left to do, or that the kernel owes it an edge.
fn no_wake_up_is_lost(world: &World, reactor: &Server) -> Result<(), String> {
    for (token, claim) in reactor.claims() {
        let Some(number) = world.network.links.iter().rposition(|link| link.token == Some(token)) else { continue };
        let link = &world.network.links[number];
        if link.edges_planned > 0 {
            continue;
        }
        let arrived = !link.inbound.bytes.is_empty() || link.inbound.finished || link.broken;
        if claim.drained && arrived && (link.paused || !link.edge.readable) {
            return Err(format!("link {number}: a lost wake-up: there is something to read, and no edge is owed"));
        }
        if claim.blocked && !link.write_blocked && !link.edge.writable {
            return Err(format!("link {number}: a lost wake-up: there is room to write, and no edge is owed"));
        }
    }
    for token in reactor.drained() {
        let listener = world.network.listeners.iter().find(|listener| listener.open && listener.token == token);
        if listener.is_some_and(|it| !it.queue.is_empty() && !it.edge && it.edges_planned == 0) {
            return Err(format!("{token}: a lost wake-up: a connection waits to be accepted, and no edge is owed"));
        }
        let socket = world.network.sockets.iter().find(|socket| socket.open && socket.token == token);
        if socket.is_some_and(|it| !it.queue.is_empty() && !it.edge.readable && it.edges_planned == 0) {
            return Err(format!("{token}: a lost wake-up: there is a datagram, and no edge is owed"));
        }
    }
    Ok(())
}

/// Checks that no connection is read beyond its budget of a turn.
fn no_connection_is_read_beyond_its_budget(world: &mut World) -> Result<(), String> {
    for (number, link) in world.network.links.iter_mut().enumerate() {
        let read = std::mem::take(&mut link.read_in_turn);
        if read > QUIET_BYTES_MAX + VISIT_BYTES_MAX {
            return Err(format!("link {number}: {read} bytes were read in one turn"));
        }
    }
    Ok(())
}

fn no_address_has_too_many(world: &World) -> Result<(), String> {
    let most = match world.settings.max_connections_per_ip {
        0 => return Ok(()),
        most => most,
    };
    let open = world.network.links.iter().filter(|link| link.server == ServerEnd::Open && !link.guarded);
    for link in open {
        let Some(client) = world.clients.get(link.client) else { continue };
        let service = client.plan.service;
        if world.open_from(link.address.ip(), service) > most {
            return Err(format!("{} has more than {most} connections to {service:?}", link.address.ip()));
        }
    }
    Ok(())
}

/// Checks that hostile clients are closed in time.
fn hostile_clients_are_closed_in_time(world: &World) -> Result<(), String> {
    for (number, link) in world.network.links.iter().enumerate() {
        let Some(most) = world.clients.get(link.client).and_then(|client| client.plan.closed_within) else { continue };
        let connected_for = world.network.now - link.accepted_at;
        if link.server == ServerEnd::Open && connected_for > most {
            return Err(format!("link {number}: a hostile client has been connected for {connected_for:?}"));
        }
    }
    Ok(())
}

/// Checks that a file which the server has confirmed would survive a loss of power at this moment.
fn confirmed_is_durable(world: &mut World) -> Result<(), String> {
    let disk = world.disk_memory();
    for client in &mut world.clients {
        let Some(link) = client.link else { continue };
        let said = &world.network.links[link].said;
        let Expectation::Exactly(expected) = &client.plan.expectation else { continue };
        for upload in &mut client.plan.uploads {
            if upload.confirmed_at.is_some_and(|at| said.get(..at) == expected.get(..at)) {
                for links in [Links::Lost, Links::Kept] {
                    if disk.after_crash(links).contents(&upload.name).as_ref() != Some(&upload.contents) {
                        return Err(format!("{} is confirmed, but would not survive a loss of power", upload.name));
                    }
                }
                let kind = match upload.before {
                    Some(_) => "a file that is replaced",
                    None if upload.name.ends_with(" (2)") => "a file that gets a number",
                    None => "a file",
                };
                world.network.seen.insert(kind);
                upload.confirmed_at = None;
                upload.is_confirmed = true;
            }
        }
    }
    Ok(())
}

/// Checks that a file with its final name is complete, and that confirmed files exist.
pub(super) fn files(world: &World, disk: &MemoryDisk) -> Result<(), String> {
    let uploads =
        || world.clients.iter().flat_map(|client| client.plan.uploads.iter().map(move |upload| (client, upload)));
    for name in disk.names() {
        let Some((client, upload)) = uploads().find(|(_, upload)| upload.name == name) else {
            return Err(format!("a file that no client sent: {name:?}"));
        };
        let contents = disk.contents(&name);
        let is_old = !upload.is_confirmed && upload.before.is_some() && contents == upload.before;
        if !is_old && contents.as_ref() != Some(&upload.contents) {
            return Err(format!("{name} holds {}", excerpt(&contents.unwrap_or_default())));
        }
        if !is_old && !upload.is_confirmed && client.link.is_none() {
            return Err(format!("{name} exists before it was sent"));
        }
    }
    let must_be_there = |upload: &Upload| upload.is_confirmed || upload.before.is_some();
    match uploads().find(|(_, upload)| must_be_there(upload) && disk.contents(&upload.name).is_none()) {
        Some((_, upload)) => Err(format!("{} existed and is missing", upload.name)),
        None => Ok(()),
    }
}

/// Checks that only the listeners are left after the faults have stopped and all clients are done.
pub(super) fn at_rest(world: &World, reactor: &Server) -> Result<(), String> {
    let census = reactor.census()?;
    let (more_listeners, more_mailboxes) = reloads::extras(reactor);
    let rest = Census {
        listeners: Service::ALL.len()
            + usize::from(world.settings.gossips > 0)
            + usize::from(!world.settings.relays.is_empty())
            + usize::from(world.settings.rules.is_some())
            + more_listeners,
        mailboxes: 1 + more_mailboxes,
        deadlines: census.deadlines,
        stale_notices: census.stale_notices,
        ..Census::default()
    };
    if census != rest {
        return Err(format!("at rest the loop still has {census:?}"));
    }
    if census.deadlines > census.listeners {
        return Err(format!("{} deadlines are armed at rest", census.deadlines));
    }
    nothing_is_left(world, reactor)?;
    for client in world.clients.iter().filter(|client| client.plan.honest && client.state == State::Served) {
        if world.network.links[client.link.unwrap_or_default()].hit.is_some() {
            continue;
        }
        for upload in &client.plan.uploads {
            if world.disk_memory().contents(&upload.name).as_ref() != Some(&upload.contents) {
                return Err(format!("{} was sent completely and is missing", upload.name));
            }
        }
    }
    Ok(())
}

/// Checks that nothing is left after the server has stopped.
pub(super) fn after_the_end(world: &Rc<RefCell<World>>, reactor: &Server) -> Result<(), String> {
    let world = world.borrow();
    let census = reactor.census()?;
    // A stop that resets connections does not wait for ever for their last jobs.
    if census.remains == 0 {
        if census != (Census { stale_notices: census.stale_notices, ..Census::default() }) {
            return Err(format!("after the end the loop still has {census:?}"));
        }
        nothing_is_left(&world, reactor)?;
    }
    files(&world, &world.disk_memory())
}

fn nothing_is_left(world: &World, reactor: &Server) -> Result<(), String> {
    if world.disk_memory().drafts() > 0 {
        return Err(format!("{} files without a name are left", world.disk_memory().drafts()));
    }
    for endpoint in reactor.endpoints() {
        let stats = endpoint.stats();
        let add_up = if endpoint.transport().is_stream() {
            stats.accepted + stats.connected == stats.closed.total()
                && endpoint.connections == 0
                && endpoint.peers.is_empty()
        } else {
            stats.received_datagrams == stats.datagrams_accounted()
        };
        if !add_up {
            return Err(format!("the counters do not add up: {endpoint}"));
        }
    }
    Ok(())
}

/// Describes the honest clients that have not been served.
pub(super) fn describe_the_unserved(world: &World) -> String {
    let waits = |client: &&Client| client.state == State::Busy && client.plan.honest;
    let mut unserved: Vec<_> = world.clients.iter().filter(waits).map(Client::describe).collect();
    unserved.extend(
        world.datagram_clients.iter().filter(|client| !client.done).map(|client| format!("{client:?} over UDP")),
    );
    for (number, link) in world.network.links.iter().enumerate() {
        if link.server != ServerEnd::Closed {
            unserved.push(format!("link {number} of client {} is {:?}", link.client, link.server));
        }
    }
    unserved.extend((!world.jobs.is_empty()).then(|| format!("{} jobs are unfinished", world.jobs.len())));
    format!("the faults stopped long ago, but the server has not recovered: {}", unserved.join("; "))
}
