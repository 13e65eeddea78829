//! Our compiler and evaluator against the oracle, and proof that the oracle would notice.

mod support;

use api::Protocol;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};
use ruleset::Family;
use ruleset::xt::{ChainName, TableName, XtRule, XtTarget};
use support::objects::{cluster, slice, web};
use support::{LAYOUTS, Layout, LayoutPlane, Place};
use switchboard_conformance::{
    Cluster, DataPlane, FirstPacket, NoRules, Outcome, PacketKind, ProxyMode, RememberingPlane,
    Share, Source, check, clusters, packets,
};

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
    for layout in LAYOUTS {
        let agrees = |cluster: Cluster| {
            check(&mut LayoutPlane::new(layout), &cluster, &packets(&cluster))
                .map_err(|disagreement| TestCaseError::fail(disagreement.to_string()))
        };
        runner()
            .run(&clusters(), agrees)
            .unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Each endpoint is as likely as the others, however many there are and other Services have.
#[test]
fn any_number_of_endpoints_is_chosen_from() {
    let services = [1, 8, 9, 12, 17, 33, 129].map(|count| {
        let endpoints: Vec<String> = (1..=count)
            .map(|host| format!("{{addresses: [10.244.2.{host}], nodeName: node-2}}"))
            .collect();
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let text = format!(
            "{}{}",
            web(", type: NodePort, externalIPs: [203.0.113.5]"),
            slice("web-1", &endpoints)
        );
        text.replace("web", &format!("web{count}"))
            .replace("10.96.0.40", &format!("10.96.1.{count}"))
            .replace("203.0.113.5", &format!("203.0.113.{count}"))
    });
    let cluster = cluster(&services.join("---"));
    for layout in LAYOUTS {
        let judged = check(&mut LayoutPlane::new(layout), &cluster, &packets(&cluster));
        judged.unwrap_or_else(|disagreement| panic!("{disagreement}"));
    }
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

/// PROXY-16, PROXY-56: rules of one mode are not those of the other.
#[test]
fn a_mode_is_not_the_other() {
    struct Disguised(LayoutPlane);

    impl DataPlane for Disguised {
        fn mode(&self) -> ProxyMode {
            match self.0.mode() {
                ProxyMode::Iptables => ProxyMode::Nftables,
                _ => ProxyMode::Iptables,
            }
        }

        fn apply(&mut self, cluster: &Cluster) {
            self.0.apply(cluster);
        }

        fn settle(&mut self) {
            self.0.settle();
        }

        fn probe(&mut self, packet: &FirstPacket) -> Vec<(Share, Outcome)> {
            self.0.probe(packet)
        }
    }

    let cluster = varied();
    for layout in LAYOUTS {
        let mut disguised = Disguised(LayoutPlane::new(layout));
        assert!(check(&mut disguised, &cluster, &packets(&cluster)).is_err());
    }
}

/// One Service that balances, one that is refused, one that is dropped on node-2; and the same from outside, at
/// node ports, an external IP and a load balancer.
fn varied() -> Cluster {
    let renamed = |name: &str, host: &str, more: &str, endpoints: &[&str]| {
        let service = web(&format!(", {more}"));
        let both = format!("{service}{}", slice("web-1", endpoints));
        both.replace("web", name).replace("10.96.0.40", host)
    };
    let here = "{addresses: [10.244.1.5], nodeName: node-1}";
    let there = "{addresses: [10.244.2.6], nodeName: node-2}";
    let gone = "{addresses: [10.244.3.7], nodeName: node-3}";
    let local = "type: NodePort, externalTrafficPolicy: Local";
    cluster(
        &[
            renamed(
                "web",
                "10.96.0.40",
                "internalTrafficPolicy: Cluster",
                &[here, there],
            ),
            renamed("db", "10.96.0.41", "internalTrafficPolicy: Cluster", &[]),
            renamed(
                "cache",
                "10.96.0.42",
                "internalTrafficPolicy: Local",
                &[here],
            ),
            renamed("shop", "10.96.0.43", "type: NodePort", &[here, there]),
            renamed("mart", "10.96.0.44", local, &[here, there]),
            renamed("kiosk", "10.96.0.45", local, &[there, gone]),
            renamed(
                "stall",
                "10.96.0.46",
                "type: NodePort, externalIPs: [203.0.113.5]",
                &[],
            ),
            renamed(
                "fair",
                "10.96.0.47",
                "externalIPs: [203.0.113.6]",
                &[here, there],
            ),
            fenced(&renamed(
                "fence",
                "10.96.0.48",
                "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.64/28]",
                &[here, there],
            )),
        ]
        .join("---"),
    )
}

/// The same Service with the load-balancer address 203.0.113.9.
fn fenced(manifests: &str) -> String {
    let status = "status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}";
    manifests.replacen("---", &format!("{status}\n---"), 1)
}

/// Whether a packet to a Service is treated otherwise on a node without this rule.
fn matters(node: &str, table: TableName, chain: ChainName, rule: &XtRule) -> bool {
    let jumps_to = |names: &[&str]| match rule.target {
        XtTarget::Jump(to) => names.iter().any(|name| to.as_str().starts_with(name)),
        _ => false,
    };
    if rule.target == XtTarget::None {
        return false;
    }
    match (table, chain.as_str()) {
        (TableName::Nat, "PREROUTING" | "OUTPUT" | "POSTROUTING" | "KUBE-MARK-MASQ")
        | (TableName::Filter, "KUBE-SERVICES" | "KUBE-EXTERNAL-SERVICES" | "KUBE-PROXY-FIREWALL") => {
            true
        }
        (TableName::Nat, "KUBE-SERVICES") => jumps_to(&[
            "KUBE-SVC-",
            "KUBE-SVL-",
            "KUBE-EXT-",
            "KUBE-FW-",
            "KUBE-NODEPORTS",
        ]),
        // Without the rule for 127.0.0.0/8, which counts, the next one takes the packet.
        (TableName::Nat, "KUBE-NODEPORTS") => rule.destination.is_none(),
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
        (TableName::Nat, chain) => ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-"]
            .iter()
            .any(|kind| chain.starts_with(kind)),
        // No load-balancer address is the node's own.
        (TableName::Filter, "INPUT") => jumps_to(&["KUBE-EXTERNAL-SERVICES"]),
        (TableName::Filter, "FORWARD") => jumps_to(&[
            "KUBE-SERVICES",
            "KUBE-EXTERNAL-SERVICES",
            "KUBE-PROXY-FIREWALL",
        ]),
        (TableName::Filter, "OUTPUT") => jumps_to(&["KUBE-SERVICES", "KUBE-PROXY-FIREWALL"]),
        _ => false,
    }
}

/// The places of the rules that `wanted` picks, in IPv4, on every node.
fn places(
    plane: &LayoutPlane,
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
    let mut whole = LayoutPlane::new(Layout::Iptables);
    check(&mut whole, &cluster, &packets(&cluster)).unwrap();
    let places = places(&whole, matters);
    for kind in [
        "KUBE-SERVICES",
        "KUBE-SVC-",
        "KUBE-SVL-",
        "KUBE-SEP-",
        "KUBE-EXT-",
        "KUBE-FW-",
        "KUBE-NODEPORTS",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-PROXY-FIREWALL",
        "KUBE-MARK-MASQ",
    ] {
        let is_kind = |place: &Place| place.chain.as_str().starts_with(kind);
        assert!(places.iter().any(is_kind), "no rule of {kind} is tried");
    }
    let packets = packets(&cluster);
    let unnoticed: Vec<Place> = places
        .into_iter()
        .filter(|place| {
            let mut damaged = LayoutPlane::without(place.clone());
            check(&mut damaged, &cluster, &packets).is_ok()
        })
        .collect();
    assert!(unnoticed.is_empty(), "nobody misses {unnoticed:#?}");
}

#[test]
fn a_disagreement_is_told_in_words() {
    let cluster = varied();
    let mut whole = LayoutPlane::new(Layout::Iptables);
    whole.apply(&cluster);
    whole.settle();
    let refusing = places(&whole, |_, _, chain, rule| {
        chain.as_str() == "KUBE-SERVICES" && matches!(rule.target, XtTarget::Reject(_))
    });
    let mut damaged = LayoutPlane::without(refusing[0].clone());
    let disagreement = check(&mut damaged, &cluster, &packets(&cluster)).unwrap_err();
    assert_eq!(
        disagreement.to_string(),
        "the data plane (iptables) and the oracle disagree
packet: TCP to 10.96.0.41:80 on node-1, from its Pod 10.244.1.5
proxies: clusterCIDR 10.244.0.0/16
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
    check(
        &mut LayoutPlane::new(Layout::Iptables),
        &cluster,
        &packets(&cluster),
    )
    .unwrap();
}

/// PROXY-18: what a new source range forbids is forbidden to new connections only.
#[test]
fn what_goes_on_may_go_on() {
    // Policy Local, so that answers go to the client as it is.
    let open = "type: LoadBalancer, externalTrafficPolicy: Local";
    let closed = &format!("{open}, loadBalancerSourceRanges: [198.51.100.0/24]");
    let cluster = |more: &str| {
        let endpoints = slice("web-1", &["{addresses: [10.244.1.5], nodeName: node-1}"]);
        let both = fenced(&format!("{}{endpoints}", web(&format!(", {more}"))));
        let udp = both.replace("port: 80}", "port: 80, protocol: UDP}");
        cluster(&udp.replace("port: 8080}", "port: 8080, protocol: UDP}"))
    };
    let packet = FirstPacket {
        node: "node-1".to_owned(),
        source: Source::Outside([203, 0, 113, 70].into()),
        destination: "203.0.113.9:80".parse().unwrap(),
        kind: PacketKind::Open(Protocol::Udp),
    };
    for layout in LAYOUTS {
        let mut plane = LayoutPlane::new(layout);
        plane.change(&cluster(open));
        let first = plane.exchange(&packet, 40_000);
        assert!(
            matches!(first, Outcome::Endpoint { .. }),
            "{layout:?}: {first}"
        );
        plane.change(&cluster(closed));
        // IPVS mode compares every packet with the source ranges, not only the first ones.
        let later = match layout {
            Layout::Ipvs => Outcome::Drop,
            Layout::Iptables | Layout::Nftables | Layout::Flat => first,
        };
        assert_eq!(plane.exchange(&packet, 40_000), later, "{layout:?}");
        assert_eq!(plane.exchange(&packet, 40_001), Outcome::Drop, "{layout:?}");
    }
}
