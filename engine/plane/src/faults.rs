//! What goes wrong with links, nodes and hosts, at the owner's wish.
//!
//! Nothing here knows of time: a fault begins with one call and ends with another.

use crate::{HostId, Impairment, LinkEnd, LinkError, NodeId, Plane};

impl Plane {
    /// Impairs the link between two places from now on, or mends it (`None`). A link exists between each two nodes,
    /// between nodes and outside hosts, between outside hosts, and between a Pod and its node. A zone stands for its
    /// nodes: the link between two zones carries whatever one's nodes send to the other's, and that of a zone to itself
    /// what its nodes send each other. A packet meets every impairment of a link that it takes.
    ///
    /// Packets under way stay under way. There is no detour around a cut: a cluster's nodes do not forward for each
    /// other. Another impairment of the same link replaces the first.
    ///
    /// # Errors
    /// When there is no such link.
    ///
    /// # Panics
    /// When a node is not of this network.
    pub fn impair(
        &mut self,
        a: LinkEnd<'_>,
        b: LinkEnd<'_>,
        impairment: Option<Impairment>,
    ) -> Result<(), LinkError> {
        self.network.impair(a, b, impairment, self.now)
    }

    /// Stops a node, or has it go on. While it is stopped, every packet to, from or through it is lost, and its sockets
    /// and those of its Pods stand still, their timers too. It goes on where it stopped, like a machine that was
    /// suspended; for one that was restarted, see [`Plane::reset_host`].
    ///
    /// # Panics
    /// When the node is not of this network.
    pub fn set_node_up(&mut self, node: NodeId, up: bool) {
        assert!(
            node.index() < self.engines.len(),
            "the node is of this network"
        );
        self.network.set_node_up(node, up);
        if !up {
            return;
        }
        let parked = std::mem::take(&mut self.parked);
        for socket in parked {
            match self.network.is_stopped(socket.host) {
                true => _ = self.parked.insert(socket),
                false => self.wake(socket),
            }
        }
    }

    /// Whether a node is not stopped.
    #[must_use]
    pub fn is_node_up(&self, node: NodeId) -> bool {
        !self.network.is_node_stopped(node)
    }

    /// Limits the connections that a node tracks (`nf_conntrack_max`); `None` lifts the limit. While they are that many,
    /// the first packet of another one is dropped ([`netfilter::DropReason::ConntrackFull`]), unless one that is not
    /// assured gives way. Those that are there stay (PROXY-75).
    ///
    /// # Panics
    /// When the node is not of this network.
    pub fn limit_conntrack(&mut self, node: NodeId, limit: Option<usize>) {
        self.node_state_mut(node).set_limit(limit);
    }

    /// Ends every process on a host, as `kill -9` or a container's crash does; the host's kernel lives on. It closes the
    /// TCP connections in order, but nobody reads any more: what peers still send is answered with a reset. Nobody
    /// listens, until [`Plane::listen`] is called again, and nobody is told of events.
    pub fn reset_host(&mut self, host: HostId) {
        self.asleep.remove(&host);
        let Some(stack) = self.stacks.get_mut(host) else {
            return;
        };
        for socket in stack.orphan_all() {
            self.wake(socket);
        }
    }
}
