//! The oracle against the tables of the reference (proxy.md, sections 1 to 4).

mod support;

use std::collections::BTreeMap;

use api::Protocol;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use support::objects::{cluster, slice, web};
use support::shown::shown;
use switchboard_conformance::{
    Allowed, Cluster, FirstPacket, Obligation, Oracle, Outcome, PacketKind, ProxyMode, Ruling,
    Share, Source, clusters, packets,
};

const POD: Source = Source::Pod(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 1, 9)));

/// TCP to `to` on node-1.
fn judge(cluster: &Cluster, source: Source, to: &str) -> Allowed {
    let packet = FirstPacket {
        node: "node-1".to_owned(),
        source,
        destination: to.parse().unwrap(),
        kind: PacketKind::Open(Protocol::Tcp),
    };
    Oracle::new(cluster, ProxyMode::Iptables).judge(&packet)
}

/// What a Pod of node-1 gets from Service `web` with one slice of these endpoints, by policy.
#[track_caller]
fn check_set(endpoints: &[&str], by_cluster: &str, by_local: &str) {
    for (policy, expected) in [("Cluster", by_cluster), ("Local", by_local)] {
        let service = web(&format!(", internalTrafficPolicy: {policy}"));
        let cluster = cluster(&format!("{service}{}", slice("a", endpoints)));
        let allowed = judge(&cluster, POD, "10.96.0.40:80");
        assert_eq!(shown(&allowed), [expected], "policy {policy}: {cluster:?}");
    }
}

const HERE: &str = "{addresses: [10.244.1.5], nodeName: node-1}";
const THERE: &str = "{addresses: [10.244.2.6], nodeName: node-2}";

/// The same endpoint with these conditions (YAML).
fn with(endpoint: &str, conditions: &str) -> String {
    endpoint.replace('}', &format!(", conditions: {{{conditions}}}}}"))
}

fn leaving(endpoint: &str) -> String {
    with(endpoint, "ready: false, serving: true, terminating: true")
}

fn unready(endpoint: &str) -> String {
    with(endpoint, "ready: false, serving: false, terminating: false")
}

#[test]
fn proxy_13_the_truth_table() {
    check_set(
        &[HERE, THERE],
        "10.244.1.5:8080 10.244.2.6:8080",
        "10.244.1.5:8080",
    );
    check_set(
        &[&leaving(HERE), THERE],
        "10.244.2.6:8080",
        "10.244.1.5:8080",
    );
    check_set(&[THERE], "10.244.2.6:8080", "drop");
    let (here, there) = (leaving(HERE), leaving(THERE));
    check_set(
        &[&here, &there],
        "10.244.1.5:8080 10.244.2.6:8080",
        "10.244.1.5:8080",
    );
    check_set(&[&there], "10.244.2.6:8080", "drop");
    check_set(&[], "reject", "reject");
}

#[test]
fn proxy_12_what_is_never_used() {
    check_set(&[&unready(HERE), &unready(THERE)], "reject", "reject");
    let dying = with(HERE, "ready: false, serving: false, terminating: true");
    check_set(&[&dying], "reject", "reject");
}

/// EP-13.
#[test]
fn absent_conditions() {
    check_set(
        &[&with(HERE, "terminating: true")],
        "10.244.1.5:8080",
        "10.244.1.5:8080",
    );
    let fallback = with(HERE, "ready: false, terminating: true");
    check_set(&[&fallback], "10.244.1.5:8080", "10.244.1.5:8080");
    check_set(&[&with(HERE, "ready: false")], "reject", "reject");
}

fn hinted(endpoint: &str, hints: &str) -> String {
    endpoint.replace('}', &format!(", hints: {{{hints}}}}}"))
}

#[test]
fn proxy_10_hints() {
    let zones = |here, there| {
        [
            hinted(HERE, &format!("forZones: [{{name: {here}}}]")),
            hinted(THERE, &format!("forZones: [{{name: {there}}}]")),
        ]
    };
    let both = "10.244.1.5:8080 10.244.2.6:8080";
    let [here, there] = zones("zone-1", "zone-2");
    check_set(&[&here, &there], "10.244.1.5:8080", "10.244.1.5:8080");
    // One ready endpoint without a hint turns the mode off; one that is not ready does not.
    check_set(&[&here, THERE], both, "10.244.1.5:8080");
    check_set(
        &[&here, &unready(THERE)],
        "10.244.1.5:8080",
        "10.244.1.5:8080",
    );
    let [here, there] = zones("zone-2", "zone-2");
    check_set(&[&here, &there], both, "10.244.1.5:8080");
    let nodes = |endpoint, zone: &str, node: &str| {
        hinted(
            endpoint,
            &format!("forZones: [{{name: {zone}}}], forNodes: [{{name: {node}}}]"),
        )
    };
    let here = nodes(HERE, "zone-1", "node-2");
    let there = nodes(THERE, "zone-2", "node-1");
    check_set(&[&here, &there], "10.244.2.6:8080", "10.244.1.5:8080");
    let there = nodes(THERE, "zone-2", "node-3");
    check_set(&[&here, &there], "10.244.1.5:8080", "10.244.1.5:8080");
}

#[track_caller]
fn check_packet(manifests: &str, source: Source, to: &str, expected: &[&str]) {
    let cluster = cluster(manifests);
    assert_eq!(shown(&judge(&cluster, source, to)), expected, "{cluster:?}");
}

#[test]
fn proxy_16_what_is_no_service() {
    let both = format!("{}{}", web(""), slice("a", &[HERE]));
    check_packet(&both, POD, "10.96.0.40:81", &["untouched"]);
    check_packet(&both, POD, "10.96.0.41:80", &["untouched"]);
    check_packet(&both, POD, "10.244.1.5:8080", &["untouched"]);
    check_packet(
        &both.replace("port: 80}", "port: 80, protocol: UDP}"),
        POD,
        "10.96.0.40:80",
        &["untouched"],
    );
}

#[test]
fn proxy_2_what_is_not_watched() {
    let label = "service.kubernetes.io/service-proxy-name: other";
    let foreign = web("").replace("name: web}", &format!("name: web, labels: {{{label}}}}}"));
    check_packet(&foreign, POD, "10.96.0.40:80", &["untouched"]);
    for label in [label, "service.kubernetes.io/headless: ''"] {
        let labelled = slice("a", &[HERE]).replace("labels: {", &format!("labels: {{{label}, "));
        check_packet(
            &format!("{}{labelled}", web("")),
            POD,
            "10.96.0.40:80",
            &["reject"],
        );
    }
}

#[test]
fn proxy_4_ports_join_by_name_and_protocol() {
    let with_ports = |ports: &str| {
        let slice = slice("a", &[HERE]).replace("[{name: http, port: 8080}]", ports);
        format!("{}{slice}", web(""))
    };
    for (ports, expected) in [
        ("[{name: http, port: 8081}]", "10.244.1.5:8081"),
        ("[{name: web, port: 8080}]", "reject"),
        ("[{port: 8080}]", "reject"),
        ("[{name: http, port: 8080, protocol: UDP}]", "reject"),
        ("[{name: http}]", "reject"),
    ] {
        check_packet(&with_ports(ports), POD, "10.96.0.40:80", &[expected]);
    }
    let unnamed = with_ports("[{port: 8080}]").replace("name: http, port: 80}", "port: 80}");
    check_packet(&unnamed, POD, "10.96.0.40:80", &["10.244.1.5:8080"]);
    let other_namespace = with_ports("[{name: http, port: 8080}]")
        .replace("{name: a,", "{name: a, namespace: kube-public,");
    check_packet(&other_namespace, POD, "10.96.0.40:80", &["reject"]);
}

#[test]
fn proxy_20_and_23_who_is_hidden() {
    let both = format!("{}{}", web(""), slice("a", &[HERE]));
    let at = |text: &str| text.parse().unwrap();
    for (source, expected) in [
        (POD, "10.244.1.5:8080"),
        (Source::Outside(at("203.0.113.70")), "10.244.1.5:8080+"),
        (Source::Node(at("192.168.10.1")), "10.244.1.5:8080?"),
        (Source::Pod(at("10.244.1.5")), "10.244.1.5:8080+"),
    ] {
        check_packet(&both, source, "10.96.0.40:80", &[expected]);
    }
    let mut cluster = cluster(&both);
    cluster.proxy.masquerade_all = true;
    assert_eq!(
        shown(&judge(&cluster, POD, "10.96.0.40:80")),
        ["10.244.1.5:8080+"]
    );
    cluster.proxy = Default::default();
    let outside = Source::Outside(at("203.0.113.70"));
    assert_eq!(
        shown(&judge(&cluster, outside, "10.96.0.40:80")),
        ["10.244.1.5:8080"]
    );
}

#[test]
fn proxy_5_duplicates() {
    let twice = |first: &str, second: &str| {
        format!(
            "{}{}{}",
            web(""),
            slice("a", &[first]),
            slice("b", &[second])
        )
    };
    let open = ["10.244.1.5:8080", "reject"].as_slice();
    for (first, second, expected) in [
        (HERE, HERE.to_owned(), &open[..1]),
        // The new Pod at the address of one that terminates is the one that counts.
        (HERE, leaving(HERE), &open[..1]),
        (&unready(HERE), leaving(HERE), &open[1..]),
        // Of two that stay, nobody says which.
        (HERE, unready(HERE), &["reject", "10.244.1.5:8080"]),
    ] {
        for manifests in [twice(first, &second), twice(&second, first)] {
            let allowed = judge(&cluster(&manifests), POD, "10.96.0.40:80");
            let mut found = shown(&allowed);
            found.sort_by_key(|line| expected.iter().position(|wanted| wanted == line));
            assert_eq!(found, expected);
            let required = Obligation::Required;
            let all_required = allowed.outcomes().values().all(|one| *one == required);
            assert_eq!(all_required, expected.len() == 1);
        }
    }
}

#[test]
fn shares_have_to_be_even_and_complete() {
    let both = format!("{}{}", web(""), slice("a", &[HERE, THERE]));
    let allowed = judge(&cluster(&both), POD, "10.96.0.40:80");
    let to = |address: &str| Outcome::Endpoint {
        address: address.parse().unwrap(),
        source_nat: false,
    };
    let (here, there) = (to("10.244.1.5:8080"), to("10.244.2.6:8080"));
    let share = |n, of| Share::new(n, of).unwrap();
    assert!(allowed.permits(&[(share(1, 2), here), (share(1, 2), there)]));
    let quarter = share(1, 4);
    assert!(allowed.permits(&[(quarter, here), (share(1, 2), there), (quarter, here)]));
    assert!(!allowed.permits(&[(share(1, 3), here), (share(2, 3), there)]));
    assert!(!allowed.permits(&[(share(1, 2), here)]));
    assert!(!allowed.permits(&[]));
    let third = share(1, 3);
    assert!(!allowed.permits(&[(third, here), (third, there), (third, Outcome::Drop)]));
}

/// The generated clusters reach every ruling of each mode, and cases where implementations may differ.
#[test]
fn generated_clusters_are_varied() {
    let mut runner = TestRunner::deterministic();
    let clusters: Vec<Cluster> = (0..96)
        .map(|_| clusters().new_tree(&mut runner).unwrap().current())
        .collect();
    let common = [
        Ruling::NoService,
        Ruling::SourceRanges,
        Ruling::NoEndpoint,
        Ruling::NotServed,
        Ruling::Balance,
    ];
    let own = |mode| match mode {
        ProxyMode::Nftables => [
            Ruling::NoLocalEndpoint,
            Ruling::WrongPort,
            Ruling::UnusedAddress,
        ]
        .as_slice(),
        ProxyMode::Ipvs => &[Ruling::EmptyServer, Ruling::WrongPort],
        _ => &[Ruling::NoLocalEndpoint, Ruling::NotChecked],
    };
    for mode in ProxyMode::ALL {
        let mut seen: BTreeMap<Ruling, usize> = BTreeMap::new();
        let (mut open, mut shared) = (0, 0);
        for cluster in &clusters {
            let oracle = Oracle::new(cluster, mode);
            for packet in packets(cluster) {
                let allowed = oracle.judge(&packet);
                open += usize::from(allowed.alternatives().count() > 1);
                for alternative in allowed.alternatives() {
                    *seen.entry(alternative.ruling).or_default() += 1;
                    shared += usize::from(alternative.outcomes.len() > 1);
                }
            }
        }
        for ruling in common.iter().chain(own(mode)) {
            let count = seen.get(ruling).copied().unwrap_or_default();
            assert!(count > 100, "{mode}: {ruling:?}: {seen:?}");
        }
        assert!(open > 20, "{open} packets leave a choice");
        assert!(shared > 200, "{shared} packets have several endpoints");
    }
}
