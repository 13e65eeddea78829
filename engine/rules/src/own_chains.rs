//! Which of a node's chains and rules are a proxy's, by their names.
//!
//! **Why.** Whoever takes over a node, or leaves it, changes what proxies of any mode have written, and nothing else.

use ruleset::xt::{ChainName, TableName};

use crate::{iptables, ipvs};

/// Whether a proxy in mode iptables or ipvs makes a chain of this name in this table, and nobody else does. Whoever finds
/// such a chain on a node may take it for a proxy's.
#[must_use]
pub fn is_proxy_chain(table: TableName, chain: ChainName) -> bool {
    iptables::is_own_chain(table, chain) || ipvs::is_own_chain(table, chain)
}

/// Whether a proxy in one of these modes puts a rule into this built-in chain that leads to this chain.
#[must_use]
pub fn is_proxy_jump(table: TableName, from: ChainName, to: ChainName) -> bool {
    iptables::is_own_jump(table, from, to) || ipvs::is_own_jump(table, from, to)
}
