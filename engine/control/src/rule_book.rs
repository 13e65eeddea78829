//! The simulated rule sink of all nodes.
//!
//! A commit only notes which view a node's rules are made of; they are compiled when somebody looks or a packet
//! comes. So a thousand nodes cost a thousand view positions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{
    Capabilities, ClusterSizes, ClusterView, CompiledIptables, CompiledNftables, Compiler,
    NodeFacts,
};
use ruleset::{Family, nft, xt};

use crate::ProxyMode;

/// A node's rules, in the dialect of its proxy's mode.
#[derive(Clone, Debug)]
pub enum NodeRules {
    /// Mode iptables.
    Iptables(CompiledIptables),
    /// Modes nftables and flat.
    Nftables(CompiledNftables),
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
        let nft = match earlier {
            Some(Self::Nftables(earlier)) => Some(earlier),
            Some(Self::Iptables(_)) | None => None,
        };
        let xt = match earlier {
            Some(Self::Iptables(earlier)) => Some(earlier),
            Some(Self::Nftables(_)) | None => None,
        };
        match mode {
            ProxyMode::Iptables => Self::Iptables(compiler.iptables_after(xt, view, facts, sizes)),
            ProxyMode::Nftables => Self::Nftables(compiler.nftables_after(nft, view, facts)),
            ProxyMode::Flat => Self::Nftables(compiler.flat_after(nft, view, facts)),
        }
    }

    /// What the node's tools print of them: `iptables-save` and `ip6tables-save`, or `nft list ruleset`.
    #[must_use]
    pub fn listing(&self) -> String {
        match self {
            Self::Iptables(compiled) => compiled
                .tables
                .values()
                .map(|tables| xt::save_text(tables))
                .collect(),
            Self::Nftables(compiled) => nft::list_text(&compiled.tables),
        }
    }

    /// What `iptables-save` (or `ip6tables-save`) prints of them, or `nft list ruleset`, which prints both families.
    #[must_use]
    pub fn listing_of(&self, family: Family) -> String {
        match self {
            Self::Iptables(compiled) => xt::save_text(&compiled.tables[&family]),
            Self::Nftables(_) => self.listing(),
        }
    }

    /// What the node's tools load: the input of `iptables-restore` (or `ip6tables-restore`), or a script for
    /// `nft -f`, which holds both families.
    #[must_use]
    pub fn script(&self, family: Family) -> String {
        match self {
            Self::Iptables(compiled) => xt::restore_text(&compiled.tables[&family]),
            Self::Nftables(compiled) => nft::script_text(&compiled.tables),
        }
    }
}

/// What every node has been programmed with, and the compiler that spells it.
pub(crate) struct RuleBook {
    mode: ProxyMode,
    compiler: Compiler,
    nodes: BTreeMap<Arc<str>, Page>,
    /// The rules compiled last, of whichever node.
    latest: Option<NodeRules>,
    commits: u64,
}

struct Page {
    facts: Arc<NodeFacts>,
    view: ClusterView,
    sizes: ClusterSizes,
    commit: u64,
    compiled: Option<NodeRules>,
    /// Those that it had when somebody looked last.
    earlier: Option<NodeRules>,
}

impl RuleBook {
    pub(crate) fn new(mode: ProxyMode, capabilities: Capabilities) -> Self {
        Self {
            mode,
            compiler: Compiler::new(capabilities),
            nodes: BTreeMap::new(),
            latest: None,
            commits: 0,
        }
    }

    pub(crate) const fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// The rules of a node with the number of the commit that they stem from; `None` before its first.
    pub(crate) fn rules(&mut self, node: &str) -> Option<(u64, &NodeRules)> {
        let page = self.nodes.get_mut(node)?;
        let compiled = page.compiled.get_or_insert_with(|| {
            let earlier = page.earlier.take();
            let earlier = earlier.as_ref().or(self.latest.as_ref());
            let (mode, view, facts, sizes) = (self.mode, &page.view, &page.facts, page.sizes);
            let compiled =
                NodeRules::compile(mode, &mut self.compiler, earlier, view, facts, sizes);
            self.latest = Some(compiled.clone());
            compiled
        });
        Some((page.commit, compiled))
    }

    /// The rules of a node if somebody has looked at them since its last commit.
    pub(crate) fn compiled(&self, node: &str) -> Option<&NodeRules> {
        self.nodes.get(node)?.compiled.as_ref()
    }

    /// The number of a node's last commit, without compiling anything; 0 before its first.
    pub(crate) fn commit_number(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |page| page.commit)
    }
}

impl RuleSink for RuleBook {
    type Error = Infallible;

    fn commit(
        &mut self,
        _: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), Infallible> {
        self.commits += 1;
        let before = self.nodes.remove(&node.name);
        let earlier = before.and_then(|page| page.compiled.or(page.earlier));
        let page = Page {
            facts: Arc::clone(node),
            view: view.clone(),
            sizes,
            commit: self.commits,
            compiled: None,
            earlier,
        };
        self.nodes.insert(Arc::clone(&node.name), page);
        Ok(())
    }
}
