//! What one service port contributes to the table.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::nft::{
    Comment, FibAddress, Ident, Key, MatchOp, NftChain, NftRule, NftSet, Statement, Verdict,
};
use ruleset::{Family, OriginId};
use smallvec::SmallVec;

use super::container::{Container, FragmentElement};
use super::flat::{self, Layout, count, external_count, needs_chain};
use super::flat_kind::{FlatKind, FlatTable};
use super::names::PortNames;
use super::spell::{goto, is_local, node_port_key, pods, saddr, set_mark, within};
use crate::origin::{PickIds, PortOrigins};
use crate::{
    Decision, DropReason, EndpointPlan, ExternalPlan, ExternalRoute, Frontend, FrontendKind,
    FrontendVerdict, LocalOutcome, ServiceName, ServicePortId, ServicePortPlan, TrafficPolicy,
};

/// What one service port contributes.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Whose it is.
    pub(super) id: ServicePortId,
    /// Sets of clients that stay with an endpoint.
    pub(super) sets: Vec<(Ident, Arc<NftSet>)>,
    /// Its own chains.
    pub(super) chains: Vec<(Ident, Arc<NftChain>)>,
    /// What it has in containers of the frame, in the order in which it counts.
    pub(super) parts: Parts,
}

/// Most service ports of our own layout have three: the ClusterIP as an address and as a frontend, and an endpoint of the node.
type Parts = SmallVec<[Part; 3]>;

/// What a service port has in containers of the frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Element(FragmentElement),
    Frontend(FlatFrontend),
}

/// A frontend without a chain.
#[derive(Debug)]
pub(super) struct FlatFrontend {
    /// How it is looked up.
    pub(super) kind: FlatKind,
    /// By what, and its protocol: as it would be in a map of those with chains.
    pub(super) key: Key,
    /// Whose it is.
    pub(super) origin: OriginId,
    /// For one whose clients are hidden: why.
    pub(super) hides: Option<OriginId>,
    /// Its endpoints, in the order of their numbers; of these, elements hold addresses only.
    pub(super) endpoints: Arc<[EndpointPlan]>,
    /// Whose they are.
    pub(super) picks: PickIds,
}

/// Endpoints are compared by their ids, which are equal where addresses and Pods are: whether an endpoint is on the node is in
/// no element.
impl PartialEq for FlatFrontend {
    fn eq(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.kind, one.origin, one.hides, one.picks);
        of(self) == of(other) && self.key == other.key
    }
}

impl Eq for FlatFrontend {}

/// The name of the chain that refuses.
pub(super) const REJECT_CHAIN: &str = "reject-chain";

impl Fragment {
    /// Spells a plan. `mark` is the bit that asks for masquerade.
    pub(crate) fn lower(
        plan: &ServicePortPlan,
        layout: Layout,
        mark: u32,
        origins: PortOrigins<'_>,
    ) -> Self {
        let mut lowering = Lowering {
            plan,
            layout,
            family: Family::of(plan.cluster_ip.address),
            mark,
            names: PortNames::of(&plan.id),
            origins,
            fragment: Self {
                id: plan.id.clone(),
                sets: Vec::new(),
                chains: Vec::new(),
                parts: Parts::new(),
            },
        };
        lowering.endpoints();
        lowering.cluster_ip();
        if let Some(external) = &plan.external {
            lowering.external(external);
        }
        // Last: there are as many as endpoints are on the node, and what comes before keeps its place.
        lowering.hairpin();
        lowering.fragment
    }

    /// Whose it is, as a text that sorts alike. Between names stands what no name has, and what sorts before all that they
    /// have.
    pub(super) fn owner(&self) -> Arc<str> {
        let ServiceName { namespace, name } = &self.id.service;
        let mut owner = String::with_capacity(128);
        for name in [namespace, name, &self.id.port_name] {
            for (number, piece) in name.split('\0').enumerate() {
                if number > 0 {
                    owner.push_str("\0\u{1}");
                }
                owner.push_str(piece);
            }
            owner.push_str("\0\0");
        }
        // One character that sorts as the number does.
        owner.push(char::from(self.id.protocol.0));
        owner.into()
    }
}

impl Part {
    /// What only one service port can have: an element, or all that is found with a frontend.
    pub(super) const fn claimed(&self) -> (Container, &Key) {
        match self {
            Self::Element(element) => (element.container.asked_with(), &element.key),
            Self::Frontend(FlatFrontend { kind, key, .. }) => (kind.chained(), key),
        }
    }

    /// What an element of a container of some kind of frontends was made for; in a map of endpoints, that of a number.
    pub(super) fn flat_origin(
        &self,
        container: Container,
        number: Option<u32>,
    ) -> Option<OriginId> {
        let Container::Flat(_, table) = container else {
            return None;
        };
        match (self, table) {
            (Self::Element(element), FlatTable::Guard) => {
                element.guard.is_some().then_some(element.origin)
            }
            (Self::Element(_), _) => None,
            (Self::Frontend(frontend), FlatTable::Guard) => Some(frontend.origin),
            (Self::Frontend(frontend), FlatTable::Masquerade) => frontend.hides,
            (Self::Frontend(frontend), FlatTable::Many | FlatTable::Bit(_)) => {
                let is_there = frontend.selecting().any(|one| one == container);
                is_there.then_some(frontend.origin)
            }
            (Self::Frontend(frontend), FlatTable::Endpoints(_)) => {
                let is_its = frontend.container() == container;
                frontend.picks.of(number.filter(|_| is_its)?)
            }
        }
    }

    /// What says which containers it counts for: the kind of its frontend, and how many endpoints that has without a chain.
    pub(super) fn shape(&self) -> (Option<FlatKind>, Option<u32>) {
        match self {
            Self::Element(element) => (element.guard, None),
            Self::Frontend(frontend) => (Some(frontend.kind), Some(frontend.count())),
        }
    }

    /// The containers that are there as long as somebody's frontend is of such a kind, or has so many endpoints.
    pub(super) fn counted(&self) -> impl Iterator<Item = Container> {
        let (kind, frontend) = match self {
            Self::Element(element) => (element.guard, None),
            Self::Frontend(frontend) => (Some(frontend.kind), Some(frontend)),
        };
        let of_kind = kind.into_iter().flat_map(|kind| {
            let tables = [FlatTable::Guard, FlatTable::Masquerade];
            tables.map(|table| Container::Flat(kind, table))
        });
        let of_count = frontend.into_iter().flat_map(|frontend| {
            let selecting = frontend.selecting();
            selecting.chain([frontend.container()])
        });
        of_kind.chain(of_count)
    }
}

impl FlatFrontend {
    /// The map that its endpoints are in.
    pub(super) fn container(&self) -> Container {
        Container::Flat(self.kind, FlatTable::Endpoints(self.count()))
    }

    /// The sets that lead to this map.
    pub(super) fn selecting(&self) -> impl Iterator<Item = Container> {
        let (kind, count) = (self.kind, self.count());
        let many = flat::is_many(count).then_some(FlatTable::Many);
        let bits = flat::bits(count).map(FlatTable::Bit);
        let tables = many.into_iter().chain(bits);
        tables.map(move |table| Container::Flat(kind, table))
    }

    const fn count(&self) -> u32 {
        self.picks.count()
    }
}

/// Spells one plan.
pub(super) struct Lowering<'a> {
    pub(super) plan: &'a ServicePortPlan,
    pub(super) layout: Layout,
    pub(super) family: Family,
    mark: u32,
    pub(super) names: PortNames<'a>,
    pub(super) origins: PortOrigins<'a>,
    pub(super) fragment: Fragment,
}

impl Lowering<'_> {
    pub(super) fn chain(&mut self, name: Ident, rules: Vec<NftRule>) {
        let chain = NftChain {
            base: None,
            comment: None,
            rules,
        };
        self.fragment.chains.push((name, Arc::new(chain)));
    }

    fn rule(
        &mut self,
        statements: impl IntoIterator<Item = Statement>,
        decision: Decision,
    ) -> NftRule {
        NftRule::new(statements).with_origin(self.origins.id(decision))
    }

    pub(super) fn element(&mut self, container: Container, key: Key, origin: OriginId) {
        self.fragment.parts.push(Part::Element(FragmentElement {
            container,
            key,
            verdict: None,
            comment: None,
            guard: None,
            origin,
        }));
    }

    /// Whether the chain of a set is there.
    pub(super) fn has_chain(&self, policy: TrafficPolicy) -> bool {
        self.layout == Layout::KubeProxy || needs_chain(self.plan, policy)
    }

    /// Adds a frontend without a chain, if it can be one; `None` when not.
    fn flat(
        &mut self,
        place: Container,
        key: &Key,
        policy: TrafficPolicy,
        decision: &Decision,
        hides: Option<Decision>,
    ) -> Option<()> {
        if self.layout == Layout::KubeProxy {
            return None;
        }
        let plan = self.plan;
        count(plan, policy)?;
        let kind = FlatKind::of(plan.id.protocol, place)?;
        let endpoints = plan.endpoints(policy);
        let frontend = FlatFrontend {
            kind,
            key: key.clone(),
            origin: self.origins.id(decision.clone()),
            hides: hides.map(|decision| self.origins.id(decision)),
            endpoints: Arc::clone(endpoints),
            picks: self.origins.picks(endpoints),
        };
        self.fragment.parts.push(Part::Frontend(frontend));
        Some(())
    }

    /// An element that leads to a chain in which each packet finds an endpoint.
    fn guarded(&mut self, container: Container, key: Key, to: Ident, decision: Decision) {
        if self.layout == Layout::KubeProxy {
            return self.entry(container, key, Verdict::Goto(to), decision);
        }
        let origin = self.origins.id(decision);
        self.fragment.parts.push(Part::Element(FragmentElement {
            container,
            key,
            // One that finds none, because endpoints are being changed, comes back.
            verdict: Some(Verdict::Jump(to)),
            comment: None,
            guard: FlatKind::of(self.plan.id.protocol, container),
            origin,
        }));
    }

    /// kube-proxy says whose an element is where its verdict does not say it.
    fn entry(&mut self, container: Container, key: Key, verdict: Verdict, decision: Decision) {
        if self.layout == Layout::Flat
            && let Some(set) = refusals(container, &verdict)
        {
            let origin = self.origins.id(decision);
            return self.element(set, key, origin);
        }
        let refuses = matches!(
            container,
            Container::NoEndpointServices | Container::NoEndpointNodePorts
        );
        let origin = self.origins.id(decision);
        self.fragment.parts.push(Part::Element(FragmentElement {
            container,
            key,
            verdict: Some(verdict),
            comment: refuses.then(|| Comment::new(&self.plan.id.to_string())),
            guard: None,
            origin,
        }));
    }

    /// `address . protocol . port`
    fn key(&self, address: IpAddr) -> Key {
        let key = Key::of_address(address);
        let key = key.then_protocol(self.plan.id.protocol);
        key.then_port(self.plan.port)
    }

    fn cluster_ip(&mut self) {
        let address = self.plan.cluster_ip.address;
        let origin = self.origins.id(Decision::ActiveClusterIp(address));
        self.element(Container::ClusterIps, Key::of_address(address), origin);
        let frontend_key = self.key(address);
        match self.plan.cluster_ip.verdict {
            FrontendVerdict::Balance(policy) => {
                let frontend = self.plan.cluster_ip_socket();
                let decision = Decision::Enter { frontend, policy };
                let place = Container::ServiceIps;
                let flat = self.flat(place, &frontend_key, policy, &decision, None);
                if flat.is_none() {
                    let chain = self.names.policy(policy);
                    self.guarded(place, frontend_key, chain, decision);
                }
            }
            FrontendVerdict::Reject(reason) => {
                let decision = Decision::Refuse(reason);
                self.entry(
                    Container::NoEndpointServices,
                    frontend_key,
                    refuse(),
                    decision,
                );
            }
            FrontendVerdict::Drop(reason) => {
                let decision = Decision::Drop(reason);
                self.entry(
                    Container::NoEndpointServices,
                    frontend_key,
                    Verdict::Drop,
                    decision,
                );
            }
        }
    }

    fn external(&mut self, external: &ExternalPlan) {
        let refusal = match &external.route {
            ExternalRoute::Cluster => None,
            ExternalRoute::Local { others, .. } => match others {
                LocalOutcome::Balance => None,
                LocalOutcome::Drop(reason) => Some((Verdict::Drop, Decision::Drop(*reason))),
            },
            ExternalRoute::Reject(reason) => Some((refuse(), Decision::Refuse(*reason))),
        };
        // Policy Local without endpoints has both: the short circuits, and a refusal for the rest.
        if !matches!(external.route, ExternalRoute::Reject(_)) {
            let is_flat = external_count(self.plan, external).is_some();
            if self.layout == Layout::KubeProxy || !is_flat {
                self.external_chain(&external.route);
            }
            self.enter(external, &self.names.external());
        }
        if let Some((verdict, decision)) = refusal {
            self.refuse(external, &verdict, &decision);
        }
        if let Some(sources) = &external.load_balancer_sources {
            self.firewall(external, sources);
        }
    }

    /// `external-…` (PROXY-40).
    fn external_chain(&mut self, route: &ExternalRoute) {
        let mark = set_mark(self.mark);
        let cluster = goto(self.names.policy(TrafficPolicy::Cluster));
        let from_node = || is_local(FibAddress::Saddr);
        let mut rules = Vec::new();
        let others = match route {
            ExternalRoute::Cluster => {
                let rule = self.rule([mark], Decision::HideExternal);
                rules.push(rule.with_comment(Comment::new("masquerade")));
                Some(TrafficPolicy::Cluster)
            }
            ExternalRoute::Local {
                pods: traffic,
                others,
            } => {
                if let Some(traffic) = traffic
                    && let Some(from_pods) = pods(self.family, traffic, MatchOp::Eq)
                {
                    let decision = Decision::ShortCircuitPods(traffic.clone());
                    let rule = self.rule([from_pods, cluster.clone()], decision);
                    rules.push(rule.with_comment(Comment::new("short-circuit pod traffic")));
                }
                let rule = self.rule([from_node(), mark], Decision::HideNode);
                rules.push(rule.with_comment(Comment::new("masquerade local traffic")));
                let rule = self.rule([from_node(), cluster], Decision::ShortCircuitNode);
                rules.push(rule.with_comment(Comment::new("short-circuit local traffic")));
                (*others == LocalOutcome::Balance).then_some(TrafficPolicy::Local)
            }
            ExternalRoute::Reject(_) => None,
        };
        if let Some(policy) = others {
            let to = goto(self.names.policy(policy));
            rules.push(self.rule([to], Decision::External(policy)));
        }
        self.chain(self.names.external(), rules);
    }

    /// Elements that lead to `external-…`.
    fn enter(&mut self, external: &ExternalPlan, to: &Ident) {
        for (kind, addresses) in [
            (FrontendKind::ExternalIp, &external.external_ips),
            (FrontendKind::LoadBalancerIp, &external.load_balancer_ips),
        ] {
            for address in addresses {
                let frontend = self.frontend(kind, *address);
                let decision = Decision::EnterExternal(frontend);
                let key = self.key(*address);
                self.enter_at(external, Container::ServiceIps, key, to, decision);
            }
        }
        if let Some(node_port) = external.node_port {
            let key = node_port_key(self.plan.id.protocol, node_port.port);
            let decision = Decision::EnterExternal(Frontend::NodePort(node_port.port));
            self.enter_at(external, Container::ServiceNodePorts, key, to, decision);
        }
    }

    fn enter_at(
        &mut self,
        external: &ExternalPlan,
        place: Container,
        key: Key,
        to: &Ident,
        decision: Decision,
    ) {
        let flat = external_count(self.plan, external).and_then(|_| {
            let hides = Some(Decision::HideExternal);
            self.flat(place, &key, TrafficPolicy::Cluster, &decision, hides)
        });
        let serves_all = match &external.route {
            ExternalRoute::Cluster => true,
            ExternalRoute::Local { others, .. } => *others == LocalOutcome::Balance,
            ExternalRoute::Reject(_) => false,
        };
        match flat {
            Some(()) => {}
            None if serves_all => self.guarded(place, key, to.clone(), decision),
            None => self.entry(place, key, Verdict::Goto(to.clone()), decision),
        }
    }

    /// Elements that refuse whatever was not translated.
    fn refuse(&mut self, external: &ExternalPlan, verdict: &Verdict, decision: &Decision) {
        let addresses = external.external_ips.iter();
        for address in addresses.chain(&external.load_balancer_ips) {
            let key = self.key(*address);
            self.entry(
                Container::NoEndpointServices,
                key,
                verdict.clone(),
                decision.clone(),
            );
        }
        if let Some(node_port) = external.node_port {
            let key = node_port_key(self.plan.id.protocol, node_port.port);
            self.entry(
                Container::NoEndpointNodePorts,
                key,
                verdict.clone(),
                decision.clone(),
            );
        }
    }

    /// `firewall-…`, which is asked before any translation and also when there is no endpoint (PROXY-30, -56).
    fn firewall(&mut self, external: &ExternalPlan, sources: &[IpNet]) {
        for address in &external.load_balancer_ips {
            let frontend = self.frontend(FrontendKind::LoadBalancerIp, *address);
            let to = Verdict::Goto(self.names.firewall());
            let decision = Decision::CheckSource(frontend);
            self.entry(Container::FirewallIps, self.key(*address), to, decision);
        }
        let others = within(saddr(self.family), MatchOp::Ne, sources);
        let drop = Statement::Verdict(Verdict::Drop);
        let rule = self.rule([others, drop], Decision::Drop(DropReason::SourceNotAllowed));
        self.chain(self.names.firewall(), vec![rule]);
    }

    fn frontend(&self, kind: FrontendKind, address: IpAddr) -> Frontend {
        let address = (address, self.plan.port).into();
        Frontend::Address { kind, address }
    }
}

/// In the layout of our own, the set that stands for an element of a map of refusals.
const fn refusals(map: Container, verdict: &Verdict) -> Option<Container> {
    match (map, verdict) {
        (Container::NoEndpointServices, Verdict::Drop) => Some(Container::DroppedServices),
        (Container::NoEndpointServices, _) => Some(Container::RejectedServices),
        (Container::NoEndpointNodePorts, Verdict::Drop) => Some(Container::DroppedNodePorts),
        (Container::NoEndpointNodePorts, _) => Some(Container::RejectedNodePorts),
        _ => None,
    }
}

fn refuse() -> Verdict {
    Verdict::Goto(Ident::literal(REJECT_CHAIN))
}
