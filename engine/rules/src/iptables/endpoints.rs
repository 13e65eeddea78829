//! Choosing an endpoint and going there (PROXY-32, -41, -42, -44).

use std::num::NonZeroU32;

use ruleset::xt::{
    ChainName, Probability, RecentAction, RecentMatch, RecentWindow, XtMatch, XtRule, XtTarget,
};

use super::fragment::{EndpointComments, Lowering, MARK};
use super::spell::{comment, host, ports, remarked};
use crate::socket_text::SocketText;
use crate::{Decision, EndpointPlan, FrontendVerdict, TrafficPolicy};

/// An endpoint and its chain.
struct Choice<'p> {
    endpoint: &'p EndpointPlan,
    chain: ChainName,
    /// A comment that names the two, if there is to be one.
    remark: Option<XtMatch>,
}

impl Lowering<'_> {
    /// The chains of the sets and of the endpoints in them.
    pub(super) fn endpoints(&mut self) {
        let plan = self.plan;
        let choices: Vec<_> = plan
            .reachable()
            .map(|endpoint| {
                let text = SocketText::of(endpoint.address);
                Choice {
                    endpoint,
                    chain: self.names.endpoint(&text),
                    remark: self.remark(|name| [name, " -> ", text.as_str()].concat()),
                }
            })
            .collect();
        for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            // Reachable endpoints are the cluster set in order, then what only the local set has.
            let set = plan.endpoints(policy);
            let of_set: Vec<_> = match policy {
                TrafficPolicy::Cluster => choices.iter().take(set.len()).collect(),
                TrafficPolicy::Local => {
                    let of = |e: &EndpointPlan| choices.iter().find(|c| c.endpoint == e);
                    set.iter().filter_map(of).collect()
                }
            };
            if !of_set.is_empty() {
                let rules = self.balance(policy, &of_set);
                self.chain(self.names.policy(policy), rules);
            }
        }
        let remark = self.remark(str::to_owned);
        for choice in &choices {
            let rules = self.endpoint(choice, remark.as_ref());
            self.chain(choice.chain, rules);
        }
    }

    /// A comment about an endpoint, made from what comments call the service port.
    fn remark(&self, text: impl FnOnce(&str) -> String) -> Option<XtMatch> {
        match self.endpoint_comments {
            EndpointComments::Written => Some(comment(&text(&self.name))),
            EndpointComments::Omitted => None,
        }
    }

    /// `KUBE-SVC` or `KUBE-SVL`: masquerade, then affinity, then chance (PROXY-41).
    fn balance(&mut self, policy: TrafficPolicy, choices: &[&Choice<'_>]) -> Vec<XtRule> {
        let mut rules = Vec::with_capacity(choices.len() + 1);
        if self.plan.cluster_ip.verdict == FrontendVerdict::Balance(policy) {
            rules.extend(self.hide_client());
        }
        if let Some(seconds) = self.plan.affinity_seconds {
            for choice in choices {
                rules.push(self.stick(choice, seconds));
            }
        }
        let count = u32::try_from(choices.len()).expect("fewer endpoints than 2^32");
        for (choice, left) in choices.iter().zip((1..=count).rev()) {
            rules.push(self.pick(choice, count, left));
        }
        rules
    }

    /// The list of an endpoint's clients is called like its chain (PROXY-32).
    fn stick(&mut self, choice: &Choice<'_>, seconds: NonZeroU32) -> XtRule {
        let window = RecentWindow {
            seconds: Some(seconds),
            reap: true,
            hit_count: None,
        };
        let origin = self
            .origins
            .of_endpoint(Decision::Stick { seconds }, choice.endpoint);
        remarked(
            XtRule::new(XtTarget::Jump(choice.chain)),
            choice.remark.as_ref(),
        )
        .with_match(self.recent(RecentAction::Rcheck(window), choice))
        .with_origin(origin)
    }

    fn recent(&self, action: RecentAction, choice: &Choice<'_>) -> XtMatch {
        let list = RecentMatch::source(action, choice.chain.as_str(), self.family);
        XtMatch::Recent(Box::new(list))
    }

    /// With `left` endpoints to go, this one takes one in `left` of what comes here: `1/count` of all
    /// (PROXY-42).
    fn pick(&mut self, choice: &Choice<'_>, count: u32, left: u32) -> XtRule {
        let target = XtTarget::Jump(choice.chain);
        let mut rule = remarked(XtRule::new(target), choice.remark.as_ref());
        if left > 1 {
            rule = rule.with_match(XtMatch::Random(Probability::one_in(left)));
        }
        let decision = Decision::Pick {
            probability: (1, count),
        };
        rule.with_origin(self.origins.of_endpoint(decision, choice.endpoint))
    }

    /// `KUBE-SEP`: mark what the endpoint sends to itself, remember the client, translate (PROXY-44).
    fn endpoint(&mut self, choice: &Choice<'_>, remark: Option<&XtMatch>) -> Vec<XtRule> {
        let endpoint = choice.endpoint;
        let protocol = self.plan.id.protocol;
        let hairpin = XtRule::new(MARK).with_source(host(endpoint.address.ip()), false);
        let hairpin = remarked(hairpin, remark);
        let translate = XtRule::new(XtTarget::Dnat {
            to: endpoint.address.into(),
        })
        .with_protocol(protocol);
        let mut translate = remarked(translate, remark);
        if self.plan.affinity_seconds.is_some() {
            translate = translate.with_match(self.recent(RecentAction::Set, choice));
        }
        let translate = translate.with_match(ports(protocol, None));
        let mut origin = |decision| self.origins.of_endpoint(decision, endpoint);
        vec![
            hairpin.with_origin(origin(Decision::HideHairpin)),
            translate.with_origin(origin(Decision::Translate)),
        ]
    }
}
