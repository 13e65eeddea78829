//! What the applications at both ends of a connection of traffic will do with it.

use std::net::SocketAddr;

use base::SimTime;
use plane::{Exchange, Foresight, HostId, SocketId};
use ruleset::Protocol;

use crate::app::App;
use crate::clients::Clients;
use crate::fleet::Fleet;
use crate::inbox::wants_more;

/// Knows clients of traffic and servers.
pub(crate) struct Insight<'a> {
    clients: &'a Clients,
    fleet: &'a Fleet,
    quiet: (SimTime, SimTime),
}

impl<'a> Insight<'a> {
    /// While nothing but traffic happens: after the first of these instants, and up to and including the second.
    pub(crate) const fn new(
        clients: &'a Clients,
        fleet: &'a Fleet,
        quiet: (SimTime, SimTime),
    ) -> Self {
        Self {
            clients,
            fleet,
            quiet,
        }
    }
}

impl Foresight for Insight<'_> {
    fn quiet(&self) -> (SimTime, SimTime) {
        self.quiet
    }

    /// For clients of traffic with one request, to which a server that introduces itself gives one answer.
    fn exchange(
        &mut self,
        client: SocketId,
        server: HostId,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Option<Exchange> {
        let client = self.clients.of_traffic(client)?;
        let request = client.only_request()?;
        let request = (!wants_more(&request)).then_some(request.len())?;
        let (identity, app) = self.fleet.app(server, Protocol::TCP, local)?;
        let App::Introduce { after: think } = *app else {
            return None;
        };
        Some(Exchange {
            request,
            think,
            answer: identity.introduce(local, peer),
            deadline: client.deadline()?,
        })
    }
}
