//! The compiler's input: what a proxy sees of the cluster at one watch position.
//!
//! Its map is persistent (structural sharing): cloning a view costs nothing and all nodes at one position
//! share it. Values are already filtered as the proxy's watch is (PROXY-2): no headless or ExternalName Service,
//! no foreign `service-proxy-name`.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::{Family, Protocol};
use smallvec::SmallVec;

use crate::{EndpointCounts, Services};

/// `namespace/name` of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// By namespace, then by name. (Most names that are equal are one.)
impl Ord for ServiceName {
    fn cmp(&self, other: &Self) -> Ordering {
        let of = |one: &Arc<str>, other: &Arc<str>| match Arc::ptr_eq(one, other) {
            true => Ordering::Equal,
            false => one.cmp(other),
        };
        of(&self.namespace, &other.namespace).then_with(|| of(&self.name, &other.name))
    }
}

impl PartialOrd for ServiceName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Services and EndpointSlices at one position of the watch.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// resourceVersion of the last event that is in it; 0 before the first.
    pub revision: u64,
    /// Services that a proxy serves, and EndpointSlices by the Service that they name.
    pub services: Services,
    /// The Service ranges that exist.
    pub service_cidrs: Arc<[IpNet]>,
    /// How many endpoints these Services have, as whoever makes the view counts them; see [`Self::recount`].
    pub endpoints: EndpointCounts,
}

/// The parts of a Service that decide about packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceView {
    /// One address per family at most.
    pub cluster_ips: SmallVec<[IpAddr; 2]>,
    /// In the order of the manifest.
    pub ports: SmallVec<[ServicePortView; 1]>,
    /// `spec.internalTrafficPolicy`: for the ClusterIP.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`: for everything but the ClusterIP.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.externalIPs` (PROXY-31).
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` of ipMode VIP (PROXY-29).
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`: who may use the load-balancer addresses; empty for everybody (PROXY-30).
    pub load_balancer_source_ranges: Vec<IpNet>,
    /// `spec.sessionAffinity: ClientIP`: seconds that a client stays with its endpoint (PROXY-32).
    pub affinity_seconds: Option<u32>,
    /// `spec.healthCheckNodePort`, where one is needed.
    pub health_check_node_port: Option<u16>,
}

impl ServiceView {
    /// Its ClusterIP of a family.
    #[must_use]
    pub fn cluster_ip(&self, family: Family) -> Option<IpAddr> {
        self.cluster_ips
            .iter()
            .copied()
            .find(|address| Family::of(*address) == family)
    }
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortView {
    /// Empty when unnamed.
    pub name: Arc<str>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port at the ClusterIP, at external IPs and at load-balancer IPs.
    pub port: u16,
    /// The port at the nodes' own addresses, if it has one.
    pub node_port: Option<u16>,
}

/// One entry of a slice's `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePortView {
    /// Empty when unnamed.
    pub name: Arc<str>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port at the endpoints.
    pub port: u16,
}

/// Which endpoints may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Any in the cluster.
    #[default]
    Cluster,
    /// Only those on the node itself.
    Local,
}

/// One EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceView {
    /// Its `addressType`; slices of type FQDN are not in a view.
    pub family: Family,
    /// Ports without a name or number are left out (PROXY-4).
    pub ports: SmallVec<[SlicePortView; 1]>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// One endpoint, conditions resolved (EP-13: ready nil → true, serving nil → true, terminating nil → false).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointView {
    /// `addresses[0]` (EP-16).
    pub address: IpAddr,
    /// `nodeName`
    pub node: Option<Arc<str>>,
    /// `conditions.ready`
    pub ready: bool,
    /// `conditions.serving`
    pub serving: bool,
    /// `conditions.terminating`
    pub terminating: bool,
    /// Who should prefer it.
    pub hints: Hints,
    /// The Pod's name (`targetRef`), for people only.
    pub pod: Option<Arc<str>>,
}

/// `hints` of an endpoint. Most have none, and those take little room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints(Option<Box<HintLists>>);

/// Not both are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HintLists {
    zones: Vec<Arc<str>>,
    nodes: Vec<Arc<str>>,
}

impl Hints {
    /// None.
    pub const NONE: Self = Self(None);

    /// Those for zones, and those for nodes.
    #[must_use]
    pub fn of(zones: Vec<Arc<str>>, nodes: Vec<Arc<str>>) -> Self {
        let any = !zones.is_empty() || !nodes.is_empty();
        Self(any.then(|| Box::new(HintLists { zones, nodes })))
    }

    /// `forZones`
    #[must_use]
    pub fn zones(&self) -> &[Arc<str>] {
        self.0.as_ref().map_or(&[], |lists| &lists.zones)
    }

    /// `forNodes`
    #[must_use]
    pub fn nodes(&self) -> &[Arc<str>] {
        self.0.as_ref().map_or(&[], |lists| &lists.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_what_they_were_made_of() {
        let (zones, nodes) = (vec!["a".into()], vec!["node-1".into()]);
        let hints = Hints::of(zones.clone(), nodes.clone());
        assert_eq!((hints.zones(), hints.nodes()), (&*zones, &*nodes));
        assert_eq!(Hints::of(zones.clone(), Vec::new()).zones(), zones);
        assert_eq!(Hints::of(Vec::new(), nodes.clone()).nodes(), nodes);
        assert_eq!(Hints::of(Vec::new(), Vec::new()), Hints::NONE);
    }

    #[test]
    fn an_endpoint_takes_little_room() {
        assert!(size_of::<EndpointView>() <= 64);
    }
}
