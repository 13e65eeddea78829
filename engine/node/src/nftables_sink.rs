//! The kernel as a proxy's sink, by nftables.
//!
//! What is there is read first, and only what differs is written, in one transaction. Tables of others are not looked
//! at.

use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{Capabilities, ClusterView, CompiledNftables, Compiler, NodeFacts};
use ruleset::nft::{
    NftAction, NftFamily, NftOperation, NftTables, NftTransaction, SetOrMap, TableKey, parse,
};

use crate::{CommitError, LoadError, NftTools};

/// How Services are laid out in nftables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NftLayout {
    /// As kube-proxy does.
    #[default]
    KubeProxy,
    /// In a layout of our own, which answers the same.
    Flat,
}

/// Programs a kernel with what a proxy commits.
///
/// A full commit reads what is there and writes what differs; a partial one writes what differs from the commit before.
#[derive(Clone, Debug)]
pub struct NftablesSink {
    tools: NftTools,
    layout: NftLayout,
    compiler: Compiler,
    /// What the last commit was to leave: the next is compiled from it.
    compiled: Option<CompiledNftables>,
    /// What the last commit has left, unless it failed.
    committed: Option<Arc<NftTables>>,
}

impl NftablesSink {
    /// A sink that runs `tools` and compiles, in kube-proxy's layout, for kernels with these capabilities.
    #[must_use]
    pub fn new(tools: NftTools, capabilities: Capabilities) -> Self {
        Self {
            tools,
            layout: NftLayout::default(),
            compiler: Compiler::new(capabilities),
            compiled: None,
            committed: None,
        }
    }

    /// The same in another layout.
    #[must_use]
    pub fn in_layout(self, layout: NftLayout) -> Self {
        Self { layout, ..self }
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
        self.write(&transaction)?;
        Ok(transaction)
    }

    /// Takes away what a proxy has written, and says whether there was something. A tool or a part of the kernel that is
    /// missing has left nothing.
    ///
    /// # Errors
    /// When the tool fails otherwise.
    pub fn leave(&self) -> Result<bool, LoadError> {
        match self.load(&NftTables::new()) {
            Ok(done) => Ok(!done.is_empty()),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&self, transaction: &NftTransaction) -> Result<(), LoadError> {
        if !transaction.is_empty() {
            self.tools.load(&transaction.script())?;
        }
        Ok(())
    }

    fn commit_tables(&mut self, kind: SyncKind, tables: &Arc<NftTables>) -> Result<(), LoadError> {
        let before = self.committed.take();
        match before.filter(|_| kind == SyncKind::Partial) {
            None => self.load(tables).map(drop)?,
            Some(before) => self.write(&NftTransaction::between(&before, tables))?,
        }
        self.committed = Some(Arc::clone(tables));
        Ok(())
    }
}

impl RuleSink for NftablesSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
    ) -> Result<(), CommitError> {
        let earlier = self.compiled.as_ref();
        let compiled = match self.layout {
            NftLayout::KubeProxy => self.compiler.nftables_after(earlier, view, node),
            NftLayout::Flat => self.compiler.flat_after(earlier, view, node),
        };
        let tables = Arc::clone(&compiled.tables);
        self.compiled = Some(compiled);
        let done = self.commit_tables(kind, &tables);
        done.map_err(|source| CommitError {
            node: Arc::clone(&node.name),
            source,
        })
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
