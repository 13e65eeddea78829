//! No rule leads nowhere, and nothing is there that no packet can come to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ruleset::nft::{
    Expr, Ident, MapRef, NatTo, NftRule, NftTable, Numgen, Right, Scalar, SetOrMap, SetRef,
    Statement, Value, Verdict,
};
use ruleset::xt::{TableName, XtTables, XtTarget};

/// Names and the names that each of them leads to.
type Edges = BTreeMap<String, BTreeSet<String>>;

fn reachable<'e>(
    edges: &'e Edges,
    roots: impl Iterator<Item = &'e String>,
) -> BTreeSet<&'e String> {
    let mut open: Vec<_> = roots.collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(edges.get(name).into_iter().flatten());
        }
    }
    seen
}

/// Chains of Services have a hash in their names; those of the frame may be unused.
fn is_of_service(name: &str) -> bool {
    let prefixes = [
        "KUBE-SVC-",
        "KUBE-SVL-",
        "KUBE-SEP-",
        "KUBE-EXT-",
        "KUBE-FW-",
    ];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || name.contains('/')
}

pub(crate) fn check_iptables(tables: &XtTables) -> Result<(), TestCaseError> {
    for (name, table) in &tables.tables {
        let mut edges = Edges::new();
        for (from, chain) in &table.chains {
            let to = edges.entry(from.to_string()).or_default();
            for rule in &chain.rules {
                if let XtTarget::Jump(chain) | XtTarget::Goto(chain) = rule.target {
                    let exists = table.chains.contains_key(&chain);
                    prop_assert!(exists, "dangling: {:?}", rule);
                    to.insert(chain.to_string());
                }
            }
        }
        let built_in = edges.keys().filter(|from| !from.starts_with("KUBE-"));
        let seen = reachable(&edges, built_in);
        for chain in edges.keys().filter(|chain| is_of_service(chain)) {
            prop_assert!(seen.contains(chain), "{}: {} is never entered", name, chain);
        }
    }
    check_last_rule(tables)
}

/// PROXY-36.
fn check_last_rule(tables: &XtTables) -> Result<(), TestCaseError> {
    let nat = &tables.tables[&TableName::Nat].chains;
    let services = nat
        .iter()
        .find(|(name, _)| name.as_str() == "KUBE-SERVICES");
    let (_, services) = services.expect("it is in the frame");
    let leads_to_node_ports = |target: &XtTarget| match target {
        XtTarget::Jump(chain) => chain.as_str() == "KUBE-NODEPORTS",
        _ => false,
    };
    let mut rules = services.rules.iter().rev();
    let last = rules.next().map(|rule| leads_to_node_ports(&rule.target));
    prop_assert_eq!(last, Some(true));
    Ok(())
}

pub(crate) fn check_nftables(table: &NftTable) -> Result<(), TestCaseError> {
    let mut edges = Edges::new();
    for (name, chain) in table.chains.iter() {
        let to = edges.entry(name.to_string()).or_default();
        for rule in &chain.rules {
            for statement in &rule.statements {
                to.extend(names_in(statement));
            }
            check_draw(rule)?;
        }
    }
    for (name, container) in table.sets.iter() {
        let to = edges.entry(format!("@{name}")).or_default();
        if let SetOrMap::Map(map) = container {
            let verdicts = map
                .elements
                .values()
                .filter_map(|element| match &element.value {
                    Value::Verdict(verdict) => chain_of(verdict),
                    Value::Data(_) => None,
                });
            to.extend(verdicts);
        }
    }
    for name in edges.values().flatten() {
        prop_assert!(edges.contains_key(name), "{} is missing", name);
    }
    let is_root = |name: &&String| !is_of_service(name) && !name.starts_with('@');
    let seen = reachable(&edges, edges.keys().filter(is_root));
    for name in edges.keys() {
        // A set that policy Local finds empty has its chain all the same.
        let rules = table
            .chains
            .iter()
            .find(|(chain, _)| chain.as_str() == name);
        let is_empty = rules.is_some_and(|(_, chain)| chain.rules.is_empty());
        prop_assert!(seen.contains(name) || is_empty, "{} is never entered", name);
    }
    Ok(())
}

fn chain_of(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain.to_string()),
        Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => None,
    }
}

/// Chains, and sets and maps with an `@`, that a statement names.
fn names_in(statement: &Statement) -> Vec<String> {
    let named = |name: &Ident| vec![format!("@{name}")];
    match statement {
        Statement::Match {
            right: Right::Set(SetRef::Named(name)),
            ..
        }
        | Statement::VerdictMap {
            map: MapRef::Named(name),
            ..
        }
        | Statement::SetUpdate { set: name, .. } => named(name),
        Statement::VerdictMap {
            map: MapRef::Anonymous(entries),
            ..
        } => entries.iter().filter_map(|(_, to)| chain_of(to)).collect(),
        Statement::Verdict(verdict) => chain_of(verdict).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// PROXY-54: each number that can be drawn leads somewhere, and to different endpoints.
fn check_draw(rule: &NftRule) -> Result<(), TestCaseError> {
    for statement in &rule.statements {
        let (drawn, numbers, goals): (&Numgen, Vec<_>, BTreeSet<String>) = match statement {
            Statement::VerdictMap {
                key: Expr::Numgen(drawn),
                map: MapRef::Anonymous(entries),
            } => (
                drawn,
                entries.iter().map(|(key, _)| key.clone()).collect(),
                entries.iter().filter_map(|(_, to)| chain_of(to)).collect(),
            ),
            Statement::Dnat {
                to:
                    NatTo::Lookup {
                        key: Expr::Numgen(drawn),
                        map: MapRef::Anonymous(entries),
                        ..
                    },
                ..
            } => (
                drawn,
                entries.iter().map(|(key, _)| key.clone()).collect(),
                entries.iter().map(|(_, to)| format!("{to:?}")).collect(),
            ),
            _ => continue,
        };
        let all: Vec<_> = (0..drawn.modulus).map(Scalar::Number).collect();
        let numbers: Vec<_> = numbers.into_iter().flatten().collect();
        prop_assert_eq!(&numbers, &all);
        prop_assert_eq!(goals.len(), all.len());
    }
    Ok(())
}
