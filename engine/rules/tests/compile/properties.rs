//! What holds for every view.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use ruleset::nft::{Ident, NftAction, NftTables, NftTransaction, SetOrMap, TableKey};
use ruleset::xt::{
    ChainName, Probability, TableName, XtMatch, XtRule, XtTables, XtTransaction, parse,
    restore_text, save_text,
};
use ruleset::{Family, OriginId, nft};
use switchboard_rules::{
    Capabilities, ClusterSizes, ClusterView, CompiledIptables, CompiledNftables, Compiler,
    EndpointCounts, NodeFacts, TrafficPolicy,
};

use crate::generate::{Change, change, nodes};
use crate::support::{add_service, add_slice, endpoint, node_1, slice, web};
use crate::well_formed::{check_iptables, check_nftables};

fn probability_of(rule: &XtRule) -> f64 {
    let random = rule.matches.iter().find_map(|one| match one {
        XtMatch::Random(probability) => Some(probability.raw()),
        _ => None,
    });
    f64::from(random.unwrap_or(Probability::ONE)) / f64::from(Probability::ONE)
}

/// PROXY-42.
#[test]
fn every_endpoint_is_as_likely_as_the_others() {
    let web_chain = ChainName::new("KUBE-SVC-CDGGSHYLG3RE2FKL").unwrap();
    for count in [1_u8, 2, 3, 4, 5, 7, 10, 99, 250] {
        let endpoints: Vec<_> = (1..=count)
            .map(|n| endpoint(&format!("10.244.2.{n}"), "node-2"))
            .collect();
        let view = web(TrafficPolicy::Cluster, &endpoints);
        let compiled = Compiler::new(Capabilities::ALL).iptables(&view, &node_1());
        let chain = compiled.tables[&Family::V4]
            .chain(TableName::Nat, web_chain)
            .expect("the Service has its chain");
        let mut left = 1.0;
        // The first rule marks for masquerade.
        for rule in &chain.rules[1..] {
            let share = left * probability_of(rule);
            assert!(
                (share - 1.0 / f64::from(count)).abs() < 1e-6,
                "{count}: {rule:?}"
            );
            left -= share;
        }
        assert!(left.abs() < 1e-12, "{count}: something falls through");
    }
}

#[test]
fn unchanged_services_keep_their_very_chains() {
    let mut view = web(TrafficPolicy::Cluster, &[endpoint("10.244.2.1", "node-2")]);
    let mut compiler = Compiler::new(Capabilities::ALL);
    let before = compiler.iptables(&view, &node_1());
    let other = crate::support::service(&["10.96.0.41"], TrafficPolicy::Cluster);
    add_service(&mut view, "other", other);
    let after = compiler.iptables(&view, &node_1());
    let chain = |compiled: &CompiledIptables| {
        let name = ChainName::new("KUBE-SVC-CDGGSHYLG3RE2FKL").unwrap();
        Arc::clone(
            compiled.tables[&Family::V4]
                .chain(TableName::Nat, name)
                .unwrap(),
        )
    };
    assert!(Arc::ptr_eq(&chain(&before), &chain(&after)));
}

/// Enough changes that the compiler throws fragments away.
#[test]
fn forgetting_does_not_show() {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let mut kept = Vec::new();
    for n in 0..3000_u16 {
        let address = format!("10.244.{}.{}", n / 250, n % 250 + 1);
        let view = web(TrafficPolicy::Cluster, &[endpoint(&address, "node-2")]);
        let compiled = compiler.iptables(&view, &node_1());
        if n % 1000 == 0 {
            kept.push((view, compiled));
        }
    }
    for (view, compiled) in kept {
        let again = compiler.iptables(&view, &node_1());
        assert_eq!(again, compiled);
        assert_eq!(
            explained(&compiler, &again),
            explained(&compiler, &compiled)
        );
    }
}

/// What each rule says it is for, in order.
fn explained(compiler: &Compiler, compiled: &CompiledIptables) -> Vec<String> {
    let tables = compiled.tables.values();
    let chains = tables.flat_map(|tables| tables.tables.values().flat_map(|t| t.chains.values()));
    let rules = chains.flat_map(|chain| &chain.rules);
    said(compiler, rules.map(|rule| rule.origin))
}

/// What each rule and each element of the frame's sets and maps says it is for, in order.
fn explained_nft(compiler: &Compiler, compiled: &CompiledNftables) -> Vec<String> {
    let tables = compiled.tables.tables.iter();
    let origins = tables.flat_map(|(key, table)| {
        let rules = table.chains.iter().flat_map(|(_, chain)| &chain.rules);
        let elements = table.sets.iter().flat_map(|(name, container)| {
            let keys: Vec<_> = match container {
                nft::SetOrMap::Set(set) => set.elements.keys().collect(),
                nft::SetOrMap::Map(map) => map.elements.keys().collect(),
            };
            keys.into_iter()
                .map(|element| compiled.element_origin(key.family, name, element))
        });
        rules.map(|rule| rule.origin).chain(elements)
    });
    said(compiler, origins)
}

fn said(compiler: &Compiler, origins: impl Iterator<Item = Option<OriginId>>) -> Vec<String> {
    let say = |origin: Option<OriginId>| {
        let origin = origin.expect("every rule and element has an origin");
        compiler.origin(origin).to_string()
    };
    origins.map(say).collect()
}

/// What a cluster counts, whatever it has.
fn count() -> impl Strategy<Value = EndpointCounts> {
    let of_family = || prop_oneof![Just(500_usize), Just(950), Just(1500)];
    (of_family(), of_family()).prop_map(|(v4, v6)| EndpointCounts { v4, v6 })
}

proptest! {
    // Each case is some dozens of compilations.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_compiles_like_from_scratch(changes in vec((change(), count()), 1..12)) {
        let mut view = ClusterView::default();
        let mut sizes = ClusterSizes::SMALL;
        let mut compiler = Compiler::new(Capabilities::ALL);
        let mut earlier = Earlier::default();
        for (change, count) in &changes {
            change.apply(&mut view);
            view.endpoints = *count;
            sizes = sizes.after(&view);
            for facts in nodes() {
                let mut fresh_compiler = Compiler::new(Capabilities::ALL);
                let fresh = fresh_compiler.iptables_after(None, &view, &facts, sizes);
                for earlier in earlier.of(&facts) {
                    let compiled = compiler.iptables_after(earlier.as_ref(), &view, &facts, sizes);
                    prop_assert_eq!(&compiled, &fresh);
                    prop_assert_eq!(explained(&compiler, &compiled), explained(&fresh_compiler, &fresh));
                    for (family, before) in earlier.iter().flat_map(|earlier| &earlier.tables) {
                        let transaction = XtTransaction::between(before, &compiled.tables[family]);
                        let mut tables = XtTables::clone(before);
                        for unit in &transaction.units {
                            tables = tables.apply(unit).expect("a kernel takes it");
                        }
                        prop_assert_eq!(&tables, &*compiled.tables[family]);
                    }
                }
                for tables in fresh.tables.values() {
                    check_iptables(tables)?;
                }
                let latest = compiler.iptables_after(earlier.latest.as_ref(), &view, &facts, sizes);
                earlier.note(&facts, latest);
            }
        }
    }

    #[test]
    fn any_history_compiles_like_from_scratch_with_nftables(changes in vec(change(), 1..12)) {
        check_history(&changes, Compiler::nftables_after)?;
    }

    #[test]
    fn any_history_compiles_like_from_scratch_with_flat(changes in vec(change(), 1..12)) {
        check_history(&changes, Compiler::flat_after)?;
    }

    #[test]
    fn compiled_tables_survive_their_text(changes in vec(change(), 1..6)) {
        let mut view = ClusterView::default();
        for change in &changes {
            change.apply(&mut view);
        }
        let mut compiler = Compiler::new(Capabilities::ALL);
        let compiled = compiler.iptables(&view, &node_1());
        for (family, tables) in &compiled.tables {
            prop_assert_eq!(&parse(&save_text(tables), *family).unwrap(), &**tables);
            // Restored over nothing, the built-in chains without rules are missing.
            let mut node = XtTables::new(*family);
            node.apply_restore(&parse(&restore_text(tables), *family).unwrap());
            node.apply_restore(tables);
            prop_assert_eq!(&node, &**tables);
        }
        let compiled = compiler.nftables(&view, &node_1());
        prop_assert_eq!(&reread(&compiled.tables), &*compiled.tables);
        let compiled = compiler.flat(&view, &node_1());
        prop_assert_eq!(&reread(&compiled.tables), &*compiled.tables);
    }

    /// A view may hold any text; the API server would not have let it in.
    #[test]
    fn no_name_changes_the_meaning_of_a_rule(names in proptest::array::uniform3(".{0,20}")) {
        let [namespace, name, port] = names;
        let mut view = web(TrafficPolicy::Cluster, &[endpoint("10.244.2.1", "node-2")]);
        let web = crate::support::service_name("web");
        let mut service = view.services.get(&web).unwrap().clone();
        view.services.remove(&web);
        Arc::make_mut(&mut service).ports[0].name = port.as_str().into();
        let hostile = switchboard_rules::ServiceName {
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
        };
        view.services.insert(hostile, service);
        let mut compiler = Compiler::new(Capabilities::ALL);
        let compiled = compiler.iptables(&view, &node_1());
        for (family, tables) in &compiled.tables {
            prop_assert_eq!(&parse(&save_text(tables), *family).unwrap(), &**tables);
        }
        let compiled = compiler.nftables(&view, &node_1());
        prop_assert_eq!(&reread(&compiled.tables), &*compiled.tables);
    }
}

/// What rules may be made from: nothing, those of the same node before, those of another node.
struct Earlier<R> {
    latest: Option<R>,
    by_node: BTreeMap<Arc<str>, R>,
}

impl<R> Default for Earlier<R> {
    fn default() -> Self {
        Self {
            latest: None,
            by_node: BTreeMap::new(),
        }
    }
}

impl<R: Clone> Earlier<R> {
    fn of(&self, facts: &NodeFacts) -> [Option<R>; 3] {
        let own = self.by_node.get(&facts.name).cloned();
        [None, own, self.latest.clone()]
    }

    fn note(&mut self, facts: &NodeFacts, rules: R) {
        self.by_node.insert(Arc::clone(&facts.name), rules.clone());
        self.latest = Some(rules);
    }
}

/// Whether Services have an address or a node port in common.
fn shares_frontends(view: &ClusterView) -> bool {
    let mut known = BTreeSet::new();
    let mut services = view.services.existing();
    services.any(|(_, service, _)| {
        let addresses: BTreeSet<_> = service
            .external_ips
            .iter()
            .chain(&service.load_balancer_ips)
            .collect();
        let node_ports: BTreeSet<_> = service.ports.iter().map(|port| port.node_port).collect();
        let addresses = addresses.into_iter().map(|address| (Some(*address), None));
        let node_ports = node_ports.into_iter().flatten();
        let node_ports = node_ports.map(|port| (None, Some(port)));
        let is_known: Vec<bool> = addresses
            .chain(node_ports)
            .map(|one| !known.insert(one))
            .collect();
        is_known.contains(&true)
    })
}

type CompileNft =
    fn(&mut Compiler, Option<&CompiledNftables>, &ClusterView, &NodeFacts) -> CompiledNftables;

fn check_history(changes: &[Change], compile: CompileNft) -> Result<(), TestCaseError> {
    let mut view = ClusterView::default();
    let mut compiler = Compiler::new(Capabilities::ALL);
    let mut earlier = Earlier::default();
    for change in changes {
        change.apply(&mut view);
        for facts in nodes() {
            let mut fresh_compiler = Compiler::new(Capabilities::ALL);
            let fresh = compile(&mut fresh_compiler, None, &view, &facts);
            for earlier in earlier.of(&facts) {
                let compiled = compile(&mut compiler, earlier.as_ref(), &view, &facts);
                prop_assert_eq!(&compiled, &fresh);
                prop_assert_eq!(
                    explained_nft(&compiler, &compiled),
                    explained_nft(&fresh_compiler, &fresh)
                );
                if let Some(earlier) = earlier {
                    let change = NftTransaction::between(&earlier.tables, &compiled.tables);
                    let tables = earlier.tables.apply(&change).expect("a kernel takes it");
                    prop_assert_eq!(tables.canonical(), compiled.tables.canonical());
                }
            }
            // Who comes second to an address has chains that nothing leads to, as in kube-proxy.
            if !shares_frontends(&view) {
                for table in fresh.tables.tables.values() {
                    check_nftables(table)?;
                }
            }
            let latest = compile(&mut compiler, earlier.latest.as_ref(), &view, &facts);
            earlier.note(&facts, latest);
        }
    }
    Ok(())
}

/// Which endpoints are on the node shows in no map of endpoints.
#[test]
fn flat_tables_of_nodes_share_maps_of_endpoints() {
    let endpoints: Vec<_> = (1..=20)
        .map(|e| {
            endpoint(
                &format!("10.244.2.{e}"),
                if e == 7 { "node-2" } else { "node-3" },
            )
        })
        .collect();
    let view = web(TrafficPolicy::Cluster, &endpoints);
    let node_2 = NodeFacts {
        name: "node-2".into(),
        ..node_1()
    };
    let mut compiler = Compiler::new(Capabilities::ALL);
    let first = compiler.flat(&view, &node_1());
    let second = compiler.flat_after(Some(&first), &view, &node_2);
    let key = TableKey {
        family: Family::V4.into(),
        name: CompiledNftables::table_name(),
    };
    let map = |compiled: &CompiledNftables| {
        let name = Ident::literal("endpoints-tcp-20");
        match compiled.tables.tables[&key].sets.get(&name) {
            Some(SetOrMap::Map(map)) => Arc::clone(map),
            _ => panic!("there is such a map"),
        }
    };
    assert!(Arc::ptr_eq(&map(&first), &map(&second)));
    let change = NftTransaction::between(&first.tables, &second.tables);
    assert_eq!(change.operations().len(), 1, "{}", change.script());
}

/// In the layout of our own, chains and rules grow with the distinct numbers of endpoints, and a change of one Service
/// is one of its elements.
#[test]
fn flat_rules_do_not_grow_with_services() {
    let view_of = |services: u8| {
        let mut view = ClusterView::default();
        for n in 0..services {
            let name = format!("svc-{n}");
            let service =
                crate::support::service(&[&format!("10.96.1.{n}")], TrafficPolicy::Cluster);
            add_service(&mut view, &name, service);
            let endpoints: Vec<_> = (0..=n % 3)
                .map(|e| endpoint(&format!("10.244.{n}.{}", e + 1), "node-2"))
                .collect();
            add_slice(&mut view, &name, "a", slice(Family::V4, &endpoints));
        }
        view
    };
    let rules_of = |view: &ClusterView| {
        let compiled = Compiler::new(Capabilities::ALL).flat(view, &node_1());
        let table = compiled.tables.tables.values().next().unwrap().clone();
        let rules: usize = table
            .chains
            .iter()
            .map(|(_, chain)| chain.rules.len())
            .sum();
        (table.chains.iter().len(), rules, table.sets.iter().len())
    };
    assert_eq!(rules_of(&view_of(3)), rules_of(&view_of(200)));
    let scripts = |before: &ClusterView, after: &ClusterView| {
        let compile = |view| {
            let compiled = Compiler::new(Capabilities::ALL).flat(view, &node_1());
            compiled.tables
        };
        NftTransaction::between(&compile(before), &compile(after)).script()
    };
    let four = [1, 2, 3, 4].map(|e| endpoint(&format!("10.244.9.{e}"), "node-2"));
    let mut new_number = view_of(200);
    add_slice(&mut new_number, "svc-0", "a", slice(Family::V4, &four));
    let script = scripts(&view_of(200), &new_number);
    assert!(script.lines().count() < 60, "{script}");
    assert!(!script.contains("delete map"), "{script}");
    let compile = |view| {
        Compiler::new(Capabilities::ALL)
            .flat(view, &node_1())
            .tables
    };
    let before = view_of(200);
    let mut after = before.clone();
    let moved = [endpoint("10.244.9.9", "node-2")];
    add_slice(&mut after, "svc-0", "a", slice(Family::V4, &moved));
    let change = NftTransaction::between(&compile(&before), &compile(&after));
    let actions: Vec<_> = change.operations().iter().map(|one| &one.action).collect();
    assert!(
        matches!(
            actions.as_slice(),
            [
                NftAction::DeleteElement(..),
                NftAction::AddMapElement { .. }
            ]
        ),
        "{}",
        change.script()
    );
}

fn reread(tables: &NftTables) -> NftTables {
    let text = nft::list_text(tables);
    nft::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
