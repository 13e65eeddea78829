//! What holds for every view.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use ruleset::xt::{
    ChainName, Probability, TableName, XtMatch, XtRule, XtTables, XtTarget, parse, restore_text,
    save_text,
};
use ruleset::{Family, Protocol};
use switchboard_rules::{
    Capabilities, ClusterView, CompiledIptables, Compiler, EndpointView, NodeFacts, ServiceView,
    TrafficPolicy,
};

use crate::support::{add_service, add_slice, endpoint, node_1, port, service_name, slice, web};

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

/// What can happen to the view, one Service of three at a time.
#[derive(Clone, Debug)]
enum Change {
    Remove(usize),
    Service(usize, ServiceView),
    Endpoints(usize, bool, Vec<EndpointView>),
}

const NAMES: [&str; 3] = ["api", "db", "web"];

impl Change {
    fn apply(&self, view: &mut ClusterView) {
        match self {
            Self::Remove(n) => {
                view.services.remove(&service_name(NAMES[*n]));
            }
            Self::Service(n, service) => add_service(view, NAMES[*n], service.clone()),
            Self::Endpoints(n, is_v6, endpoints) => {
                let (family, slice_name) = match is_v6 {
                    true => (Family::V6, "six"),
                    false => (Family::V4, "four"),
                };
                let mut slice = slice(family, endpoints);
                slice.ports.push(port("dns", Protocol::UDP, 5353));
                add_slice(view, NAMES[*n], slice_name, slice);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let name = 0..NAMES.len();
    prop_oneof![
        1 => name.clone().prop_map(Change::Remove),
        3 => name.clone().prop_flat_map(|n| service(n).prop_map(move |s| Change::Service(n, s))),
        5 => (name, any::<bool>()).prop_flat_map(|(n, is_v6)| {
            vec(endpoint_view(is_v6), 0..5).prop_map(move |all| Change::Endpoints(n, is_v6, all))
        }),
    ]
}

fn service(n: usize) -> impl Strategy<Value = ServiceView> {
    let ips = [format!("10.96.0.4{n}"), format!("fd00:10:96::4{n}")];
    let ips = ips.map(|ip| ip.parse().unwrap()).to_vec();
    let ports = vec![
        port("http", Protocol::TCP, 80),
        port("dns", Protocol::UDP, 53),
    ];
    let policy = prop_oneof![Just(TrafficPolicy::Cluster), Just(TrafficPolicy::Local)];
    (
        proptest::sample::subsequence(ips, 1..=2),
        proptest::sample::subsequence(ports, 1..=2),
        policy,
    )
        .prop_map(
            |(cluster_ips, ports, internal_traffic_policy)| ServiceView {
                cluster_ips,
                ports,
                internal_traffic_policy,
            },
        )
}

fn endpoint_view(is_v6: bool) -> impl Strategy<Value = EndpointView> {
    let hints = |all: [&'static str; 2]| proptest::sample::subsequence(all.to_vec(), 0..=1);
    (
        (1_u8..6, 1_u8..3),
        any::<[bool; 3]>(),
        hints(["zone-a", "zone-b"]),
        hints(["node-1", "node-2"]),
    )
        .prop_map(move |((host, node), conditions, zones, nodes)| {
            let address = match is_v6 {
                true => format!("fd00:10:244:{node}::{host}"),
                false => format!("10.244.{node}.{host}"),
            };
            let [ready, serving, terminating] = conditions;
            EndpointView {
                ready,
                serving,
                terminating,
                zone_hints: zones.into_iter().map(Arc::from).collect(),
                node_hints: nodes.into_iter().map(Arc::from).collect(),
                ..endpoint(&address, &format!("node-{node}"))
            }
        })
}

fn nodes() -> [NodeFacts; 2] {
    let node_2 = NodeFacts {
        name: "node-2".into(),
        zone: Some("zone-b".into()),
        masquerade_all: true,
        ..node_1()
    };
    [node_1(), node_2]
}

fn rules(tables: &XtTables) -> impl Iterator<Item = (TableName, &XtRule)> {
    tables.tables.iter().flat_map(|(name, table)| {
        let rules = table.chains.values().flat_map(|chain| &chain.rules);
        rules.map(|rule| (*name, rule))
    })
}

/// What each rule says it is for, in order.
fn explained(compiler: &Compiler, compiled: &CompiledIptables) -> Vec<String> {
    let rules = compiled.tables.values().flat_map(|tables| rules(tables));
    rules
        .map(|(_, rule)| {
            let origin = rule.origin.expect("every rule has an origin");
            compiler.origin(origin).to_string()
        })
        .collect()
}

fn check_well_formed(tables: &XtTables) -> Result<(), TestCaseError> {
    for (table, rule) in rules(tables) {
        if let XtTarget::Jump(to) | XtTarget::Goto(to) = rule.target {
            prop_assert!(tables.chain(table, to).is_some(), "dangling: {rule:?}");
        }
    }
    let nat = &tables.tables[&TableName::Nat].chains;
    let services = &nat[&ChainName::literal("KUBE-SERVICES")];
    let last = services
        .rules
        .last()
        .expect("never empty")
        .line(ChainName::literal("KUBE-SERVICES"), tables.family);
    prop_assert!(last.to_string().ends_with("-j KUBE-NODEPORTS"), "PROXY-36");
    let reachable: BTreeSet<_> = rules(tables)
        .filter_map(|(_, rule)| match rule.target {
            XtTarget::Jump(to) => Some(to),
            _ => None,
        })
        .collect();
    for name in nat
        .keys()
        .filter(|name| name.as_str().starts_with("KUBE-S"))
    {
        prop_assert!(reachable.contains(name), "{name} is never entered");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_history_compiles_like_from_scratch(changes in vec(change(), 1..12)) {
        let mut view = ClusterView::default();
        let mut compiler = Compiler::new(Capabilities::ALL);
        for change in &changes {
            change.apply(&mut view);
            for facts in nodes() {
                let compiled = compiler.iptables(&view, &facts);
                let mut fresh_compiler = Compiler::new(Capabilities::ALL);
                let fresh = fresh_compiler.iptables(&view, &facts);
                prop_assert_eq!(&compiled, &fresh);
                prop_assert_eq!(explained(&compiler, &compiled), explained(&fresh_compiler, &fresh));
                for tables in compiled.tables.values() {
                    check_well_formed(tables)?;
                }
            }
        }
    }

    #[test]
    fn compiled_tables_survive_their_text(changes in vec(change(), 1..6)) {
        let mut view = ClusterView::default();
        for change in &changes {
            change.apply(&mut view);
        }
        let compiled = Compiler::new(Capabilities::ALL).iptables(&view, &node_1());
        for (family, tables) in &compiled.tables {
            prop_assert_eq!(&parse(&save_text(tables), *family).unwrap(), &**tables);
            // Restored over nothing, the built-in chains without rules are missing.
            let mut node = XtTables::new(*family);
            node.apply_restore(&parse(&restore_text(tables), *family).unwrap());
            node.apply_restore(tables);
            prop_assert_eq!(&node, &**tables);
        }
    }
}
