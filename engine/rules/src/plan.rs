//! Every decision about a node's Services, made once and for all dialects.
//!
//! A plan says *what* happens to packets for each frontend; a lowering only spells it. It holds ClusterIP
//! frontends; others (node ports, load-balancer and external IPs) are further [`FrontendPlan`]s that point at
//! the same two endpoint sets.
//!
//! Source of the semantics: PROXY-2 … PROXY-15, PROXY-20, PROXY-41.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ruleset::Family;

use crate::endpoints::Candidates;
use crate::{
    ClusterView, NodeFacts, PodTraffic, ServiceName, ServicePortId, ServicePortView, ServiceView,
    SlicesByName, TrafficPolicy,
};

/// All that one node has to do in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlan {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The mark bit that asks for masquerade (PROXY-19).
    pub masquerade_mark: u32,
    /// What happens to each service port that has a frontend of the family.
    pub service_ports: BTreeMap<ServicePortId, Arc<ServicePortPlan>>,
}

/// What happens to packets for one service port in one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePortPlan {
    /// Which service port.
    pub id: ServicePortId,
    /// Its number, `spec.ports[].port`.
    pub port: u16,
    /// Where clients reach it.
    pub frontends: Vec<FrontendPlan>,
    /// The cluster set (PROXY-8), sorted by the text `ip:port`; empty when no frontend uses it.
    pub cluster: Vec<EndpointPlan>,
    /// The local set (PROXY-9), sorted alike; empty when no frontend uses it.
    pub local: Vec<EndpointPlan>,
}

impl ServicePortPlan {
    /// The set that a policy chooses from.
    #[must_use]
    pub fn endpoints(&self, policy: TrafficPolicy) -> &[EndpointPlan] {
        match policy {
            TrafficPolicy::Cluster => &self.cluster,
            TrafficPolicy::Local => &self.local,
        }
    }

    /// The endpoints of both sets, each once (PROXY-11).
    pub fn reachable(&self) -> impl Iterator<Item = &EndpointPlan> {
        let only_local = self
            .local
            .iter()
            .filter(|endpoint| !self.cluster.contains(endpoint));
        self.cluster.iter().chain(only_local)
    }
}

/// An address at which clients reach a service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrontendPlan {
    /// What sort of address.
    pub kind: FrontendKind,
    /// Address and port.
    pub address: SocketAddr,
    /// What happens to a connection to it.
    pub verdict: FrontendVerdict,
    /// Whose source address is hidden from the endpoint.
    pub masquerade: Masquerade,
}

/// The sorts of frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendKind {
    /// `spec.clusterIPs`
    ClusterIp,
}

/// What happens to a new connection to a frontend (PROXY-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendVerdict {
    /// It goes to an endpoint of the policy's set, each as likely as the others.
    Balance(TrafficPolicy),
    /// It is refused: the client is told at once.
    Reject(RejectReason),
    /// It is dropped: the client waits until it gives up.
    Drop(DropReason),
}

/// Why connections are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectReason {
    /// No endpoint on any node is usable (PROXY-14).
    NoEndpoints,
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoints => f.pad("no ready endpoint"),
        }
    }
}

/// Why connections are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Policy Local, and usable endpoints are on other nodes only (PROXY-15).
    NoLocalEndpoints,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocalEndpoints => f.pad("no ready endpoint on this node"),
        }
    }
}

/// Whose source address becomes the node's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Masquerade {
    /// Nobody's.
    Never,
    /// Everybody's.
    Always,
    /// Everybody's but the Pods'.
    UnlessFrom(PodTraffic),
}

/// A backend that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointPlan {
    /// Where connections go.
    pub address: SocketAddr,
    /// Whether it is on the node itself.
    pub is_local: bool,
    /// The Pod's name, for people only.
    pub pod: Option<Arc<str>>,
}

/// Decides everything for one node and family.
#[must_use]
pub fn plan(view: &ClusterView, facts: &NodeFacts, family: Family) -> RulePlan {
    let no_slices = SlicesByName::new();
    let service_ports = view
        .services
        .iter()
        .flat_map(|(name, service)| {
            let slices = view.slices.get(name).map_or(&no_slices, |slices| slices);
            plan_service(name, service, slices, facts, family)
        })
        .map(|plan| (plan.id.clone(), Arc::new(plan)))
        .collect();
    RulePlan {
        family,
        masquerade_mark: facts.masquerade_mark,
        service_ports,
    }
}

/// Decides for one Service: a plan per port, none when it has no ClusterIP of the family (PROXY-2).
#[must_use]
pub fn plan_service(
    name: &ServiceName,
    service: &ServiceView,
    slices: &SlicesByName,
    facts: &NodeFacts,
    family: Family,
) -> Vec<ServicePortPlan> {
    let Some(cluster_ip) = service.cluster_ip(family) else {
        return Vec::new();
    };
    service
        .ports
        .iter()
        .map(|port| {
            let id = ServicePortId {
                service: name.clone(),
                port_name: Arc::clone(&port.name),
                protocol: port.protocol,
            };
            let candidates = Candidates::of_port(slices, port, family);
            let policy = service.internal_traffic_policy;
            plan_port(id, cluster_ip, port, policy, &candidates, facts)
        })
        .collect()
}

fn plan_port(
    id: ServicePortId,
    cluster_ip: IpAddr,
    port: &ServicePortView,
    policy: TrafficPolicy,
    candidates: &Candidates<'_>,
    facts: &NodeFacts,
) -> ServicePortPlan {
    // Each set is made only for those who use it (PROXY-7).
    let (cluster, local) = match policy {
        TrafficPolicy::Cluster => (candidates.cluster(facts), Vec::new()),
        TrafficPolicy::Local => (Vec::new(), candidates.local(facts)),
    };
    let mut plan = ServicePortPlan {
        id,
        port: port.port,
        frontends: Vec::new(),
        cluster,
        local,
    };
    let verdict = if !plan.endpoints(policy).is_empty() {
        FrontendVerdict::Balance(policy)
    } else if candidates.any_usable() {
        FrontendVerdict::Drop(DropReason::NoLocalEndpoints)
    } else {
        FrontendVerdict::Reject(RejectReason::NoEndpoints)
    };
    plan.frontends.push(FrontendPlan {
        kind: FrontendKind::ClusterIp,
        address: SocketAddr::new(cluster_ip, port.port),
        verdict,
        masquerade: cluster_ip_masquerade(facts, Family::of(cluster_ip)),
    });
    plan
}

/// Whose packets to a ClusterIP are masqueraded (PROXY-20).
fn cluster_ip_masquerade(facts: &NodeFacts, family: Family) -> Masquerade {
    if facts.masquerade_all {
        return Masquerade::Always;
    }
    facts
        .local_detection
        .pod_traffic(family)
        .map_or(Masquerade::Never, Masquerade::UnlessFrom)
}
