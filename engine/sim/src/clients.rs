//! Clients under way, found by their sockets and by their deadlines.

use std::collections::{BTreeMap, BTreeSet};

use base::SimTime;
use plane::{Plane, PlaneEvent, SocketId};

use crate::client::Client;

/// Many clients at once. Each is found in time logarithmic in their number.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    by_socket: BTreeMap<SocketId, usize>,
    deadlines: BTreeSet<(SimTime, usize)>,
    filed: Vec<(Option<SocketId>, Option<SimTime>)>,
}

impl Clients {
    /// Takes a client in.
    pub(crate) fn push(&mut self, client: Client, plane: &Plane) {
        self.clients.push(client);
        self.filed.push((None, None));
        self.file(self.clients.len() - 1, plane);
    }

    /// When the first of them will wait no longer; `None` once all are done.
    pub(crate) fn next_deadline(&self) -> Option<SimTime> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Tells those whose deadline has come.
    pub(crate) fn time_out(&mut self, now: SimTime, plane: &mut Plane) {
        while let Some((_, index)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.clients[index].timed_out(plane);
            self.file(index, plane);
        }
    }

    /// Tells the client whom an event concerns. Gives the event back when it concerns none.
    pub(crate) fn dispatch(
        &mut self,
        socket: SocketId,
        event: PlaneEvent,
        plane: &mut Plane,
    ) -> Option<PlaneEvent> {
        let Some(index) = self.by_socket.get(&socket).copied() else {
            return Some(event);
        };
        let client = &mut self.clients[index];
        match event {
            PlaneEvent::Connected { .. } => client.connected(plane),
            PlaneEvent::Data { bytes, from, .. } => client.received(plane, from, &bytes),
            PlaneEvent::PeerClosed { .. } | PlaneEvent::Closed { .. } => client.peer_closed(plane),
            PlaneEvent::Failed { error, .. } => client.failed(plane, error),
            _ => {}
        }
        self.file(index, plane);
        None
    }

    /// The clients, in the order in which they began.
    pub(crate) fn into_inner(self) -> Vec<Client> {
        self.clients
    }

    /// Brings the indices up to date with one client.
    fn file(&mut self, index: usize, plane: &Plane) {
        let client = &mut self.clients[index];
        client.note_local_address(plane);
        let now = (client.socket(), client.deadline());
        let before = std::mem::replace(&mut self.filed[index], now);
        if before.0 != now.0 {
            before.0.map(|socket| self.by_socket.remove(&socket));
            now.0.map(|socket| self.by_socket.insert(socket, index));
        }
        if before.1 != now.1 {
            before.1.map(|at| self.deadlines.remove(&(at, index)));
            now.1.map(|at| self.deadlines.insert((at, index)));
        }
    }
}
