//! Tables of nftables that iptables keeps its rules in.
//!
//! **What.** `iptables-nft` stores its tables as tables of nftables. **Why.** `nft list` shows them, but not faithfully:
//! nft 1.0.6 lists `-m conntrack ! --ctstate RELATED,DNAT` as `ct status dnat`. **Source of the semantics.**
//! `iptables/nft.c` (`xtables_ipv4`) of iptables 1.8.9.

use std::sync::Arc;

use super::{CtKey, Expr, NftDump, NftFamily, NftRule, NftTable, Statement, TableKey};
use crate::Verbatim;
use crate::xt::TableName;

impl NftDump {
    /// The tables that are iptables'.
    #[must_use]
    pub fn iptables_tables(&self) -> Vec<TableKey> {
        let tables = self.tables.tables.iter();
        let theirs = tables.filter(|(key, table)| is_iptables(key, table));
        theirs.map(|(key, _)| key.clone()).collect()
    }

    /// Takes a table out.
    pub fn remove(&mut self, key: &TableKey) {
        self.tables.tables.remove(key);
        self.places.retain(|(table, _), _| table != key);
    }

    /// Makes unknown what nft does not list faithfully in a table that is iptables'.
    pub fn distrust(&mut self, key: &TableKey) {
        let Some(table) = self.tables.tables.get_mut(key) else {
            return;
        };
        let names: Vec<_> = table.chains.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(chain) = table.chains.get_mut(&name) else {
                continue;
            };
            let places = self.places.get(&(key.clone(), name));
            let rules = &mut Arc::make_mut(chain).rules;
            for (rule, place) in rules.iter_mut().zip(places.into_iter().flatten()) {
                for one in rule.statements.iter_mut().filter(|one| asks_status(one)) {
                    let alone = NftRule::new([one.clone()]);
                    let text = alone.line(key.family).to_string();
                    *one = Statement::UnknownMatch(Verbatim::new(&text, *place));
                }
            }
        }
    }
}

fn is_iptables(key: &TableKey, table: &NftTable) -> bool {
    let is_named_so = TableName::ALL
        .iter()
        .any(|name| name.as_str() == key.name.as_str());
    let chains = table.chains.iter();
    let bases: Vec<_> = chains.filter(|(_, chain)| chain.base.is_some()).collect();
    let built_in = TableName::Mangle.built_in_chains();
    let mut names = bases.iter().map(|(name, _)| name.as_str());
    let is_theirs = !bases.is_empty() && names.all(|name| built_in.contains(&name));
    key.family != NftFamily::Inet && is_named_so && is_theirs
}

fn asks_status(statement: &Statement) -> bool {
    let Statement::Match { left, .. } = statement else {
        return false;
    };
    match left {
        Expr::Binary { left, .. } => matches!(**left, Expr::Ct(CtKey::Status)),
        left => matches!(left, Expr::Ct(CtKey::Status)),
    }
}
