//! The kernel as a proxy's sink, by nftables.
//!
//! What is there is read first, and only what differs is written, in one transaction. Tables of others are not looked
//! at.

use std::sync::Arc;

use proxy::RuleSink;
use rules::{Capabilities, ClusterView, CompiledNftables, Compiler, NodeFacts};
use ruleset::nft::{
    NftAction, NftFamily, NftOperation, NftTables, NftTransaction, SetOrMap, TableKey, parse,
};

use crate::{CommitError, LoadError, NftTools};

/// Programs a kernel with what a proxy commits.
///
/// [`RuleSink::commit`] has no result, so failures are kept here until they are taken.
#[derive(Clone, Debug)]
pub struct NftablesSink {
    tools: NftTools,
    compiler: Compiler,
    failures: Vec<CommitError>,
}

impl NftablesSink {
    /// A sink that runs `tools` and compiles for kernels with these capabilities.
    #[must_use]
    pub fn new(tools: NftTools, capabilities: Capabilities) -> Self {
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

    /// What has to happen to the kernel so that a proxy's tables are these. Elements that packets have put into sets,
    /// such as the clients that stay with an endpoint, are left alone. A table that has something in it that no proxy
    /// writes is replaced as a whole.
    ///
    /// # Errors
    /// When the present tables cannot be listed.
    pub fn plan(&self, tables: &NftTables) -> Result<NftTransaction, LoadError> {
        let mut operations = Vec::new();
        let mut present = NftTables::new();
        for key in own_tables() {
            let Some(listed) = self.tools.list(&key)? else {
                continue;
            };
            match parse(&listed) {
                Ok(read) => present.tables.extend(read.tables),
                Err(_) => operations.push(NftOperation {
                    table: key,
                    action: NftAction::DeleteTable,
                }),
            }
        }
        forget_what_packets_made(&mut present);
        let rest = NftTransaction::between(&present.canonical(), &tables.canonical());
        let all = operations
            .into_iter()
            .chain(rest.operations().iter().cloned());
        Ok(all.collect())
    }

    /// Makes a proxy's tables these, all at once, and says what that took. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When the tool fails: nothing has changed then.
    pub fn load(&self, tables: &NftTables) -> Result<NftTransaction, LoadError> {
        let transaction = self.plan(tables)?;
        if !transaction.is_empty() {
            self.tools.load(&transaction.script())?;
        }
        Ok(transaction)
    }
}

impl RuleSink for NftablesSink {
    fn commit(&mut self, node: &Arc<NodeFacts>, view: &ClusterView) {
        let compiled = self.compiler.nftables(view, node);
        if let Err(source) = self.load(&compiled.tables) {
            let node = Arc::clone(&node.name);
            self.failures.push(CommitError { node, source });
        }
    }
}

/// PROXY-47.
fn own_tables() -> [TableKey; 2] {
    [NftFamily::Ip, NftFamily::Ip6].map(|family| TableKey {
        family,
        name: CompiledNftables::table_name(),
    })
}

fn forget_what_packets_made(tables: &mut NftTables) {
    for table in tables.tables.values_mut() {
        table.sets.for_each_mut(|one| match one {
            SetOrMap::Set(set) if set.options.flags.dynamic => {
                Arc::make_mut(set).elements.clear();
            }
            SetOrMap::Map(map) if map.options.flags.dynamic => {
                Arc::make_mut(map).elements.clear();
            }
            SetOrMap::Set(_) | SetOrMap::Map(_) => {}
        });
    }
}
