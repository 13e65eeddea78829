//! What faults mean for packets.
//!
//! The control plane keeps the faults; whenever they change, what they come to for links, nodes and DNS is worked out
//! anew and the plane told the difference.

use std::collections::{BTreeMap, BTreeSet};

use control::{Fault, Impairment, LinkEnd, PerMillion};
use plane::{NodeId, Share};

use crate::Sim;

/// What the plane has been told.
#[derive(Default)]
pub(crate) struct Troubles {
    /// The faults' number of changes then.
    changes: u64,
    /// Nodes without power.
    down: BTreeSet<NodeId>,
    /// How many connections nodes track.
    limits: BTreeMap<NodeId, usize>,
    /// By both ends, in order.
    links: BTreeMap<[LinkEnd; 2], Impairment>,
    /// Whether cluster DNS does not answer.
    pub(crate) is_dns_down: bool,
}

impl Troubles {
    /// Whether a node is without power.
    pub(crate) fn is_down(&self, node: NodeId) -> bool {
        self.down.contains(&node)
    }
}

impl Sim {
    /// Tells the plane of the faults that there are, if they are others than it knows of.
    pub(crate) fn suffer(&mut self) {
        let changes = self.control.fault_changes();
        if self.troubles.changes == changes {
            return;
        }
        let now = self.present_troubles();
        let before = std::mem::replace(&mut self.troubles, now);
        let down = &self.troubles.down;
        let changed: Vec<NodeId> = before.down.symmetric_difference(down).copied().collect();
        for node in changed {
            let is_up = before.down.contains(&node);
            if !is_up {
                // Nothing that a machine knows outlives its power.
                let host = self.plane.node_host(node);
                self.end_clients(host);
                self.plane.reset_host(host);
                self.plane.node_state_mut(node).reset();
            }
            self.plane.set_node_up(node, is_up);
            if is_up {
                self.start_cache(node);
            }
        }
        for node in self.nodes.values() {
            let limit = self.troubles.limits.get(node);
            if before.limits.get(node) != limit {
                self.plane.limit_conntrack(*node, limit.copied());
            }
        }
        let links = before.links.keys().chain(self.troubles.links.keys());
        let links: BTreeSet<&[LinkEnd; 2]> = links.collect();
        for ends in links {
            let impairment = self.troubles.links.get(ends);
            if before.links.get(ends) != impairment {
                let [a, b] = ends.each_ref().map(|end| self.link_end(end));
                let told = self.plane.impair(a, b, impairment.map(in_plane));
                told.expect("the ends were looked up when the fault began");
            }
        }
    }

    fn present_troubles(&self) -> Troubles {
        let mut troubles = Troubles {
            changes: self.control.fault_changes(),
            ..Troubles::default()
        };
        for fault in self.control.faults() {
            match fault {
                Fault::Down { place } => {
                    let nodes = self.control.config().nodes.iter();
                    let there = nodes.filter(|node| place.has(node));
                    troubles
                        .down
                        .extend(there.map(|node| self.nodes[&node.name]));
                }
                Fault::ConntrackFull { node, max } => {
                    let limit = troubles.limits.entry(self.nodes[node]).or_insert(*max);
                    *limit = (*limit).min(*max);
                }
                Fault::Link { a, b, impairment } => {
                    let mut ends = [a.clone(), b.clone()];
                    ends.sort();
                    let sum = troubles.links.entry(ends).or_default();
                    *sum = sum.and(impairment);
                }
                Fault::DnsDown => troubles.is_dns_down = true,
                Fault::PartitionApi { .. }
                | Fault::WatchDelay { .. }
                | Fault::ProxyCrash { .. }
                | Fault::ProxyStall { .. }
                | Fault::PodCrash { .. }
                | Fault::PodUnready { .. }
                | Fault::ApiDown => {}
            }
        }
        troubles
    }

    fn link_end<'a>(&self, end: &'a LinkEnd) -> plane::LinkEnd<'a> {
        match end {
            LinkEnd::Node(name) => plane::LinkEnd::Node(self.nodes[name]),
            LinkEnd::Zone(name) => plane::LinkEnd::Zone(name),
            LinkEnd::Outside(name) => plane::LinkEnd::Host(self.outside[name]),
        }
    }
}

fn in_plane(impairment: &Impairment) -> plane::Impairment {
    let share =
        |share: PerMillion| Share::per_million(share.value()).expect("both count up to a million");
    plane::Impairment {
        delay: impairment.delay,
        jitter: impairment.jitter,
        loss: share(impairment.loss),
        duplicate: share(impairment.duplicate),
        reorder: share(impairment.reorder),
        rate: impairment.rate,
        mtu: impairment.mtu,
        cut: impairment.cut,
    }
}
