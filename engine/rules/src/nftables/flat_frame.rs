//! What a node's table has whatever its Services are, in the layout of our own.
//!
//! Which chains there are depends on the kinds of frontends that occur, and on which numbers of endpoints these have; what
//! they do is told in `flat`.

use std::sync::Arc;

use ruleset::nft::{
    Expr, Ident, MapRef, NatFlags, NatTo, NftChain, NftRule, Numgen, Place, Reject, Statement,
    Verdict,
};

use super::container::Container;
use super::flat::{Tree, is_many};
use super::flat_kind::{FlatKind, FlatTable};
use super::frame::{Writer, node_port};
use super::spell::{daddr, goto, in_set, set_mark, vmap};
use crate::origin::Origins;
use crate::{Capabilities, Decision, FrameDecision, RulePlan};

/// The frame's chains that depend on which containers of kinds there are. Only chains of kinds may be new in a table that
/// has the frame; the places of the others do not count.
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

/// The names of the chains that [`chains_by_count`] has for some containers and not for others.
pub(super) fn names_by_count(counts: &[Container]) -> Vec<Ident> {
    let mut names = Vec::new();
    for (kind, numbers) in kinds(counts) {
        names.push(kind.chooses());
        names.extend(numbers.all().map(|count| kind.draws(count)));
        if let Some(tree) = Tree::of(&numbers.many) {
            tree.add_names(kind, &mut names);
        }
    }
    names
}

/// The numbers of endpoints that frontends of a kind have, in their order.
#[derive(Debug, Default)]
struct Numbers {
    few: Vec<u32>,
    many: Vec<u32>,
}

impl Numbers {
    fn all(&self) -> impl Iterator<Item = u32> {
        self.few.iter().chain(&self.many).copied()
    }
}

/// The kinds of frontends that there are, by their containers in order.
fn kinds(counts: &[Container]) -> Vec<(FlatKind, Numbers)> {
    let mut kinds: Vec<(FlatKind, Numbers)> = Vec::new();
    for container in counts {
        let Container::Flat(kind, table) = *container else {
            continue;
        };
        if kinds.last().is_none_or(|(last, _)| *last != kind) {
            kinds.push((kind, Numbers::default()));
        }
        if let (FlatTable::Endpoints(count), Some((_, numbers))) = (table, kinds.last_mut()) {
            match is_many(count) {
                true => numbers.many.push(count),
                false => numbers.few.push(count),
            }
        }
    }
    kinds
}

impl Writer<'_> {
    /// The chains that look for what cannot be served or is closed to its source: sets instead of maps to verdicts.
    pub(super) fn flat_checks(&mut self) {
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

    /// PROXY-51, and the chains that find endpoints.
    pub(super) fn flat_services(&mut self, counts: &[Container]) {
        const NODE_PORTS: &str = "nodeports";
        let mut rules: Vec<_> = self.hide_clients().into_iter().collect();
        let mut of_node = Vec::new();
        for (kind, numbers) in kinds(counts) {
            let rule = self.choose(kind, &numbers);
            match kind.is_of_node_ports() {
                true => of_node.push(rule),
                false => rules.push(rule),
            }
        }
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
        of_node.push(self.rule([look], decision));
        self.plain_chain(Ident::literal(NODE_PORTS), of_node);
        self.plain_chain(Ident::literal("services"), rules);
    }

    /// The rule that sends those to a chain of which each finds an endpoint, and this chain and what it leads to.
    ///
    /// In the chain, clients that are to be hidden are; then their endpoints are looked for, and who has missed them is
    /// dropped.
    fn choose(&mut self, kind: FlatKind, numbers: &Numbers) -> NftRule {
        let mark = set_mark(self.plan.masquerade_mark);
        let decision = self.origins.of_frame(Decision::HideExternal);
        let hide = [self.found(kind, FlatTable::Masquerade), mark];
        let mut rules = vec![NftRule::new(hide).with_origin(decision)];
        if let Some(tree) = Tree::of(&numbers.many) {
            let to = tree.chain(kind);
            let is_many = self.found(kind, FlatTable::Many);
            let is_many = (!numbers.few.is_empty()).then_some(is_many);
            let jump = Statement::Verdict(Verdict::Jump(to));
            rules.push(self.rule(is_many.into_iter().chain([jump]), MORE));
            self.tree(kind, &tree);
        }
        for count in &numbers.few {
            let to = Statement::Verdict(Verdict::Jump(kind.draws(*count)));
            rules.push(self.rule([to], DRAW));
        }
        for count in numbers.all() {
            self.draw(kind, count);
        }
        let decision = FrameDecision::Visit {
            chain: kind.chained_name(),
            purpose: "has it a chain?",
        };
        let key = match kind.is_of_node_ports() {
            true => node_port().to_vec(),
            false => self.frontend().to_vec(),
        };
        rules.push(self.rule([vmap(key, kind.chained().ident())], decision));
        let drop = Statement::Verdict(Verdict::Drop);
        rules.push(self.rule([drop], FrameDecision::DropMissed));
        self.chain_of(kind.place(0), kind.chooses(), rules);
        let decision = FrameDecision::Visit {
            chain: kind.chooses_name(),
            purpose: "does everybody find an endpoint there?",
        };
        let is_guarded = self.found(kind, FlatTable::Guard);
        self.rule([is_guarded, goto(kind.chooses())], decision)
    }

    /// The chains that ask bit after bit.
    fn tree(&mut self, kind: FlatKind, tree: &Tree) {
        let Tree::Inner { bit, unset, set } = tree else {
            return;
        };
        let is_set = self.found(kind, FlatTable::Bit(*bit));
        let rules = vec![
            self.rule([is_set, goto(set.chain(kind))], MORE),
            self.rule([goto(unset.chain(kind))], MORE),
        ];
        let (first, last) = tree.range();
        let place = kind.place(first << 16 | last);
        self.chain_of(place, tree.chain(kind), rules);
        self.tree(kind, unset);
        self.tree(kind, set);
    }

    /// The chain that draws from a map.
    fn draw(&mut self, kind: FlatKind, count: u32) {
        let map = FlatTable::Endpoints(count);
        let mut key = kind.packet_key(daddr(self.family));
        key.push(Expr::Numgen(Numgen::random(count)));
        let dnat = Statement::Dnat {
            to: NatTo::Lookup {
                family: self.family,
                key: Expr::Concat(key),
                map: MapRef::Named(map.ident(kind)),
            },
            flags: NatFlags::NONE,
        };
        let rules = vec![self.rule([dnat], DRAW)];
        self.chain_of(kind.place(map.within()), kind.draws(count), rules);
    }

    /// `ip daddr . tcp dport @…`, `tcp dport @…`
    fn found(&self, kind: FlatKind, table: FlatTable) -> Statement {
        let mut key = kind.packet_key(daddr(self.family));
        let key = match key.len() {
            1 => key.remove(0),
            _ => Expr::Concat(key),
        };
        in_set(key, table.ident(kind))
    }

    /// A chain of a kind.
    fn chain_of(&mut self, place: Place, name: Ident, rules: Vec<NftRule>) {
        let chain = NftChain {
            rules,
            ..NftChain::default()
        };
        self.chains.push((place, name, Arc::new(chain)));
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
