//! Whole texts, to be read by people: a Service with three endpoints in both spellings, and its origins.

use ruleset::xt::{TableName, XtTables, restore_text, save_text};
use ruleset::{Family, nft};
use switchboard_rules::{
    Capabilities, ClusterView, CompiledIptables, Compiler, EndpointView, TrafficPolicy,
};

use crate::support::{
    add_service, add_slice, endpoint, nftables_node_1, node_1, service, slice, web,
};

fn three_endpoints() -> Vec<EndpointView> {
    [1, 2, 3]
        .map(|n| EndpointView {
            pod: Some(format!("web-{n}").into()),
            ..endpoint(&format!("10.244.{n}.1{n}"), &format!("node-{n}"))
        })
        .to_vec()
}

fn compile() -> (Compiler, CompiledIptables) {
    let mut compiler = Compiler::new(Capabilities::default());
    let view = web(TrafficPolicy::Cluster, &three_endpoints());
    let compiled = compiler.iptables(&view, &node_1());
    (compiler, compiled)
}

/// The part of a text that is about Services' own chains.
fn service_lines(text: &str) -> String {
    let is_one = |line: &&str| {
        [
            "KUBE-SVC-",
            "KUBE-SEP-",
            "KUBE-POSTROUTING",
            "KUBE-MARK-MASQ",
        ]
        .iter()
        .any(|name| line.contains(name))
    };
    text.lines().filter(is_one).collect::<Vec<_>>().join("\n")
}

#[test]
fn as_restored() {
    let (_, compiled) = compile();
    let text = restore_text(&compiled.tables[&Family::V4]);
    insta::assert_snapshot!("restore_three_endpoints", text);
}

#[test]
fn as_saved() {
    let (_, compiled) = compile();
    let text = service_lines(&save_text(&compiled.tables[&Family::V4]));
    insta::assert_snapshot!("save_three_endpoints", text);
}

#[test]
fn ipv6() {
    let mut view = web(TrafficPolicy::Cluster, &[]);
    let v6 = service(&["fd00:10:96::40"], TrafficPolicy::Cluster);
    add_service(&mut view, "web", v6);
    let endpoints = [endpoint("fd00:10:244:1::10", "node-1")];
    add_slice(&mut view, "web", "v6", slice(Family::V6, &endpoints));
    let v6_empty = service(&["fd00:10:96::41"], TrafficPolicy::Cluster);
    add_service(&mut view, "empty", v6_empty);
    let compiled = Compiler::new(Capabilities::ALL).iptables(&view, &node_1());
    let text = save_text(&compiled.tables[&Family::V6]);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("fd00:")).collect();
    insta::assert_snapshot!("save_ipv6", lines.join("\n"));
}

/// One line per rule: where it stands and what it decides.
fn explained(compiler: &Compiler, tables: &XtTables, table: TableName) -> String {
    let mut text = String::new();
    for (name, chain) in &tables.tables[&table].chains {
        for rule in &chain.rules {
            let origin = rule.origin.expect("every rule has an origin");
            text += &format!("{name}: {}\n", compiler.origin(origin));
        }
    }
    text
}

#[test]
fn in_plain_words() {
    let (compiler, compiled) = compile();
    let tables = &compiled.tables[&Family::V4];
    insta::assert_snapshot!("origins_nat", explained(&compiler, tables, TableName::Nat));
    insta::assert_snapshot!(
        "origins_filter",
        explained(&compiler, tables, TableName::Filter)
    );
}

/// A load balancer with source ranges, affinity and a health-check port, without endpoints on this node: nothing
/// of that is in the recordings.
fn balancer() -> ClusterView {
    let mut view = web(TrafficPolicy::Cluster, &three_endpoints()[1..2]);
    let mut one = service(&["10.96.0.40"], TrafficPolicy::Cluster);
    one.external_traffic_policy = TrafficPolicy::Local;
    one.load_balancer_ips = vec!["203.0.113.9".parse().unwrap()];
    let ranges = ["192.168.10.0/24", "198.51.100.0/24"];
    one.load_balancer_source_ranges = ranges.map(|net| net.parse().unwrap()).to_vec();
    one.affinity_seconds = Some(600);
    one.health_check_node_port = Some(31_000);
    add_service(&mut view, "web", one);
    view
}

#[test]
fn source_ranges() {
    let compiled = Compiler::new(Capabilities::ALL).iptables(&balancer(), &node_1());
    let text = save_text(&compiled.tables[&Family::V4]);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains("default/web"))
        .collect();
    insta::assert_snapshot!("save_source_ranges", lines.join("\n"));
}

#[test]
fn source_ranges_with_nftables() {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let compiled = compiler.nftables(&balancer(), &nftables_node_1());
    let text = nft::list_text(&compiled.tables);
    let (text, _) = text.split_once("table ip6").expect("both families");
    insta::assert_snapshot!("list_source_ranges", text);
}

#[test]
fn the_layout_of_our_own() {
    let endpoints = ["10.244.2.1", "10.244.2.2"].map(|address| endpoint(address, "node-2"));
    let mut view = web(TrafficPolicy::Cluster, &endpoints);
    let mut public = service(&["10.96.0.41"], TrafficPolicy::Cluster);
    public.ports[0].node_port = Some(30080);
    public.external_ips = vec!["203.0.113.9".parse().unwrap()];
    add_service(&mut view, "public", public);
    let slice_of = |address| slice(Family::V4, &[endpoint(address, "node-1")]);
    add_slice(&mut view, "public", "a", slice_of("10.244.1.7"));
    let mut sticky = service(&["10.96.0.42"], TrafficPolicy::Cluster);
    sticky.affinity_seconds = Some(600);
    add_service(&mut view, "sticky", sticky);
    add_slice(&mut view, "sticky", "a", slice_of("10.244.1.8"));
    let empty = service(&["10.96.0.43"], TrafficPolicy::Cluster);
    add_service(&mut view, "empty", empty);
    let mut compiler = Compiler::new(Capabilities::ALL);
    let compiled = compiler.flat(&view, &nftables_node_1());
    let text = nft::list_text(&compiled.tables);
    let (text, _) = text.split_once("table ip6").expect("both families");
    insta::assert_snapshot!("list_flat", text);
}

/// Node ports at every address: what reaches the input hook is the node's own already.
#[test]
fn node_ports_at_any_address_with_nftables() {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let compiled = compiler.nftables(&balancer(), &node_1());
    let text = nft::list_text(&compiled.tables);
    for rule in [
        "\t\tip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports\n",
        "\t\tfib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports\n",
        "\t\tip6 daddr != ::1 meta l4proto . th dport vmap @no-endpoint-nodeports\n",
    ] {
        assert!(text.contains(rule), "{rule}{text}");
    }
    assert!(!text.contains("nodeport-ips"), "{text}");
}

/// As nft 1.0.6 lists what kube-proxy writes, `{ net, net }` from two networks on.
#[test]
fn nft_merges_networks_of_a_set() {
    let check = |ranges: &[&str], listed: &str| {
        let mut view = balancer();
        let mut one = service(&["10.96.0.40"], TrafficPolicy::Cluster);
        one.load_balancer_ips = vec![
            "203.0.113.9".parse().unwrap(),
            "203.0.113.10".parse().unwrap(),
        ];
        one.load_balancer_source_ranges = ranges.iter().map(|net| net.parse().unwrap()).collect();
        add_service(&mut view, "web", one);
        let mut compiler = Compiler::new(Capabilities::ALL);
        let text = nft::list_text(&compiler.nftables(&view, &nftables_node_1()).tables);
        let rule = format!("\t\tip saddr != {listed} drop\n");
        assert!(text.contains(&rule), "{rule}{text}");
    };
    check(&["10.0.0.0/8"], "10.0.0.0/8");
    check(&["10.0.0.0/8", "10.1.0.0/16"], "{ 10.0.0.0/8 }");
    check(&["10.0.0.0/25", "10.0.0.128/25"], "{ 10.0.0.0/24 }");
    check(&["10.0.1.0/25", "10.0.0.0/24"], "{ 10.0.0.0-10.0.1.127 }");
    check(
        &["192.168.10.0/24"],
        "{ 192.168.10.0/24, 203.0.113.9-203.0.113.10 }",
    );
    check(
        &["10.0.0.0/8", "255.255.255.255/32"],
        "{ 10.0.0.0/8, 255.255.255.255 }",
    );
}

/// PROXY-45: of more than 1,000 endpoints, ready or not, rules say nothing that costs room.
#[test]
fn endpoints_of_a_large_cluster_have_no_comments() {
    let compiled = |count: u16| {
        let endpoints: Vec<_> = (0..count)
            .map(|n| EndpointView {
                ready: n < 2,
                ..endpoint(&format!("10.244.{}.{}", n / 250, n % 250 + 1), "node-1")
            })
            .collect();
        let mut view = web(TrafficPolicy::Cluster, &endpoints);
        let mut one = service(&["10.96.0.40"], TrafficPolicy::Cluster);
        one.affinity_seconds = Some(600);
        add_service(&mut view, "web", one);
        view.recount();
        save_text(
            &Compiler::new(Capabilities::ALL)
                .iptables(&view, &node_1())
                .tables[&Family::V4],
        )
    };
    let (small, large) = (compiled(1000), compiled(1001));
    let is_bare = |text: &str, start: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with(start));
        lines.all(|line| !line.contains("--comment"))
    };
    assert!(
        !is_bare(&small, "-A KUBE-SEP-") && is_bare(&large, "-A KUBE-SEP-"),
        "{large}"
    );
    assert!(
        small.contains("-> 10.244.0.1:8080") && !large.contains("-> 10.244.0.1:8080"),
        "{large}"
    );
    assert!(
        large.contains("default/web:http cluster IP"),
        "only endpoints lose theirs: {large}"
    );
    let words = |text: &str| text.replace(" -m comment --comment \"default/web:http\"", "");
    let without = |text: &str| {
        let lines = words(text)
            .lines()
            .map(
                |line| match line.split_once(" -m comment --comment \"default/web:http -> ") {
                    Some((before, after)) => format!(
                        "{before}{}",
                        after.split_once('"').map_or("", |(_, rest)| rest)
                    ),
                    None => line.to_owned(),
                },
            )
            .collect::<Vec<_>>();
        lines.join("\n")
    };
    assert_eq!(without(&small), without(&large));
}

/// One line per rule and element of an nftables table: where it stands and what it decides.
#[test]
fn nftables_in_plain_words() {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let view = web(TrafficPolicy::Cluster, &three_endpoints());
    let compiled = compiler.nftables(&view, &nftables_node_1());
    let (key, table) = compiled.tables.tables.iter().next().expect("two tables");
    let mut text = String::new();
    for (name, container) in table.sets.iter() {
        let keys: Vec<_> = match container {
            nft::SetOrMap::Set(set) => set.elements.keys().collect(),
            nft::SetOrMap::Map(map) => map.elements.keys().collect(),
        };
        for element in keys {
            let origin = compiled.element_origin(key.family, name, element);
            let origin = compiler.origin(origin.expect("every element has an origin"));
            text += &format!("@{name}: {origin}\n");
        }
    }
    for (name, chain) in table.chains.iter() {
        for rule in &chain.rules {
            let origin = compiler.origin(rule.origin.expect("every rule has an origin"));
            text += &format!("{name}: {origin}\n");
            for choice in (0..).map_while(|index| origin.choice(index)) {
                text += &format!("{name}: … {choice}\n");
            }
        }
    }
    insta::assert_snapshot!("origins_nftables", text);
}

#[test]
fn nothing_is_used_that_the_kernel_lacks() {
    let (_, compiled) = compile();
    for tables in compiled.tables.values() {
        let text = save_text(tables);
        assert!(!text.contains("nfacct"), "{text}");
        assert!(!text.contains("--random-fully"), "{text}");
    }
}
