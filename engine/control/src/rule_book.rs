//! The simulated rule sink of all nodes.
//!
//! A commit only notes which view a node's rules are made of; they are compiled when somebody looks or a packet
//! comes. So a thousand nodes cost a thousand view positions.
//!
//! Deviation: between modes iptables and ipvs, the first sync replaces all that the mode before has written. A real one
//! (1.36, `platformCleanup`) cleans up the rules of both when it goes to nftables, and those of nftables when it goes to
//! either; from ipvs to iptables it leaves the virtual servers, sets and addresses, and from iptables to ipvs chains that
//! nothing jumps to any more, until somebody runs `kube-proxy --cleanup`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{
    Capabilities, ClusterSizes, ClusterView, CompiledIptables, CompiledIpvs, CompiledNftables,
    Compiler, NodeFacts,
};
use ruleset::ipvs::{Drained, IpvsTables, Scheduler};
use ruleset::{Family, ipvs, nft, xt};

use crate::ProxyMode;

/// A node's rules, in the dialect of its proxy's mode.
#[derive(Clone, Debug)]
pub enum NodeRules {
    /// Mode iptables.
    Iptables(CompiledIptables),
    /// Modes nftables and flat.
    Nftables(CompiledNftables),
    /// Mode ipvs.
    Ipvs(CompiledIpvs),
}

impl NodeRules {
    /// The rules of a node whose proxy is in this mode; what does not differ from earlier ones of the same compiler is
    /// shared with them.
    #[must_use]
    pub fn compile(
        mode: ProxyMode,
        compiler: &mut Compiler,
        earlier: Option<&Self>,
        view: &ClusterView,
        facts: &NodeFacts,
        sizes: ClusterSizes,
    ) -> Self {
        let (mut xt, mut nft, mut ipvs) = (None, None, None);
        match earlier {
            Some(Self::Iptables(earlier)) => xt = Some(earlier),
            Some(Self::Nftables(earlier)) => nft = Some(earlier),
            Some(Self::Ipvs(earlier)) => ipvs = Some(earlier),
            None => {}
        }
        match mode {
            ProxyMode::Iptables => Self::Iptables(compiler.iptables_after(xt, view, facts, sizes)),
            ProxyMode::Nftables => Self::Nftables(compiler.nftables_after(nft, view, facts)),
            ProxyMode::Flat => Self::Nftables(compiler.flat_after(nft, view, facts)),
            ProxyMode::Ipvs => Self::Ipvs(compiler.ipvs_after(ipvs, view, facts)),
        }
    }

    /// The rules with the real servers that a virtual one does not have any more and that still have connections, as
    /// `drained` says of each family's tables. Those of other modes are the same.
    #[must_use]
    pub fn with_drained(&self, drained: impl Fn(&IpvsTables) -> Vec<Drained>) -> Self {
        let mut rules = self.clone();
        if let Self::Ipvs(compiled) = &mut rules {
            for tables in compiled.tables.values_mut() {
                *tables = Arc::new(tables.with_drained(&drained(tables)));
            }
        }
        rules
    }

    /// What the node's tools print of them: `iptables-save` and `ip6tables-save`, or `nft list ruleset`; in IPVS mode
    /// what `ipvsadm -S -n` and `ipset save` print, too.
    #[must_use]
    pub fn listing(&self) -> String {
        match self {
            Self::Iptables(compiled) => compiled
                .tables
                .values()
                .map(|tables| xt::save_text(tables))
                .collect(),
            Self::Nftables(compiled) => nft::list_text(&compiled.tables),
            Self::Ipvs(compiled) => {
                let families = compiled.tables.values();
                families
                    .map(|tables| {
                        ipvs::servers_text(&tables.servers)
                            + &ipvs::sets_text(&tables.sets, tables.family)
                            + &xt::save_text(&tables.rules)
                    })
                    .collect()
            }
        }
    }

    /// What `iptables-save` (or `ip6tables-save`) prints of them, or `nft list ruleset`, which prints both families.
    #[must_use]
    pub fn listing_of(&self, family: Family) -> String {
        match self {
            Self::Iptables(compiled) => xt::save_text(&compiled.tables[&family]),
            Self::Nftables(_) => self.listing(),
            Self::Ipvs(compiled) => xt::save_text(&compiled.tables[&family].rules),
        }
    }

    /// How many rules there are, in all tables and chains of both families.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Iptables(compiled) => {
                let tables = compiled.tables.values().flat_map(|of| of.tables.values());
                let chains = tables.flat_map(|table| table.chains.values());
                chains.map(|chain| chain.rules.len()).sum()
            }
            Self::Nftables(compiled) => {
                let tables = compiled.tables.tables.values();
                let chains = tables.flat_map(|table| table.chains.iter());
                chains.map(|(_, chain)| chain.rules.len()).sum()
            }
            Self::Ipvs(compiled) => {
                let tables = compiled.tables.values();
                let tables = tables.flat_map(|of| of.rules.tables.values());
                let chains = tables.flat_map(|table| table.chains.values());
                chains.map(|chain| chain.rules.len()).sum()
            }
        }
    }

    /// What the node's tools load: the input of `iptables-restore` (or `ip6tables-restore`), or a script for
    /// `nft -f`, which holds both families. In IPVS mode there are four tools: before the input of each stands a line
    /// that begins with `###` and names it.
    #[must_use]
    pub fn script(&self, family: Family) -> String {
        match self {
            Self::Iptables(compiled) => xt::restore_text(&compiled.tables[&family]),
            Self::Nftables(compiled) => nft::script_text(&compiled.tables),
            Self::Ipvs(compiled) => ipvs_script(&compiled.tables[&family]),
        }
    }
}

/// In the order in which it is loaded: rules look into sets that are there, and an address is bound once it is served.
fn ipvs_script(tables: &IpvsTables) -> String {
    let restorer = match tables.family {
        Family::V4 => "iptables-restore --noflush",
        Family::V6 => "ip6tables-restore --noflush",
    };
    let sections = [
        (
            "ipset restore",
            ipvs::sets_text(&tables.sets, tables.family),
        ),
        (restorer, xt::restore_text(&tables.rules)),
        ("ipvsadm -R", ipvs::servers_text(&tables.servers)),
        ("ip -batch -", tables.device_text()),
    ];
    let sections = sections.map(|(tool, text)| format!("### {tool}\n{text}"));
    sections.concat()
}

/// What every node has been programmed with, and the compiler that spells it.
pub(crate) struct RuleBook {
    compiler: Compiler,
    nodes: BTreeMap<Arc<str>, Present>,
    /// The rules compiled last in each mode, of whichever node.
    latest: BTreeMap<ProxyMode, NodeRules>,
    commits: u64,
}

/// What is present on a node.
#[derive(Default)]
struct Present {
    /// The number of the last change.
    commit: u64,
    /// What the last commit has written.
    own: Option<Page>,
    /// What a proxy has written before in a dialect that the last one does not touch.
    left: Option<Page>,
}

struct Page {
    mode: ProxyMode,
    facts: Arc<NodeFacts>,
    view: ClusterView,
    sizes: ClusterSizes,
    compiled: Option<NodeRules>,
    /// Those that it had when somebody looked last.
    earlier: Option<NodeRules>,
}

impl Page {
    /// Its rules, compiled if nobody has looked at them yet.
    fn rules(
        &mut self,
        compiler: &mut Compiler,
        latest: &mut BTreeMap<ProxyMode, NodeRules>,
    ) -> &NodeRules {
        self.compiled.get_or_insert_with(|| {
            let earlier = self.earlier.take();
            let earlier = earlier.as_ref().or_else(|| latest.get(&self.mode));
            let (view, facts, sizes) = (&self.view, &self.facts, self.sizes);
            let compiled = NodeRules::compile(self.mode, compiler, earlier, view, facts, sizes);
            latest.insert(self.mode, compiled.clone());
            compiled
        })
    }
}

impl RuleBook {
    pub(crate) fn new(capabilities: Capabilities, scheduler: Scheduler) -> Self {
        Self {
            compiler: Compiler::new(capabilities).with_scheduler(scheduler),
            nodes: BTreeMap::new(),
            latest: BTreeMap::new(),
            commits: 0,
        }
    }

    pub(crate) const fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// How many commits there have been.
    pub(crate) const fn commits(&self) -> u64 {
        self.commits
    }

    /// The rules that a node's last commit has written, with its number; `None` while there are none.
    pub(crate) fn rules(&mut self, node: &str) -> Option<(u64, &NodeRules)> {
        let present = self.nodes.get_mut(node)?;
        let own = present.own.as_mut()?;
        let rules = own.rules(&mut self.compiler, &mut self.latest);
        Some((present.commit, rules))
    }

    /// Whether a node has the rules of its last commit.
    pub(crate) fn has_rules(&self, node: &str) -> bool {
        let present = self.nodes.get(node);
        present.is_some_and(|present| present.own.is_some())
    }

    /// What is left on a node of a proxy in another mode.
    pub(crate) fn leftover(&mut self, node: &str) -> Option<&NodeRules> {
        let left = self.nodes.get_mut(node)?.left.as_mut()?;
        Some(left.rules(&mut self.compiler, &mut self.latest))
    }

    /// The rules of a node that somebody has looked at since they were written, those of its last commit first.
    pub(crate) fn compiled(&self, node: &str) -> impl Iterator<Item = &NodeRules> {
        let present = self.nodes.get(node).into_iter();
        let pages = present.flat_map(|present| [&present.own, &present.left]);
        pages.flatten().filter_map(|page| page.compiled.as_ref())
    }

    /// The number of the last change of what a node has, without compiling anything; 0 before its first.
    pub(crate) fn commit_number(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |present| present.commit)
    }

    /// The book as the sink of a proxy in `mode`.
    pub(crate) const fn in_mode(&mut self, mode: ProxyMode) -> Writer<'_> {
        Writer { book: self, mode }
    }

    /// Takes away what a node has in other dialects than that of `mode`; tells whether there was anything.
    pub(crate) fn clean_up_for(&mut self, node: &str, mode: ProxyMode) -> bool {
        self.take_away(node, |page| {
            page.mode.is_iptables_based() != mode.is_iptables_based()
        })
    }

    /// Takes away all that a node has: it was rebooted.
    pub(crate) fn forget(&mut self, node: &str) -> bool {
        self.take_away(node, |_| true)
    }

    fn take_away(&mut self, node: &str, goes: impl Fn(&Page) -> bool) -> bool {
        let Some(present) = self.nodes.get_mut(node) else {
            return false;
        };
        let own = present.own.take_if(|page| goes(page)).is_some();
        let left = present.left.take_if(|page| goes(page)).is_some();
        if own || left {
            self.commits += 1;
            present.commit = self.commits;
        }
        own || left
    }
}

/// The book while a proxy writes into it.
pub(crate) struct Writer<'a> {
    book: &'a mut RuleBook,
    mode: ProxyMode,
}

impl RuleSink for Writer<'_> {
    type Error = Infallible;

    fn commit(
        &mut self,
        _: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), Infallible> {
        let Self { book, mode } = self;
        book.commits += 1;
        let present = book.nodes.entry(Arc::clone(&node.name)).or_default();
        present.commit = book.commits;
        let mut earlier = None;
        for page in [present.own.take(), present.left.take()]
            .into_iter()
            .flatten()
        {
            if page.mode == *mode {
                earlier = page.compiled.or(page.earlier);
            } else if page.mode.is_iptables_based() != mode.is_iptables_based() {
                present.left = Some(page);
            }
        }
        present.own = Some(Page {
            mode: *mode,
            facts: Arc::clone(node),
            view: view.clone(),
            sizes,
            compiled: None,
            earlier,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rules::{LocalDetection, NodePortAddresses};

    use super::*;

    fn book() -> RuleBook {
        let capabilities = Capabilities {
            nfacct: false,
            random_fully: true,
        };
        RuleBook::new(capabilities, Scheduler::RoundRobin)
    }

    fn commit(book: &mut RuleBook, mode: ProxyMode) {
        let facts = Arc::new(NodeFacts {
            name: "node-a".into(),
            zone: None,
            addresses: Vec::new(),
            local_detection: LocalDetection::None,
            masquerade_all: false,
            node_port_addresses: NodePortAddresses::All,
            localhost_node_ports: true,
            masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
        });
        let (view, sizes) = (ClusterView::default(), ClusterSizes::SMALL);
        let mut writer = book.in_mode(mode);
        let Ok(()) = writer.commit(SyncKind::Full, &facts, &view, sizes);
    }

    const fn dialect(rules: Option<&NodeRules>) -> &'static str {
        match rules {
            Some(NodeRules::Iptables(_)) => "iptables",
            Some(NodeRules::Nftables(_)) => "nftables",
            Some(NodeRules::Ipvs(_)) => "ipvs",
            None => "nothing",
        }
    }

    fn check_present(book: &mut RuleBook, own: &str, left: &str) {
        let seen = dialect(book.rules("node-a").map(|(_, rules)| rules));
        assert_eq!((seen, dialect(book.leftover("node-a"))), (own, left));
    }

    #[test]
    fn another_mode_leaves_the_other_dialect_and_replaces_its_own() {
        let mut book = book();
        commit(&mut book, ProxyMode::Iptables);
        check_present(&mut book, "iptables", "nothing");
        commit(&mut book, ProxyMode::Nftables);
        check_present(&mut book, "nftables", "iptables");
        // The layout of our own has the name of kube-proxy's table.
        commit(&mut book, ProxyMode::Flat);
        check_present(&mut book, "nftables", "iptables");
        assert!(book.clean_up_for("node-a", ProxyMode::Flat));
        check_present(&mut book, "nftables", "nothing");
        assert!(!book.clean_up_for("node-a", ProxyMode::Flat));
        commit(&mut book, ProxyMode::Iptables);
        commit(&mut book, ProxyMode::Iptables);
        check_present(&mut book, "iptables", "nftables");
    }

    #[test]
    fn what_is_taken_away_is_a_change() {
        let mut book = book();
        commit(&mut book, ProxyMode::Iptables);
        let before = book.commit_number("node-a");
        assert!(book.clean_up_for("node-a", ProxyMode::Nftables));
        check_present(&mut book, "nothing", "nothing");
        assert!(book.commit_number("node-a") > before);
        commit(&mut book, ProxyMode::Nftables);
        assert!(book.forget("node-a"));
        check_present(&mut book, "nothing", "nothing");
        assert!(!book.forget("node-a"));
    }
}
