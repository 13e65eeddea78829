//! What a node's own tools print of its rules at an instant.
//!
//! In IPVS mode that is more than its proxy wants: a real server that was taken away is there with weight 0 as long as
//! somebody talks to it (PROXY-61).

use control::NodeRules;
use ruleset::Family;

use crate::sim::Sim;

impl Sim {
    /// The rule text of a node, as its own tools print it.
    pub(crate) fn rule_text(&mut self, node: &str) -> String {
        let all = self.all_node_rules(node).into_iter();
        all.map(|rules| rules.listing()).collect()
    }

    /// What a node's last sync has written, and behind it what other modes have left there.
    pub fn all_node_rules(&mut self, node: &str) -> Vec<NodeRules> {
        let own = self.node_rules(node);
        let left = self.control.leftover_rules(node);
        let left = left.iter().map(|rules| self.present(node, rules));
        own.into_iter().chain(left).collect()
    }

    /// Rules of a node, with what its memory adds to them.
    fn present(&self, node: &str, rules: &NodeRules) -> NodeRules {
        let now = self.control.now();
        let state = self.nodes.get(node).map(|id| self.plane.node_state(*id));
        rules.with_drained(|tables| {
            let drained = state.map(|state| state.drained(&tables.servers, now));
            drained.unwrap_or_default()
        })
    }

    /// What a node's last sync has written, as it is now; `None` before its first one.
    pub fn node_rules(&mut self, node: &str) -> Option<NodeRules> {
        let rules = self.control.rules(node).map(|(_, rules)| rules.clone())?;
        Some(self.present(node, &rules))
    }

    /// What a node would load at this instant (see `control::NodeRules::script`); `None` before its first sync.
    pub fn rule_script(&mut self, node: &str, family: Family) -> Option<String> {
        self.node_rules(node).map(|rules| rules.script(family))
    }
}
