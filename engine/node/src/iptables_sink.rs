//! The kernel as a proxy's sink, by iptables.
//!
//! What is there is read first, and only what differs is written: chains that are right stay, chains of Services that
//! are gone are deleted (PROXY-66), and the rules of others are not touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, CompiledIptables, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::xt::{TableName, XtCommand, XtTables, XtTransaction, parse_node};

use crate::commit_each::commit_each;
use crate::present::{held_by_others, leave_shared, own_part};
use crate::{CommitError, IptablesTools, LoadError, ToolError};

/// The tables that a proxy writes to.
const TABLES: [TableName; 3] = [TableName::Mangle, TableName::Nat, TableName::Filter];

/// The chain whose loss tells that somebody has flushed all rules (PROXY-67), and where it is looked for.
const CANARY: (TableName, &str) = (TableName::Mangle, "KUBE-PROXY-CANARY");

/// A proxy's rules of one family.
pub(crate) struct Compared {
    pub(crate) present: XtTables,
    pub(crate) wanted: XtTables,
}

/// Programs a kernel with what a proxy commits.
///
/// A full commit reads what is there and writes what differs; a partial one writes what differs from the commit before.
#[derive(Clone, Debug)]
pub struct IptablesSink {
    tools: IptablesTools,
    compiler: Compiler,
    /// What the last commit was to leave: the next is compiled from it.
    compiled: Option<CompiledIptables>,
    /// What the last commit has left of each family, unless it failed.
    committed: BTreeMap<Family, Arc<XtTables>>,
    written: BTreeMap<TableName, usize>,
}

impl IptablesSink {
    /// A sink that runs `tools` and compiles for kernels with these capabilities.
    #[must_use]
    pub fn new(tools: IptablesTools, capabilities: Capabilities) -> Self {
        Self {
            tools,
            compiler: Compiler::new(capabilities),
            compiled: None,
            committed: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// For each table, how many rules are the proxy's, and how many of these the last commit wrote; both families.
    #[must_use]
    pub fn rule_counts(&self) -> BTreeMap<TableName, (usize, usize)> {
        let mut counts = BTreeMap::new();
        for tables in self.committed.values() {
            for (name, table) in &tables.tables {
                let rules: usize = table.chains.values().map(|chain| chain.rules.len()).sum();
                let count: &mut (usize, usize) = counts.entry(*name).or_default();
                count.0 += rules;
            }
        }
        for (name, written) in &self.written {
            counts.entry(*name).or_default().1 = *written;
        }
        counts
    }

    /// Whether nobody has flushed the rules of a family since they were committed (PROXY-67). A family that is not
    /// committed has none to lose.
    ///
    /// # Errors
    /// When the tool cannot be run.
    pub fn is_intact(&self, family: Family) -> Result<bool, LoadError> {
        let (table, canary) = CANARY;
        if !self.committed.contains_key(&family) {
            return Ok(true);
        }
        let saved = self.tools.save(family, table)?;
        let declared = format!(":{canary} ");
        Ok(saved.lines().any(|line| line.starts_with(&declared)))
    }

    /// Takes away what a proxy has written, and says of which families there was something. Tools and parts of the kernel
    /// that are missing have left nothing.
    ///
    /// # Errors
    /// When a tool fails otherwise.
    pub fn leave(&self) -> Result<Vec<Family>, LoadError> {
        let mut left = Vec::new();
        for family in Family::ALL {
            match self.load(&XtTables::new(family)) {
                Ok(done) if done.is_empty() => {}
                Ok(_) => left.push(family),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// What has to happen to the kernel so that a proxy's rules of one family are these. Chains of others stay as they
    /// are, and so does what others put into built-in chains; `KUBE-FIREWALL`, which is the kubelet's as well, is made
    /// where it is missing and is left alone where it is not.
    ///
    /// # Errors
    /// When the present rules cannot be read.
    pub fn plan(&self, tables: &XtTables) -> Result<XtTransaction, LoadError> {
        let Compared { present, wanted } = self.compare(tables)?;
        Ok(XtTransaction::between(&present, &wanted))
    }

    /// What is there of a proxy's rules of one family, and what is to be there.
    pub(crate) fn compare(&self, tables: &XtTables) -> Result<Compared, LoadError> {
        let family = tables.family;
        let mut saved = String::new();
        for table in TABLES {
            saved += &self.tools.save(family, table)?;
        }
        let node = parse_node(&saved, family).map_err(|error| LoadError::Unreadable {
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
        Ok(Compared {
            present: own_part(&node.tables),
            wanted,
        })
    }

    /// Makes a proxy's rules of one family these, and says what that took. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When a tool fails. Each table is then the old or the new one as a whole; `filter`, which is written first and last,
    /// may have the rules of both.
    pub fn load(&self, tables: &XtTables) -> Result<XtTransaction, LoadError> {
        let transaction = self.plan(tables)?;
        self.write(&transaction)?;
        Ok(transaction)
    }

    pub(crate) fn restore(&self, family: Family, text: &str) -> Result<(), ToolError> {
        self.tools.restore(family, text)
    }

    fn write(&self, transaction: &XtTransaction) -> Result<(), LoadError> {
        for unit in &transaction.units {
            let text = unit.restore_text(transaction.family);
            self.tools.restore(transaction.family, &text)?;
        }
        Ok(())
    }

    fn commit_family(&mut self, kind: SyncKind, tables: &Arc<XtTables>) -> Result<(), LoadError> {
        let before = self.committed.remove(&tables.family);
        let done = match before.filter(|_| kind == SyncKind::Partial) {
            None => self.load(tables)?,
            Some(before) => {
                let transaction = XtTransaction::between(&before, tables);
                self.write(&transaction)?;
                transaction
            }
        };
        for unit in &done.units {
            let rules = unit.commands.iter().filter(|command| is_rule(command));
            *self.written.entry(unit.table).or_default() += rules.count();
        }
        self.committed.insert(tables.family, Arc::clone(tables));
        Ok(())
    }
}

impl RuleSink for IptablesSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), CommitError> {
        let earlier = self.compiled.as_ref();
        let compiled = self.compiler.iptables_after(earlier, view, node, sizes);
        self.compiled = Some(compiled.clone());
        self.written.clear();
        commit_each(node, &compiled.tables, |tables| {
            self.commit_family(kind, tables)
        })
    }
}

const fn is_rule(command: &XtCommand) -> bool {
    matches!(command, XtCommand::Append(..) | XtCommand::Prepend(..))
}

#[cfg(test)]
mod tests {
    use rules::{LocalDetection, NodePortAddresses};

    use super::*;
    use crate::Variant;

    #[test]
    fn a_failure_is_told() {
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
        let (view, sizes) = (ClusterView::default(), ClusterSizes::SMALL);
        let done = sink.commit(SyncKind::Full, &node, &view, sizes);
        let error = done.unwrap_err();
        assert_eq!(error.to_string(), "rules of node node-a not loaded");
        let source = error.source.to_string();
        assert!(source.starts_with("iptables-save"), "{source}");
        assert!(sink.rule_counts().is_empty());
    }
}
