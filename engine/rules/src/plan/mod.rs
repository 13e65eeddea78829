//! Every decision about a node's Services, made once and for all dialects.
//!
//! **What.** A [`RulePlan`] says *what* happens to packets: for the node as a whole (who is masqueraded at a
//! ClusterIP, which addresses take node ports) and for each service port (its two endpoint sets, and what becomes
//! of a connection to each sort of frontend, by where the connection comes from).
//! **Why.** A lowering only spells it. The two layouts of external traffic policies are separate cases of
//! [`ExternalRoute`], so a lowering cannot forget the short circuits of policy Local or invent them for Cluster.
//! **Source of the semantics.** PROXY-2 … PROXY-32, PROXY-40, PROXY-41.

mod decide;
mod node_ports;
mod route;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::{Family, Sorted};

pub(crate) use decide::plan_after;
pub use decide::{plan, plan_service};
pub use node_ports::{NodePortDestinations, NodePortPlan};
pub use route::{FrontendKind, Route, SourceClass};

use crate::{PodTraffic, ServicePortId, TrafficPolicy};

/// All that one node has to do in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlan {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The mark bit that asks for masquerade (PROXY-19).
    pub masquerade_mark: u32,
    /// Whose connections to a ClusterIP are masqueraded, for every Service alike (PROXY-20).
    pub cluster_ip_masquerade: Masquerade,
    /// Which destinations take node ports (PROXY-26).
    pub node_ports: NodePortPlan,
    /// The Service ranges of the family (PROXY-52).
    pub service_cidrs: Vec<IpNet>,
    /// What happens to each service port that has a ClusterIP of the family.
    pub service_ports: ServicePortPlans,
}

/// Plans of service ports; copies share what is equal.
pub type ServicePortPlans = Sorted<ServicePortId, Arc<ServicePortPlan>>;

/// What happens to packets for one service port in one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortPlan {
    /// Which service port.
    pub id: ServicePortId,
    /// Its number, `spec.ports[].port`: the port at every frontend but the node port.
    pub port: u16,
    /// How long a client stays with its endpoint after its last connection, in seconds; `None` without affinity
    /// (PROXY-32).
    pub affinity_seconds: Option<NonZeroU32>,
    /// Connections to its ClusterIP.
    pub cluster_ip: ClusterIpPlan,
    /// Connections to all its other frontends; `None` when it has no other.
    pub external: Option<Box<ExternalPlan>>,
    /// The port at which load balancers ask for this node's endpoints (PROXY-69): it has to be let in.
    pub health_check_node_port: Option<u16>,
    /// The cluster set (PROXY-8), sorted by the text `ip:port`; empty when no frontend uses it.
    pub cluster: Arc<[EndpointPlan]>,
    /// The local set (PROXY-9), sorted alike; empty when no frontend uses it.
    pub local: Arc<[EndpointPlan]>,
}

/// Connections to a ClusterIP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterIpPlan {
    /// The ClusterIP of the family.
    pub address: IpAddr,
    /// What happens to a connection, wherever it comes from.
    pub verdict: FrontendVerdict,
    /// Whose source address is hidden from the endpoint.
    pub masquerade: Masquerade,
}

/// Connections to external IPs, load-balancer IPs and the node port: they share one route (PROXY-22, -31).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalPlan {
    /// `spec.externalIPs` of the family.
    pub external_ips: Vec<IpAddr>,
    /// Load-balancer IPs of the family.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Who may connect to the load-balancer IPs, as allowed sources; `None` for everybody (PROXY-30). Everybody
    /// else is dropped. The node port is not covered (PROXY-28).
    pub load_balancer_sources: Option<Vec<IpNet>>,
    /// The node port.
    pub node_port: Option<NodePortFrontend>,
    /// What happens to a connection, by where it comes from.
    pub route: ExternalRoute,
}

/// A node port of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePortFrontend {
    /// Its number.
    pub port: u16,
    /// Whether it answers at 127.0.0.1 too, in the dialects that can do that (PROXY-27).
    pub localhost: bool,
}

/// What happens to a connection to an external frontend, by where it comes from (PROXY-22, -25, -40).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExternalRoute {
    /// Policy Cluster: it goes to the cluster set and its source is hidden, whoever it is.
    Cluster,
    /// Policy Local. The short circuits come first: local Pods go to the cluster set with their own address, and
    /// the node itself goes to the cluster set with its source hidden.
    Local {
        /// How local Pods are told; `None` when they cannot be, and are then as everybody else.
        pods: Option<PodTraffic>,
        /// What happens to everybody else, who keeps the source address.
        others: LocalOutcome,
    },
    /// No usable endpoint anywhere: it is refused.
    Reject(RejectReason),
}

/// What policy Local comes to on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LocalOutcome {
    /// The node has endpoints: one of them is chosen.
    Balance,
    /// It has none, while others have.
    Drop(DropReason),
}

/// What makes some plans others: for each service port that differs, whose plan goes, and the plan that comes.
pub(crate) fn changes<'p>(
    before: &'p ServicePortPlans,
    after: &'p ServicePortPlans,
) -> impl Iterator<Item = (Option<&'p ServicePortId>, Option<&'p Arc<ServicePortPlan>>)> {
    let changes = before.diff(after);
    changes.map(|(id, old, new)| (old.map(|_| id), new))
}

impl RulePlan {
    /// The same plan; what is equal in another one is shared with it.
    pub(crate) fn sharing(mut self, other: &Self) -> Self {
        let mut service_ports = other.service_ports.clone();
        for (id, _, plan) in other.service_ports.diff(&self.service_ports) {
            match plan {
                Some(plan) => service_ports.insert(id.clone(), Arc::clone(plan)),
                None => service_ports.remove(id),
            };
        }
        self.service_ports = service_ports;
        self
    }

    /// Whether another plan says the same of everything but its service ports.
    pub(crate) fn has_frame_of(&self, other: &Self) -> bool {
        fn frame(plan: &RulePlan) -> impl PartialEq {
            let RulePlan {
                family,
                masquerade_mark,
                cluster_ip_masquerade,
                node_ports,
                service_cidrs,
                service_ports: _,
            } = plan;
            (
                family,
                masquerade_mark,
                cluster_ip_masquerade,
                node_ports,
                service_cidrs,
            )
        }
        frame(self) == frame(other)
    }
}

impl ServicePortPlan {
    /// The set that a policy chooses from.
    #[must_use]
    pub fn endpoints(&self, policy: TrafficPolicy) -> &Arc<[EndpointPlan]> {
        match policy {
            TrafficPolicy::Cluster => &self.cluster,
            TrafficPolicy::Local => &self.local,
        }
    }

    /// The endpoints of both sets, each once (PROXY-11).
    pub fn reachable(&self) -> impl Iterator<Item = &EndpointPlan> {
        // Both are sorted alike, but by a text that is not kept: sets of one node are small.
        let only_local = self
            .local
            .iter()
            .filter(|endpoint| !self.cluster.contains(endpoint));
        self.cluster.iter().chain(only_local)
    }

    /// The ClusterIP with its port.
    #[must_use]
    pub const fn cluster_ip_socket(&self) -> SocketAddr {
        SocketAddr::new(self.cluster_ip.address, self.port)
    }
}

/// What happens to a new connection to a frontend (PROXY-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendVerdict {
    /// It goes to an endpoint of the policy's set, each as likely as the others.
    Balance(TrafficPolicy),
    /// It is refused: the client is told at once.
    Reject(RejectReason),
    /// It is dropped: the client waits until it gives up.
    Drop(DropReason),
}

/// Why connections are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// Policy Local, and usable endpoints are on other nodes only (PROXY-15).
    NoLocalEndpoints,
    /// The source is in none of the Service's `loadBalancerSourceRanges` (PROXY-30).
    SourceNotAllowed,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocalEndpoints => f.pad("no ready endpoint on this node"),
            Self::SourceNotAllowed => f.pad("no source range that this client is in"),
        }
    }
}

/// Whose source address becomes the node's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Masquerade {
    /// Nobody's.
    Never,
    /// Everybody's.
    Always,
    /// Everybody's but the Pods'.
    UnlessFrom(PodTraffic),
}

/// A backend that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPlan {
    /// Where connections go.
    pub address: SocketAddr,
    /// Whether it is on the node itself.
    pub is_local: bool,
    /// The Pod's name, for people only.
    pub pod: Option<Arc<str>>,
}
