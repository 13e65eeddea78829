//! Where clients reach a Service, and which Service a packet is for.
//!
//! Source of the semantics: PROXY-2, PROXY-3, PROXY-26 … PROXY-29, PROXY-31.

use std::net::{IpAddr, SocketAddr};

use api::{IpFamily, Object, Protocol, Service, ServicePort};

use crate::cluster::primary_address;
use crate::{Cluster, FirstPacket, NodePortAddresses, PacketKind, ProxyMode};

/// Objects with this label, whatever its value, are another proxy's (PROXY-2).
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// A service port, and the address at which a packet asks for it.
#[derive(Clone, Copy)]
pub(crate) struct Frontend<'c> {
    pub(crate) service: &'c Service,
    pub(crate) port: &'c ServicePort,
    pub(crate) kind: FrontendKind,
}

/// The sorts of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrontendKind {
    ClusterIp,
    ExternalIp,
    LoadBalancerIp,
    /// Whether the proxy serves it at this address of the node (PROXY-26, PROXY-27).
    NodePort {
        served: bool,
    },
}

/// What a packet asks for, if it is for a Service.
pub(crate) fn frontend<'c>(
    cluster: &'c Cluster,
    mode: ProxyMode,
    packet: &FirstPacket,
) -> Option<Frontend<'c>> {
    let PacketKind::Open(protocol) = packet.kind else {
        return None;
    };
    let own = at_service_address(cluster, packet.destination, protocol);
    own.or_else(|| at_node_port(cluster, mode, packet, protocol))
}

/// `spec.externalIPs` (PROXY-31).
pub(crate) fn external_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let texts = service.spec.external_ips.iter();
    texts.filter_map(|text| text.parse().ok())
}

/// The load balancer's addresses that the nodes are to answer at: those of ipMode VIP, which is the default
/// (PROXY-29).
pub(crate) fn load_balancer_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let ingress = service.status.load_balancer.ingress.iter();
    ingress
        .filter(|entry| entry.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
        .filter_map(|entry| entry.ip.parse().ok())
}

/// Whether an address is one of a node's own.
pub(crate) fn is_local(cluster: &Cluster, node: &str, address: IpAddr) -> bool {
    let node = cluster.node(node);
    address.is_loopback()
        || node.is_some_and(|node| node.internal_addresses().any(|own| own == address))
}

/// Whether an address is the ClusterIP of a Service that is served.
pub(crate) fn is_active_cluster_ip(cluster: &Cluster, address: IpAddr) -> bool {
    let mut addresses = cluster
        .services()
        .filter(|service| is_served(service))
        .flat_map(Service::addresses);
    addresses.any(|own| own == address)
}

/// Whether an address is one at which Services are reached, whatever the port, and that IPVS mode therefore makes a
/// node's own (PROXY-57).
pub(crate) fn is_bound(cluster: &Cluster, node: &str, address: IpAddr) -> bool {
    let mut services = cluster
        .services()
        .filter(|service| is_served_in_family_of(service, address));
    services.any(|service| kind_of_address(service, address).is_some())
        && !is_local(cluster, node, address)
}

/// Whether a service port can be reached from outside of the cluster in a family (PROXY-7).
pub(crate) fn is_externally_accessible(
    service: &Service,
    port: &ServicePort,
    family: IpFamily,
) -> bool {
    let mut addresses = external_ips(service).chain(load_balancer_ips(service));
    port.node_port > 0 || addresses.any(|address| IpFamily::of(address) == family)
}

/// Whether objects with this metadata are another proxy's (PROXY-2).
pub(crate) fn is_foreign(metadata: &api::ObjectMeta) -> bool {
    metadata.labels.contains_key(LABEL_PROXY_NAME)
}

/// A Service that has a virtual IP and is not another proxy's (PROXY-2).
fn is_served(service: &Service) -> bool {
    let is_alias = service.spec.service_type == "ExternalName";
    !is_alias && !is_foreign(&service.metadata) && !service.is_headless()
}

/// Whether a Service is served in the family of an address: it has a ClusterIP of it.
fn is_served_in_family_of(service: &Service, address: IpAddr) -> bool {
    let family = IpFamily::of(address);
    is_served(service) && service.addresses().any(|own| IpFamily::of(own) == family)
}

fn at_service_address(
    cluster: &Cluster,
    to: SocketAddr,
    protocol: Protocol,
) -> Option<Frontend<'_>> {
    let mut here = cluster
        .services()
        .filter(|service| is_served_in_family_of(service, to.ip()));
    here.find_map(|service| {
        let kind = kind_of_address(service, to.ip())?;
        let mut ports = service.spec.ports.iter();
        let port =
            ports.find(|port| port.port == i32::from(to.port()) && port.transport() == protocol)?;
        Some(Frontend {
            service,
            port,
            kind,
        })
    })
}

fn kind_of_address(service: &Service, address: IpAddr) -> Option<FrontendKind> {
    if service.addresses().any(|own| own == address) {
        Some(FrontendKind::ClusterIp)
    } else if external_ips(service).any(|own| own == address) {
        Some(FrontendKind::ExternalIp)
    } else if load_balancer_ips(service).any(|own| own == address) {
        Some(FrontendKind::LoadBalancerIp)
    } else {
        None
    }
}

fn at_node_port<'c>(
    cluster: &'c Cluster,
    mode: ProxyMode,
    packet: &FirstPacket,
    protocol: Protocol,
) -> Option<Frontend<'c>> {
    let to = packet.destination;
    if !is_local(cluster, &packet.node, to.ip()) || to.port() == 0 {
        return None;
    }
    let number = i32::from(to.port());
    let services = cluster
        .services()
        .filter(|service| is_served_in_family_of(service, to.ip()));
    let mut ports =
        services.flat_map(|service| service.spec.ports.iter().map(move |port| (service, port)));
    let (service, port) =
        ports.find(|(_, port)| port.node_port == number && port.transport() == protocol)?;
    let served = accepts_node_ports(cluster, mode, &packet.node, to.ip());
    Some(Frontend {
        service,
        port,
        kind: FrontendKind::NodePort { served },
    })
}

/// Whether a proxy serves node ports at one of its node's addresses (PROXY-26, PROXY-27).
fn accepts_node_ports(cluster: &Cluster, mode: ProxyMode, node: &str, address: IpAddr) -> bool {
    let proxy = &cluster.proxy;
    let localhost = mode == ProxyMode::Iptables && proxy.localhost_node_ports && address.is_ipv4();
    if address.is_loopback() && !localhost {
        return false;
    }
    let is_primary = || {
        let node = cluster.node(node);
        node.and_then(|node| primary_address(node, IpFamily::of(address))) == Some(address)
    };
    match (&proxy.node_port_addresses, mode) {
        (NodePortAddresses::Default, ProxyMode::Iptables | ProxyMode::Ipvs) => true,
        (NodePortAddresses::Default, ProxyMode::Nftables) | (NodePortAddresses::Primary, _) => {
            is_primary()
        }
        (NodePortAddresses::Within(ranges), _) => {
            ranges.iter().any(|range| range.contains(&address))
        }
    }
}

impl Cluster {
    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        let services = self.objects.iter().filter_map(Object::as_service);
        services.map(|service| &**service)
    }
}
