//! Tables, and what is in them by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{
    Comment, Expr, Ident, Key, MapRef, NatTo, NftChain, NftMap, NftSet, Ordered, Right, SetRef,
    Statement,
};
use crate::{Family, Sorted};

/// All nft tables that one owner wrote, or that were read back from a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NftTables {
    /// By family and name. A table that is absent is not touched.
    pub tables: BTreeMap<TableKey, NftTable>,
}

/// A table's family and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    /// The family.
    pub family: NftFamily,
    /// The name.
    pub name: Ident,
}

/// A table's family: which packets it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NftFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
}

impl NftFamily {
    /// Whether it sees packets of an address family.
    #[must_use]
    pub const fn sees(self, family: Family) -> bool {
        matches!(
            (self, family),
            (Self::Inet, _) | (Self::Ip, Family::V4) | (Self::Ip6, Family::V6)
        )
    }

    /// As text names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        }
    }
}

impl From<Family> for NftFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::V4 => Self::Ip,
            Family::V6 => Self::Ip6,
        }
    }
}

impl fmt::Display for NftFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `ip kube-proxy`
impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// A table. Sets and maps share one name space and one order, as in the kernel; chains have their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NftTable {
    /// The table's comment.
    pub comment: Option<Comment>,
    /// In order of creation, as `nft list` prints them.
    pub sets: Ordered<SetOrMap>,
    /// In order of creation.
    pub chains: Ordered<Arc<NftChain>>,
}

/// A set or a map. They are shared, so that many nodes hold one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetOrMap {
    /// `set`
    Set(Arc<NftSet>),
    /// `map`
    Map(Arc<NftMap>),
}

impl NftTable {
    /// A set by name.
    #[must_use]
    pub fn set(&self, name: &Ident) -> Option<&Arc<NftSet>> {
        match self.sets.get(name)? {
            SetOrMap::Set(set) => Some(set),
            SetOrMap::Map(_) => None,
        }
    }

    /// A map by name.
    #[must_use]
    pub fn map(&self, name: &Ident) -> Option<&Arc<NftMap>> {
        match self.sets.get(name)? {
            SetOrMap::Map(map) => Some(map),
            SetOrMap::Set(_) => None,
        }
    }

    /// A chain by name.
    #[must_use]
    pub fn chain(&self, name: &Ident) -> Option<&Arc<NftChain>> {
        self.chains.get(name)
    }

    /// Puts a set in, in place of one of that name or last.
    pub fn put_set(&mut self, name: Ident, set: Arc<NftSet>) {
        self.sets.insert(name, SetOrMap::Set(set));
    }

    /// Puts a map in, in place of one of that name or last.
    pub fn put_map(&mut self, name: Ident, map: Arc<NftMap>) {
        self.sets.insert(name, SetOrMap::Map(map));
    }

    /// Puts a chain in, in place of one of that name or last.
    pub fn put_chain(&mut self, name: Ident, chain: Arc<NftChain>) {
        self.chains.insert(name, chain);
    }
}

impl NftTables {
    /// No tables at all.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
        }
    }

    /// Looks a table up.
    #[must_use]
    pub fn table(&self, family: NftFamily, name: &Ident) -> Option<&NftTable> {
        self.tables.get(&TableKey {
            family,
            name: name.clone(),
        })
    }

    /// The form in which two that differ only in order of creation, in the order of elements, in counters or in
    /// the time that elements have left are equal.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let tables = self.tables.iter().map(|(key, table)| {
            let table = NftTable {
                comment: table.comment.clone(),
                sets: sorted(&table.sets, canonical_set),
                chains: sorted(&table.chains, canonical_chain),
            };
            (key.clone(), table)
        });
        Self {
            tables: tables.collect(),
        }
    }
}

fn sorted<T: Clone>(ordered: &Ordered<T>, canonical: impl Fn(&T) -> T) -> Ordered<T> {
    let by_name = ordered.by_name();
    by_name
        .map(|(name, value)| (name.clone(), canonical(value)))
        .collect()
}

fn canonical_set(one: &SetOrMap) -> SetOrMap {
    let mut one = one.clone();
    match &mut one {
        SetOrMap::Set(set) => {
            if set.elements.values().any(|attrs| attrs.expires.is_some()) {
                let elements = &mut Arc::make_mut(set).elements;
                *elements = changed(elements, |attrs| *attrs = attrs.without_expiry());
            }
        }
        SetOrMap::Map(map) => {
            if map.elements.values().any(|one| one.attrs.expires.is_some()) {
                let elements = &mut Arc::make_mut(map).elements;
                *elements = changed(elements, |one| one.attrs = one.attrs.without_expiry());
            }
        }
    }
    one
}

fn changed<V: Clone>(elements: &Sorted<Key, V>, change: impl Fn(&mut V)) -> Sorted<Key, V> {
    let elements = elements.iter().map(|(key, value)| {
        let mut value = value.clone();
        change(&mut value);
        (key.clone(), value)
    });
    elements.collect()
}

fn canonical_chain(chain: &Arc<NftChain>) -> Arc<NftChain> {
    let mut chain = NftChain::clone(chain);
    for statement in chain.rules.iter_mut().flat_map(|rule| &mut rule.statements) {
        canonical_statement(statement);
    }
    Arc::new(chain)
}

fn canonical_statement(statement: &mut Statement) {
    match statement {
        Statement::Match { left, right, .. } => {
            canonical_expr(left);
            if let Right::Set(SetRef::Anonymous(keys)) = right {
                keys.sort_unstable();
            }
        }
        Statement::VerdictMap { key, map } => {
            canonical_expr(key);
            sort_map(map);
        }
        Statement::SetMark(expr) | Statement::SetCtMark(expr) => canonical_expr(expr),
        Statement::Dnat { to, .. } | Statement::Snat { to, .. } => {
            if let NatTo::Lookup { key, map, .. } = to {
                canonical_expr(key);
                sort_map(map);
            }
        }
        Statement::SetUpdate { key, data, .. } => {
            canonical_expr(key);
            data.iter_mut().for_each(canonical_expr);
        }
        Statement::Counter { packets, bytes } => (*packets, *bytes) = (0, 0),
        Statement::Verdict(_)
        | Statement::Redirect { .. }
        | Statement::Masquerade(_)
        | Statement::NatRange(_)
        | Statement::Reject(_)
        | Statement::Notrack
        | Statement::Log { .. }
        | Statement::Inert(_)
        | Statement::UnknownMatch(_)
        | Statement::Unknown(_) => {}
    }
}

fn canonical_expr(expr: &mut Expr) {
    match expr {
        Expr::Concat(parts) => parts.iter_mut().for_each(canonical_expr),
        Expr::Binary { left, .. } => canonical_expr(left),
        Expr::Lookup { key, map } => {
            canonical_expr(key);
            sort_map(map);
        }
        Expr::Payload(_)
        | Expr::Meta(_)
        | Expr::Ct(_)
        | Expr::Fib(_)
        | Expr::Numgen(_)
        | Expr::Literal(_) => {}
    }
}

fn sort_map<V>(map: &mut MapRef<V>) {
    if let MapRef::Anonymous(entries) = map {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
}
