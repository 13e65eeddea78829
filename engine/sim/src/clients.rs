//! Clients under way, found by their sockets and by their deadlines.

use std::collections::{BTreeMap, BTreeSet};

use base::SimTime;
use plane::{HostId, Plane, PlaneEvent, SocketId};

use crate::client::Client;

/// Names a client, and no later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(u64);

/// Who wants to know of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A step, which waits.
    Step,
    /// Traffic of this number, which does not.
    Traffic(usize),
}

/// All clients at once. Each is found in time logarithmic in their number.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: u64,
    clients: BTreeMap<ClientId, Filed>,
    by_socket: BTreeMap<SocketId, ClientId>,
    deadlines: BTreeSet<(SimTime, ClientId)>,
    /// How many a step waits for.
    awaited: usize,
    /// Those of traffic that are done and nobody has asked about.
    settled: Vec<(usize, ClientId)>,
}

/// A client and how the indices have it.
#[derive(Debug)]
struct Filed {
    client: Client,
    asker: Asker,
    socket: Option<SocketId>,
    deadline: Option<SimTime>,
    is_settled: bool,
}

impl Clients {
    /// Takes a client in.
    pub(crate) fn push(&mut self, client: Client, asker: Asker, plane: &Plane) -> ClientId {
        let id = ClientId(self.next);
        self.next += 1;
        let filed = Filed {
            client,
            asker,
            socket: None,
            deadline: None,
            is_settled: false,
        };
        self.clients.insert(id, filed);
        self.awaited += usize::from(asker == Asker::Step);
        self.file(id, plane);
        id
    }

    /// A client.
    ///
    /// # Panics
    /// When it was removed.
    pub(crate) fn get(&self, id: ClientId) -> &Client {
        &self.clients[&id].client
    }

    /// Tells a client something, and files what it makes of it.
    pub(crate) fn tell(
        &mut self,
        id: ClientId,
        plane: &mut Plane,
        tell: impl FnOnce(&mut Client, &mut Plane),
    ) {
        let filed = self.clients.get_mut(&id).expect("not removed");
        tell(&mut filed.client, plane);
        self.file(id, plane);
    }

    /// Forgets a client; nobody hears of its socket any more.
    pub(crate) fn remove(&mut self, id: ClientId) -> Option<Client> {
        let filed = self.clients.remove(&id)?;
        if let Some(socket) = filed.socket {
            self.by_socket.remove(&socket);
        }
        if let Some(at) = filed.deadline {
            self.deadlines.remove(&(at, id));
        }
        self.awaited -= usize::from(filed.asker == Asker::Step && !filed.is_settled);
        Some(filed.client)
    }

    /// The clients with a socket on a host.
    pub(crate) fn on(&self, host: HostId) -> Vec<(Asker, ClientId)> {
        let on_host = self.by_socket.range(host.sockets());
        on_host
            .map(|(_, id)| (self.clients[id].asker, *id))
            .collect()
    }

    /// How many a step waits for.
    pub(crate) const fn awaited(&self) -> usize {
        self.awaited
    }

    /// The clients of traffic that are done, since this was last asked, in order.
    pub(crate) fn take_settled(&mut self) -> Vec<(usize, ClientId)> {
        std::mem::take(&mut self.settled)
    }

    /// When the first of them will wait no longer; `None` once all are done.
    pub(crate) fn next_deadline(&self) -> Option<SimTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Tells those whose deadline has come.
    pub(crate) fn time_out(&mut self, now: SimTime, plane: &mut Plane) {
        while let Some((_, id)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.tell(id, plane, Client::timed_out);
        }
    }

    /// Tells the client whom an event concerns. Gives the event back when it concerns none.
    pub(crate) fn dispatch(
        &mut self,
        socket: SocketId,
        event: PlaneEvent,
        plane: &mut Plane,
    ) -> Option<PlaneEvent> {
        let Some(id) = self.by_socket.get(&socket).copied() else {
            return Some(event);
        };
        self.tell(id, plane, |client, plane| match event {
            PlaneEvent::Connected { .. } => client.connected(plane),
            PlaneEvent::Exchanged {
                connected, answer, ..
            } => client.exchanged(connected, plane.now(), answer),
            PlaneEvent::Data { bytes, from, .. } => client.received(plane, from, bytes),
            PlaneEvent::PeerClosed { .. } | PlaneEvent::Closed { .. } => client.peer_closed(plane),
            PlaneEvent::Failed { error, .. } => client.failed(plane, error),
            _ => {}
        });
        None
    }

    /// The client of traffic that a socket belongs to.
    pub(crate) fn of_traffic(&self, socket: SocketId) -> Option<&Client> {
        let filed = self.clients.get(self.by_socket.get(&socket)?)?;
        matches!(filed.asker, Asker::Traffic(_)).then_some(&filed.client)
    }

    /// Brings the indices up to date with one client.
    fn file(&mut self, id: ClientId, plane: &Plane) {
        let filed = self.clients.get_mut(&id).expect("not removed");
        let client = &mut filed.client;
        client.note_local_address(plane);
        let socket = client.socket();
        let before = std::mem::replace(&mut filed.socket, socket);
        if before != socket {
            before.map(|socket| self.by_socket.remove(&socket));
            socket.map(|socket| self.by_socket.insert(socket, id));
        }
        let deadline = client.deadline();
        let before = std::mem::replace(&mut filed.deadline, deadline);
        if before != deadline {
            before.map(|at| self.deadlines.remove(&(at, id)));
            deadline.map(|at| self.deadlines.insert((at, id)));
        }
        let is_settled = client.is_settled();
        if std::mem::replace(&mut filed.is_settled, is_settled) == is_settled {
            return;
        }
        match (filed.asker, is_settled) {
            (Asker::Step, true) => self.awaited -= 1,
            (Asker::Step, false) => self.awaited += 1,
            (Asker::Traffic(number), true) => self.settled.push((number, id)),
            (Asker::Traffic(_), false) => {}
        }
    }
}
