//! What the applications at both ends of a connection of traffic will do with it.

use std::net::SocketAddr;

use plane::{Exchange, Foresight, HostId, SocketId};
use ruleset::Protocol;

use crate::app::App;
use crate::clients::Clients;
use crate::fleet::Fleet;

/// Knows clients of traffic and servers.
pub(crate) struct Insight<'a> {
    clients: &'a Clients,
    fleet: &'a Fleet,
}

impl<'a> Insight<'a> {
    pub(crate) const fn new(clients: &'a Clients, fleet: &'a Fleet) -> Self {
        Self { clients, fleet }
    }
}

impl Foresight for Insight<'_> {
    /// Those with one request for a server that introduces itself. A step that waits for its client goes on when that has
    /// its answer, before the connection is over.
    fn exchange(
        &mut self,
        client: SocketId,
        server: HostId,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Option<Exchange> {
        let request = self.clients.of_traffic(client)?.only_request()?.len();
        let (identity, app) = self.fleet.app(server, Protocol::TCP, local.port())?;
        let App::Introduce { after: think } = *app else {
            return None;
        };
        let answer = identity.introduce(local, peer).len();
        Some(Exchange {
            request,
            answer,
            think,
        })
    }
}
