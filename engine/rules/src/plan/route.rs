//! The plan read the other way round: what a client meets.

use std::fmt;

use super::{ExternalPlan, ExternalRoute, FrontendVerdict, LocalOutcome, ServicePortPlan};
use crate::{Masquerade, TrafficPolicy};

/// The sorts of frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// `spec.clusterIPs`
    ClusterIp,
    /// `spec.externalIPs`
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`
    LoadBalancerIp,
    /// `spec.ports[].nodePort` at the node's own addresses
    NodePort,
}

impl fmt::Display for FrontendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClusterIp => "ClusterIP",
            Self::ExternalIp => "external IP",
            Self::LoadBalancerIp => "load-balancer IP",
            Self::NodePort => "node port",
        })
    }
}

/// Where a connection comes from, as far as it matters to a Service (PROXY-20, -25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceClass {
    /// A Pod, by the node's detector of local traffic.
    Pod,
    /// The node itself: the source is one of its own addresses.
    Node,
    /// Anybody else.
    Other,
}

impl SourceClass {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Pod, Self::Node, Self::Other];
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it goes, if anywhere.
    pub verdict: FrontendVerdict,
    /// Whether its source becomes the node's address.
    pub masquerade: bool,
}

impl ServicePortPlan {
    /// What becomes of a connection to one sort of its frontends, source ranges and hairpin apart; `None` when
    /// it has no frontend of the sort.
    #[must_use]
    pub fn route(&self, kind: FrontendKind, from: SourceClass) -> Option<Route> {
        if kind == FrontendKind::ClusterIp {
            let plan = &self.cluster_ip;
            return Some(Route {
                verdict: plan.verdict,
                masquerade: match plan.masquerade {
                    Masquerade::Never => false,
                    Masquerade::Always => true,
                    Masquerade::UnlessFrom(_) => from != SourceClass::Pod,
                },
            });
        }
        let plan = self.external.as_ref()?;
        plan.has(kind).then(|| plan.route.of(from))
    }
}

impl ExternalPlan {
    fn has(&self, kind: FrontendKind) -> bool {
        match kind {
            FrontendKind::ClusterIp => false,
            FrontendKind::ExternalIp => !self.external_ips.is_empty(),
            FrontendKind::LoadBalancerIp => !self.load_balancer_ips.is_empty(),
            FrontendKind::NodePort => self.node_port.is_some(),
        }
    }
}

impl ExternalRoute {
    /// What becomes of a connection from somewhere.
    #[must_use]
    pub const fn of(&self, from: SourceClass) -> Route {
        let to_cluster = FrontendVerdict::Balance(TrafficPolicy::Cluster);
        let (verdict, masquerade) = match (self, from) {
            (Self::Reject(reason), _) => (FrontendVerdict::Reject(*reason), false),
            (Self::Cluster, _) | (Self::Local { .. }, SourceClass::Node) => (to_cluster, true),
            (Self::Local { pods: Some(_), .. }, SourceClass::Pod) => (to_cluster, false),
            (Self::Local { others, .. }, _) => match others {
                LocalOutcome::Balance => (FrontendVerdict::Balance(TrafficPolicy::Local), false),
                LocalOutcome::Drop(reason) => (FrontendVerdict::Drop(*reason), false),
            },
        };
        Route {
            verdict,
            masquerade,
        }
    }
}
