//! What Kubernetes promises about the first packet of a connection.
//!
//! **What.** An [`Oracle`] reads API objects and says what may become of a [`FirstPacket`]. **Why.** It is a
//! second opinion: it follows the promises in the order in which they are stated, knows no chain, no rule and no
//! compiler, and asks nobody who does. **Source of the semantics.** PROXY-2 … PROXY-17, PROXY-20 … PROXY-32,
//! PROXY-40, PROXY-42, PROXY-56; the table in section 6a says which packets iptables mode holds against which
//! list.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use api::{EndpointSlice, IpFamily, LABEL_HEADLESS, Object, ObjectMeta, Service, TrafficPolicy};

use crate::endpoints::{Entry, Reading, Viewpoint, any_usable, cluster_set, local_set, readings};
use crate::frontend::{
    Frontend, FrontendKind, external_ips, frontend, is_active_cluster_ip, is_bound,
    is_externally_accessible, is_foreign, is_local, load_balancer_ips,
};
use crate::source::{Origin, is_locked_out, origin};
use crate::{
    Allowed, AllowedOutcome, Alternative, Cluster, FirstPacket, ProxyMode, Ruling, Source,
    SourceNat,
};

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

    /// What may become of a packet whose sender has not been seen before (session affinity does not decide: see
    /// [`AffinityMemory`](crate::AffinityMemory)). A node that the cluster does not have is one without a zone,
    /// on which no endpoint is.
    ///
    /// The cost grows with the product of the numbers of ways to read each address that several slices describe
    /// differently.
    #[must_use]
    pub fn judge(&self, packet: &FirstPacket) -> Allowed {
        if self.is_foreign_source(packet) {
            let lost = Alternative::always(Ruling::ForeignSource, AllowedOutcome::Drop);
            return Allowed::only(lost);
        }
        let Some(frontend) = self.frontend(packet) else {
            return Allowed::only(self.no_service(packet));
        };
        let alternatives: BTreeSet<Alternative> = self
            .readings(&frontend, packet)
            .iter()
            .map(|reading| self.rule(&frontend, reading, packet))
            .collect();
        Allowed::new(alternatives).expect("slices can always be read in one way at least")
    }

    /// The objects that the judgement rests on: the node, and the Service with its slices if the packet is for
    /// one.
    #[must_use]
    pub fn involved(&self, packet: &FirstPacket) -> Vec<Object> {
        let nodes = self.cluster.nodes.iter();
        let node = nodes
            .filter(|node| node.metadata.name == packet.node)
            .cloned()
            .map(Object::Node);
        let asked: Vec<&Service> = match self.frontend(packet) {
            Some(frontend) => vec![frontend.service],
            None => {
                let has = |service: &&Service| has_address(service, packet.destination);
                self.cluster.services().filter(has).collect()
            }
        };
        let others = self.cluster.objects.iter().filter(|object| match object {
            Object::Service(service) => asked.contains(&&**service),
            Object::EndpointSlice(slice) => asked.iter().any(|service| belongs(slice, service)),
            _ => false,
        });
        node.chain(others.cloned()).collect()
    }

    /// Whether a packet comes from elsewhere with an address that IPVS mode makes the node's own (PROXY-57).
    fn is_foreign_source(&self, packet: &FirstPacket) -> bool {
        self.mode == ProxyMode::Ipvs
            && !matches!(packet.source, Source::Node(_))
            && is_bound(self.cluster, &packet.node, packet.source.address())
    }

    pub(crate) const fn mode(&self) -> ProxyMode {
        self.mode
    }

    pub(crate) fn frontend(&self, packet: &FirstPacket) -> Option<Frontend<'c>> {
        frontend(self.cluster, self.mode, packet)
    }

    /// iptables mode leaves alone what it does not know; nftables mode refuses wrong ports of ClusterIPs and drops
    /// what is for the rest of the Service ranges; IPVS mode refuses wrong ports of all that is a Service's address
    /// (PROXY-16, PROXY-17).
    fn no_service(&self, packet: &FirstPacket) -> Alternative {
        let to = packet.destination.ip();
        let in_range = || {
            self.cluster
                .service_cidrs
                .iter()
                .any(|range| range.contains(&to))
        };
        match self.mode {
            ProxyMode::Nftables if is_active_cluster_ip(self.cluster, to) => {
                Alternative::always(Ruling::WrongPort, AllowedOutcome::Reject)
            }
            ProxyMode::Nftables if in_range() => {
                Alternative::always(Ruling::UnusedAddress, AllowedOutcome::Drop)
            }
            ProxyMode::Ipvs if is_bound(self.cluster, &packet.node, to) => {
                Alternative::always(Ruling::WrongPort, AllowedOutcome::Reject)
            }
            ProxyMode::Iptables | ProxyMode::Nftables | ProxyMode::Ipvs => {
                Alternative::always(Ruling::NoService, AllowedOutcome::Untouched)
            }
        }
    }

    fn readings(&self, frontend: &Frontend<'_>, packet: &FirstPacket) -> Vec<Reading> {
        let node = self.cluster.node(&packet.node);
        let viewpoint = Viewpoint {
            node: &packet.node,
            zone: node.and_then(api::Node::zone),
        };
        let family = IpFamily::of(packet.destination.ip());
        let slices = self.slices(frontend.service);
        readings(&slices, frontend.port, family, viewpoint)
    }

    /// PROXY-13, for one reading of the slices.
    fn rule(
        &self,
        frontend: &Frontend<'_>,
        reading: &Reading,
        packet: &FirstPacket,
    ) -> Alternative {
        if self.is_locked_out(frontend, reading, packet) {
            return Alternative::always(Ruling::SourceRanges, AllowedOutcome::Drop);
        }
        let set = self.set(frontend, reading, packet);
        let is_served = frontend.kind != FrontendKind::NodePort { served: false };
        if is_served && !set.is_empty() {
            let outcomes = set
                .iter()
                .map(|entry| self.arrives(entry, frontend, packet));
            return Alternative::evenly(Ruling::Balance, &outcomes.collect());
        }
        if self.mode == ProxyMode::Ipvs && is_served {
            let why = match any_usable(reading) {
                true => Ruling::EmptyServer,
                false => Ruling::NoEndpoint,
            };
            return Alternative::always(why, AllowedOutcome::Reject);
        }
        if self.is_checked(frontend, packet) {
            if !any_usable(reading) {
                return Alternative::always(Ruling::NoEndpoint, AllowedOutcome::Reject);
            }
            if is_served || lacks_local(frontend, reading) {
                return Alternative::always(Ruling::NoLocalEndpoint, AllowedOutcome::Drop);
            }
        }
        let why = if is_served {
            Ruling::NotChecked
        } else {
            Ruling::NotServed
        };
        Alternative::always(why, AllowedOutcome::Untouched)
    }

    /// Whether the load balancer's source ranges forbid it. In iptables mode they count only where there is an
    /// endpoint; in nftables mode they come before everything else (PROXY-30, PROXY-56), and so they do in IPVS mode,
    /// but for the node's own packets, which the input hook does not see.
    fn is_locked_out(
        &self,
        frontend: &Frontend<'_>,
        reading: &Reading,
        packet: &FirstPacket,
    ) -> bool {
        let applies = match self.mode {
            ProxyMode::Iptables => any_usable(reading),
            ProxyMode::Nftables => true,
            ProxyMode::Ipvs => !matches!(packet.source, Source::Node(_)),
        };
        frontend.kind == FrontendKind::LoadBalancerIp
            && applies
            && is_locked_out(self.cluster, frontend.service, packet)
    }

    /// What a packet's connection may go to: the internal policy is for ClusterIPs, the external one for everything
    /// else, and who is in the cluster is not bound to the latter (PROXY-7, PROXY-25). In IPVS mode everybody is, but
    /// policy Local falls back to the cluster set, if anything of the Service uses that (PROXY-15).
    fn set(&self, frontend: &Frontend<'_>, reading: &Reading, packet: &FirstPacket) -> Vec<Entry> {
        let policy = match frontend.kind {
            FrontendKind::ClusterIp => frontend.service.internal_policy(),
            _ if self.mode != ProxyMode::Ipvs
                && origin(self.cluster, packet) != Origin::Elsewhere =>
            {
                TrafficPolicy::Cluster
            }
            _ => frontend.service.external_policy(),
        };
        match policy {
            TrafficPolicy::Cluster => cluster_set(reading),
            TrafficPolicy::Local => {
                let local = local_set(reading);
                let falls_back = self.mode == ProxyMode::Ipvs
                    && local.is_empty()
                    && is_externally_accessible(
                        frontend.service,
                        frontend.port,
                        IpFamily::of(packet.destination.ip()),
                    );
                if falls_back {
                    cluster_set(reading)
                } else {
                    local
                }
            }
        }
    }

    /// Whether a packet without a way to an endpoint is held against the list of those without endpoints. In
    /// iptables mode the node's own packets to addresses of others are not, unless they are for a ClusterIP
    /// (PROXY-33, section 6a); in nftables mode node ports are only where they are served (PROXY-49).
    fn is_checked(&self, frontend: &Frontend<'_>, packet: &FirstPacket) -> bool {
        match (self.mode, frontend.kind) {
            (ProxyMode::Iptables, FrontendKind::ExternalIp | FrontendKind::LoadBalancerIp) => {
                let to = packet.destination.ip();
                !matches!(packet.source, Source::Node(_))
                    || is_local(self.cluster, &packet.node, to)
            }
            (ProxyMode::Nftables | ProxyMode::Ipvs, FrontendKind::NodePort { served }) => served,
            _ => true,
        }
    }

    fn arrives(
        &self,
        entry: &Entry,
        frontend: &Frontend<'_>,
        packet: &FirstPacket,
    ) -> AllowedOutcome {
        let endpoint = entry.address.ip();
        let source = packet.source.address();
        let hairpin = if endpoint == source {
            self.hairpin(entry, packet)
        } else {
            SourceNat::No
        };
        let is_masqueraded = self.is_masqueraded(frontend, packet);
        let source_nat = if !is_masqueraded && hairpin == SourceNat::No {
            SourceNat::No
        } else if is_local(self.cluster, &packet.node, endpoint)
            || (matches!(packet.source, Source::Node(_)) && !source.is_loopback())
        {
            // The node hides its own packets behind the address of the interface that they leave by, which may
            // be the one they have. And what is for the node itself does not leave it.
            SourceNat::Either
        } else if is_masqueraded {
            SourceNat::Yes
        } else {
            hairpin
        };
        AllowedOutcome::Endpoint {
            address: entry.address,
            source_nat,
        }
    }

    /// Whose address is hidden, whatever the endpoint is: on the way to a ClusterIP everybody's (`masqueradeAll`)
    /// or that of strangers (PROXY-20); on any other way everybody's, but with policy Local only the node's own
    /// (PROXY-22, PROXY-25), and in IPVS mode nobody's.
    fn is_masqueraded(&self, frontend: &Frontend<'_>, packet: &FirstPacket) -> bool {
        let origin = origin(self.cluster, packet);
        match frontend.kind {
            FrontendKind::ClusterIp => {
                let proxy = &self.cluster.proxy;
                let family = IpFamily::of(packet.destination.ip());
                let detects = proxy.local_detection.tells(family);
                proxy.masquerade_all || (detects && origin != Origin::Pod)
            }
            _ => match frontend.service.external_policy() {
                TrafficPolicy::Cluster => true,
                TrafficPolicy::Local => origin == Origin::Node && self.mode != ProxyMode::Ipvs,
            },
        }
    }

    /// What an endpoint sends to itself is hidden from it (PROXY-23): in nftables and IPVS mode if it is on the node,
    /// according to any slice.
    fn hairpin(&self, entry: &Entry, packet: &FirstPacket) -> SourceNat {
        if self.mode == ProxyMode::Iptables || entry.here {
            return SourceNat::Yes;
        }
        if self.is_listed_here(entry.address, &packet.node) {
            return SourceNat::Either;
        }
        SourceNat::No
    }

    fn is_listed_here(&self, address: SocketAddr, node: &str) -> bool {
        let slices = self.cluster.objects.iter();
        let mut endpoints = slices
            .filter_map(Object::as_endpoint_slice)
            .flat_map(|slice| &slice.endpoints);
        endpoints.any(|endpoint| {
            let own = endpoint
                .addresses
                .first()
                .and_then(|text| text.parse().ok());
            endpoint.node_name.as_deref() == Some(node) && own == Some(address.ip())
        })
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

/// Whether policy Local leaves nothing on the node: iptables mode then drops what is for the node port,
/// whichever of the node's addresses it is for (PROXY-33).
fn lacks_local(frontend: &Frontend<'_>, reading: &Reading) -> bool {
    frontend.service.external_policy() == TrafficPolicy::Local && local_set(reading).is_empty()
}

/// A slice of another proxy or of a headless Service is not seen (PROXY-2).
fn is_watched(slice: &ObjectMeta) -> bool {
    !is_foreign(slice) && !slice.labels.contains_key(LABEL_HEADLESS)
}

/// Whether a Service has an address, or a node port of this number.
fn has_address(service: &Service, to: SocketAddr) -> bool {
    let mut addresses = service
        .addresses()
        .chain(external_ips(service))
        .chain(load_balancer_ips(service));
    let mut ports = service.spec.ports.iter();
    addresses.any(|own| own == to.ip()) || ports.any(|port| port.node_port == i32::from(to.port()))
}

/// EP-40: a slice is of the Service that its label names, in its own namespace.
fn belongs(slice: &EndpointSlice, service: &Service) -> bool {
    slice.metadata.namespace == service.metadata.namespace
        && slice.service_name() == Some(&service.metadata.name)
}
