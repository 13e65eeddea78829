//! What a node's table has whatever its Services are: base chains, dispatch, masquerade (PROXY-48 … -52).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::nft::{
    BaseChain, BinaryOp, ChainKind, Comment, CtKey, CtStatus, Expr, FibAddress, Hook, Ident, Key,
    MapRef, MatchOp, NatFlags, NatTo, NftChain, NftRule, Numgen, Place, Policy, Reject, Right,
    Scalar, SetRef, Statement, Verdict,
};
use ruleset::{Family, OriginId};

use super::container::Container;
use super::flat::{FlatKind, Layout, Tree};
use super::fragment::REJECT_CHAIN;
use super::spell::{
    change_mark, daddr, dport, goto, in_set, is_local, is_new, key, l4proto, mark_with, matches,
    pods, saddr, set_mark, vmap, within,
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
    writer.masquerading();
    writer.cluster_ips_check();
    if layout == Layout::KubeProxy {
        writer.reject();
    }
    writer.chains
}

/// Those of them that depend on which maps of so many endpoints there are, in the layout of our own. Only the chains of
/// these maps may be new in a table that has the frame; the places of the others do not count.
pub(super) fn chains_by_count(
    plan: &RulePlan,
    counts: &[Container],
    capabilities: Capabilities,
    origins: &mut Origins,
) -> Vec<(Place, Ident, Arc<NftChain>)> {
    let mut writer = Writer::new(plan, capabilities, origins);
    writer.flat_services(counts);
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
        (key([Scalar::address(*address)]), origin)
    };
    Some(addresses.iter().map(element).collect())
}

/// Writes the frame's chains.
struct Writer<'a> {
    plan: &'a RulePlan,
    family: Family,
    nat_flags: NatFlags,
    origins: &'a mut Origins,
    /// Where the next chain stands.
    next: u64,
    chains: Vec<(Place, Ident, Arc<NftChain>)>,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a RulePlan, capabilities: Capabilities, origins: &'a mut Origins) -> Self {
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

    fn plain_chain(&mut self, name: Ident, rules: Vec<NftRule>) {
        let chain = NftChain {
            rules,
            ..NftChain::default()
        };
        self.chain(name, chain);
    }

    fn rule(
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

    fn firewall_check(&mut self) {
        let rule = self.by_address(
            Container::FirewallIps,
            "@firewall-ips",
            "is it for a load-balancer IP with source ranges?",
        );
        self.plain_chain(Ident::literal("firewall-check"), vec![rule]);
    }

    fn by_address(
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
    fn own_addresses(&self, is_known_local: bool) -> Vec<Statement> {
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
    fn hide_clients(&mut self) -> Option<NftRule> {
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

    /// [`Self::checks`] in the layout of our own: sets instead of maps to verdicts.
    fn flat_checks(&mut self) {
        let own = self.own_addresses(true);
        let sets = [Container::RejectedNodePorts, Container::DroppedNodePorts];
        let rules = self.refusals(&own, &node_port(), sets);
        self.plain_chain(Ident::literal("nodeport-endpoints-check"), rules);
        let frontend = self.frontend();
        let sets = [Container::RejectedServices, Container::DroppedServices];
        let rules = self.refusals(&[], &frontend, sets);
        self.plain_chain(Ident::literal("service-endpoints-check"), rules);
        self.firewall_check();
    }

    fn refusals(
        &mut self,
        before: &[Statement],
        key: &[Expr],
        [rejected, dropped]: [Container; 2],
    ) -> Vec<NftRule> {
        let found = |set: Container| in_set(Expr::Concat(key.to_vec()), set.ident());
        let refuse = [found(rejected), Statement::Reject(Reject::Default)];
        let drop = [found(dropped), Statement::Verdict(Verdict::Drop)];
        let with = |last: [Statement; 2]| before.iter().cloned().chain(last);
        vec![
            self.rule(with(refuse), FrameDecision::Refuse),
            self.rule(with(drop), FrameDecision::DropHere),
        ]
    }

    /// [`Self::services`] in the layout of our own.
    fn flat_services(&mut self, counts: &[Container]) {
        const NODE_PORTS: &str = "nodeports";
        let is_of_services = |one: &Container| one.frontends() == Container::ServiceIps;
        let (of_services, of_node_ports): (Vec<_>, Vec<_>) =
            counts.iter().copied().partition(is_of_services);
        let frontend = self.frontend();
        let mut rules: Vec<_> = self.hide_clients().into_iter().collect();
        rules.push(self.choose(&frontend, FlatKind::Services, &of_services));
        rules.push(self.by_address(
            Container::ServiceIps,
            "@service-ips",
            "is it for an address that not everybody is served at?",
        ));
        let own = self.own_addresses(false);
        let jump = Statement::Verdict(Verdict::Jump(Ident::literal(NODE_PORTS)));
        let decision = FrameDecision::Visit {
            chain: NODE_PORTS,
            purpose: "is it for a node port?",
        };
        rules.push(self.rule(own.into_iter().chain([jump]), decision));
        let look = vmap(node_port(), Container::ServiceNodePorts.ident());
        let decision = FrameDecision::Visit {
            chain: "@service-nodeports",
            purpose: "is it for a node port that not everybody is served at?",
        };
        let of_node = vec![
            self.choose(&node_port(), FlatKind::NodePorts, &of_node_ports),
            self.rule([look], decision),
        ];
        self.plain_chain(Ident::literal(NODE_PORTS), of_node);
        self.plain_chain(Ident::literal("services"), rules);
    }

    /// The rule that sends those to a chain of which each finds an endpoint, and this chain and what it leads to.
    ///
    /// In the chain, clients that are to be hidden are; then their endpoints are looked for, and who has missed them is
    /// dropped.
    fn choose(&mut self, key: &[Expr], kind: FlatKind, counts: &[Container]) -> NftRule {
        let found = |set: Container| in_set(Expr::Concat(key.to_vec()), set.ident());
        let [guard, hiding] = kind.chained().guards();
        let mark = set_mark(self.plan.masquerade_mark);
        let decision = self.origins.of_frame(Decision::HideExternal);
        let mut rules = vec![NftRule::new([found(hiding), mark]).with_origin(decision)];
        let (many, few) = kind.numbers(counts);
        if let Some(tree) = Tree::of(&many) {
            let to = tree.chain(kind);
            let is_many = (!few.is_empty()).then(|| found(kind.many()));
            let jump = Statement::Verdict(Verdict::Jump(to));
            rules.push(self.rule(is_many.into_iter().chain([jump]), MORE));
            self.tree(key, kind, &tree);
        }
        for count in &few {
            let to = Statement::Verdict(Verdict::Jump(kind.draws(*count)));
            rules.push(self.rule([to], DRAW));
        }
        for count in few.iter().chain(&many) {
            self.draw(key, kind, *count);
        }
        let decision = FrameDecision::Visit {
            chain: kind.chained_name(),
            purpose: "has it a chain?",
        };
        let look = vmap(key.to_vec(), kind.chained().ident());
        rules.push(self.rule([look], decision));
        let drop = Statement::Verdict(Verdict::Drop);
        rules.push(self.rule([drop], FrameDecision::DropMissed));
        self.plain_chain(kind.chooses(), rules);
        let decision = FrameDecision::Visit {
            chain: kind.chooses_name(),
            purpose: "does everybody find an endpoint there?",
        };
        self.rule([found(guard), goto(kind.chooses())], decision)
    }

    /// The chains that ask bit after bit.
    fn tree(&mut self, key: &[Expr], kind: FlatKind, tree: &Tree) {
        let Tree::Inner { bit, unset, set } = tree else {
            return;
        };
        let is_set = in_set(Expr::Concat(key.to_vec()), kind.bit(*bit).ident());
        let rules = vec![
            self.rule([is_set, goto(set.chain(kind))], MORE),
            self.rule([goto(unset.chain(kind))], MORE),
        ];
        let chain = NftChain {
            rules,
            ..NftChain::default()
        };
        let (first, last) = tree.range();
        let place = Place {
            within: first << 16 | last,
            ..kind.many().place()
        };
        self.chains.push((place, tree.chain(kind), Arc::new(chain)));
        self.tree(key, kind, unset);
        self.tree(key, kind, set);
    }

    /// The chain that draws from a map.
    fn draw(&mut self, key: &[Expr], kind: FlatKind, count: u32) {
        let map = kind.endpoints(count);
        let number = Expr::Numgen(Numgen::random(count));
        let parts = key.iter().cloned().chain([number]);
        let dnat = Statement::Dnat {
            to: NatTo::Lookup {
                family: self.family,
                key: Expr::Concat(parts.collect()),
                map: MapRef::Named(map.ident()),
            },
            flags: NatFlags::NONE,
        };
        let body = NftChain {
            rules: vec![self.rule([dnat], DRAW)],
            ..NftChain::default()
        };
        // As its map stands behind the frame's others.
        let name = kind.draws(count);
        self.chains.push((map.place(), name, Arc::new(body)));
    }

    /// `ip daddr . meta l4proto . th dport`
    const fn frontend(&self) -> [Expr; 3] {
        [daddr(self.family), l4proto(), dport()]
    }

    /// PROXY-35 in one rule, and PROXY-23.
    fn masquerading(&mut self) {
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
        let key = vec![saddr(self.family), daddr(self.family), l4proto(), dport()];
        let is_hairpin = matches(
            Expr::Concat(key),
            MatchOp::Eq,
            Right::Set(SetRef::Named(Container::HairpinConnections.ident())),
        );
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

const DRAW: FrameDecision = FrameDecision::Visit {
    chain: "the endpoints",
    purpose: "has it so many? Then one of them is drawn",
};
const MORE: FrameDecision = FrameDecision::Visit {
    chain: "more endpoints",
    purpose: "how many has it?",
};

/// The names of the chains that [`chains_by_count`] has for some containers and not for others.
pub(super) fn names_by_count(counts: &[Container]) -> Vec<Ident> {
    let mut names = Vec::new();
    for kind in FlatKind::ALL {
        let (many, few) = kind.numbers(counts);
        let all = few.iter().chain(&many);
        names.extend(all.map(|count| kind.draws(*count)));
        if let Some(tree) = Tree::of(&many) {
            tree.add_names(kind, &mut names);
        }
    }
    names
}

/// `meta l4proto . th dport`
const fn node_port() -> [Expr; 2] {
    [l4proto(), dport()]
}
