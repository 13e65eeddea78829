//! Our compiler and evaluator against the oracle, and proof that the oracle would notice.

mod support;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use ruleset::Family;
use ruleset::xt::{ChainName, TableName, XtRule, XtTarget};
use support::objects::{cluster, slice, web};
use support::{Place, XtPlane};
use switchboard_conformance::{Cluster, DataPlane, NoRules, check, clusters, packets};

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: 96,
        rng_seed: RngSeed::Fixed(0x5b),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn compiled_rules_do_what_kubernetes_promises() {
    let agrees = |cluster: Cluster| {
        check(&mut XtPlane::default(), &cluster, &packets(&cluster))
            .map_err(|disagreement| TestCaseError::fail(disagreement.to_string()))
    };
    runner()
        .run(&clusters(), agrees)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn a_node_without_rules_never_passes() {
    let fails = |cluster: Cluster| match check(&mut NoRules, &cluster, &packets(&cluster)) {
        Ok(()) => Err(TestCaseError::fail("no rules are enough")),
        Err(_) => Ok(()),
    };
    runner()
        .run(&clusters(), fails)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// One Service that balances, one that is refused, one that is dropped on node-2.
fn varied() -> Cluster {
    let renamed = |name: &str, host: &str, policy: &str, endpoints: &[&str]| {
        let service = web(&format!(", internalTrafficPolicy: {policy}"));
        let both = format!("{service}{}", slice("web-1", endpoints));
        both.replace("web", name).replace("10.96.0.40", host)
    };
    let here = "{addresses: [10.244.1.5], nodeName: node-1}";
    let there = "{addresses: [10.244.2.6], nodeName: node-2}";
    cluster(
        &[
            renamed("web", "10.96.0.40", "Cluster", &[here, there]),
            renamed("db", "10.96.0.41", "Cluster", &[]),
            renamed("cache", "10.96.0.42", "Local", &[here]),
        ]
        .join("---"),
    )
}

/// Whether a packet to a ClusterIP is treated otherwise on a node without this rule.
fn matters(node: &str, table: TableName, chain: ChainName, rule: &XtRule) -> bool {
    let jumps_to_ours = |names: &[&str]| match rule.target {
        XtTarget::Jump(to) => names.iter().any(|name| to.as_str().starts_with(name)),
        _ => false,
    };
    match (table, chain.as_str()) {
        (TableName::Nat, "PREROUTING" | "OUTPUT" | "POSTROUTING" | "KUBE-MARK-MASQ")
        | (TableName::Filter, "KUBE-SERVICES") => true,
        (TableName::Nat, "KUBE-SERVICES") => jumps_to_ours(&["KUBE-SVC-", "KUBE-SVL-"]),
        // The mark that it clears concerns nobody any more.
        (TableName::Nat, "KUBE-POSTROUTING") => !matches!(rule.target, XtTarget::SetXmark { .. }),
        (TableName::Nat, chain) if chain.starts_with("KUBE-SEP-") => {
            // An endpoint calls itself on its own node only.
            let pods = if node == "node-1" {
                "10.244.1."
            } else {
                "10.244.2."
            };
            rule.source
                .is_none_or(|source| source.net.to_string().starts_with(pods))
        }
        (TableName::Nat, chain) => chain.starts_with("KUBE-SVC-") || chain.starts_with("KUBE-SVL-"),
        (TableName::Filter, "FORWARD" | "OUTPUT") => jumps_to_ours(&["KUBE-SERVICES"]),
        _ => false,
    }
}

/// The places of the rules that `wanted` picks, in IPv4, on every node.
fn places(
    plane: &XtPlane,
    wanted: impl Fn(&str, TableName, ChainName, &XtRule) -> bool,
) -> Vec<Place> {
    let mut places = Vec::new();
    for (node, tables) in plane
        .tables()
        .filter(|(_, tables)| tables.family == Family::V4)
    {
        for (table, content) in &tables.tables {
            for (chain, body) in &content.chains {
                let rules = body.rules.iter().enumerate();
                let wanted = rules.filter(|(_, rule)| wanted(node, *table, *chain, rule));
                places.extend(wanted.map(|(index, _)| Place {
                    node: node.clone(),
                    family: tables.family,
                    table: *table,
                    chain: *chain,
                    index,
                }));
            }
        }
    }
    places
}

#[test]
fn every_rule_that_matters_is_missed() {
    let cluster = varied();
    let mut whole = XtPlane::default();
    check(&mut whole, &cluster, &packets(&cluster)).unwrap();
    let places = places(&whole, matters);
    for kind in [
        "KUBE-SERVICES",
        "KUBE-SVC-",
        "KUBE-SVL-",
        "KUBE-SEP-",
        "KUBE-MARK-MASQ",
    ] {
        let is_kind = |place: &Place| place.chain.as_str().starts_with(kind);
        assert!(places.iter().any(is_kind), "no rule of {kind} is tried");
    }
    for place in places {
        let mut damaged = XtPlane::without(place.clone());
        let noticed = check(&mut damaged, &cluster, &packets(&cluster)).is_err();
        assert!(noticed, "nobody misses {place:?}");
    }
}

#[test]
fn a_disagreement_is_told_in_words() {
    let cluster = varied();
    let mut whole = XtPlane::default();
    whole.apply(&cluster);
    whole.settle();
    let refusing = places(&whole, |_, _, _, rule| {
        matches!(rule.target, XtTarget::Reject(_))
    });
    let mut damaged = XtPlane::without(refusing[0].clone());
    let disagreement = check(&mut damaged, &cluster, &packets(&cluster)).unwrap_err();
    assert_eq!(
        disagreement.to_string(),
        "the data plane (iptables) and the oracle disagree
packet: TCP to 10.96.0.41:80 on node-1, from its Pod 10.244.1.5
objects:
    node/node-1 in zone-1: 192.168.10.1
    service/default/db at 10.96.0.41, internalTrafficPolicy Cluster, ports [http 80/TCP]
    endpointslice/default/db-1 of Service db, IPv4, ports [http 8080/TCP]
allowed: no endpoint anywhere is ready, or serving while it terminates (PROXY-14):
    1: rejected
the data plane:
    1: untouched"
    );
}

/// PROXY-2: kube-proxy does not see slices that carry the label, whoever their Service's proxy is.
#[test]
fn slices_of_another_proxy_are_not_seen() {
    let labelled = slice("web-1", &["{addresses: [10.244.1.5], nodeName: node-1}"]).replace(
        "labels: {",
        "labels: {service.kubernetes.io/service-proxy-name: other, ",
    );
    let cluster = cluster(&format!("{}{labelled}", web("")));
    check(&mut XtPlane::default(), &cluster, &packets(&cluster)).unwrap();
}
