//! What a node's table has whatever its Services are: base chains, dispatch, masquerade (PROXY-48 … -52).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::nft::{
    BaseChain, BinaryOp, ChainKind, Comment, CtKey, CtStatus, Expr, FibAddress, Hook, Ident, Key,
    MatchOp, NatFlags, NftChain, NftRule, Place, Policy, Reject, Right, Scalar, Statement, Verdict,
};
use ruleset::{Family, OriginId};

use super::container::Container;
use super::flat::Layout;
use super::fragment::REJECT_CHAIN;
use super::spell::{
    change_mark, daddr, dport, in_set, is_local, is_new, l4proto, mark_with, matches, pods, saddr,
    set_mark, vmap, within,
};
use crate::origin::Origins;
use crate::{Capabilities, Decision, FrameDecision, Masquerade, NodePortDestinations, RulePlan};

/// A base chain.
struct Base {
    name: &'static str,
    kind: ChainKind,
    hook: Hook,
    priority: i32,
    /// Whether only packets that start a connection are of interest (PROXY-18). Tables of kind nat see no others.
    new_only: bool,
    /// Chains that it visits, and what they are for.
    visits: &'static [(&'static str, &'static str)],
}

/// In kube-proxy's order of creation.
const BASE_CHAINS: [Base; 8] = {
    const FIREWALL: (&str, &str) = (
        "firewall-check",
        "load-balancer addresses closed to this source",
    );
    const SERVICES: (&str, &str) = (
        "service-endpoints-check",
        "addresses of Services that cannot be served",
    );
    const NODE_PORTS: (&str, &str) = (
        "nodeport-endpoints-check",
        "node ports of Services that cannot be served",
    );
    const CLUSTER_IPS: (&str, &str) = (
        "cluster-ips-check",
        "addresses of the Service range that were not translated",
    );
    const fn base(
        name: &'static str,
        kind: ChainKind,
        hook: Hook,
        priority: i32,
        visits: &'static [(&'static str, &'static str)],
    ) -> Base {
        Base {
            name,
            kind,
            hook,
            priority,
            new_only: matches!(kind, ChainKind::Filter),
            visits,
        }
    }
    use ChainKind::{Filter, Nat};
    use Hook::{Forward, Input, Output, Postrouting, Prerouting};
    [
        base(
            "filter-prerouting-pre-dnat",
            Filter,
            Prerouting,
            -110,
            &[FIREWALL],
        ),
        base("filter-output-pre-dnat", Filter, Output, -110, &[FIREWALL]),
        base("filter-input", Filter, Input, 0, &[NODE_PORTS, SERVICES]),
        base(
            "filter-forward",
            Filter,
            Forward,
            0,
            &[SERVICES, CLUSTER_IPS],
        ),
        base("filter-output", Filter, Output, 0, &[SERVICES, CLUSTER_IPS]),
        base(
            "nat-prerouting",
            Nat,
            Prerouting,
            -100,
            &[("services", "is it for a Service?")],
        ),
        base(
            "nat-output",
            Nat,
            Output,
            -100,
            &[("services", "is it for a Service?")],
        ),
        base(
            "nat-postrouting",
            Nat,
            Postrouting,
            100,
            &[("masquerading", "does its source have to be hidden?")],
        ),
    ]
};

/// The frame's chains and where they stand in a table; in the layout of our own, for maps of so many endpoints.
pub(super) fn chains(
    plan: &RulePlan,
    layout: Layout,
    counts: &[Container],
    capabilities: Capabilities,
    origins: &mut Origins,
) -> Vec<(Place, Ident, Arc<NftChain>)> {
    let mut writer = Writer::new(plan, capabilities, origins);
    for base in &BASE_CHAINS {
        writer.base_chain(base);
    }
    match layout {
        Layout::KubeProxy => {
            writer.checks();
            writer.services();
        }
        Layout::Flat => {
            writer.flat_checks();
            writer.flat_services(counts);
        }
    }
    writer.masquerading(layout);
    writer.cluster_ips_check();
    if layout == Layout::KubeProxy {
        writer.reject();
    }
    writer.chains
}

/// The addresses that take node ports; `None` when any address of the node does (PROXY-50).
pub(super) fn node_port_ips(
    plan: &RulePlan,
    origins: &mut Origins,
) -> Option<BTreeMap<Key, OriginId>> {
    let NodePortDestinations::Addresses(addresses) = &plan.node_ports.destinations else {
        return None;
    };
    let element = |address: &IpAddr| {
        let origin = origins.of_frame(Decision::NodePortAddress(*address));
        (Key::of_address(*address), origin)
    };
    Some(addresses.iter().map(element).collect())
}

/// Writes the frame's chains.
pub(super) struct Writer<'a> {
    pub(super) plan: &'a RulePlan,
    pub(super) family: Family,
    nat_flags: NatFlags,
    pub(super) origins: &'a mut Origins,
    /// Where the next chain stands.
    next: u64,
    pub(super) chains: Vec<(Place, Ident, Arc<NftChain>)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        plan: &'a RulePlan,
        capabilities: Capabilities,
        origins: &'a mut Origins,
    ) -> Self {
        Self {
            plan,
            family: plan.family,
            nat_flags: match capabilities.random_fully {
                true => NatFlags::FULLY_RANDOM,
                false => NatFlags::NONE,
            },
            origins,
            next: 0,
            chains: Vec::new(),
        }
    }

    fn chain(&mut self, name: Ident, chain: NftChain) {
        let place = Place::at(self.next);
        self.next += 1;
        self.chains.push((place, name, Arc::new(chain)));
    }

    pub(super) fn plain_chain(&mut self, name: Ident, rules: Vec<NftRule>) {
        let chain = NftChain {
            rules,
            ..NftChain::default()
        };
        self.chain(name, chain);
    }

    pub(super) fn rule(
        &mut self,
        statements: impl IntoIterator<Item = Statement>,
        decision: FrameDecision,
    ) -> NftRule {
        NftRule::new(statements).with_origin(self.origins.frame(decision))
    }

    fn base_chain(&mut self, base: &Base) {
        let mut rules = Vec::with_capacity(base.visits.len());
        for (chain, purpose) in base.visits {
            let jump = Statement::Verdict(Verdict::Jump(Ident::literal(chain)));
            let decision = FrameDecision::Visit { chain, purpose };
            rules.push(match base.new_only {
                true => self.rule([is_new(), jump], decision),
                false => self.rule([jump], decision),
            });
        }
        let chain = NftChain {
            base: Some(BaseChain {
                kind: base.kind,
                hook: base.hook,
                priority: base.priority,
                policy: Policy::Accept,
            }),
            comment: None,
            rules,
        };
        self.chain(Ident::literal(base.name), chain);
    }

    /// The chains that look for what cannot be served or is closed to its source.
    fn checks(&mut self) {
        let rule = self.by_node_port(
            Container::NoEndpointNodePorts,
            "@no-endpoint-nodeports",
            "is it for a node port that cannot be served?",
        );
        self.plain_chain(Ident::literal("nodeport-endpoints-check"), vec![rule]);
        let rule = self.by_address(
            Container::NoEndpointServices,
            "@no-endpoint-services",
            "is it for a Service that cannot be served?",
        );
        self.plain_chain(Ident::literal("service-endpoints-check"), vec![rule]);
        self.firewall_check();
    }

    pub(super) fn firewall_check(&mut self) {
        let rule = self.by_address(
            Container::FirewallIps,
            "@firewall-ips",
            "is it for a load-balancer IP with source ranges?",
        );
        self.plain_chain(Ident::literal("firewall-check"), vec![rule]);
    }

    pub(super) fn by_address(
        &mut self,
        map: Container,
        chain: &'static str,
        purpose: &'static str,
    ) -> NftRule {
        let look = vmap(self.frontend(), map.ident());
        self.rule([look], FrameDecision::Visit { chain, purpose })
    }

    /// Loopback addresses never take node ports (PROXY-27). What comes to the input hook is the node's own, so the
    /// look there for node ports that cannot be served does not ask again.
    fn by_node_port(
        &mut self,
        map: Container,
        chain: &'static str,
        purpose: &'static str,
    ) -> NftRule {
        let look = vmap(node_port(), map.ident());
        let decision = FrameDecision::Visit { chain, purpose };
        let is_known_local = map == Container::NoEndpointNodePorts;
        let own = self.own_addresses(is_known_local);
        self.rule(own.into_iter().chain([look]), decision)
    }

    /// The tests that the destination is an address of the node that takes node ports.
    pub(super) fn own_addresses(&self, is_known_local: bool) -> Vec<Statement> {
        match self.plan.node_ports.destinations {
            NodePortDestinations::AnyLocal => {
                let loopback = match self.family {
                    Family::V4 => "127.0.0.0/8",
                    Family::V6 => "::1/128",
                };
                let loopback: IpNet = loopback.parse().expect("it is a network");
                let other = within(daddr(self.family), MatchOp::Ne, &[loopback]);
                let own = (!is_known_local).then(|| is_local(FibAddress::Daddr));
                own.into_iter().chain([other]).collect()
            }
            NodePortDestinations::Addresses(_) => {
                vec![in_set(daddr(self.family), Container::NodePortIps.ident())]
            }
        }
    }

    /// Masquerade of packets to ClusterIPs (PROXY-20), if there is any.
    pub(super) fn hide_clients(&mut self) -> Option<NftRule> {
        let to_cluster_ip = in_set(daddr(self.family), Container::ClusterIps.ident());
        let mark = set_mark(self.plan.masquerade_mark);
        let masquerade = &self.plan.cluster_ip_masquerade;
        let (from_others, comment) = match masquerade {
            Masquerade::Never => return None,
            Masquerade::Always => (None, "masquerade all clusterIP traffic"),
            Masquerade::UnlessFrom(traffic) => (
                pods(self.family, traffic, MatchOp::Ne),
                "masquerade clusterIP traffic from outside cluster",
            ),
        };
        let statements = [to_cluster_ip].into_iter().chain(from_others).chain([mark]);
        let decision = Decision::HideClient(masquerade.clone());
        let rule = NftRule::new(statements).with_comment(Comment::new(comment));
        Some(rule.with_origin(self.origins.of_frame(decision)))
    }

    /// PROXY-51.
    fn services(&mut self) {
        let mut rules: Vec<_> = self.hide_clients().into_iter().collect();
        rules.push(self.by_address(
            Container::ServiceIps,
            "@service-ips",
            "is it for an address of a Service?",
        ));
        rules.push(self.by_node_port(
            Container::ServiceNodePorts,
            "@service-nodeports",
            "is it for a node port?",
        ));
        self.plain_chain(Ident::literal("services"), rules);
    }

    /// `ip daddr . meta l4proto . th dport`
    pub(super) const fn frontend(&self) -> [Expr; 3] {
        [daddr(self.family), l4proto(), dport()]
    }

    /// PROXY-35 in one rule, and PROXY-23.
    fn masquerading(&mut self, layout: Layout) {
        let mark = self.plan.masquerade_mark;
        let is_marked = matches(
            mark_with(BinaryOp::And, mark),
            MatchOp::Ne,
            Right::Value(Scalar::Mark(0)),
        );
        let clear = change_mark(BinaryOp::Xor, mark);
        let masquerade = Statement::Masquerade(self.nat_flags);
        let marked = self.rule(
            [is_marked, clear, masquerade.clone()],
            FrameDecision::Masquerade(mark),
        );
        let is_translated = matches(
            Expr::Ct(CtKey::Status),
            MatchOp::AnyFlag,
            Right::Value(Scalar::CtStatus(CtStatus::DNAT)),
        );
        let mut key = vec![saddr(self.family), daddr(self.family)];
        let hairpins = match layout {
            Layout::Flat => Container::HairpinAddresses,
            Layout::KubeProxy => {
                key.extend([l4proto(), dport()]);
                Container::HairpinConnections
            }
        };
        let is_hairpin = in_set(Expr::Concat(key), hairpins.ident());
        let hairpin = self.rule(
            [is_translated, is_hairpin, masquerade],
            FrameDecision::MasqueradeHairpin,
        );
        self.plain_chain(Ident::literal("masquerading"), vec![marked, hairpin]);
    }

    /// PROXY-52: what comes here was not translated.
    fn cluster_ips_check(&mut self) {
        let active = in_set(daddr(self.family), Container::ClusterIps.ident());
        let refuse = Statement::Reject(Reject::Default);
        let rule = self.rule([active, refuse], FrameDecision::RefuseOtherPorts);
        let comment = Comment::new("Reject traffic to invalid ports of ClusterIPs");
        let mut rules = vec![rule.with_comment(comment)];
        if !self.plan.service_cidrs.is_empty() {
            let unallocated = within(daddr(self.family), MatchOp::Eq, &self.plan.service_cidrs);
            let drop = Statement::Verdict(Verdict::Drop);
            let rule = self.rule([unallocated, drop], FrameDecision::DropUnallocated);
            let comment = Comment::new("Drop traffic to unallocated ClusterIPs");
            rules.push(rule.with_comment(comment));
        }
        self.plain_chain(Ident::literal("cluster-ips-check"), rules);
    }

    fn reject(&mut self) {
        let refuse = Statement::Reject(Reject::Default);
        let chain = NftChain {
            base: None,
            comment: Some(Comment::new(
                "helper for @no-endpoint-services / @no-endpoint-nodeports",
            )),
            rules: vec![self.rule([refuse], FrameDecision::Refuse)],
        };
        self.chain(Ident::literal(REJECT_CHAIN), chain);
    }
}

/// `meta l4proto . th dport`
pub(super) const fn node_port() -> [Expr; 2] {
    [l4proto(), dport()]
}
