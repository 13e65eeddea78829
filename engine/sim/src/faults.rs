//! What faults mean for packets.
//!
//! The control plane keeps the faults; whenever they change, what they come to for links, nodes and DNS is worked out
//! anew and the plane told the difference.

use std::collections::{BTreeMap, BTreeSet};

use control::{Fault, Impairment, LinkEnd, PerMillion};
use plane::{HostId, NodeId, Share};

use crate::Sim;

/// What the plane has been told.
#[derive(Default)]
pub(crate) struct Troubles {
    /// The faults' number of changes then; `None` when they have to be told anew.
    changes: Option<u64>,
    /// Nodes without power.
    down: BTreeSet<NodeId>,
    /// How many connections nodes track.
    limits: BTreeMap<NodeId, usize>,
    /// By both ends, in order.
    links: BTreeMap<[End; 2], Impairment>,
    /// Whether links of Pods are among those that may be impaired: a Pod that starts may be one of them.
    concern_pods: bool,
    /// Whether cluster DNS does not answer.
    pub(crate) is_dns_down: bool,
}

/// An end of a link, as the plane knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Node(NodeId),
    Zone(String),
    /// A Pod or an outside host.
    Host(HostId),
}

impl End {
    fn in_plane(&self) -> plane::LinkEnd<'_> {
        match self {
            Self::Node(node) => plane::LinkEnd::Node(*node),
            Self::Zone(name) => plane::LinkEnd::Zone(name),
            Self::Host(host) => plane::LinkEnd::Host(*host),
        }
    }
}

impl Troubles {
    /// Takes note of a Pod that has started.
    pub(crate) fn note_start(&mut self) {
        if self.concern_pods {
            self.changes = None;
        }
    }

    fn add_link(&mut self, mut ends: [End; 2], impairment: &Impairment) {
        ends.sort();
        let sum = self.links.entry(ends).or_default();
        *sum = sum.and(impairment);
    }

    /// Whether a node is without power.
    pub(crate) fn is_down(&self, node: NodeId) -> bool {
        self.down.contains(&node)
    }
}

impl Sim {
    /// Tells the plane of the faults that there are, if they are others than it knows of.
    pub(crate) fn suffer(&mut self) {
        let changes = self.control.fault_changes();
        if self.troubles.changes == Some(changes) {
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
        let links: BTreeSet<&[End; 2]> = links.collect();
        for ends in links {
            let impairment = self.troubles.links.get(ends);
            if before.links.get(ends) != impairment {
                let [a, b] = ends.each_ref().map(End::in_plane);
                let told = self.plane.impair(a, b, impairment.map(in_plane));
                // The link of a Pod that is gone went with it.
                assert!(
                    told.is_ok() || impairment.is_none(),
                    "the ends are there: {told:?}"
                );
            }
        }
    }

    fn present_troubles(&self) -> Troubles {
        let mut troubles = Troubles {
            changes: Some(self.control.fault_changes()),
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
                    let ends = [a, b].map(|end| self.end(end));
                    troubles.add_link(ends, impairment);
                }
                Fault::PodLink { pods, impairment } => {
                    troubles.concern_pods = true;
                    let links = pods.iter().filter_map(|pod| self.fleet.link_of(pod));
                    for (host, node) in links {
                        troubles.add_link([End::Host(host), End::Node(node)], impairment);
                    }
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

    fn end(&self, end: &LinkEnd) -> End {
        match end {
            LinkEnd::Node(name) => End::Node(self.nodes[name]),
            LinkEnd::Zone(name) => End::Zone(name.clone()),
            LinkEnd::Outside(name) => End::Host(self.outside[name]),
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
