//! The compiler against what a real kube-proxy 1.36 wrote for the same objects.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use ruleset::xt::{parse, save_text};
use ruleset::{Family, Protocol};
use serde_yaml::Value;
use switchboard_rules::{
    Capabilities, ClusterView, Compiler, EndpointView, ServicePortView, ServiceView, SliceView,
    TrafficPolicy,
};

use crate::support::{add_service, add_slice, node_1, port, service_name};

fn read(case: &str, file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(case)
        .join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn saved(case: &str, family: Family) -> String {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let compiled = compiler.iptables(&view(case), &node_1());
    save_text(&compiled.tables[&family])
}

/// The lines in canonical order: kube-proxy writes KUBE-SERVICES in random order, but for the last rule.
fn canonical(text: &str, family: Family) -> Vec<String> {
    let tables = parse(text, family).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut lines: Vec<_> = save_text(&tables).lines().map(str::to_owned).collect();
    let is_entry = |line: &String| line.starts_with("-A KUBE-SERVICES ") && !line.contains("NOTE:");
    for entries in lines.chunk_by_mut(|a, b| is_entry(a) && is_entry(b)) {
        entries.sort();
    }
    lines
}

#[track_caller]
fn check_dump(case: &str, file: &str, family: Family) {
    let recorded = canonical(&read(case, file), family);
    let ours = canonical(&saved(case, family), family);
    assert_eq!(ours.join("\n"), recorded.join("\n"), "{case}");
}

#[track_caller]
fn check(case: &str) {
    check_dump(case, "iptables-save.txt", Family::V4);
}

#[test]
fn no_services() {
    check("00-empty");
    check_dump("00-empty", "ip6tables-save.txt", Family::V6);
}

#[test]
fn cluster_ip() {
    check("01-clusterip");
}

#[test]
fn several_ports() {
    check("02-multi-port");
    check("28-tcp-and-udp-same-port");
    check("29-unnamed-port");
}

#[test]
fn internal_traffic_policy_local() {
    check("10-itp-local");
    check("11-itp-local-no-local-endpoint");
}

#[test]
fn no_endpoints() {
    check("12-no-endpoints");
}

#[test]
fn terminating_endpoints() {
    check("16-terminating-some");
    check("17-terminating-all");
}

#[test]
fn zone_hints() {
    check("19-prefer-same-zone");
}

#[test]
fn service_of_another_proxy() {
    check("33-service-proxy-name-label");
}

#[test]
fn endpoint_in_the_nodes_network() {
    check("35-hairpin-host-network");
}

/// What iptables-save prints is printed the same, byte for byte, by us.
#[test]
fn dumps_print_as_they_were() {
    for case in ["00-empty", "01-clusterip", "08-etp-local-lb", "21-udp"] {
        let text = read(case, "iptables-save.txt");
        assert_eq!(
            save_text(&parse(&text, Family::V4).unwrap()),
            text,
            "{case}"
        );
    }
}

/// Of Services that are reached from outside too, the rules for the ClusterIP are there and nothing else.
///
/// FIXME: node ports, load-balancer and external IPs have no rules yet.
#[test]
fn services_with_external_frontends_keep_their_cluster_ip() {
    for case in [
        "08-etp-local-lb",
        "13-no-endpoints-nodeport-lb-extip",
        "15-external-ips-etp-local",
        "18-terminating-all-etp-local",
        "21-udp",
        "31-itp-local-etp-local-lb",
    ] {
        let as_set = |text: &str| BTreeSet::from_iter(canonical(text, Family::V4));
        let recorded = as_set(&read(case, "iptables-save.txt"));
        let ours = as_set(&saved(case, Family::V4));
        let extra: Vec<_> = ours.difference(&recorded).collect();
        assert!(extra.is_empty(), "{case}: {extra:#?}");
        let for_cluster_ip = |lines: &BTreeSet<String>| {
            let is_one = |line: &&String| line.contains("-d 10.96.0.40/32");
            lines.iter().filter(is_one).cloned().collect::<Vec<_>>()
        };
        assert_eq!(for_cluster_ip(&ours), for_cluster_ip(&recorded), "{case}");
        assert!(!for_cluster_ip(&ours).is_empty(), "{case}");
    }
}

/// Reads the objects of a case as a proxy's watch would deliver them; `default/kubernetes`, which has no
/// endpoints, is in every recording.
fn view(case: &str) -> ClusterView {
    let mut view = ClusterView::default();
    let kubernetes = ServiceView {
        cluster_ips: vec!["10.96.0.1".parse().unwrap()],
        ports: vec![port("https", Protocol::TCP, 443)],
        internal_traffic_policy: TrafficPolicy::Cluster,
    };
    add_service(&mut view, "kubernetes", kubernetes);
    let text = read(case, "objects.yaml");
    for (index, object) in documents(&text).into_iter().enumerate() {
        let metadata = &object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str();
        if label("service.kubernetes.io/service-proxy-name").is_some() {
            continue;
        }
        if object["addressType"].is_string() {
            let owner = label("kubernetes.io/service-name").expect("a slice names its Service");
            add_slice(&mut view, owner, &index.to_string(), slice(&object));
        } else {
            let name = service_name(metadata["name"].as_str().expect("a name"));
            view.services
                .insert(name, Arc::new(service(&object["spec"])));
        }
    }
    view
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| serde_yaml::from_str::<Value>(document).expect("recorded YAML"))
        .filter(|object| object["metadata"].is_mapping())
        .collect()
}

fn service(spec: &Value) -> ServiceView {
    let cluster_ips = strings(&spec["clusterIPs"]);
    ServiceView {
        cluster_ips: cluster_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ports: ports(&spec["ports"]),
        internal_traffic_policy: match spec["internalTrafficPolicy"].as_str() {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        },
    }
}

fn slice(object: &Value) -> SliceView {
    SliceView {
        family: match object["addressType"].as_str() {
            Some("IPv6") => Family::V6,
            _ => Family::V4,
        },
        ports: ports(&object["ports"]),
        endpoints: items(&object["endpoints"]).map(endpoint).collect(),
    }
}

fn endpoint(value: &Value) -> EndpointView {
    let text = |value: &Value| value.as_str().map(Arc::from);
    let condition = |name: &str| value["conditions"][name].as_bool();
    let hints = |name: &str| {
        let names = items(&value["hints"][name]);
        names.filter_map(|hint| text(&hint["name"])).collect()
    };
    EndpointView {
        address: strings(&value["addresses"])[0].parse().unwrap(),
        node: text(&value["nodeName"]),
        ready: condition("ready").unwrap_or(true),
        serving: condition("serving").unwrap_or(true),
        terminating: condition("terminating").unwrap_or(false),
        zone_hints: hints("forZones"),
        node_hints: hints("forNodes"),
        pod: text(&value["targetRef"]["name"]),
    }
}

fn ports(value: &Value) -> Vec<ServicePortView> {
    items(value)
        .map(|value| {
            let protocol = value["protocol"].as_str().and_then(Protocol::parse);
            let number = value["port"].as_u64().expect("a port number");
            port(
                value["name"].as_str().unwrap_or(""),
                protocol.expect("a protocol"),
                u16::try_from(number).unwrap(),
            )
        })
        .collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_sequence().into_iter().flatten()
}

fn strings(value: &Value) -> Vec<&str> {
    items(value).filter_map(Value::as_str).collect()
}
