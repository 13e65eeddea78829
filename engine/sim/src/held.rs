//! Connections that are held: opened, used again and closed by different steps.

use std::time::Duration;

use control::{ConnectRequest, Connection, Decision, Outcome, ReferenceError};
use netfilter::{Entry, Tuple};
use plane::NodeId;

use crate::client::Client;
use crate::clients::{Asker, ClientId};
use crate::sim::Sim;

impl Sim {
    /// Opens a connection and holds it.
    pub(crate) fn open_held(
        &mut self,
        id: &str,
        request: &ConnectRequest,
    ) -> Result<Connection, ReferenceError> {
        let host = self.source_host(&request.from)?;
        self.release_held(id);
        self.collect_evidence(true);
        let errand = Self::errand(host, request, true);
        let client = self.start_client(&request.from, &errand);
        let client = self.clients.push(client, Asker::Step, &self.plane);
        self.held.insert(id.to_owned(), client);
        Ok(self.told_of(client))
    }

    /// Sends one more request on a connection that is held.
    pub(crate) fn send_held(
        &mut self,
        id: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Connection, ReferenceError> {
        let client = self.find_held(id)?;
        self.collect_evidence(true);
        self.clients.tell(client, &mut self.plane, |client, plane| {
            client.ask(plane, payload, timeout);
        });
        Ok(self.told_of(client))
    }

    /// Lets go of a connection; tells how it had ended, if it had.
    pub(crate) fn close_held(&mut self, id: &str) -> Result<Option<Outcome>, ReferenceError> {
        let client = self.find_held(id)?;
        let end = self.clients.get(client).end();
        self.release_held(id);
        Ok(end)
    }

    /// Lets time pass until a client is done, and tells its story.
    fn told_of(&mut self, id: ClientId) -> Connection {
        self.run_clients();
        let client = self.clients.get(id);
        let mut decisions = self
            .evidence
            .of(client.decisive_addresses(), client.refused_at());
        // What was decided about the first packet of a connection, the later ones are bound to.
        if decisions.is_empty() {
            decisions.extend(self.decided_before(client));
        }
        let connection = client.connection(decisions);
        self.collect_evidence(false);
        connection
    }

    fn decided_before(&self, client: &Client) -> Option<Decision> {
        let source = client.decisive_addresses().last()?;
        let protocol = client.protocol()?;
        let tuple = Tuple::new(protocol, *source, client.remote()?);
        let (node, entry) = self.tracked(&tuple)?;
        Some(Decision {
            at: entry.started_at(),
            place: self.plane.node_name(node).to_owned(),
            rule: None,
            meaning: format!(
                "connection tracking keeps to what was decided when it began, at {}: it goes to {}",
                entry.started_at(),
                entry.reply().source_socket()
            ),
        })
    }

    /// The node that tracks a flow from its client's side, or did until it was refused, and what it knows of it; of
    /// several, the first one.
    pub(crate) fn tracked(&self, tuple: &Tuple) -> Option<(NodeId, &Entry)> {
        let now = self.plane.now();
        self.nodes.values().find_map(|node| {
            let state = self.plane.node_state(*node);
            let known = state.find(tuple, now).map(|(entry, _)| entry);
            let known = known.filter(|entry| entry.original() == tuple);
            Some((*node, known.or_else(|| state.undone(tuple))?))
        })
    }

    fn find_held(&self, id: &str) -> Result<ClientId, ReferenceError> {
        self.held.get(id).copied().ok_or_else(|| ReferenceError {
            wanted: format!("open connection {id:?}"),
            existing: self.held.keys().cloned().collect(),
        })
    }

    fn release_held(&mut self, id: &str) {
        if let Some(client) = self.held.remove(id)
            && let Some(mut client) = self.clients.remove(client)
        {
            client.hang_up(&mut self.plane);
        }
    }
}
