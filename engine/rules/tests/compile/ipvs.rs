//! IPVS mode: what a cluster becomes, and that any history ends where a fresh start does.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use ruleset::ipvs::{
    IpvsTables, IpvsTransaction, Scheduler, SetEntry, SetName, parse_servers, parse_sets,
    servers_text, sets_text,
};
use ruleset::xt::{parse, save_text};
use ruleset::{Family, Protocol};
use switchboard_rules::{
    Capabilities, ClusterView, CompiledIpvs, Compiler, NodeFacts, ServiceView, TrafficPolicy,
};

use crate::generate::{change, nodes};
use crate::support::{endpoint, node_1, web};

fn tables(view: &ClusterView) -> Arc<IpvsTables> {
    let compiled = Compiler::new(Capabilities::ALL).ipvs(view, &node_1());
    Arc::clone(&compiled.tables[&Family::V4])
}

/// What everything says it is for, in order.
fn explained(compiler: &Compiler, compiled: &CompiledIpvs) -> Vec<String> {
    let say = |origin| {
        let origin: Option<ruleset::OriginId> = origin;
        compiler
            .origin(origin.expect("everything has an origin"))
            .to_string()
    };
    let mut said = Vec::new();
    for tables in compiled.tables.values() {
        for server in tables.servers.values() {
            said.push(say(server.origin));
            said.extend(server.real_servers.values().map(|real| say(real.origin)));
        }
        let chains = tables
            .rules
            .tables
            .values()
            .flat_map(|table| table.chains.values());
        let rules = chains.flat_map(|chain| &chain.rules);
        said.extend(rules.map(|rule| say(rule.origin)));
    }
    said
}

/// PROXY-57, PROXY-58, PROXY-59: the address, its server and its entries.
#[test]
fn a_service_with_two_endpoints() {
    let endpoints = [
        endpoint("10.244.1.10", "node-1"),
        endpoint("10.244.2.10", "node-2"),
    ];
    let tables = tables(&web(TrafficPolicy::Cluster, &endpoints));
    insta::assert_snapshot!("ipvs_servers", servers_text(&tables.servers));
    let text = sets_text(&tables.sets, Family::V4);
    let entries: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("add"))
        .collect();
    insta::assert_snapshot!("ipvs_entries", entries.join("\n"));
    insta::assert_snapshot!("ipvs_rules", save_text(&tables.rules));
    assert_eq!(
        tables.device_text(),
        "address replace 10.96.0.40/32 dev kube-ipvs0\n"
    );
}

/// PROXY-58
#[test]
fn the_scheduler_is_a_setting() {
    let view = web(TrafficPolicy::Cluster, &[endpoint("10.244.1.10", "node-1")]);
    let compiler = Compiler::new(Capabilities::ALL);
    let mut compiler = compiler.with_scheduler(Scheduler::LeastConnection);
    let compiled = compiler.ipvs(&view, &node_1());
    let servers = compiled.tables[&Family::V4].servers.values();
    assert!(
        servers
            .into_iter()
            .all(|server| server.scheduler == Scheduler::LeastConnection)
    );
}

/// PROXY-15: an empty virtual server for a ClusterIP of policy Local.
#[test]
fn policy_local_without_an_endpoint_here() {
    let tables = tables(&web(
        TrafficPolicy::Local,
        &[endpoint("10.244.2.10", "node-2")],
    ));
    assert_eq!(servers_text(&tables.servers), "-A -t 10.96.0.40:80 -s rr\n");
}

/// PROXY-30: a node that is none of the sources is kept from the load balancer by a rule of its own.
#[test]
fn a_load_balancer_that_is_closed_to_the_node() {
    let rules_of = |sources: &[&str]| {
        let mut view = web(TrafficPolicy::Cluster, &[endpoint("10.244.1.10", "node-1")]);
        let (name, service, _) = view.services.existing().next().unwrap();
        let (name, mut service) = (name.clone(), ServiceView::clone(service));
        service.load_balancer_ips = vec!["203.0.113.9".parse().unwrap()];
        let sources = sources.iter().map(|net| net.parse().unwrap());
        service.load_balancer_source_ranges = sources.collect();
        view.services.insert(name, Arc::new(service));
        let text = save_text(&tables(&view).rules);
        let lines = text
            .lines()
            .filter(|line| line.starts_with("-A KUBE-IPVS-OUT-FILTER"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(rules_of(&[]).is_empty());
    assert_eq!(
        rules_of(&["198.51.100.0/24"]),
        [
            "-A KUBE-IPVS-OUT-FILTER -s 203.0.113.9/32 -m ipvs --vproto 6 --vaddr 203.0.113.9 --vport 80 -j DROP"
        ]
    );
    let own = format!("{}/32", node_1().primary_address(Family::V4).unwrap());
    assert!(rules_of(&["198.51.100.0/24", &own]).is_empty());
}

fn check_text(tables: &IpvsTables) -> Result<(), TestCaseError> {
    let servers = servers_text(&tables.servers);
    prop_assert_eq!(&parse_servers(&servers).expect(&servers), &tables.servers);
    let sets = sets_text(&tables.sets, tables.family);
    prop_assert_eq!(
        &parse_sets(&sets, tables.family).expect(&sets),
        &tables.sets
    );
    let rules = save_text(&tables.rules);
    prop_assert_eq!(&parse(&rules, tables.family).expect(&rules), &*tables.rules);
    Ok(())
}

/// Every rule's set is there, every bound address is served, and every server's address is bound or the node's own.
fn check_whole(tables: &IpvsTables, facts: &NodeFacts) -> Result<(), TestCaseError> {
    let mut sets = tables.rules.set_matches();
    prop_assert!(sets.all(|one| tables.sets.contains_key(&one.set)));
    for address in tables.addresses() {
        let mut servers = tables.servers.keys();
        prop_assert!(
            servers.any(|key| key.address.ip() == address),
            "{}",
            address
        );
    }
    let own = |address| facts.addresses.contains(&address) || tables.is_bound(address);
    for key in tables.servers.keys() {
        prop_assert!(own(key.address.ip()), "{}", key);
        let loopback = key.address.ip().is_loopback();
        prop_assert!(!loopback, "PROXY-27: {}", key);
    }
    for set in tables.sets.values() {
        let mut entries = set.entries.iter();
        prop_assert!(entries.all(|entry| entry.kind() == set.kind && entry.fits(tables.family)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// PROXY-61: and what makes the earlier tables the later ones leads there, by steps that a kernel takes.
    #[test]
    fn any_history_compiles_like_from_scratch(changes in vec(change(), 1..12)) {
        let mut view = ClusterView::default();
        let mut compiler = Compiler::new(Capabilities::ALL);
        let mut latest: Option<CompiledIpvs> = None;
        let mut by_node: std::collections::BTreeMap<Arc<str>, CompiledIpvs> = std::collections::BTreeMap::new();
        for change in &changes {
            change.apply(&mut view);
            for facts in nodes() {
                let mut fresh_compiler = Compiler::new(Capabilities::ALL);
                let fresh = fresh_compiler.ipvs(&view, &facts);
                let own = by_node.get(&facts.name).cloned();
                for earlier in [own.as_ref(), latest.as_ref()] {
                    let compiled = compiler.ipvs_after(earlier, &view, &facts);
                    prop_assert_eq!(&compiled, &fresh);
                    prop_assert_eq!(explained(&compiler, &compiled), explained(&fresh_compiler, &fresh));
                    for (family, before) in earlier.iter().flat_map(|earlier| &earlier.tables) {
                        let transaction = IpvsTransaction::between(before, &compiled.tables[family]);
                        let mut tables = IpvsTables::clone(before);
                        let removals = transaction.drained.iter().map(|drained| drained.removal());
                        for command in transaction.commands.iter().cloned().chain(removals) {
                            tables = tables.apply(&command).expect("a kernel takes it");
                        }
                        prop_assert_eq!(&tables, &*compiled.tables[family]);
                    }
                }
                for tables in fresh.tables.values() {
                    check_text(tables)?;
                    check_whole(tables, &facts)?;
                }
                let compiled = compiler.ipvs_after(latest.as_ref(), &view, &facts);
                by_node.insert(Arc::clone(&facts.name), compiled.clone());
                latest = Some(compiled);
            }
        }
    }
}

/// PROXY-23, PROXY-59: two Services with one Pod behind them have one hairpin entry, until neither has it.
#[test]
fn what_two_contribute_stays_while_one_does() {
    let mut view = web(TrafficPolicy::Cluster, &[endpoint("10.244.1.10", "node-1")]);
    let other = crate::support::service(&["10.96.0.41"], TrafficPolicy::Cluster);
    crate::support::add_service(&mut view, "other", other);
    let pod = [endpoint("10.244.1.10", "node-1")];
    let slice = crate::support::slice(Family::V4, &pod);
    crate::support::add_slice(&mut view, "other", "a", slice);
    let mut compiler = Compiler::new(Capabilities::ALL);
    let mut compiled = compiler.ipvs(&view, &node_1());
    for left in ["other", "web"] {
        let hairpins = {
            let name = SetName::of_family("KUBE-LOOP-BACK", Family::V4);
            compiled.tables[&Family::V4].sets[&name].clone()
        };
        let address = [10, 244, 1, 10].into();
        let entry = SetEntry::AddressPortAddress(address, Protocol::TCP, 8080, address);
        assert!(hairpins.entries.iter().eq([&entry]), "{hairpins:?}");
        view.services.remove(&crate::support::service_name(left));
        compiled = compiler.ipvs_after(Some(&compiled), &view, &node_1());
    }
    assert_eq!(
        compiled,
        Compiler::new(Capabilities::ALL).ipvs(&view, &node_1())
    );
    assert!(compiled.tables[&Family::V4].servers.is_empty());
}
