//! Which packets are worth trying in a cluster.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use api::{IpFamily, Node, Protocol, Service};

use crate::cluster::primary_address;
use crate::frontend::{external_ips, load_balancer_ips};
use crate::{Cluster, FirstPacket, PacketKind, Source};

/// Addresses of documentation (RFC 5737, RFC 3849): outside of any cluster.
const OUTSIDE: [&str; 2] = ["203.0.113.70", "2001:db8::70"];

/// The packets that tell whether a data plane serves a cluster.
///
/// They go from a Pod of each node, from each of the node's Pods that is an endpoint, from a Pod of another node,
/// from the node itself and from outside. They go to every ClusterIP, external IP and load-balancer IP at each
/// port, at the same port with another protocol, at one that no Service has, and as a ping; to an address that
/// no Service has; and to every node port at all of the node's own addresses, at another node's, and from the
/// node itself at 127.0.0.1.
#[must_use]
pub fn packets(cluster: &Cluster) -> Vec<FirstPacket> {
    let everywhere = service_targets(cluster);
    let mut packets = Vec::new();
    for node in &cluster.nodes {
        let sources = sources(cluster, node);
        let targets = everywhere
            .iter()
            .copied()
            .chain(node_targets(cluster, node));
        for (destination, kind) in targets {
            let fits = |source: &&Source| {
                let address = source.address();
                address.is_loopback() == destination.ip().is_loopback()
                    && IpFamily::of(address) == IpFamily::of(destination.ip())
            };
            packets.extend(sources.iter().filter(fits).map(|source| FirstPacket {
                node: node.metadata.name.clone(),
                source: *source,
                destination,
                kind,
            }));
        }
    }
    packets
}

/// Everybody worth trying, of the families that the node has an address of.
fn sources(cluster: &Cluster, node: &Node) -> BTreeSet<Source> {
    let families: Vec<IpFamily> = node.internal_addresses().map(IpFamily::of).collect();
    let own = families
        .iter()
        .filter_map(|family| primary_address(node, *family))
        .chain([Ipv4Addr::LOCALHOST.into()]);
    let ranges = node.pod_ranges();
    let is_pod = |address: &IpAddr| ranges.iter().any(|range| range.contains(address));
    let idle = ranges.iter().filter_map(|range| range.hosts().next_back());
    let pods = endpoint_addresses(cluster).filter(is_pod).chain(idle);
    let others = cluster
        .nodes
        .iter()
        .filter(|other| other.metadata.name != node.metadata.name);
    let remote = others
        .take(1)
        .flat_map(|other| other.pod_ranges())
        .filter_map(|range| range.hosts().next_back());
    let outside = OUTSIDE
        .iter()
        .map(|text| text.parse().expect("written above as an address"));
    pods.map(Source::Pod)
        .chain(own.map(Source::Node))
        .chain(remote.map(Source::RemotePod))
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

/// The Services' own addresses, and one that is free in each Service range.
fn service_targets(cluster: &Cluster) -> BTreeSet<(SocketAddr, PacketKind)> {
    let mut targets = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for service in cluster.services() {
        let ports = &service.spec.ports;
        let numbers: BTreeSet<u16> = ports
            .iter()
            .filter_map(|port| u16::try_from(port.port).ok())
            .collect();
        let absent = (1..=u16::MAX).find(|number| !numbers.contains(number));
        let addresses = service
            .addresses()
            .chain(external_ips(service))
            .chain(load_balancer_ips(service));
        for address in addresses {
            taken.insert(address);
            let at = |number| SocketAddr::new(address, number);
            for number in &numbers {
                let (right, wrong) = protocols(service, *number);
                targets.extend(right.map(|protocol| (at(*number), PacketKind::Open(protocol))));
                targets.extend(wrong.map(|protocol| (at(*number), PacketKind::Open(protocol))));
            }
            targets.extend(absent.map(|number| (at(number), PacketKind::Open(Protocol::Tcp))));
            targets.insert((at(0), PacketKind::Ping));
        }
    }
    let free = cluster
        .service_cidrs
        .iter()
        .filter_map(|range| range.hosts().next_back())
        .filter(|address| !taken.contains(address));
    for address in free {
        targets.insert((
            SocketAddr::new(address, 80),
            PacketKind::Open(Protocol::Tcp),
        ));
        targets.insert((SocketAddr::new(address, 0), PacketKind::Ping));
    }
    targets
}

/// The protocols that a Service has at a port, and one that it has not.
fn protocols(service: &Service, number: u16) -> (impl Iterator<Item = Protocol>, Option<Protocol>) {
    const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let has = move |protocol: &Protocol| {
        let ports = service.spec.ports.iter();
        ports
            .filter(|port| port.port == i32::from(number))
            .any(|port| port.transport() == *protocol)
    };
    let wrong = ALL.into_iter().find(|protocol| !has(protocol));
    (ALL.into_iter().filter(has), wrong)
}

/// Every node port at the addresses of a node, at one of another node, and at 127.0.0.1.
fn node_targets(cluster: &Cluster, node: &Node) -> BTreeSet<(SocketAddr, PacketKind)> {
    let other = cluster
        .nodes
        .iter()
        .find(|other| other.metadata.name != node.metadata.name);
    let addresses: Vec<IpAddr> = node
        .internal_addresses()
        .chain(other.and_then(|other| other.internal_addresses().next()))
        .chain([Ipv4Addr::LOCALHOST.into()])
        .collect();
    let ports = cluster.services().flat_map(|service| &service.spec.ports);
    let open = ports.filter_map(|port| {
        let number = u16::try_from(port.node_port).ok()?;
        (number > 0).then(|| (number, PacketKind::Open(port.transport())))
    });
    open.flat_map(|(number, kind)| {
        addresses
            .iter()
            .map(move |address| (SocketAddr::new(*address, number), kind))
    })
    .collect()
}
