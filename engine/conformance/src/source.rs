//! Where a packet comes from, as far as a proxy can tell, and whom a load balancer is closed to.
//!
//! Source of the semantics: PROXY-20, PROXY-21, PROXY-25, PROXY-30.

use std::net::IpAddr;

use api::{IpFamily, Service};
use ipnet::IpNet;

use crate::cluster::primary_address;
use crate::frontend::{is_local, load_balancer_ips};
use crate::{Cluster, FirstPacket, LocalDetection, Source};

/// Where a packet comes from, in the eyes of a node's proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A Pod that local detection knows as one.
    Pod,
    /// The node itself.
    Node,
    /// Anywhere else.
    Elsewhere,
}

/// Where a packet comes from.
pub(crate) fn origin(cluster: &Cluster, packet: &FirstPacket) -> Origin {
    let source = packet.source.address();
    if is_pod(cluster, packet) {
        Origin::Pod
    } else if is_local(cluster, &packet.node, source) {
        Origin::Node
    } else {
        Origin::Elsewhere
    }
}

/// Whether the source ranges of a Service keep a packet from its load-balancer addresses (PROXY-30). The ranges
/// of one family say nothing about the other.
pub(crate) fn is_locked_out(cluster: &Cluster, service: &Service, packet: &FirstPacket) -> bool {
    let source = packet.source.address();
    let family = IpFamily::of(source);
    let texts = service.spec.load_balancer_source_ranges.iter();
    let ranges: Vec<IpNet> = texts
        .filter_map(|text| text.trim().parse().ok())
        .filter(|range: &IpNet| IpFamily::of(range.addr()) == family)
        .collect();
    let is_open = ranges.is_empty() || ranges.iter().any(|range| range.prefix_len() == 0);
    let admits = |address: IpAddr| ranges.iter().any(|range| range.contains(&address));
    let node = cluster.node(&packet.node);
    // The node itself may come from the load balancer's address.
    let admits_node = || {
        node.and_then(|node| primary_address(node, family))
            .is_some_and(admits)
    };
    let is_vip = load_balancer_ips(service).any(|address| address == source);
    !(is_open || admits(source) || (is_vip && admits_node()))
}

impl LocalDetection {
    /// Whether it tells Pods of a family from others at all.
    pub(crate) fn tells(&self, family: IpFamily) -> bool {
        match self {
            Self::ClusterCidr(ranges) => first_of(ranges, family).is_some(),
            // Every node of a cluster has Pods.
            Self::NodeCidr | Self::BridgeInterface | Self::InterfaceNamePrefix => true,
        }
    }
}

/// PROXY-21.
fn is_pod(cluster: &Cluster, packet: &FirstPacket) -> bool {
    let source = packet.source.address();
    let family = IpFamily::of(source);
    match &cluster.proxy.local_detection {
        LocalDetection::ClusterCidr(ranges) => {
            first_of(ranges, family).is_some_and(|range| range.contains(&source))
        }
        LocalDetection::NodeCidr => {
            let ranges = cluster.node(&packet.node).map(api::Node::pod_ranges);
            ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&source)))
        }
        LocalDetection::BridgeInterface | LocalDetection::InterfaceNamePrefix => {
            matches!(packet.source, Source::Pod(_))
        }
    }
}

fn first_of(ranges: &[IpNet], family: IpFamily) -> Option<IpNet> {
    let mut ranges = ranges.iter().copied();
    ranges.find(|range| IpFamily::of(range.addr()) == family)
}
