//! The tables that a node's packets meet: exactly the compiled ruleset of its last sync, and what is left of a proxy in
//! another mode.

use std::sync::Arc;

use control::{Control, NodeRules};
use netfilter::{NodeTables, Ruleset};
use plane::{NodeId, TableSource};

/// The tables of every node that has seen a packet, as of a sync.
#[derive(Default)]
pub(crate) struct TableCache {
    /// By number: every packet asks.
    nodes: Vec<Entry>,
}

impl TableCache {
    /// Takes in a node of the plane, right after the one before it, by its name.
    pub(crate) fn add_node(&mut self, id: NodeId, name: &str) {
        assert_eq!(id.index(), self.nodes.len(), "node {name} is the next one");
        self.nodes.push(Entry {
            name: name.to_owned(),
            commits: 0,
            sync: 0,
            tables: Arc::new(NodeTables::empty()),
        });
    }

    /// What a node's packets meet at present.
    #[cfg(test)]
    pub(crate) fn interpreted(&self, node: &str) -> Arc<NodeTables> {
        let entry = self.nodes.iter().find(|entry| entry.name == node);
        Arc::clone(&entry.expect("a node of the test").tables)
    }

    /// Puts other tables in place until the node's next sync.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, node: &str, tables: NodeTables) {
        let entry = self.nodes.iter_mut().find(|entry| entry.name == node);
        entry.expect("a node of the test").tables = Arc::new(tables);
    }

    /// Lends the cache to the plane.
    pub(crate) const fn of<'a>(&'a mut self, control: &'a mut Control) -> Tables<'a> {
        Tables {
            cache: self,
            control,
        }
    }
}

struct Entry {
    name: String,
    /// How many syncs there had been of all nodes when this was last compared.
    commits: u64,
    sync: u64,
    tables: Arc<NodeTables>,
}

/// A [`TableSource`] over the control plane: rules are compiled when a packet asks for them.
pub(crate) struct Tables<'a> {
    cache: &'a mut TableCache,
    control: &'a mut Control,
}

impl TableSource for Tables<'_> {
    fn tables(&mut self, node: NodeId) -> Arc<NodeTables> {
        let entry = &mut self.cache.nodes[node.index()];
        let commits = self.control.rules_written();
        if entry.commits == commits {
            return Arc::clone(&entry.tables);
        }
        entry.commits = commits;
        let latest = self.control.rules_number(&entry.name);
        if entry.sync != latest {
            let mut owners = Vec::new();
            if let Some((_, rules)) = self.control.rules(&entry.name) {
                owners.extend(rulesets(rules));
            }
            for rules in self.control.leftover_rules(&entry.name) {
                owners.extend(rulesets(&rules));
            }
            let built = NodeTables::new(owners).expect("the compiler leaves no dangling jump");
            entry.tables = Arc::new(built);
            entry.sync = latest;
        }
        Arc::clone(&entry.tables)
    }
}

/// What one proxy has written, as the kernel takes it.
fn rulesets(rules: &NodeRules) -> Vec<Ruleset> {
    match rules {
        NodeRules::Iptables(compiled) => compiled.tables.values().map(Ruleset::from).collect(),
        NodeRules::Nftables(compiled) => vec![Arc::clone(&compiled.tables).into()],
        NodeRules::Ipvs(compiled) => compiled.tables.values().map(Ruleset::from).collect(),
    }
}
