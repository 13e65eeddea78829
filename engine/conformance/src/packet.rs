//! The first packet of a connection, and which of them are worth trying in a cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use api::{IpFamily, Node, Protocol, Service};

use crate::Cluster;
use crate::cluster::primary_address;

/// The first packet of a new connection, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstPacket {
    /// The node whose rules it meets.
    pub node: String,
    /// Who sends it.
    pub source: Source,
    /// Whereto.
    pub destination: SocketAddr,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A Pod on the node, from its own address.
    Pod(IpAddr),
    /// A process of the node itself, from one of the node's addresses: the packet is made there and arrives
    /// at no interface.
    Node(IpAddr),
    /// A host outside of the cluster, whose packet is routed through the node.
    Outside(IpAddr),
}

impl Source {
    /// The source address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Pod(address) | Self::Node(address) | Self::Outside(address) => address,
        }
    }
}

impl fmt::Display for FirstPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            source,
            destination,
            protocol,
        } = self;
        write!(f, "{protocol} to {destination} on {node}, from ")?;
        match source {
            Source::Pod(address) => write!(f, "its Pod {address}"),
            Source::Node(address) => write!(f, "the node itself ({address})"),
            Source::Outside(address) => write!(f, "outside ({address})"),
        }
    }
}

/// The packets that tell whether a data plane serves a cluster: on every node, from a Pod, from each Pod of the
/// node that is an endpoint, from the node itself and from outside, to every ClusterIP and port, to the same
/// port with another protocol, to a port that no Service has, and to an address that no Service has.
#[must_use]
pub fn packets(cluster: &Cluster) -> Vec<FirstPacket> {
    let targets = targets(cluster);
    let mut packets = Vec::new();
    for node in &cluster.nodes {
        let sources = sources(cluster, node);
        for (destination, protocol) in &targets {
            let family = IpFamily::of(destination.ip());
            for source in sources
                .iter()
                .filter(|source| IpFamily::of(source.address()) == family)
            {
                packets.push(FirstPacket {
                    node: node.metadata.name.clone(),
                    source: *source,
                    destination: *destination,
                    protocol: *protocol,
                });
            }
        }
    }
    packets
}

/// Addresses of documentation (RFC 5737, RFC 3849): outside of any cluster.
const OUTSIDE: [&str; 2] = ["203.0.113.70", "2001:db8::70"];

/// Everybody worth trying, of the families that the node has an address of.
fn sources(cluster: &Cluster, node: &Node) -> BTreeSet<Source> {
    let families: Vec<IpFamily> = node.internal_addresses().map(IpFamily::of).collect();
    let own = families
        .iter()
        .filter_map(|family| primary_address(node, *family));
    let ranges = node.pod_ranges();
    let is_pod = |address: &IpAddr| ranges.iter().any(|range| range.contains(address));
    let idle = ranges.iter().filter_map(|range| range.hosts().next_back());
    let pods = endpoint_addresses(cluster).filter(is_pod).chain(idle);
    let outside = OUTSIDE
        .iter()
        .map(|text| text.parse().expect("written above as an address"));
    pods.map(Source::Pod)
        .chain(own.map(Source::Node))
        .chain(outside.map(Source::Outside))
        .filter(|source| families.contains(&IpFamily::of(source.address())))
        .collect()
}

fn endpoint_addresses(cluster: &Cluster) -> impl Iterator<Item = IpAddr> {
    let slices = cluster
        .objects
        .iter()
        .filter_map(api::Object::as_endpoint_slice);
    let endpoints = slices.flat_map(|slice| &slice.endpoints);
    endpoints.filter_map(|endpoint| endpoint.addresses.first()?.parse().ok())
}

fn targets(cluster: &Cluster) -> BTreeSet<(SocketAddr, Protocol)> {
    let services: Vec<&Service> = cluster
        .objects
        .iter()
        .filter_map(|object| object.as_service().map(|s| &**s))
        .collect();
    let mut targets = BTreeSet::new();
    for service in &services {
        let numbers: BTreeSet<u16> = service
            .spec
            .ports
            .iter()
            .filter_map(|port| u16::try_from(port.port).ok())
            .collect();
        let absent = (1..=u16::MAX).find(|number| !numbers.contains(number));
        for address in service.addresses() {
            for number in numbers.iter().copied().chain(absent) {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    targets.insert((SocketAddr::new(address, number), protocol));
                }
            }
        }
    }
    let taken: BTreeSet<IpAddr> = services
        .iter()
        .flat_map(|service| service.addresses())
        .collect();
    let free = cluster
        .service_cidrs
        .iter()
        .copied()
        .filter_map(|range| range.hosts().next_back());
    for address in free.filter(|address| !taken.contains(address)) {
        targets.insert((SocketAddr::new(address, 80), Protocol::Tcp));
    }
    targets
}
