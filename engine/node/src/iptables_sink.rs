//! The kernel as a proxy's sink, by iptables.
//!
//! What is there is read first, and only what differs is written: chains that are right stay, chains of Services that
//! are gone are deleted (PROXY-66), and the rules of others are not touched.

use std::sync::Arc;

use proxy::RuleSink;
use rules::{Capabilities, ClusterView, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::xt::{TableName, XtTables, XtTransaction, parse_dump};

use crate::present::{held_by_others, leave_shared, own_part};
use crate::{CommitError, IptablesTools, LoadError};

/// The tables that a proxy writes to.
const TABLES: [TableName; 3] = [TableName::Mangle, TableName::Nat, TableName::Filter];

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

    /// What has to happen to the kernel so that a proxy's rules of one family are these. Chains of others stay as they
    /// are, and so does what others put into built-in chains; `KUBE-FIREWALL`, which is the kubelet's as well, is made
    /// where it is missing and is left alone where it is not.
    ///
    /// # Errors
    /// When the present rules cannot be read.
    pub fn plan(&self, tables: &XtTables) -> Result<XtTransaction, LoadError> {
        let family = tables.family;
        let mut saved = String::new();
        for table in TABLES {
            saved += &self.tools.save(family, table)?;
        }
        let node = parse_dump(&saved, family).map_err(|error| LoadError::Unreadable {
            tool: self.tools.program(family, "save"),
            error: error.to_string(),
        })?;
        if let Some(warning) = node.warnings.first() {
            return Err(LoadError::Unreadable {
                tool: self.tools.program(family, "save"),
                error: warning.clone(),
            });
        }
        let mut wanted = tables.clone();
        leave_shared(&mut wanted, &node.tables);
        for (table, chain) in held_by_others(&node.tables) {
            let chains = &mut wanted.tables.entry(table).or_default().chains;
            chains.entry(chain).or_default();
        }
        Ok(XtTransaction::between(&own_part(&node.tables), &wanted))
    }

    /// Makes a proxy's rules of one family these, and says what that took. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When a tool fails. Each table is then the old or the new one as a whole; `filter`, which is written first and last,
    /// may have the rules of both.
    pub fn load(&self, tables: &XtTables) -> Result<XtTransaction, LoadError> {
        let transaction = self.plan(tables)?;
        for unit in &transaction.units {
            let text = unit.restore_text(tables.family);
            self.tools.restore(tables.family, &text)?;
        }
        Ok(transaction)
    }
}

impl RuleSink for IptablesSink {
    /// The families are independent: one that fails does not keep the other from being loaded.
    fn commit(&mut self, node: &Arc<NodeFacts>, view: &ClusterView) {
        let compiled = self.compiler.iptables(view, node);
        for family in Family::ALL {
            if let Err(source) = self.load(&compiled.tables[&family]) {
                let node = Arc::clone(&node.name);
                self.failures.push(CommitError { node, source });
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
        let sources: Vec<String> = failures.iter().map(|one| one.source.to_string()).collect();
        assert_eq!(sources.len(), 2);
        assert!(sources[0].starts_with("iptables-save"), "{}", sources[0]);
        assert!(sources[1].starts_with("ip6tables-save"), "{}", sources[1]);
        assert_eq!(failures[0].to_string(), "rules of node node-a not loaded");
        assert!(sink.take_failures().is_empty());
    }
}
