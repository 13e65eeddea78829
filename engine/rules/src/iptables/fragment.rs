//! What one service port contributes to the tables (PROXY-33, -36, -39).

use std::sync::Arc;

use ruleset::xt::{ChainName, RejectWith, TableName, XtChain, XtMatch, XtRule, XtTarget};
use ruleset::{Family, OriginId};

use super::names::{PortNames, Role};
use super::spell::{
    comment, destination, from_pods, local_destination, local_source, not_from, ports,
};
use crate::origin::PortOrigins;
use crate::{
    Capabilities, Decision, DropReason, ExternalPlan, ExternalRoute, Frontend, FrontendKind,
    FrontendVerdict, LocalOutcome, Masquerade, ServicePortPlan, TrafficPolicy,
};

/// What one service port contributes.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Its own chains, all in table `nat`.
    pub(super) chains: Vec<(ChainName, Arc<XtChain>)>,
    /// Its rules in chains of the frame, in order.
    pub(super) shared: Vec<(SharedChain, XtRule)>,
}

impl Fragment {
    /// Its rules in a chain of the frame.
    pub(super) fn shared_in(&self, chain: SharedChain) -> impl Iterator<Item = &XtRule> {
        let shared = self.shared.iter();
        shared.filter_map(move |(place, rule)| (*place == chain).then_some(rule))
    }
}

/// The chains of the frame that service ports add rules to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SharedChain {
    /// `nat/KUBE-SERVICES`: which service port a packet is for.
    NatServices,
    /// `nat/KUBE-NODEPORTS`: the same, by node port.
    NatNodePorts,
    /// `filter/KUBE-SERVICES`: ClusterIPs that cannot be served (PROXY-33).
    FilterServices,
    /// `filter/KUBE-EXTERNAL-SERVICES`: other frontends that cannot be served (PROXY-33).
    FilterExternalServices,
    /// `filter/KUBE-NODEPORTS`: health-check ports (PROXY-33).
    FilterNodePorts,
    /// `filter/KUBE-PROXY-FIREWALL`: load-balancer IPs, for those who were not let in (PROXY-33).
    FilterFirewall,
}

impl SharedChain {
    pub(super) const ALL: [Self; 6] = [
        Self::NatServices,
        Self::NatNodePorts,
        Self::FilterServices,
        Self::FilterExternalServices,
        Self::FilterNodePorts,
        Self::FilterFirewall,
    ];

    pub(super) const fn place(self) -> (TableName, &'static str) {
        match self {
            Self::NatServices => (TableName::Nat, "KUBE-SERVICES"),
            Self::NatNodePorts => (TableName::Nat, "KUBE-NODEPORTS"),
            Self::FilterServices => (TableName::Filter, "KUBE-SERVICES"),
            Self::FilterExternalServices => (TableName::Filter, "KUBE-EXTERNAL-SERVICES"),
            Self::FilterNodePorts => (TableName::Filter, "KUBE-NODEPORTS"),
            Self::FilterFirewall => (TableName::Filter, "KUBE-PROXY-FIREWALL"),
        }
    }
}

/// Whether rules that name an endpoint have a comment: not in a large cluster (PROXY-45).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointComments {
    Written,
    Omitted,
}

impl Fragment {
    /// Spells a plan.
    pub(crate) fn lower(
        plan: &ServicePortPlan,
        capabilities: Capabilities,
        endpoint_comments: EndpointComments,
        origins: PortOrigins<'_>,
    ) -> Self {
        let mut lowering = Lowering {
            plan,
            family: Family::of(plan.cluster_ip.address),
            nfacct: capabilities.nfacct,
            endpoint_comments,
            names: PortNames::of(&plan.id),
            name: plan.id.to_string(),
            origins,
            // One for each set and each endpoint.
            chains: Vec::with_capacity(2 + plan.cluster.len()),
            // That of its ClusterIP.
            shared: Vec::with_capacity(1),
        };
        lowering.cluster_ip();
        if let Some(external) = &plan.external {
            lowering.external(external);
        }
        lowering.health_check();
        lowering.endpoints();
        Self {
            chains: lowering.chains,
            shared: lowering.shared,
        }
    }
}

/// Spells one plan.
pub(super) struct Lowering<'a> {
    pub(super) plan: &'a ServicePortPlan,
    pub(super) family: Family,
    nfacct: bool,
    pub(super) endpoint_comments: EndpointComments,
    pub(super) names: PortNames,
    /// `ns/name:port`, as comments call it.
    pub(super) name: String,
    pub(super) origins: PortOrigins<'a>,
    chains: Vec<(ChainName, Arc<XtChain>)>,
    shared: Vec<(SharedChain, XtRule)>,
}

impl Lowering<'_> {
    pub(super) fn chain(&mut self, name: ChainName, rules: Vec<XtRule>) {
        let chain = XtChain {
            policy: None,
            rules,
        };
        self.chains.push((name, Arc::new(chain)));
    }

    fn add(&mut self, chain: SharedChain, rule: XtRule, decision: Decision) {
        let rule = rule.with_origin(self.origins.id(decision));
        self.shared.push((chain, rule));
    }

    fn cluster_ip(&mut self) {
        let frontend = self.plan.cluster_ip_socket();
        let rule = |target, remark: &str| {
            destination(
                &self.plan.id,
                frontend,
                target,
                &format!("{} {remark}", self.name),
            )
        };
        let (chain, rule, decision) = match self.plan.cluster_ip.verdict {
            FrontendVerdict::Balance(policy) => (
                SharedChain::NatServices,
                rule(XtTarget::Jump(self.names.policy(policy)), "cluster IP"),
                Decision::Enter { frontend, policy },
            ),
            FrontendVerdict::Reject(reason) => (
                SharedChain::FilterServices,
                rule(REFUSE, "has no endpoints"),
                Decision::Refuse(reason),
            ),
            FrontendVerdict::Drop(reason) => (
                SharedChain::FilterServices,
                rule(XtTarget::Drop, "has no local endpoints"),
                Decision::Drop(reason),
            ),
        };
        self.add(chain, rule, decision);
    }

    fn external(&mut self, external: &ExternalPlan) {
        let refusal = match &external.route {
            ExternalRoute::Cluster => None,
            ExternalRoute::Local { others, .. } => match others {
                LocalOutcome::Balance => None,
                LocalOutcome::Drop(reason) => Some((XtTarget::Drop, Decision::Drop(*reason))),
            },
            ExternalRoute::Reject(reason) => Some((REFUSE, Decision::Refuse(*reason))),
        };
        // Policy Local without endpoints has both: the short circuits, and a refusal for the rest.
        let is_served = !matches!(external.route, ExternalRoute::Reject(_));
        if is_served {
            self.external_chain(&external.route);
            self.external_entries(external);
        }
        if let Some((target, decision)) = refusal {
            self.external_refusals(external, &target, &decision);
        }
    }

    /// `KUBE-EXT` (PROXY-40).
    fn external_chain(&mut self, route: &ExternalRoute) {
        let name = &self.name;
        let remark = |text: &str| comment(&format!("{text} for {name} external destinations"));
        let to = |policy| XtTarget::Jump(self.names.policy(policy));
        let cluster = to(TrafficPolicy::Cluster);
        let mut rules: Vec<(XtRule, Decision)> = Vec::new();
        let others = match route {
            ExternalRoute::Cluster => {
                let mark = XtRule::new(MARK).with_match(remark("masquerade traffic"));
                rules.push((mark, Decision::HideExternal));
                Some(TrafficPolicy::Cluster)
            }
            ExternalRoute::Local { pods, others } => {
                if let Some(pods) = pods {
                    let rule = from_pods(XtRule::new(cluster.clone()), pods);
                    let rule = rule.with_match(remark("pod traffic"));
                    rules.push((rule, Decision::ShortCircuitPods(pods.clone())));
                }
                let mark = XtRule::new(MARK).with_match(remark("masquerade LOCAL traffic"));
                rules.push((mark.with_match(local_source()), Decision::HideNode));
                let rule = XtRule::new(cluster).with_match(remark("route LOCAL traffic"));
                rules.push((rule.with_match(local_source()), Decision::ShortCircuitNode));
                (*others == LocalOutcome::Balance).then_some(TrafficPolicy::Local)
            }
            ExternalRoute::Reject(_) => None,
        };
        if let Some(policy) = others {
            rules.push((XtRule::new(to(policy)), Decision::External(policy)));
        }
        let origins = &mut self.origins;
        let with_origin = |(rule, decision): (XtRule, _)| rule.with_origin(origins.id(decision));
        let rules = rules.into_iter().map(with_origin).collect();
        self.chain(self.names.of_role(Role::External), rules);
    }

    /// The rules that lead to `KUBE-EXT`, or to `KUBE-FW` before it.
    fn external_entries(&mut self, external: &ExternalPlan) {
        let port = self.plan.port;
        let to_external = XtTarget::Jump(self.names.of_role(Role::External));
        let remark = format!("{} external IP", self.name);
        for address in &external.external_ips {
            let (frontend, socket) = address_of(FrontendKind::ExternalIp, *address, port);
            let rule = destination(&self.plan.id, socket, to_external.clone(), &remark);
            self.add(
                SharedChain::NatServices,
                rule,
                Decision::EnterExternal(frontend),
            );
        }
        let remark = format!("{} loadbalancer IP", self.name);
        for address in &external.load_balancer_ips {
            let (frontend, socket) = address_of(FrontendKind::LoadBalancerIp, *address, port);
            let (target, decision) = match external.load_balancer_sources {
                Some(_) => (
                    XtTarget::Jump(self.names.of_role(Role::Firewall)),
                    Decision::CheckSource(frontend),
                ),
                None => (to_external.clone(), Decision::EnterExternal(frontend)),
            };
            let rule = destination(&self.plan.id, socket, target, &remark);
            self.add(SharedChain::NatServices, rule, decision);
            if external.load_balancer_sources.is_some() {
                let firewall = self.names.of_role(Role::Firewall);
                let remark = format!("{} traffic not accepted by {firewall}", self.name);
                let rule = destination(&self.plan.id, socket, XtTarget::Drop, &remark);
                let decision = Decision::Drop(DropReason::SourceNotAllowed);
                self.add(SharedChain::FilterFirewall, rule, decision);
            }
        }
        if let Some(sources) = &external.load_balancer_sources {
            self.firewall_chain(sources);
        }
        self.node_port_entries(external);
    }

    /// `KUBE-FW`: whoever falls off its end is not translated, and meets `KUBE-PROXY-FIREWALL` later.
    fn firewall_chain(&mut self, sources: &[ipnet::IpNet]) {
        let remark = format!("{} loadbalancer IP", self.name);
        let to_external = XtTarget::Jump(self.names.of_role(Role::External));
        let mut rules = Vec::with_capacity(sources.len() + 1);
        for source in sources {
            let rule = XtRule::new(to_external.clone())
                .with_source(*source, false)
                .with_match(comment(&remark));
            let origin = self.origins.id(Decision::AllowSource(*source));
            rules.push(rule.with_origin(origin));
        }
        let remark = format!(
            "other traffic to {} will be dropped by KUBE-PROXY-FIREWALL",
            self.name
        );
        let rest = XtRule::new(XtTarget::None).with_match(comment(&remark));
        let decision = Decision::Drop(DropReason::SourceNotAllowed);
        rules.push(rest.with_origin(self.origins.id(decision)));
        self.chain(self.names.of_role(Role::Firewall), rules);
    }

    /// The counter of connections to 127.0.0.1 is all that the first of the two rules is for.
    fn node_port_entries(&mut self, external: &ExternalPlan) {
        let Some(node_port) = external.node_port else {
            return;
        };
        let decision = Decision::EnterExternal(Frontend::NodePort(node_port.port));
        let rule = XtRule::new(XtTarget::Jump(self.names.of_role(Role::External)))
            .with_protocol(self.plan.id.protocol)
            .with_match(comment(&self.name))
            .with_match(ports(self.plan.id.protocol, Some(node_port.port)));
        if node_port.localhost && self.nfacct {
            let loopback = "127.0.0.0/8".parse().expect("it is a network");
            let counted = rule
                .clone()
                .with_destination(loopback, false)
                .with_match(XtMatch::NfAcct("localhost_nps_accepted_pkts".into()));
            self.add(SharedChain::NatNodePorts, counted, decision.clone());
        }
        self.add(SharedChain::NatNodePorts, rule, decision);
    }

    fn external_refusals(
        &mut self,
        external: &ExternalPlan,
        target: &XtTarget,
        decision: &Decision,
    ) {
        let remark = match decision {
            Decision::Refuse(_) => format!("{} has no endpoints", self.name),
            _ => format!("{} has no local endpoints", self.name),
        };
        let addresses = external.external_ips.iter();
        for address in addresses.chain(&external.load_balancer_ips) {
            let socket = (*address, self.plan.port).into();
            let rule = destination(&self.plan.id, socket, target.clone(), &remark);
            self.add(SharedChain::FilterExternalServices, rule, decision.clone());
        }
        if let Some(node_port) = external.node_port {
            let rule = XtRule::new(target.clone())
                .with_protocol(self.plan.id.protocol)
                .with_match(comment(&remark))
                .with_match(local_destination())
                .with_match(ports(self.plan.id.protocol, Some(node_port.port)));
            self.add(SharedChain::FilterExternalServices, rule, decision.clone());
        }
    }

    /// Health checks are HTTP, whatever the service port speaks.
    fn health_check(&mut self) {
        let Some(port) = self.plan.health_check_node_port else {
            return;
        };
        let tcp = ruleset::Protocol::TCP;
        let rule = XtRule::new(XtTarget::Accept)
            .with_protocol(tcp)
            .with_match(comment(&format!("{} health check node port", self.name)))
            .with_match(ports(tcp, Some(port)));
        self.add(
            SharedChain::FilterNodePorts,
            rule,
            Decision::AdmitHealthCheck(port),
        );
    }

    /// The rule for packets to the ClusterIP whose source is to be hidden, if there are any.
    pub(super) fn hide_client(&mut self) -> Option<XtRule> {
        let masquerade = &self.plan.cluster_ip.masquerade;
        let remark = format!("{} cluster IP", self.name);
        let rule = destination(&self.plan.id, self.plan.cluster_ip_socket(), MARK, &remark);
        let rule = match masquerade {
            Masquerade::Never => return None,
            Masquerade::Always => rule,
            Masquerade::UnlessFrom(pods) => not_from(rule, pods),
        };
        let origin: OriginId = self.origins.id(Decision::HideClient(masquerade.clone()));
        Some(rule.with_origin(origin))
    }
}

const REFUSE: XtTarget = XtTarget::Reject(RejectWith::PortUnreachable);

/// To the chain that asks for masquerade.
pub(super) const MARK: XtTarget = XtTarget::Jump(ChainName::literal("KUBE-MARK-MASQ"));

fn address_of(
    kind: FrontendKind,
    address: std::net::IpAddr,
    port: u16,
) -> (Frontend, std::net::SocketAddr) {
    let address = (address, port).into();
    (Frontend::Address { kind, address }, address)
}
