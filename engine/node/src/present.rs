//! What a proxy has written on a node, as `iptables-save` shows it among the rules of everybody else.
//!
//! **What.** [`own_part`] takes a proxy's chains, and of built-in chains the rules that lead to them. **Why.** What is
//! right stays, what is not is changed, and nobody else's rules are touched: chains carry their owner in their names.
//! **Source of the semantics.** PROXY-33, PROXY-37. Like kube-proxy's `CleanupLeftovers`, it leaves `KUBE-FIREWALL` alone,
//! which is the kubelet's as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use rules::{SHARED_CHAIN, is_proxy_chain, is_proxy_jump};
use ruleset::xt::{ChainName, TableName, XtChain, XtRule, XtTable, XtTables};

/// The part of a node's tables that a proxy wrote: an earlier run of ours, or kube-proxy.
pub(crate) fn own_part(node: &XtTables) -> XtTables {
    let tables = node.tables.iter();
    let own = tables.map(|(name, table)| (*name, own_chains(*name, table)));
    XtTables {
        family: node.family,
        tables: own.filter(|(_, table)| !table.chains.is_empty()).collect(),
    }
}

fn own_chains(name: TableName, table: &XtTable) -> XtTable {
    let mut own = XtTable::default();
    for (chain, body) in &table.chains {
        if is_proxy_chain(name, *chain) {
            own.chains.insert(*chain, Arc::clone(body));
        } else if is_built_in(name, *chain) {
            let is_own = |rule: &&XtRule| {
                rule.leads_to()
                    .is_some_and(|target| is_proxy_jump(name, *chain, target))
            };
            let jumps = body.rules.iter().filter(is_own);
            let jumps: Vec<XtRule> = jumps.cloned().collect();
            if !jumps.is_empty() {
                let body = XtChain {
                    policy: None,
                    rules: jumps,
                };
                own.chains.insert(*chain, Arc::new(body));
            }
        }
    }
    own
}

/// Takes the chain out that the kubelet shares, where it is there already.
pub(crate) fn leave_shared(wanted: &mut XtTables, node: &XtTables) {
    let shared = ChainName::literal(SHARED_CHAIN);
    let filter = TableName::Filter;
    if node.chain(filter, shared).is_none() {
        return;
    }
    let Some(table) = wanted.tables.get_mut(&filter) else {
        return;
    };
    table.chains.remove(&shared);
    let leads_there = |rule: &XtRule| rule.leads_to() == Some(shared);
    let leading = table.chains.iter();
    let leading = leading.filter(|(_, chain)| chain.rules.iter().any(leads_there));
    let leading: Vec<ChainName> = leading.map(|(name, _)| *name).collect();
    for name in leading {
        if let Some(chain) = table.chains.get_mut(&name) {
            let rules = &mut Arc::make_mut(chain).rules;
            rules.retain(|rule| !leads_there(rule));
        }
    }
}

/// A proxy's chains that somebody else's rules lead to: these cannot go.
pub(crate) fn held_by_others(node: &XtTables) -> BTreeSet<(TableName, ChainName)> {
    let chains = node.tables.iter().flat_map(|(name, table)| {
        table
            .chains
            .iter()
            .map(move |(chain, body)| (*name, *chain, body))
    });
    let others = chains.filter(|(name, chain, _)| !is_proxy_chain(*name, *chain));
    let held = others.flat_map(|(name, chain, body)| {
        let targets = body.rules.iter().filter_map(XtRule::leads_to);
        let others = targets.filter(move |target| !is_proxy_jump(name, chain, *target));
        others.map(move |target| (name, target))
    });
    held.filter(|(name, target)| is_proxy_chain(*name, *target))
        .collect()
}

fn is_built_in(table: TableName, chain: ChainName) -> bool {
    table.built_in_chains().contains(&chain.as_str())
}

#[cfg(test)]
mod tests {
    use ruleset::Family;
    use ruleset::xt::{parse_dump, save_text};

    use super::*;

    const SAVED: &str = "*nat\n:PREROUTING ACCEPT [3:180]\n:CNI - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n\
        :KUBE-SERVICES - [0:0]\n:KUBE-SVC-LOLE4ISW44XBNF3G - [0:0]\n\
        -A PREROUTING -m unheard --of -j CNI\n\
        -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
        -A CNI -j KUBE-MARK-MASQ\n\
        -A KUBE-SERVICES -d 10.96.0.40/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-LOLE4ISW44XBNF3G\nCOMMIT\n\
        *filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n";

    #[test]
    fn takes_the_proxys_and_leaves_the_rest() {
        let node = parse_dump(SAVED, Family::V4).unwrap().tables;
        assert_eq!(
            save_text(&own_part(&node)),
            "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-SERVICES - [0:0]\n\
             :KUBE-SVC-LOLE4ISW44XBNF3G - [0:0]\n\
             -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -A KUBE-SERVICES -d 10.96.0.40/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-LOLE4ISW44XBNF3G\nCOMMIT\n"
        );
    }

    #[test]
    fn notices_who_else_needs_a_chain() {
        let node = parse_dump(SAVED, Family::V4).unwrap().tables;
        let mark = ChainName::literal("KUBE-MARK-MASQ");
        assert_eq!(held_by_others(&node), [(TableName::Nat, mark)].into());
    }
}
