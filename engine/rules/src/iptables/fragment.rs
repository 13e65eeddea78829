//! The rules of one service port (PROXY-39, -41, -42, -44).

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::xt::{
    ChainName, Comment, InterfaceMatch, PortRange, Probability, RejectWith, XtChain, XtMatch,
    XtRule, XtTarget,
};
use ruleset::{OriginId, Protocol};

use super::names::{endpoint_chain, policy_chain};
use crate::origin::Origins;
use crate::{
    Decision, DropReason, EndpointPlan, FrontendKind, FrontendPlan, FrontendVerdict, Masquerade,
    Origin, PodTraffic, RejectReason, ServicePortOrigin, ServicePortPlan, TrafficPolicy,
};

/// What one service port contributes.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Its own chains, all in table `nat`.
    pub(super) chains: Vec<(ChainName, Arc<XtChain>)>,
    /// Its rules in chains of the frame, in order.
    pub(super) shared: Vec<(SharedChain, XtRule)>,
}

/// The chains of the frame that service ports add rules to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SharedChain {
    /// `nat/KUBE-SERVICES`: which service port a packet is for.
    NatServices,
    /// `filter/KUBE-SERVICES`: ClusterIPs that cannot be served (PROXY-33).
    FilterServices,
}

impl Fragment {
    /// Spells a plan.
    pub(crate) fn lower(plan: &ServicePortPlan, origins: &mut Origins) -> Self {
        let mut lowering = Lowering { plan, origins };
        let shared = plan
            .frontends
            .iter()
            .map(|frontend| lowering.entry(frontend))
            .collect();
        let mut chains = Vec::new();
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            if !plan.endpoints(policy).is_empty() {
                let name = policy_chain(&plan.id, policy);
                chains.push((name, shared_chain(lowering.balance(policy))));
            }
        }
        for endpoint in plan.reachable() {
            let name = endpoint_chain(&plan.id, endpoint.address);
            chains.push((name, shared_chain(lowering.endpoint(endpoint))));
        }
        Self { chains, shared }
    }

    /// Whether tables somewhere still hold a chain of it. A fragment without chains is never held: it costs
    /// next to nothing to make again.
    pub(crate) fn is_held(&self) -> bool {
        self.chains
            .iter()
            .any(|(_, chain)| Arc::strong_count(chain) > 1)
    }
}

fn shared_chain(rules: Vec<XtRule>) -> Arc<XtChain> {
    Arc::new(XtChain {
        policy: None,
        rules,
    })
}

struct Lowering<'a> {
    plan: &'a ServicePortPlan,
    origins: &'a mut Origins,
}

impl Lowering<'_> {
    /// The rule that catches a frontend's packets.
    fn entry(&mut self, frontend: &FrontendPlan) -> (SharedChain, XtRule) {
        let (chain, remark, target, decision) = match frontend.verdict {
            FrontendVerdict::Balance(policy) => (
                SharedChain::NatServices,
                frontend_name(frontend.kind),
                XtTarget::Jump(policy_chain(&self.plan.id, policy)),
                Decision::Enter {
                    frontend: frontend.address,
                    policy,
                },
            ),
            FrontendVerdict::Reject(reason @ RejectReason::NoEndpoints) => (
                SharedChain::FilterServices,
                "has no endpoints",
                XtTarget::Reject(RejectWith::PortUnreachable),
                Decision::Refuse(reason),
            ),
            FrontendVerdict::Drop(reason @ DropReason::NoLocalEndpoints) => (
                SharedChain::FilterServices,
                "has no local endpoints",
                XtTarget::Drop,
                Decision::Drop(reason),
            ),
        };
        let origin = self.origin(decision, None);
        let rule = self.frontend_rule(frontend, remark, target);
        (chain, rule.with_origin(origin))
    }

    /// KUBE-SVC or KUBE-SVL: masquerade first, then one rule per endpoint (PROXY-41).
    fn balance(&mut self, policy: TrafficPolicy) -> Vec<XtRule> {
        let plan = self.plan;
        let endpoints = plan.endpoints(policy);
        let mut rules = Vec::with_capacity(endpoints.len() + 1);
        for frontend in &plan.frontends {
            if frontend.verdict == FrontendVerdict::Balance(policy) {
                rules.extend(self.hide_client(frontend));
            }
        }
        let count = u32::try_from(endpoints.len()).expect("fewer endpoints than 2^32");
        for (endpoint, left) in endpoints.iter().zip((1..=count).rev()) {
            rules.push(self.pick(endpoint, count, left));
        }
        rules
    }

    fn hide_client(&mut self, frontend: &FrontendPlan) -> Option<XtRule> {
        let mark = XtTarget::Jump(ChainName::literal("KUBE-MARK-MASQ"));
        let mut rule = self.frontend_rule(frontend, frontend_name(frontend.kind), mark);
        match &frontend.masquerade {
            Masquerade::Never => return None,
            Masquerade::Always => {}
            Masquerade::UnlessFrom(PodTraffic::Source(net)) => {
                rule = rule.with_source(*net, true);
            }
            Masquerade::UnlessFrom(PodTraffic::Interface(name)) => {
                rule.in_interface = Some(other_interface(name.to_string()));
            }
            Masquerade::UnlessFrom(PodTraffic::InterfacePrefix(prefix)) => {
                rule.in_interface = Some(other_interface(format!("{prefix}+")));
            }
        }
        let decision = Decision::HideClient(frontend.masquerade.clone());
        let origin = self.origin(decision, None);
        Some(rule.with_origin(origin))
    }

    /// With `left` endpoints to go, this one takes one in `left` of what comes here: `1/count` of all
    /// (PROXY-42).
    fn pick(&mut self, endpoint: &EndpointPlan, count: u32, left: u32) -> XtRule {
        let id = &self.plan.id;
        let target = XtTarget::Jump(endpoint_chain(id, endpoint.address));
        let comment = format!("{id} -> {}", endpoint.address);
        let mut rule = XtRule::new(target).with_match(comment_match(&comment));
        if left > 1 {
            rule = rule.with_match(XtMatch::Random(Probability::one_in(left)));
        }
        let decision = Decision::Pick {
            probability: (1, count),
        };
        rule.with_origin(self.origin(decision, Some(endpoint)))
    }

    /// KUBE-SEP: mark what the endpoint sends to itself, then translate (PROXY-44).
    fn endpoint(&mut self, endpoint: &EndpointPlan) -> Vec<XtRule> {
        let id = &self.plan.id;
        let comment = id.to_string();
        let mark = XtTarget::Jump(ChainName::literal("KUBE-MARK-MASQ"));
        let hairpin = XtRule::new(mark)
            .with_source(host(endpoint.address.ip()), false)
            .with_match(comment_match(&comment));
        let translate = XtRule::new(XtTarget::Dnat {
            to: endpoint.address.into(),
        })
        .with_protocol(id.protocol)
        .with_match(comment_match(&comment))
        .with_match(ports_match(id.protocol, None));
        vec![
            hairpin.with_origin(self.origin(Decision::HideHairpin, Some(endpoint))),
            translate.with_origin(self.origin(Decision::Translate, Some(endpoint))),
        ]
    }

    /// A rule for packets to a frontend.
    fn frontend_rule(&self, frontend: &FrontendPlan, remark: &str, target: XtTarget) -> XtRule {
        let id = &self.plan.id;
        XtRule::new(target)
            .with_destination(host(frontend.address.ip()), false)
            .with_protocol(id.protocol)
            .with_match(comment_match(&format!("{id} {remark}")))
            .with_match(ports_match(id.protocol, Some(frontend.address.port())))
    }

    fn origin(&mut self, decision: Decision, endpoint: Option<&EndpointPlan>) -> OriginId {
        self.origins.id(Origin {
            service_port: Some(ServicePortOrigin {
                id: self.plan.id.clone(),
                port: self.plan.port,
            }),
            decision,
            endpoint: endpoint.map(|endpoint| endpoint.address),
            pod: endpoint.and_then(|endpoint| endpoint.pod.clone()),
        })
    }
}

const fn frontend_name(kind: FrontendKind) -> &'static str {
    match kind {
        FrontendKind::ClusterIp => "cluster IP",
    }
}

fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

fn other_interface(name: String) -> InterfaceMatch {
    InterfaceMatch {
        negated: true,
        name: name.into_boxed_str(),
    }
}

fn comment_match(text: &str) -> XtMatch {
    XtMatch::Comment(Comment::new(text))
}

fn ports_match(protocol: Protocol, destination: Option<u16>) -> XtMatch {
    XtMatch::Ports {
        protocol,
        source: None,
        destination: destination.map(PortRange::one),
    }
}
