//! No rule leads nowhere, and nothing is there that no packet can come to.

use std::collections::BTreeSet;

use petgraph::algo::is_cyclic_directed;
use petgraph::graphmap::DiGraphMap;
use petgraph::visit::{Dfs, VisitMap as _};
use proptest::prelude::*;
use ruleset::nft::{
    Expr, Ident, Key, MapRef, NatTo, NftRule, NftTable, Numgen, Right, Scalar, SetOrMap, SetRef,
    Statement, Value, Verdict,
};
use ruleset::xt::{ChainName, TableName, XtTables, XtTarget};

/// A part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part<'t> {
    Chain(&'t str),
    /// Or map.
    Set(&'t str),
}

/// Parts, and which leads to which.
type Jumps<'t> = DiGraphMap<Part<'t>, ()>;

/// Every part has its place in the table, is reached from a root, and not from itself.
fn check_jumps<'t>(
    jumps: &Jumps<'t>,
    exists: impl Fn(Part<'t>) -> bool,
    is_root: impl Fn(Part<'t>) -> bool,
) -> Result<(), TestCaseError> {
    prop_assert!(!is_cyclic_directed(jumps), "a circle");
    let mut walk = Dfs::empty(jumps);
    for root in jumps.nodes().filter(|part| is_root(*part)) {
        walk.move_to(root);
        while walk.next(jumps).is_some() {}
    }
    for part in jumps.nodes() {
        prop_assert!(exists(part), "{:?} is missing", part);
        prop_assert!(
            walk.discovered.is_visited(&part),
            "{:?} is never entered",
            part
        );
    }
    Ok(())
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
    for table in tables.tables.values() {
        let mut jumps = Jumps::new();
        for (from, chain) in &table.chains {
            let from = jumps.add_node(Part::Chain(from.as_str()));
            for rule in &chain.rules {
                if let XtTarget::Jump(to) | XtTarget::Goto(to) = &rule.target {
                    jumps.add_edge(from, Part::Chain(to.as_str()), ());
                }
            }
        }
        let names: BTreeSet<&str> = table.chains.keys().map(ChainName::as_str).collect();
        let exists = |part| matches!(part, Part::Chain(name) if names.contains(name));
        check_jumps(&jumps, exists, is_root)?;
    }
    check_last_rule(tables)
}

/// What the kernel calls, and chains of the frame that may be unused; in layout `flat`, sets that are kept for the numbers of
/// endpoints to come.
fn is_root(part: Part<'_>) -> bool {
    match part {
        Part::Chain(name) => !is_of_service(name),
        Part::Set(name) => name.starts_with("many-"),
    }
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
    let mut jumps = Jumps::new();
    for (name, chain) in table.chains.iter() {
        let from = jumps.add_node(Part::Chain(name.as_str()));
        for rule in &chain.rules {
            for to in rule.statements.iter().flat_map(parts_in) {
                jumps.add_edge(from, to, ());
            }
            check_draw(rule)?;
        }
    }
    for (name, container) in table.sets.iter() {
        let from = jumps.add_node(Part::Set(name.as_str()));
        if let SetOrMap::Map(map) = container {
            for element in map.elements.values() {
                if let Value::Verdict(verdict) = &element.value
                    && let Some(to) = chain_of(verdict)
                {
                    jumps.add_edge(from, to, ());
                }
            }
        }
    }
    let chains: BTreeSet<&str> = table.chains.iter().map(|(name, _)| name.as_str()).collect();
    let sets: BTreeSet<&str> = table.sets.iter().map(|(name, _)| name.as_str()).collect();
    let exists = |part| match part {
        Part::Chain(name) => chains.contains(name),
        Part::Set(name) => sets.contains(name),
    };
    check_jumps(&jumps, exists, is_root)
}

fn chain_of(verdict: &Verdict) -> Option<Part<'_>> {
    match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(Part::Chain(chain.as_str())),
        Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Return => None,
    }
}

/// What a statement names.
fn parts_in(statement: &Statement) -> Vec<Part<'_>> {
    fn named(name: &Ident) -> Vec<Part<'_>> {
        vec![Part::Set(name.as_str())]
    }
    match statement {
        Statement::Match {
            right: Right::Set(SetRef::Named(name)),
            ..
        }
        | Statement::VerdictMap {
            map: MapRef::Named(name),
            ..
        }
        | Statement::Dnat {
            to:
                NatTo::Lookup {
                    map: MapRef::Named(name),
                    ..
                },
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
        let (drawn, numbers, goals): (&Numgen, Vec<_>, BTreeSet<_>) = match statement {
            Statement::VerdictMap {
                key: Expr::Numgen(drawn),
                map: MapRef::Anonymous(entries),
            } => (
                drawn,
                entries.iter().map(|(key, _)| key.clone()).collect(),
                entries.iter().map(|(_, to)| format!("{to:?}")).collect(),
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
        let numbers: Vec<_> = numbers.iter().flat_map(Key::parts).collect();
        prop_assert_eq!(&numbers, &all);
        prop_assert_eq!(goals.len(), all.len());
    }
    Ok(())
}
