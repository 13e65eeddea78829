//! Changes to tables, as data.
//!
//! **What.** An [`NftTransaction`] is what has to happen to some tables so that they become others, in an order in
//! which a kernel takes it. [`NftTransaction::between`] finds it, [`NftTransaction::script`] prints it for `nft -f`,
//! [`NftTables::apply`] does it to a copy. **Why.** A change of one Service in ten thousand has to cost a few lines,
//! and what a node is sent has to be what the simulator does to its own tables. **Source of the semantics.** A batch of
//! nf_tables is one unit: all of it happens or nothing (`nf_tables_commit`, `nf_tables_abort`); what is still named
//! cannot be deleted (`EBUSY`) and what is not there cannot be named (`ENOENT`); nft(8).

mod apply;
mod difference;

use super::{
    BaseChain, Comment, Element, ElementAttrs, Ident, Key, NftRule, NftTables, SetOrMap, TableKey,
};

pub use apply::{ApplyError, ApplyErrorKind};

/// What happens to the tables of a node, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NftTransaction {
    operations: Vec<NftOperation>,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftOperation {
    /// The table that it happens to.
    pub table: TableKey,
    /// What happens.
    pub action: NftAction,
}

/// What happens to a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NftAction {
    /// It comes into being, empty.
    AddTable {
        /// Its comment.
        comment: Option<Comment>,
    },
    /// It goes, and all that is in it.
    DeleteTable,
    /// A set or map comes into being, with its elements.
    AddSet(Ident, SetOrMap),
    /// A set goes, that no rule names.
    DeleteSet(Ident),
    /// A map goes, that no rule names.
    DeleteMap(Ident),
    /// A chain comes into being, without rules.
    AddChain {
        /// Its name.
        chain: Ident,
        /// How the kernel calls it.
        base: Option<BaseChain>,
        /// Its comment.
        comment: Option<Comment>,
    },
    /// All rules of a chain go.
    FlushChain(Ident),
    /// A chain goes, that has no rules and that nothing leads to.
    DeleteChain(Ident),
    /// A rule is put behind those of a chain.
    AddRule(Ident, NftRule),
    /// An element is put into a set that does not have it.
    AddSetElement {
        /// The set.
        set: Ident,
        /// The element.
        key: Key,
        /// What it carries.
        attrs: ElementAttrs,
    },
    /// An element is put into a map that does not have it.
    AddMapElement {
        /// The map.
        map: Ident,
        /// The element.
        key: Key,
        /// Where it leads, and what it carries.
        element: Element,
    },
    /// An element of a set or map goes.
    DeleteElement(Ident, Key),
}

impl NftTransaction {
    /// What makes one set of tables the other, order of creation aside. Tables that neither has are not touched.
    ///
    /// It costs what differs, and as much as there is where something goes and comes back under its name.
    #[must_use]
    pub fn between(before: &NftTables, after: &NftTables) -> Self {
        difference::between(before, after)
    }

    /// What happens, in order.
    #[must_use]
    pub fn operations(&self) -> &[NftOperation] {
        &self.operations
    }

    /// Whether nothing happens.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl FromIterator<NftOperation> for NftTransaction {
    fn from_iter<I: IntoIterator<Item = NftOperation>>(operations: I) -> Self {
        Self {
            operations: operations.into_iter().collect(),
        }
    }
}
