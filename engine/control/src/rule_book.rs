//! The simulated rule sink of all nodes.
//!
//! A commit only notes which view a node's rules are made of; they are compiled when somebody looks or a packet
//! comes. So a thousand nodes cost a thousand view positions.
//!
//! A proxy that goes to nftables takes away the rules of iptables and ipvs when it starts, and one that goes to either of
//! these takes away those of nftables (kube-proxy 1.36, `platformCleanup`). Between iptables and ipvs nobody takes away
//! anything: what the new mode does not write over stays as the old one wrote it last, which is virtual servers, sets and
//! addresses as well as chains, and the rules that lead to these. So a Service that comes to its end afterwards may be
//! served still.

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

    /// What of them is still there once other ones were written over them, besides those.
    fn left_beside(&self, own: &Self) -> Self {
        let restored = |family: Family| match own {
            Self::Iptables(compiled) => Some(&compiled.tables[&family]),
            Self::Ipvs(compiled) => Some(&compiled.tables[&family].rules),
            Self::Nftables(_) => None,
        };
        let mut left = self.clone();
        for family in Family::ALL {
            let Some(restored) = restored(family) else {
                continue;
            };
            match &mut left {
                Self::Iptables(compiled) => {
                    let rules = compiled.tables[&family].left_beside(restored);
                    compiled.tables.insert(family, Arc::new(rules));
                }
                Self::Ipvs(compiled) => {
                    let mut tables = IpvsTables::clone(&compiled.tables[&family]);
                    tables.rules = Arc::new(tables.rules.left_beside(restored));
                    compiled.tables.insert(family, Arc::new(tables));
                }
                Self::Nftables(_) => {}
            }
        }
        left
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
    /// What proxies have written before in dialects that the last one does not take away, the latest first.
    left: Vec<Page>,
}

struct Page {
    mode: ProxyMode,
    scheduler: Scheduler,
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
            compiler.set_scheduler(self.scheduler);
            let compiled = NodeRules::compile(self.mode, compiler, earlier, view, facts, sizes);
            latest.insert(self.mode, compiled.clone());
            compiled
        })
    }
}

impl RuleBook {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self {
            compiler: Compiler::new(capabilities),
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

    /// What is left on a node of proxies in other modes.
    pub(crate) fn leftovers(&mut self, node: &str) -> Vec<NodeRules> {
        let Some(present) = self.nodes.get_mut(node) else {
            return Vec::new();
        };
        let Present { own, left, .. } = present;
        let pages = own.as_mut().into_iter().chain(left);
        let mut above: Vec<&NodeRules> = Vec::new();
        let mut leftovers = Vec::new();
        for page in pages {
            let rules = page.rules(&mut self.compiler, &mut self.latest);
            let left = above.iter().fold(None, |left: Option<NodeRules>, over| {
                Some(left.as_ref().unwrap_or(rules).left_beside(over))
            });
            leftovers.extend(left);
            above.push(rules);
        }
        leftovers
    }

    /// The rules of a node that somebody has looked at since they were written, those of its last commit first.
    pub(crate) fn compiled(&self, node: &str) -> impl Iterator<Item = &NodeRules> {
        let present = self.nodes.get(node).into_iter();
        let pages = present.flat_map(|present| present.own.iter().chain(&present.left));
        pages.filter_map(|page| page.compiled.as_ref())
    }

    /// The number of the last change of what a node has, without compiling anything; 0 before its first.
    pub(crate) fn commit_number(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |present| present.commit)
    }

    /// The book as the sink of a proxy in `mode`, whose virtual servers have this scheduler.
    pub(crate) const fn in_mode(&mut self, mode: ProxyMode, scheduler: Scheduler) -> Writer<'_> {
        Writer {
            book: self,
            mode,
            scheduler,
        }
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
        let before = present.left.len();
        present.left.retain(|page| !goes(page));
        let left = present.left.len() < before;
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
    scheduler: Scheduler,
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
        let Self {
            book,
            mode,
            scheduler,
        } = self;
        book.commits += 1;
        let present = book.nodes.entry(Arc::clone(&node.name)).or_default();
        present.commit = book.commits;
        let mut earlier = None;
        let before = present.own.take().into_iter();
        for page in before.chain(std::mem::take(&mut present.left)) {
            if page.mode == *mode {
                earlier = page.compiled.or(page.earlier);
            } else if !mode.replaces(page.mode) {
                present.left.push(page);
            }
        }
        present.own = Some(Page {
            mode: *mode,
            scheduler: *scheduler,
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
        RuleBook::new(capabilities)
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
        let mut writer = book.in_mode(mode, Scheduler::RoundRobin);
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
        let leftovers = book.leftovers("node-a");
        let leftovers: Vec<&str> = leftovers.iter().map(|left| dialect(Some(left))).collect();
        let leftovers = match leftovers.is_empty() {
            true => "nothing".to_owned(),
            false => leftovers.join(", "),
        };
        assert_eq!((seen, leftovers.as_str()), (own, left));
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

    /// Whoever goes from iptables to ipvs, or back, leaves what the other does not write over.
    #[test]
    fn modes_of_one_dialect_leave_what_they_do_not_share() {
        let mut book = book();
        let chains = |rules: &NodeRules| {
            let text = rules.listing_of(Family::V4);
            let declared = text.lines().filter_map(|line| line.strip_prefix(":KUBE-"));
            let names = declared.filter_map(|line| line.split(' ').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        commit(&mut book, ProxyMode::Flat);
        commit(&mut book, ProxyMode::Ipvs);
        commit(&mut book, ProxyMode::Iptables);
        check_present(&mut book, "iptables", "ipvs, nftables");
        let left = &book.leftovers("node-a")[0];
        let expected = ["IPVS-FILTER", "NODE-PORT", "SOURCE-RANGES-FIREWALL"];
        let names = chains(left);
        assert!(
            expected
                .iter()
                .all(|name| names.iter().any(|one| one == name)),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name == "SERVICES"), "{names:?}");
        let NodeRules::Ipvs(left) = left else {
            panic!("it was ipvs before");
        };
        assert!(!left.tables[&Family::V4].sets.is_empty());
        // What both write is there once.
        let rules = left.tables[&Family::V4].rules.tables[&xt::TableName::Nat].clone();
        let built_in = rules.chains.values().filter(|chain| chain.policy.is_some());
        assert_eq!(built_in.map(|chain| chain.rules.len()).sum::<usize>(), 0);
        commit(&mut book, ProxyMode::Ipvs);
        check_present(&mut book, "ipvs", "iptables, nftables");
        let names = chains(&book.leftovers("node-a")[0]);
        assert!(
            names.iter().any(|name| name == "EXTERNAL-SERVICES"),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name == "POSTROUTING"), "{names:?}");
        assert!(book.clean_up_for("node-a", ProxyMode::Ipvs));
        check_present(&mut book, "ipvs", "iptables");
        assert!(book.clean_up_for("node-a", ProxyMode::Nftables));
        check_present(&mut book, "nothing", "nothing");
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
