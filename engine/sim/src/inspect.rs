//! What one reads off a running cluster's machines: connections, loads of virtual servers, packets that passed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::SimTime;
use control::Source;
use netfilter::Entry;
use plane::{Dissector, PacketHead};
use ruleset::ipvs::{ServerKey, ServerLoad};

use crate::sim::Sim;

/// A packet that passed an interface.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When.
    pub at: SimTime,
    /// Which interface.
    pub interface: String,
    /// What filters ask for; `None` for a packet with broken headers.
    pub head: Option<PacketHead>,
    /// In words, as tcpdump has them.
    pub text: String,
}

impl Sim {
    /// The connections that a node tracks now; `None` when there is no such node.
    pub fn connections(&self, node: &str) -> Option<impl Iterator<Item = &Entry>> {
        let state = self.plane.node_state(*self.nodes.get(node)?);
        Some(state.entries(self.control.now()))
    }

    /// How many connections a node has given to a real server of a virtual one; none on a node that does not exist.
    #[must_use]
    pub fn server_load(&self, node: &str, server: &ServerKey, real: SocketAddr) -> ServerLoad {
        let node = self.nodes.get(node).copied();
        node.map_or_else(ServerLoad::default, |node| {
            let now = self.control.now();
            self.plane.node_state(node).server_load(server, real, now)
        })
    }

    /// What passed a machine's interfaces since capturing was enabled, or forgotten, in order; nothing of one that is not
    /// there at this instant.
    #[must_use]
    pub fn passed(&self, machine: &Source) -> Vec<Passed> {
        // A Pod on its node's network has the node's interfaces.
        let host = self.find_host(machine);
        let Some(name) = host.and_then(|host| self.plane.host_name(host)) else {
            return Vec::new();
        };
        let mut dissectors: BTreeMap<&str, Dissector> = BTreeMap::new();
        let captured = self.plane.captured(name).into_iter();
        captured
            .map(|one| {
                let dissector = dissectors.entry(one.interface).or_default();
                Passed {
                    at: one.at,
                    interface: one.interface.to_owned(),
                    head: PacketHead::parse(one.packet),
                    text: dissector.line(one.packet, dns::brief),
                }
            })
            .collect()
    }

    /// Forgets what was captured, and goes on capturing if that was enabled.
    pub fn forget_captures(&mut self) {
        self.plane.forget_captures();
    }
}
