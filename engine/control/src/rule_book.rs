//! The simulated rule sink of all nodes.
//!
//! A commit only notes which view a node's rules are made of; they are compiled when somebody looks or a packet
//! comes. So a thousand nodes cost a thousand view positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy::RuleSink;
use rules::{Capabilities, ClusterView, CompiledIptables, Compiler, NodeFacts};

/// What every node has been programmed with, and the compiler that spells it.
pub(crate) struct RuleBook {
    compiler: Compiler,
    nodes: BTreeMap<Arc<str>, Page>,
    commits: u64,
}

struct Page {
    facts: Arc<NodeFacts>,
    view: ClusterView,
    commit: u64,
    compiled: Option<CompiledIptables>,
}

impl RuleBook {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        Self {
            compiler: Compiler::new(capabilities),
            nodes: BTreeMap::new(),
            commits: 0,
        }
    }

    pub(crate) const fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// The rules of a node with the number of the commit that they stem from; `None` before its first.
    pub(crate) fn rules(&mut self, node: &str) -> Option<(u64, &CompiledIptables)> {
        let page = self.nodes.get_mut(node)?;
        let compiled = page
            .compiled
            .get_or_insert_with(|| self.compiler.iptables(&page.view, &page.facts));
        Some((page.commit, compiled))
    }

    /// The number of a node's last commit, without compiling anything; 0 before its first.
    pub(crate) fn commit_number(&self, node: &str) -> u64 {
        self.nodes.get(node).map_or(0, |page| page.commit)
    }
}

impl RuleSink for RuleBook {
    fn commit(&mut self, node: &Arc<NodeFacts>, view: &ClusterView) {
        self.commits += 1;
        let page = Page {
            facts: Arc::clone(node),
            view: view.clone(),
            commit: self.commits,
            compiled: None,
        };
        self.nodes.insert(Arc::clone(&node.name), page);
    }
}
