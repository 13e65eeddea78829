//! What a network is built from: latencies, nodes, Pods and outside hosts.

use std::net::IpAddr;
use std::time::Duration;

use base::Seed;
use ipnet::IpNet;

use crate::NodeId;

/// The properties of a whole network.
#[derive(Clone, Debug)]
pub struct PlaneConfig {
    /// One-way latency between two processes on one node.
    pub same_node: Duration,
    /// One-way latency between processes on two nodes of one zone.
    pub same_zone: Duration,
    /// One-way latency between processes in different zones, and to or from an outside host.
    pub cross_zone: Duration,
    /// The largest IP packet of every link, in bytes; at least 1280 (RFC 8200, section 5).
    pub mtu: usize,
    /// Whether the link of a Pod gives back to it what it sent itself, as it must when the Pod reaches itself through
    /// a Service (the bridge's hairpin mode). Without it such packets are lost.
    pub hairpin: bool,
    /// The root of every random choice: initial sequence numbers, endpoints, masquerade ports.
    pub seed: Seed,
}

impl PlaneConfig {
    /// The latencies and the MTU that a scenario has by default, with a seed.
    #[must_use]
    pub const fn with_seed(seed: Seed) -> Self {
        Self {
            same_node: Duration::from_micros(20),
            same_zone: Duration::from_micros(200),
            cross_zone: Duration::from_millis(1),
            mtu: 1500,
            hairpin: true,
            seed,
        }
    }
}

/// A node to be added.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name, unique among nodes.
    pub name: String,
    /// Its zone; nodes without one share the zone called "".
    pub zone: String,
    /// Its own addresses, the primary one of each family first.
    pub addresses: Vec<IpAddr>,
    /// The ranges of its Pods' addresses: every other node routes these to it.
    pub pod_cidrs: Vec<IpNet>,
}

/// A Pod to be added.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// Its name, unique among Pods and outside hosts.
    pub name: String,
    /// Where it runs.
    pub node: NodeId,
    /// Its addresses, the primary one of each family first.
    pub addresses: Vec<IpAddr>,
}

/// A host outside the cluster to be added.
#[derive(Clone, Debug)]
pub struct OutsideSpec {
    /// Its name, unique among Pods and outside hosts.
    pub name: String,
    /// Its addresses, the primary one of each family first.
    pub addresses: Vec<IpAddr>,
    /// Ranges that it sends to a node, which forwards them; the longest prefix wins.
    pub routes: Vec<(IpNet, NodeId)>,
}
