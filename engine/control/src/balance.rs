//! Which nodes the load balancer sends connections to.
//!
//! **Source of the semantics.** PROXY-69, API-54: a Service with external policy Local is asked for at its health-check node
//! port, and a node without ready endpoints of it says no; of others, every node whose proxy has rules for the address
//! takes connections.
//!
//! Deviation: the load balancer knows at once what a node would answer, where a real one asks every few seconds; nodes are
//! not left out for their conditions or labels.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proxy::HealthCheck;
use rules::{ClusterView, NodeFacts};

/// A node begins or ceases to take connections to an address of the load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balanced {
    /// The node.
    pub node: Arc<str>,
    /// The address.
    pub address: IpAddr,
    /// Whether it takes them from now on.
    pub takes: bool,
}

/// What a node's sync from one view to another changes for the addresses of `pool`.
pub(crate) fn changes(
    before: &ClusterView,
    after: &ClusterView,
    facts: &NodeFacts,
    pool: &[IpNet],
) -> Vec<Balanced> {
    if pool.is_empty() {
        return Vec::new();
    }
    let mut changed: BTreeMap<IpAddr, bool> = BTreeMap::new();
    for (name, was, is) in before.services.diff(&after.services) {
        for (entry, is_in_force) in [(was, false), (is, true)] {
            let Some(service) = entry.and_then(|entry| entry.service.as_ref()) else {
                continue;
            };
            let takes = is_in_force
                && (service.health_check_node_port.is_none()
                    || HealthCheck::of(after, name, service, facts).local_endpoints > 0);
            let addresses = service.load_balancer_ips.iter();
            let ours = addresses.filter(|address| pool.iter().any(|net| net.contains(*address)));
            for address in ours {
                // Of two Services with one address, either may take it.
                let known = changed.entry(*address).or_default();
                *known |= takes;
            }
        }
    }
    let balanced = |(address, takes)| Balanced {
        node: Arc::clone(&facts.name),
        address,
        takes,
    };
    changed.into_iter().map(balanced).collect()
}
