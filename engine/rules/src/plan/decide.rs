//! From view and node to plan.
//!
//! Source of the semantics: PROXY-2 … PROXY-15, PROXY-20, -22, -25, -30, -31; kube-proxy 1.36
//! `pkg/proxy/{topology,serviceport}.go` and the first part of `syncProxyRules`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::Family;

use super::{
    ClusterIpPlan, DropReason, ExternalPlan, ExternalRoute, FrontendVerdict, LocalOutcome,
    Masquerade, NodePortFrontend, NodePortPlan, RejectReason, RulePlan, ServicePortPlan,
};
use crate::endpoints::Candidates;
use crate::{
    ClusterView, NodeFacts, ServiceEntry, ServiceName, ServicePortId, ServicePortView, ServiceView,
    SlicesByName, TrafficPolicy,
};

/// Decides everything for one node and family.
#[must_use]
pub fn plan(view: &ClusterView, facts: &NodeFacts, family: Family) -> RulePlan {
    let node = Node::of(facts, family);
    let services = view.services.existing();
    let plans =
        services.flat_map(|(name, service, slices)| node.plan_service(name, service, slices));
    let service_ports = plans.map(|plan| (plan.id.clone(), Arc::new(plan)));
    RulePlan {
        family,
        masquerade_mark: facts.masquerade_mark,
        service_cidrs: service_cidrs(view, family),
        service_ports: service_ports.collect(),
        cluster_ip_masquerade: node.cluster_ip_masquerade.clone(),
        node_ports: node.node_ports.clone(),
    }
}

/// Decides for the node, the family and, `before`, the view of an earlier plan's, and a later view. It costs what differs
/// between the two views, if the later one has come from the earlier one; the rest is shared.
pub(crate) fn plan_after(
    earlier: &RulePlan,
    before: &ClusterView,
    view: &ClusterView,
    facts: &NodeFacts,
) -> RulePlan {
    let node = Node::of(facts, earlier.family);
    let mut plan = earlier.clone();
    plan.service_cidrs = service_cidrs(view, earlier.family);
    for (name, was, is) in before.services.diff(&view.services) {
        let gone = was.map_or_else(Vec::new, |was| node.remove(name, was, &mut plan));
        if let Some(is) = is {
            node.add(name, is, &mut plan);
        }
        // What has not changed after all is shared on.
        for was in gone {
            if let Some(is) = plan.service_ports.get_mut(&was.id)
                && *is == was
            {
                *is = was;
            }
        }
    }
    plan
}

fn service_cidrs(view: &ClusterView, family: Family) -> Vec<IpNet> {
    let all = view.service_cidrs.iter().copied();
    all.filter(|net| is_of(net, family)).collect()
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
    let node = Node::of(facts, family);
    node.plan_service(name, service, slices).collect()
}

/// What is decided for a node once, whatever its Services are.
struct Node<'f> {
    facts: &'f NodeFacts,
    family: Family,
    cluster_ip_masquerade: Masquerade,
    node_ports: NodePortPlan,
}

impl<'f> Node<'f> {
    fn of(facts: &'f NodeFacts, family: Family) -> Self {
        Self {
            facts,
            family,
            cluster_ip_masquerade: cluster_ip_masquerade(facts, family),
            node_ports: NodePortPlan::of(facts, family),
        }
    }

    /// Decides for a Service, if it exists, and its slices.
    fn add(&self, name: &ServiceName, entry: &ServiceEntry, plan: &mut RulePlan) {
        let Some(service) = &entry.service else {
            return;
        };
        for port in self.plan_service(name, service, &entry.slices) {
            plan.service_ports.insert(port.id.clone(), Arc::new(port));
        }
    }

    /// Takes out what was decided for a Service, and gives it back.
    fn remove(
        &self,
        name: &ServiceName,
        entry: &ServiceEntry,
        plan: &mut RulePlan,
    ) -> Vec<Arc<ServicePortPlan>> {
        let service = entry.service.iter();
        // One without a ClusterIP of the family has no plans (PROXY-2).
        let served = service.filter(|service| service.cluster_ip(self.family).is_some());
        let ports = served.flat_map(|service| &service.ports);
        let gone = ports.filter_map(|port| plan.service_ports.remove(&port_id(name, port)));
        gone.collect()
    }

    /// Decides for a Service: a plan per port, none when it has no ClusterIP of the family (PROXY-2).
    fn plan_service(
        &self,
        name: &ServiceName,
        service: &ServiceView,
        slices: &SlicesByName,
    ) -> impl Iterator<Item = ServicePortPlan> {
        let cluster_ip = service.cluster_ip(self.family).into_iter();
        let ports = cluster_ip.flat_map(|cluster_ip| {
            let ports = service.ports.iter();
            ports.map(move |port| (cluster_ip, port))
        });
        ports.map(move |(cluster_ip, port)| {
            let candidates = Candidates::of_port(slices, port, self.family);
            self.plan_port(name, cluster_ip, service, port, &candidates)
        })
    }

    fn plan_port(
        &self,
        name: &ServiceName,
        cluster_ip: IpAddr,
        service: &ServiceView,
        port: &ServicePortView,
        candidates: &Candidates<'_>,
    ) -> ServicePortPlan {
        let frontends = self.external_frontends(service, port);
        let internal = service.internal_traffic_policy;
        let external = service.external_traffic_policy;
        // Each set is made only for those who use it (PROXY-7). Policy Local has to know the cluster set too: local
        // Pods and the node are short-circuited to it (PROXY-25).
        let uses_cluster = internal == TrafficPolicy::Cluster || frontends.is_some();
        let local_only = TrafficPolicy::Local;
        let uses_local = internal == local_only || frontends.is_some() && external == local_only;
        let any_usable = candidates.any_usable();
        let set = |used: bool, choose: &dyn Fn() -> Vec<_>| match used && any_usable {
            true => choose().into(),
            false => Arc::default(),
        };
        let cluster: Arc<[_]> = set(uses_cluster, &|| candidates.cluster(self.facts));
        let local: Arc<[_]> = set(uses_local, &|| candidates.local(self.facts));
        let verdict = |policy| match policy {
            _ if !any_usable => FrontendVerdict::Reject(RejectReason::NoEndpoints),
            TrafficPolicy::Local if local.is_empty() => {
                FrontendVerdict::Drop(DropReason::NoLocalEndpoints)
            }
            policy => FrontendVerdict::Balance(policy),
        };
        let route = self.external_route(verdict(external));
        ServicePortPlan {
            id: port_id(name, port),
            port: port.port,
            affinity_seconds: service.affinity_seconds.and_then(NonZeroU32::new),
            cluster_ip: ClusterIpPlan {
                address: cluster_ip,
                verdict: verdict(internal),
                masquerade: self.cluster_ip_masquerade.clone(),
            },
            external: frontends.map(|frontends| Box::new(frontends.with(route))),
            health_check_node_port: service.health_check_node_port,
            cluster,
            local,
        }
    }

    /// The frontends besides the ClusterIP, if there are any.
    fn external_frontends<'v>(
        &self,
        service: &'v ServiceView,
        port: &ServicePortView,
    ) -> Option<ExternalFrontends<'v>> {
        let of_family = |addresses: &[IpAddr]| -> Vec<IpAddr> {
            let addresses = addresses.iter().copied();
            addresses
                .filter(|address| Family::of(*address) == self.family)
                .collect()
        };
        let frontends = ExternalFrontends {
            external_ips: of_family(&service.external_ips),
            load_balancer_ips: of_family(&service.load_balancer_ips),
            ranges: &service.load_balancer_source_ranges,
            node_port: port.node_port.map(|port| NodePortFrontend {
                port,
                localhost: self.node_ports.localhost,
            }),
            node: self.facts.primary_address(self.family),
        };
        frontends.is_any().then_some(frontends)
    }

    /// PROXY-22, PROXY-25.
    fn external_route(&self, verdict: FrontendVerdict) -> ExternalRoute {
        let others = match verdict {
            FrontendVerdict::Reject(reason) => return ExternalRoute::Reject(reason),
            FrontendVerdict::Balance(TrafficPolicy::Cluster) => return ExternalRoute::Cluster,
            FrontendVerdict::Balance(TrafficPolicy::Local) => LocalOutcome::Balance,
            FrontendVerdict::Drop(reason) => LocalOutcome::Drop(reason),
        };
        ExternalRoute::Local {
            pods: self.facts.local_detection.pod_traffic(self.family),
            others,
        }
    }
}

/// A service port's frontends besides its ClusterIP, before it is known what becomes of their connections.
struct ExternalFrontends<'v> {
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    ranges: &'v [IpNet],
    node_port: Option<NodePortFrontend>,
    node: Option<IpAddr>,
}

impl ExternalFrontends<'_> {
    fn is_any(&self) -> bool {
        let no_address = self.external_ips.is_empty() && self.load_balancer_ips.is_empty();
        self.node_port.is_some() || !no_address
    }

    fn with(self, route: ExternalRoute) -> ExternalPlan {
        ExternalPlan {
            load_balancer_sources: self.sources(),
            external_ips: self.external_ips,
            load_balancer_ips: self.load_balancer_ips,
            node_port: self.node_port,
            route,
        }
    }

    /// PROXY-30. Ranges of the other family do not count; a family without ranges is open to everybody.
    fn sources(&self) -> Option<Vec<IpNet>> {
        let family = Family::of(*self.load_balancer_ips.first()?);
        let ranges = self.ranges.iter().copied();
        let mut sources: Vec<_> = ranges.filter(|net| is_of(net, family)).collect();
        if sources.is_empty() || sources.iter().any(|net| net.prefix_len() == 0) {
            return None;
        }
        // A balancer may put its VIP on the node itself, which then connects to it from there.
        let contains_node = |net: &IpNet| self.node.is_some_and(|node| net.contains(&node));
        if sources.iter().any(contains_node) {
            sources.extend(self.load_balancer_ips.iter().copied().map(IpNet::from));
        }
        Some(sources)
    }
}

fn port_id(service: &ServiceName, port: &ServicePortView) -> ServicePortId {
    ServicePortId {
        service: service.clone(),
        port_name: Arc::clone(&port.name),
        protocol: port.protocol,
    }
}

fn is_of(net: &IpNet, family: Family) -> bool {
    Family::of(net.addr()) == family
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
