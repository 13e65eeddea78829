//! What Kubernetes promises about the first packet of a connection.
//!
//! **What.** An [`Oracle`] reads API objects and says what may become of a [`FirstPacket`]. **Why.** It is a
//! second opinion: it follows the promises in the order in which they are stated, knows no chain, no rule and no
//! compiler, and asks nobody who does. **Source of the semantics.** PROXY-2 … PROXY-16, PROXY-20, PROXY-23,
//! PROXY-42.
//!
//! Deviation: it knows ClusterIPs only. A packet to a node port, a load-balancer or an external IP is taken for
//! one that no Service concerns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::{
    EndpointSlice, IpFamily, LABEL_HEADLESS, Object, ObjectMeta, Service, ServicePort,
    TrafficPolicy,
};

use crate::endpoints::{Entry, Reading, Viewpoint, any_usable, cluster_set, local_set, readings};
use crate::{
    Allowed, AllowedOutcome, Alternative, Cluster, FirstPacket, ProxyMode, Ruling, Source,
    SourceNat,
};

/// Objects with this label, whatever its value, are another proxy's (PROXY-2).
const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// Judges packets in one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Oracle<'c> {
    cluster: &'c Cluster,
    mode: ProxyMode,
}

impl<'c> Oracle<'c> {
    /// An oracle for a cluster whose proxies all work in one mode.
    #[must_use]
    pub const fn new(cluster: &'c Cluster, mode: ProxyMode) -> Self {
        Self { cluster, mode }
    }

    /// What may become of a packet. A node that the cluster does not have is one without a zone, on which no
    /// endpoint is.
    ///
    /// The cost grows with the product of the numbers of ways to read each address that several slices describe
    /// differently.
    #[must_use]
    pub fn judge(&self, packet: &FirstPacket) -> Allowed {
        let Some((service, port)) = self.service_port(packet) else {
            // Other modes refuse wrong ports and drop what is in a Service range (PROXY-16).
            return match self.mode {
                ProxyMode::Iptables => Allowed::only(Alternative::always(
                    Ruling::NoService,
                    AllowedOutcome::Untouched,
                )),
            };
        };
        let node = self.cluster.node(&packet.node);
        let viewpoint = Viewpoint {
            node: &packet.node,
            zone: node.and_then(api::Node::zone),
        };
        let family = IpFamily::of(packet.destination.ip());
        let readings = readings(&self.slices(service), port, family, viewpoint);
        let alternatives: BTreeSet<Alternative> = readings
            .iter()
            .map(|reading| self.rule(reading, service.internal_policy(), packet))
            .collect();
        Allowed::new(alternatives).expect("slices can always be read in one way at least")
    }

    /// The objects that the judgement rests on: the node, and the Service with its slices if the packet is for
    /// one.
    #[must_use]
    pub fn involved(&self, packet: &FirstPacket) -> Vec<Object> {
        let node = self
            .cluster
            .nodes
            .iter()
            .find(|node| node.metadata.name == packet.node);
        let service = self.cluster.objects.iter().filter(|object| match object {
            Object::Service(service) => has_address(service, packet.destination.ip()),
            Object::EndpointSlice(slice) => self.services().any(|service| {
                has_address(service, packet.destination.ip()) && belongs(slice, service)
            }),
            _ => false,
        });
        node.cloned()
            .map(Object::Node)
            .into_iter()
            .chain(service.cloned())
            .collect()
    }

    /// PROXY-13, for one reading of the slices.
    fn rule(&self, reading: &Reading, policy: TrafficPolicy, packet: &FirstPacket) -> Alternative {
        let set = match policy {
            TrafficPolicy::Cluster => cluster_set(reading),
            TrafficPolicy::Local => local_set(reading),
        };
        if !set.is_empty() {
            let outcomes = set
                .iter()
                .map(|entry| self.arrives(entry, packet))
                .collect();
            return Alternative::evenly(Ruling::Balance, &outcomes);
        }
        if any_usable(reading) {
            return Alternative::always(Ruling::NoLocalEndpoint, AllowedOutcome::Drop);
        }
        Alternative::always(Ruling::NoEndpoint, AllowedOutcome::Reject)
    }

    fn arrives(&self, entry: &Entry, packet: &FirstPacket) -> AllowedOutcome {
        let endpoint = entry.address.ip();
        let source_nat = if !self.is_masqueraded(endpoint, packet.source.address()) {
            SourceNat::No
        } else if matches!(packet.source, Source::Node(_)) || self.is_own(endpoint, packet) {
            // The node hides its own packets behind the address of the interface that they leave by, which may
            // be the one they have. And what is for the node itself does not leave it.
            SourceNat::Either
        } else {
            SourceNat::Yes
        };
        AllowedOutcome::Endpoint {
            address: entry.address,
            source_nat,
        }
    }

    /// Everything (`masqueradeAll`), what comes from outside of the cluster (PROXY-20), and what an endpoint sends
    /// to itself (PROXY-23).
    fn is_masqueraded(&self, endpoint: IpAddr, source: IpAddr) -> bool {
        let family = IpFamily::of(source);
        let proxy = &self.cluster.proxy;
        let mut pods = proxy.cluster_cidrs.iter();
        let pods = pods.find(|range| IpFamily::of(range.addr()) == family);
        let outside = pods.is_some_and(|range| !range.contains(&source));
        proxy.masquerade_all || outside || endpoint == source
    }

    fn is_own(&self, address: IpAddr, packet: &FirstPacket) -> bool {
        let node = self.cluster.node(&packet.node);
        node.is_some_and(|node| node.internal_addresses().any(|own| own == address))
    }

    fn service_port(&self, packet: &FirstPacket) -> Option<(&'c Service, &'c ServicePort)> {
        let number = i32::from(packet.destination.port());
        let mut here = self
            .services()
            .filter(|service| is_served(service) && has_address(service, packet.destination.ip()));
        here.find_map(|service| {
            let mut ports = service.spec.ports.iter();
            let port =
                ports.find(|port| port.port == number && port.transport() == packet.protocol)?;
            Some((service, port))
        })
    }

    fn services(&self) -> impl Iterator<Item = &'c Service> {
        self.cluster
            .objects
            .iter()
            .filter_map(|object| object.as_service().map(|s| &**s))
    }

    fn slices(&self, service: &Service) -> Vec<&'c EndpointSlice> {
        let slices = self
            .cluster
            .objects
            .iter()
            .filter_map(Object::as_endpoint_slice);
        let slices = slices
            .map(|slice| &**slice)
            .filter(|slice| belongs(slice, service));
        slices.filter(|slice| is_watched(&slice.metadata)).collect()
    }
}

/// A Service that has a virtual IP and is not another proxy's (PROXY-2).
fn is_served(service: &Service) -> bool {
    let is_alias = service.spec.service_type == "ExternalName";
    let is_foreign = service.metadata.labels.contains_key(LABEL_PROXY_NAME);
    !is_alias && !is_foreign && !service.is_headless()
}

/// A slice of another proxy or of a headless Service is not seen (PROXY-2).
fn is_watched(slice: &ObjectMeta) -> bool {
    [LABEL_PROXY_NAME, LABEL_HEADLESS]
        .iter()
        .all(|label| !slice.labels.contains_key(*label))
}

fn has_address(service: &Service, address: IpAddr) -> bool {
    service.addresses().any(|own| own == address)
}

/// EP-40: a slice is of the Service that its label names, in its own namespace.
fn belongs(slice: &EndpointSlice, service: &Service) -> bool {
    slice.metadata.namespace == service.metadata.namespace
        && slice.service_name() == Some(&service.metadata.name)
}
