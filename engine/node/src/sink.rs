//! The kernel as a proxy's sink, by iptables.
//!
//! Deviation: chains of Services that are gone stay behind, empty of callers, where kube-proxy deletes them
//! (PROXY-66); they match nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy::RuleSink;
use rules::{Capabilities, ClusterView, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::xt::XtTables;

use crate::input::{present_rules, restore_input, tables_to_read};
use crate::{IptablesTools, ToolError};

/// Why the rules of a family are not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{family} rules of node {node} not loaded")]
pub struct CommitError {
    /// The node.
    pub node: Arc<str>,
    /// The family.
    pub family: Family,
    /// What the tool said.
    pub source: ToolError,
}

/// Programs a kernel with what a proxy commits.
///
/// [`RuleSink::commit`] has no result, so failures are kept here until they are taken.
#[derive(Clone, Debug)]
pub struct IptablesSink {
    tools: IptablesTools,
    compiler: Compiler,
    failures: Vec<CommitError>,
}

impl IptablesSink {
    /// A sink that runs `tools` and compiles for kernels with these capabilities.
    #[must_use]
    pub fn new(tools: IptablesTools, capabilities: Capabilities) -> Self {
        Self {
            tools,
            compiler: Compiler::new(capabilities),
            failures: Vec::new(),
        }
    }

    /// The failures since they were taken last, oldest first.
    #[must_use]
    pub fn take_failures(&mut self) -> Vec<CommitError> {
        std::mem::take(&mut self.failures)
    }

    /// Makes the kernel's rules of one family these. Rules that others put into built-in chains, and chains of
    /// others, stay as they are. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When a tool fails. Each table is then the old or the new one as a whole.
    pub fn load(&self, tables: &XtTables) -> Result<(), ToolError> {
        let mut present = BTreeMap::new();
        for table in tables_to_read(tables) {
            let saved = self.tools.save(tables.family, table)?;
            present.insert(table, present_rules(&saved, table, tables));
        }
        self.tools
            .restore(tables.family, &restore_input(tables, &present))
    }
}

impl RuleSink for IptablesSink {
    /// The families are independent: one that fails does not keep the other from being loaded.
    fn commit(&mut self, node: &Arc<NodeFacts>, view: &ClusterView) {
        let compiled = self.compiler.iptables(view, node);
        for (family, tables) in &compiled.tables {
            if let Err(source) = self.load(tables) {
                let node = Arc::clone(&node.name);
                self.failures.push(CommitError {
                    node,
                    family: *family,
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rules::{LocalDetection, NodePortAddresses};

    use super::*;
    use crate::Variant;

    #[test]
    fn failures_are_kept_until_taken() {
        let tools = IptablesTools::new(Variant::Default).in_netns("switchboard-no-such-netns");
        let mut sink = IptablesSink::new(tools, Capabilities::default());
        let node = Arc::new(NodeFacts {
            name: "node-a".into(),
            zone: None,
            addresses: Vec::new(),
            local_detection: LocalDetection::None,
            masquerade_all: false,
            node_port_addresses: NodePortAddresses::All,
            localhost_node_ports: true,
            masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
        });
        sink.commit(&node, &ClusterView::default());
        let failures = sink.take_failures();
        let families: Vec<Family> = failures.iter().map(|failure| failure.family).collect();
        assert_eq!(families, Family::ALL);
        assert_eq!(
            failures[0].to_string(),
            "IPv4 rules of node node-a not loaded"
        );
        assert!(sink.take_failures().is_empty());
    }
}
