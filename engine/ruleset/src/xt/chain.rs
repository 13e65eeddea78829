//! Tables and chains.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;

use super::{ChainName, SetMatch, XtMatch, XtRule};
use crate::Family;

/// A table, in the order in which the kernel's hooks visit them (by priority).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// Priority −300.
    Raw,
    /// Priority −150.
    Mangle,
    /// Priority −100 (destination) and 100 (source). Only the first packet of a connection comes here.
    Nat,
    /// Priority 0.
    Filter,
    /// Priority 50.
    Security,
}

impl TableName {
    /// All tables in the order of the enum.
    pub const ALL: [Self; 5] = [
        Self::Raw,
        Self::Mangle,
        Self::Nat,
        Self::Filter,
        Self::Security,
    ];

    /// As `*nat` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Filter => "filter",
            Self::Security => "security",
        }
    }

    /// The chains that the kernel calls by itself, in the order `iptables-save` lists them.
    #[must_use]
    pub const fn built_in_chains(self) -> &'static [&'static str] {
        match self {
            Self::Raw => &["PREROUTING", "OUTPUT"],
            Self::Mangle => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            Self::Nat => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            Self::Filter | Self::Security => &["INPUT", "FORWARD", "OUTPUT"],
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What becomes of a packet that falls off the end of a built-in chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It is dropped.
    Drop,
}

/// A chain: a list of rules, and a policy when the kernel calls it by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XtChain {
    /// `None` for a user-defined chain: falling off its end returns to the caller.
    pub policy: Option<Policy>,
    /// In order of evaluation.
    pub rules: Vec<XtRule>,
}

/// The chains of one table. Chains are shared, so that thousands of nodes hold one copy of an equal chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XtTable {
    /// Every chain that exists, by name.
    pub chains: OrdMap<ChainName, Arc<XtChain>>,
}

/// All tables of one family that one owner wrote, or that were read back from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XtTables {
    /// `iptables` or `ip6tables`.
    pub family: Family,
    /// By table; a table that is absent is not touched.
    pub tables: BTreeMap<TableName, XtTable>,
}

impl XtTables {
    /// No tables at all.
    #[must_use]
    pub const fn new(family: Family) -> Self {
        Self {
            family,
            tables: BTreeMap::new(),
        }
    }

    /// Every look into a set.
    pub fn set_matches(&self) -> impl Iterator<Item = &SetMatch> {
        let chains = self.tables.values().flat_map(|table| table.chains.values());
        let matches = chains.flat_map(|chain| chain.rules.iter().flat_map(|rule| &rule.matches));
        matches.filter_map(|one| match one {
            XtMatch::Set(set) => Some(&**set),
            _ => None,
        })
    }

    /// Looks a chain up.
    #[must_use]
    pub fn chain(&self, table: TableName, chain: ChainName) -> Option<&Arc<XtChain>> {
        self.tables.get(&table)?.chains.get(&chain)
    }
}
