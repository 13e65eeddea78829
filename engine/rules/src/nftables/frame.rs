//! What a node's table has whatever its Services are: base chains, dispatch, masquerade (PROXY-48 … -52).

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::IpNet;
use ruleset::nft::{
    BaseChain, BinaryOp, ChainKind, Comment, CtKey, CtStatus, Expr, FibAddress, Hook, Ident, Key,
    MapRef, MatchOp, NatFlags, NatTo, NftChain, NftRule, NftSet, NftTable, Numgen, Policy, Reject,
    Right, Scalar, SetOrMap, SetRef, Statement, Value, Verdict,
};
use ruleset::{Family, OriginId};

use super::container::{Container, ElementOrigins, FragmentElement};
use super::flat::{Counts, Layout};
use super::fragment::{FlatFrontend, Fragment, Part, REJECT_CHAIN};
use super::spell::{
    change_mark, daddr, dport, in_set, is_local, is_new, key, l4proto, mark_with, matches, pods,
    saddr, set_mark, vmap, within,
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

/// The table of one node and family while fragments are added.
pub(crate) struct Frame {
    family: Family,
    /// Whether node ports have a set of addresses.
    has_node_port_ips: bool,
    layout: Layout,
    /// In the layout of our own.
    counts: Counts,
    /// What has been added by which of several containers that are looked into one after the other. Never iterated.
    claimed: HashSet<(Container, Key), FixedState>,
    elements: BTreeMap<Container, Vec<FragmentElement>>,
    sets: Vec<(Ident, Arc<NftSet>)>,
    chains: Vec<(Ident, Arc<NftChain>)>,
}

impl Frame {
    /// The frame without any Service.
    pub(crate) fn new(
        plan: &RulePlan,
        layout: Layout,
        capabilities: Capabilities,
        origins: &mut Origins,
    ) -> Self {
        let counts = match layout {
            Layout::KubeProxy => Counts::default(),
            Layout::Flat => Counts::of(plan),
        };
        let mut writer = Writer {
            plan,
            family: plan.family,
            nat_flags: match capabilities.random_fully {
                true => NatFlags::FULLY_RANDOM,
                false => NatFlags::NONE,
            },
            origins,
            chains: Vec::new(),
        };
        let node_port_ips = writer.node_port_ips();
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
                writer.flat_services(&counts);
            }
        }
        writer.masquerading();
        writer.cluster_ips_check();
        if layout == Layout::KubeProxy {
            writer.reject();
        }
        Self {
            layout,
            counts,
            claimed: HashSet::default(),
            family: plan.family,
            has_node_port_ips: node_port_ips.is_some(),
            chains: writer.chains,
            sets: Vec::new(),
            elements: [(Container::NodePortIps, node_port_ips.unwrap_or_default())].into(),
        }
    }

    /// Adds a service port's chains, sets and elements after those added before.
    pub(crate) fn add(&mut self, fragment: &Fragment) {
        self.chains.extend(fragment.chains.iter().cloned());
        self.sets.extend(fragment.sets.iter().cloned());
        for part in &fragment.parts {
            match part {
                Part::Element(element) => self.add_element(element),
                Part::Frontend(frontend) => self.add_flat(frontend),
            }
        }
    }

    fn add_element(&mut self, element: &FragmentElement) {
        if self.layout == Layout::KubeProxy || self.claims(element.container, &element.key) {
            let elements = self.elements.entry(element.container).or_default();
            elements.push(element.clone());
        }
    }

    /// Whether nobody has added a frontend of this key to one of the containers that are asked in its place: of two, the
    /// first is kept.
    fn claims(&mut self, container: Container, key: &Key) -> bool {
        let group = match container {
            Container::DroppedServices => Container::RejectedServices,
            Container::DroppedNodePorts => Container::RejectedNodePorts,
            other => other,
        };
        self.claimed.insert((group, key.clone()))
    }

    fn add_flat(&mut self, frontend: &FlatFrontend) {
        if !self.claims(frontend.place, &frontend.key) {
            return;
        }
        let count = u32::try_from(frontend.endpoints.len()).expect("there are few");
        let (guard, hiding, endpoints) = match frontend.place {
            Container::ServiceNodePorts => (
                Container::FlatNodePorts,
                Container::MasqueradeNodePorts,
                Container::NodePortEndpoints(count),
            ),
            _ => (
                Container::FlatServices,
                Container::MasqueradeServices,
                Container::Endpoints(count),
            ),
        };
        let mut put = |container: Container, key: Key, value: Option<Value>, origin: OriginId| {
            let element = FragmentElement {
                container,
                key,
                value,
                comment: None,
                origin,
            };
            self.elements.entry(container).or_default().push(element);
        };
        put(guard, frontend.key.clone(), None, frontend.origin);
        if let Some(origin) = frontend.hides {
            put(hiding, frontend.key.clone(), None, origin);
        }
        for (number, (to, origin)) in (0..).zip(&frontend.endpoints) {
            let mut key = frontend.key.clone();
            key.push(Scalar::Number(number));
            put(endpoints, key, Some(Value::Data(to.clone())), *origin);
        }
    }

    fn containers(&self) -> Vec<Container> {
        if self.layout == Layout::KubeProxy {
            return Container::ALL.to_vec();
        }
        let services = self.counts.services.iter().copied();
        let node_ports = self.counts.node_ports.iter().copied();
        let by_count = services
            .map(Container::Endpoints)
            .chain(node_ports.map(Container::NodePortEndpoints));
        Container::FLAT.into_iter().chain(by_count).collect()
    }

    /// The whole. Of two elements with one key, the first is kept.
    ///
    /// Deviation: kube-proxy keeps either, by chance.
    pub(crate) fn finish(mut self) -> (NftTable, ElementOrigins) {
        let mut origins = ElementOrigins::new();
        let containers = self.containers();
        let mut sets = Vec::with_capacity(containers.len() + self.sets.len());
        for container in containers {
            if container == Container::NodePortIps && !self.has_node_port_ips {
                continue;
            }
            let elements = self.elements.remove(&container).unwrap_or_default();
            let of = |element: &FragmentElement| (element.key.clone(), element.origin);
            origins.insert(container, elements.iter().rev().map(of).collect());
            sets.push((container.ident(), container.filled(self.family, elements)));
        }
        let affinity = self.sets.into_iter();
        sets.extend(affinity.map(|(name, set)| (name, SetOrMap::Set(set))));
        let table = NftTable {
            comment: Some(Comment::new("rules for kube-proxy")),
            sets: sets.into_iter().collect(),
            chains: self.chains.into_iter().collect(),
        };
        (table, origins)
    }
}

/// Writes the frame's chains.
struct Writer<'a> {
    plan: &'a RulePlan,
    family: Family,
    nat_flags: NatFlags,
    origins: &'a mut Origins,
    chains: Vec<(Ident, Arc<NftChain>)>,
}

impl Writer<'_> {
    fn chain(&mut self, name: Ident, chain: NftChain) {
        self.chains.push((name, Arc::new(chain)));
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

    /// `None` when any address of the node takes node ports (PROXY-50).
    fn node_port_ips(&mut self) -> Option<Vec<FragmentElement>> {
        let NodePortDestinations::Addresses(addresses) = &self.plan.node_ports.destinations else {
            return None;
        };
        let element = |address: &std::net::IpAddr| FragmentElement {
            container: Container::NodePortIps,
            key: key([Scalar::address(*address)]),
            value: None,
            comment: None,
            origin: self.origins.of_frame(Decision::NodePortAddress(*address)),
        };
        Some(addresses.iter().map(element).collect())
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
    fn flat_services(&mut self, counts: &Counts) {
        const NODE_PORTS: &str = "nodeports";
        let mut rules: Vec<_> = self.hide_clients().into_iter().collect();
        let frontend = self.frontend();
        let sets = [Container::MasqueradeServices, Container::FlatServices];
        let by_count = counts.services.iter();
        let by_count = by_count.map(|count| (*count, Container::Endpoints(*count)));
        rules.extend(self.flat_rules(&frontend, sets, by_count));
        rules.push(self.by_address(
            Container::ServiceIps,
            "@service-ips",
            "is it for an address of a Service that has a chain?",
        ));
        let own = self.own_addresses(false);
        let jump = Statement::Verdict(Verdict::Jump(Ident::literal(NODE_PORTS)));
        let decision = FrameDecision::Visit {
            chain: NODE_PORTS,
            purpose: "is it for a node port?",
        };
        rules.push(self.rule(own.into_iter().chain([jump]), decision));
        let sets = [Container::MasqueradeNodePorts, Container::FlatNodePorts];
        let by_count = counts.node_ports.iter();
        let by_count = by_count.map(|count| (*count, Container::NodePortEndpoints(*count)));
        let mut of_node = self.flat_rules(&node_port(), sets, by_count);
        let look = vmap(node_port(), Container::ServiceNodePorts.ident());
        let decision = FrameDecision::Visit {
            chain: "@service-nodeports",
            purpose: "is it for a node port that has a chain?",
        };
        of_node.push(self.rule([look], decision));
        self.plain_chain(Ident::literal(NODE_PORTS), of_node);
        self.plain_chain(Ident::literal("services"), rules);
    }

    /// Hide whose clients are to be hidden, choose for each number of endpoints, and drop who should have been chosen for.
    fn flat_rules(
        &mut self,
        key: &[Expr],
        [hiding, guard]: [Container; 2],
        by_count: impl Iterator<Item = (u32, Container)>,
    ) -> Vec<NftRule> {
        let found = |set: Container| in_set(Expr::Concat(key.to_vec()), set.ident());
        let hidden = found(hiding);
        let mark = set_mark(self.plan.masquerade_mark);
        let decision = self.origins.of_frame(Decision::HideExternal);
        let mut rules = vec![NftRule::new([hidden, mark]).with_origin(decision)];
        for (count, map) in by_count {
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
            let decision = FrameDecision::Visit {
                chain: "the endpoints",
                purpose: "has it so many? Then one of them is drawn",
            };
            let draw = self.rule([dnat], decision);
            let chain = draws(map);
            let jump = Statement::Verdict(Verdict::Jump(chain.clone()));
            rules.push(self.rule([jump], decision));
            self.plain_chain(chain, vec![draw]);
        }
        let missed = found(guard);
        let drop = Statement::Verdict(Verdict::Drop);
        rules.push(self.rule([missed, drop], FrameDecision::DropMissed));
        rules
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

/// The chain that draws from a map. It is one of its own so that no other number of endpoints has it written anew: nft
/// cannot name a map in a new rule without making it anew, too.
fn draws(map: Container) -> Ident {
    let name = format!("draw-{}", map.ident());
    Ident::new(&name).expect("two names are a name")
}

/// `meta l4proto . th dport`
const fn node_port() -> [Expr; 2] {
    [l4proto(), dport()]
}
