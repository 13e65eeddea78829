//! What a restore is fed, so that doing it twice is doing it once.
//!
//! **What.** Our own chains as they are, and in built-in chains only the rules that are missing, in front.
//! **Why.** `-A` in a restore adds a built-in chain's rules again every time. kube-proxy asks for each with
//! `iptables -C` and inserts it with `-I`; here the answer is read from `iptables-save` once and the insertions
//! are part of the table's own transaction, so a table is never without them or half full.
//! **Source of the semantics.** PROXY-46, the jumps of PROXY-33; `XtTables::apply_restore` does the same to
//! simulated nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ruleset::xt::{self, ChainName, TableName, XtChain, XtRule, XtTable, XtTables, XtTarget};

/// The rules of a table's built-in chains.
pub(crate) type BuiltInRules = BTreeMap<ChainName, Vec<XtRule>>;

/// The tables that have rules in built-in chains: those whose present state must be known.
pub(crate) fn tables_to_read(tables: &XtTables) -> impl Iterator<Item = TableName> {
    let has_some = |(name, table): (&TableName, &XtTable)| {
        let mut chains = table.chains.iter();
        chains
            .any(|(chain, body)| is_built_in(*name, *chain) && !body.rules.is_empty())
            .then_some(*name)
    };
    tables.tables.iter().filter_map(has_some)
}

/// Those of the `wanted` tables' rules in built-in chains that a saved text shows, with whatever else there can be
/// understood. Lines that are not understood are somebody else's: ours all are.
pub(crate) fn present_rules(saved: &str, name: TableName, wanted: &XtTables) -> BuiltInRules {
    let declared = declarations(name, wanted);
    let mut present = BuiltInRules::new();
    for line in saved.lines().filter(|line| line.starts_with("-A ")) {
        let chain = line[3..]
            .split(' ')
            .next()
            .and_then(|chain| ChainName::new(chain).ok());
        let Some(chain) = chain.filter(|chain| is_built_in(name, *chain)) else {
            continue;
        };
        let alone = format!("*{name}\n{declared}{line}\nCOMMIT\n");
        let Ok(parsed) = xt::parse(&alone, wanted.family) else {
            continue;
        };
        let rules = parsed.chain(name, chain).map(|body| body.rules.clone());
        present
            .entry(chain)
            .or_default()
            .extend(rules.unwrap_or_default());
    }
    present
}

/// The restore text of `wanted`, given what is present.
pub(crate) fn restore_input(
    wanted: &XtTables,
    present: &BTreeMap<TableName, BuiltInRules>,
) -> String {
    let mut input = String::new();
    let mut table = None;
    for line in xt::restore_text(&without_built_in_rules(wanted)).lines() {
        if let Some(named) = line.strip_prefix('*') {
            table = TableName::ALL
                .into_iter()
                .find(|table| table.as_str() == named);
        }
        if let (Some(name), "COMMIT") = (table, line) {
            let nothing = BuiltInRules::new();
            insertions(
                &mut input,
                name,
                wanted,
                present.get(&name).unwrap_or(&nothing),
            );
        }
        input.push_str(line);
        input.push('\n');
    }
    input
}

fn insertions(input: &mut String, name: TableName, wanted: &XtTables, present: &BuiltInRules) {
    for (chain, body) in &wanted.tables[&name].chains {
        if !is_built_in(name, *chain) {
            continue;
        }
        let there = present.get(chain).map_or(&[][..], Vec::as_slice);
        let missing = body.rules.iter().filter(|rule| !there.contains(rule));
        for (index, rule) in missing.enumerate() {
            let line = rule.line(*chain, wanted.family).to_string();
            let rest = line.strip_prefix(&format!("-A {chain}"));
            let rest = rest.expect("a rule's line begins with its chain");
            writeln!(input, "-I {chain} {}{rest}", index + 1).expect("a String takes everything");
        }
    }
}

fn without_built_in_rules(tables: &XtTables) -> XtTables {
    let mut own = tables.clone();
    for (name, table) in &mut own.tables {
        for (chain, body) in &mut table.chains {
            if is_built_in(*name, *chain) && !body.rules.is_empty() {
                *body = Arc::new(XtChain {
                    policy: body.policy,
                    rules: Vec::new(),
                });
            }
        }
    }
    own
}

/// Declares the chains that the wanted rules lead to, and no others: a rule that leads elsewhere is not ours.
fn declarations(name: TableName, wanted: &XtTables) -> String {
    let table = wanted.tables.get(&name);
    let chains = table.into_iter().flat_map(|table| &table.chains);
    let targets: BTreeSet<ChainName> = chains
        .filter(|(chain, _)| is_built_in(name, **chain))
        .flat_map(|(_, body)| &body.rules)
        .filter_map(|rule| match rule.target {
            XtTarget::Jump(chain) | XtTarget::Goto(chain) => Some(chain),
            _ => None,
        })
        .collect();
    targets
        .iter()
        .map(|chain| format!(":{chain} - [0:0]\n"))
        .collect()
}

fn is_built_in(table: TableName, chain: ChainName) -> bool {
    table.built_in_chains().contains(&chain.as_str())
}

#[cfg(test)]
mod tests {
    use ruleset::Family;
    use ruleset::xt::Policy;

    use super::*;

    const WANTED: &str = "*nat\n:KUBE-SERVICES - [0:0]\n\
        -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
        -A OUTPUT -j KUBE-SERVICES\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n";

    fn check(saved: &str, expected: &str) {
        let wanted = xt::parse(WANTED, Family::V4).unwrap();
        let present = tables_to_read(&wanted)
            .map(|table| (table, present_rules(saved, table, &wanted)))
            .collect();
        assert_eq!(restore_input(&wanted, &present), expected);
    }

    #[test]
    fn on_an_empty_node_everything_is_inserted() {
        check(
            "",
            "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j RETURN\n-I OUTPUT 1 -j KUBE-SERVICES\n\
             -I PREROUTING 1 -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\nCOMMIT\n",
        );
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        check(
            "*nat\n:PREROUTING ACCEPT [3:180]\n:CNI - [0:0]\n-A PREROUTING -m unheard --of -j CNI\n\
             -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -A OUTPUT -o lo -j KUBE-SERVICES\nCOMMIT\n",
            "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j RETURN\n-I OUTPUT 1 -j KUBE-SERVICES\nCOMMIT\n",
        );
    }

    #[test]
    fn a_drop_policy_is_still_said() {
        let text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n";
        let wanted = xt::parse(text, Family::V4).unwrap();
        assert_eq!(
            restore_input(&wanted, &BTreeMap::new()),
            "*filter\n:INPUT DROP [0:0]\n-I INPUT 1 -j ACCEPT\nCOMMIT\n"
        );
        assert_eq!(wanted.tables[&TableName::Filter].chains.len(), 1);
        assert_eq!(
            wanted
                .chain(TableName::Filter, ChainName::literal("INPUT"))
                .unwrap()
                .policy,
            Some(Policy::Drop)
        );
    }
}
