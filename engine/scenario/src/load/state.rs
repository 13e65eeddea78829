//! `spec.state`: what `kubectl get -o yaml` printed of a real cluster, and what the cluster's settings follow from it.
//!
//! **What.** Nodes, zones and address ranges that `spec.cluster` does not state are those that the dump shows.
//! **Why.** A dump says what there is, and not with which settings the cluster was made; whatever is concluded is
//! said, so that it can be corrected.
//! **Source of the semantics.** ALLOC-1, ALLOC-5, ALLOC-40; PROXY-20.

use std::net::IpAddr;
use std::sync::Arc;

use api::{Node, Object};
use control::NodeConfig;
use ipnet::IpNet;

use super::dump_time::move_times;
use crate::cursor::Cursor;
use crate::judge::counted;

/// A Service range is concluded to be no smaller than this.
const SERVICE_PREFIX_MAX: [u8; 2] = [24, 112];

/// The objects of a dump.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) objects: Vec<Object>,
    /// The files that they are from, as the user named them.
    files: Vec<String>,
}

/// A state, and where the scenario names it.
pub(super) struct Stated<'a> {
    pub(super) state: &'a State,
    pub(super) at: Cursor<'a>,
}

impl State {
    pub(super) fn new(mut objects: Vec<Object>, files: Vec<String>) -> Self {
        for object in &mut objects {
            if let Object::Service(service) = object {
                Arc::make_mut(service).complete_cluster_ips();
            }
        }
        move_times(&mut objects);
        Self { objects, files }
    }

    /// Whether cluster DNS is among it.
    pub(super) fn has_dns(&self) -> bool {
        self.services().any(|service| {
            let meta = &service.metadata;
            (meta.namespace.as_str(), meta.name.as_str()) == ("kube-system", "kube-dns")
        })
    }

    /// The nodes, by name.
    pub(super) fn nodes(&self) -> Vec<NodeConfig> {
        let mut nodes: Vec<_> = self.objects.iter().filter_map(Object::as_node).collect();
        nodes.sort_by(|left, right| left.metadata.name.cmp(&right.metadata.name));
        nodes.into_iter().map(|node| node_config(node)).collect()
    }

    /// The Service ranges: those of the ServiceCIDR `kubernetes`, or else the smallest ones that hold all virtual
    /// IPs, that of the family of the `kubernetes` Service first.
    pub(super) fn service_ranges(&self) -> Vec<IpNet> {
        let mut ranges = self.objects.iter().filter_map(Object::as_service_cidr);
        if let Some(default) = ranges.find(|range| range.metadata.name == "kubernetes") {
            return default.ranges().map(|range| range.trunc()).collect();
        }
        let taken: Vec<IpAddr> = self.services().flat_map(api::Service::addresses).collect();
        let first = self.services().find(|service| {
            let meta = &service.metadata;
            (meta.namespace.as_str(), meta.name.as_str()) == ("default", "kubernetes")
        });
        let first = first.and_then(|service| service.addresses().next());
        let mut families: Vec<bool> = first.iter().map(IpAddr::is_ipv4).collect();
        for address in &taken {
            if !families.contains(&address.is_ipv4()) {
                families.push(address.is_ipv4());
            }
        }
        let of = |is_v4: bool| taken.iter().filter(move |ip| ip.is_ipv4() == is_v4);
        let ranges = families.into_iter().filter_map(|is_v4| {
            let max = SERVICE_PREFIX_MAX[usize::from(!is_v4)];
            smallest(of(is_v4).copied(), max)
        });
        ranges.collect()
    }

    /// The Pod ranges: the smallest one of each family that holds those of the nodes and every Pod's address.
    pub(super) fn pod_ranges(&self) -> Vec<IpNet> {
        let nodes = self.objects.iter().filter_map(Object::as_node);
        let ranges = nodes.flat_map(|node| node.pod_ranges());
        let ends = ranges.flat_map(|range| [range.network(), range.broadcast()]);
        let pods = self.objects.iter().filter_map(Object::as_pod);
        let pods = pods.filter(|pod| !pod.spec.host_network);
        let all: Vec<IpAddr> = ends.chain(pods.flat_map(|pod| pod.addresses())).collect();
        let of = |is_v4: bool| all.iter().copied().filter(move |ip| ip.is_ipv4() == is_v4);
        let max = [24, 64];
        let ranges = [true, false].into_iter().zip(max);
        let ranges = ranges.filter_map(|(is_v4, max)| smallest(of(is_v4), max));
        ranges.collect()
    }

    /// One sentence about what was concluded.
    pub(super) fn conclusion(
        &self,
        nodes: Option<&[NodeConfig]>,
        services: Option<&[IpNet]>,
        pods: Option<&[IpNet]>,
        no_dns: bool,
    ) -> Option<String> {
        let mut concluded = Vec::new();
        if let Some(nodes) = nodes {
            let mut zones: Vec<&str> = nodes.iter().filter_map(|n| n.zone.as_deref()).collect();
            zones.sort_unstable();
            zones.dedup();
            let spread = match zones.as_slice() {
                [] => " without zones".to_owned(),
                [zone] => format!(" in zone {zone}"),
                zones => format!(" in zones {}", zones.join(", ")),
            };
            concluded.push(counted(nodes.len(), "node", "nodes") + &spread);
        }
        for (what, ranges) in [("serviceCIDRs", services), ("podCIDRs", pods)] {
            if let Some(ranges) = ranges {
                let texts: Vec<_> = ranges.iter().map(ToString::to_string).collect();
                concluded.push(format!("{what} {}", texts.join(", ")));
            }
        }
        if no_dns {
            concluded.push("no cluster DNS".to_owned());
        }
        (!concluded.is_empty()).then(|| {
            format!(
                "concluded from {}: {}; say otherwise in spec.cluster",
                self.files.join(", "),
                concluded.join("; ")
            )
        })
    }

    fn services(&self) -> impl Iterator<Item = &api::Service> {
        let services = self.objects.iter().filter_map(Object::as_service);
        services.map(|service| &**service)
    }
}

fn node_config(node: &Node) -> NodeConfig {
    NodeConfig {
        name: node.metadata.name.clone(),
        zone: node.zone().map(str::to_owned),
        addresses: node.internal_addresses().collect(),
        pod_cidrs: node.pod_ranges().iter().map(IpNet::trunc).collect(),
        labels: node.metadata.labels.clone(),
        ..NodeConfig::default()
    }
}

/// The smallest range with a prefix of at most `longest` bits that holds all addresses, which are of one family.
fn smallest(addresses: impl Iterator<Item = IpAddr>, longest: u8) -> Option<IpNet> {
    let addresses: Vec<IpAddr> = addresses.collect();
    let first = *addresses.first()?;
    let ranges = (0..=longest).rev();
    let mut ranges = ranges.filter_map(|prefix| IpNet::new(first, prefix).ok());
    ranges
        .find(|range| addresses.iter().all(|address| range.contains(address)))
        .map(|range| range.trunc())
}
