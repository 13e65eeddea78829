//! Topology hints EP-49 … EP-62: `trafficDistribution`, and the heuristic `Auto` with its worked numbers.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use api::Kind;
use base::Seed;
use cluster::{Cluster, NODES};
use switchboard_controllers::EndpointSliceController;

fn cluster() -> Cluster {
    let controller = EndpointSliceController::new(Duration::ZERO, Seed::new(7));
    let mut cluster = Cluster::new(vec![Box::new(controller)]);
    cluster.apply(NODES);
    cluster
}

fn service(annotations: &str, distribution: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{annotations}}}}}, spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}]{distribution}}}}}"
    )
}

const AUTO: &str = "service.kubernetes.io/topology-mode: Auto";

/// A node; `cpu` is YAML.
fn node(name: &str, zone: &str, cpu: &str, ready: bool) -> String {
    let status = if ready { "True" } else { "False" };
    format!(
        "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: '{zone}'}}}}, status: {{allocatable: {{cpu: {cpu}}}, conditions: [{{type: Ready, status: '{status}'}}]}}}}"
    )
}

/// Writes a node's status as its kubelet would.
fn report_node(cluster: &mut Cluster, text: &str) {
    let node = cluster::objects(text).remove(0);
    cluster.api.update_status(node, cluster.now).unwrap();
}

/// Every endpoint's hints, sorted: `10.244.1.5 a`, `10.244.1.5 a+n1`, `10.244.1.5`.
fn hints(cluster: &mut Cluster) -> Vec<String> {
    cluster.drain();
    let mut told: Vec<String> = Vec::new();
    for endpoint in cluster.slices().iter().flat_map(|slice| &slice.endpoints) {
        let hints = endpoint.hints.clone().unwrap_or_default();
        let names = hints.for_zones.iter().chain(&hints.for_nodes);
        let names: Vec<&str> = names.map(|named| named.name.as_str()).collect();
        let line = format!("{} {}", endpoint.addresses[0], names.join("+"));
        told.push(line.trim().to_owned());
    }
    told.sort();
    told
}

/// How many endpoints each zone is hinted at; empty without hints.
fn by_zone(cluster: &mut Cluster) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for line in hints(cluster) {
        if let Some((_, zone)) = line.split_once(' ') {
            *zones.entry(zone.to_owned()).or_default() += 1;
        }
    }
    zones
}

fn pods(cluster: &mut Cluster, node: &str, from: usize, to: usize) {
    for index in from..to {
        let (host, number) = (&node[1..], index + 1);
        let name = format!("{node}-{index}");
        cluster.pod(&name, node, &format!("10.244.{host}.{number}"), true);
    }
}

/// EP-87.
#[test]
fn ep_60_to_62_hints_follow_the_field() {
    let mut cluster = cluster();
    cluster.apply(&service("", ", trafficDistribution: PreferSameZone"));
    pods(&mut cluster, "n1", 0, 1);
    pods(&mut cluster, "n2", 0, 1);
    assert_eq!(hints(&mut cluster), ["10.244.1.1 a", "10.244.2.1 b"]);
    cluster.apply(&service("", ", trafficDistribution: PreferSameNode"));
    assert_eq!(hints(&mut cluster), ["10.244.1.1 a+n1", "10.244.2.1 b+n2"]);
    cluster.pod("p", "n3", "10.244.3.1", false);
    assert_eq!(
        hints(&mut cluster),
        ["10.244.1.1 a+n1", "10.244.2.1 b+n2", "10.244.3.1"]
    );
    cluster.apply(&service("", ", trafficDistribution: PreferClose"));
    assert_eq!(
        hints(&mut cluster),
        ["10.244.1.1 a", "10.244.2.1 b", "10.244.3.1"]
    );
    let writes = cluster.writes;
    cluster.apply(&service("a: b", ", trafficDistribution: PreferSameZone"));
    cluster.drain();
    assert_eq!(cluster.writes, writes, "the hints stand");
    cluster.apply(&service("", ""));
    assert_eq!(
        hints(&mut cluster),
        ["10.244.1.1", "10.244.2.1", "10.244.3.1"]
    );
}

/// EP-87.
#[test]
fn ep_62_without_a_zone_there_is_nothing_to_hint_at() {
    let mut cluster = cluster();
    cluster.apply(&node("n1", "", "4", true));
    cluster.apply(&service("", ", trafficDistribution: PreferSameZone"));
    pods(&mut cluster, "n1", 0, 1);
    assert_eq!(hints(&mut cluster), ["10.244.1.1"]);
    cluster.apply(&service("", ", trafficDistribution: PreferSameNode"));
    assert_eq!(hints(&mut cluster), ["10.244.1.1 n1"]);
}

#[test]
fn ep_49_the_annotation_wins_and_the_older_key_over_the_newer() {
    let mut cluster = cluster();
    let node_hints = ", trafficDistribution: PreferSameNode";
    cluster.apply(&service(AUTO, node_hints));
    for node in ["n1", "n2", "n3"] {
        pods(&mut cluster, node, 0, 1);
    }
    assert_eq!(
        hints(&mut cluster),
        ["10.244.1.1 a", "10.244.2.1 b", "10.244.3.1 c"]
    );
    let older = format!("service.kubernetes.io/topology-aware-hints: Disabled, {AUTO}");
    cluster.apply(&service(&older, node_hints));
    assert_eq!(hints(&mut cluster)[0], "10.244.1.1 a+n1");
}

/// EP-55, EP-56: `endpoints` on the first node of zones of equal size; the hints at each zone, or none.
fn check_auto(zones: usize, endpoints: usize, expected: &[usize]) {
    let mut cluster = cluster();
    if zones == 2 {
        cluster.delete(Kind::Node, "n3");
    }
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, endpoints);
    let found: Vec<usize> = by_zone(&mut cluster).into_values().collect();
    assert_eq!(found, expected, "{zones} zones, {endpoints} endpoints");
}

#[test]
fn ep_52_to_56_worked_numbers() {
    check_auto(3, 2, &[]);
    check_auto(3, 3, &[1, 1, 1]);
    check_auto(3, 4, &[]);
    check_auto(3, 5, &[]);
    check_auto(3, 6, &[2, 2, 2]);
    check_auto(3, 7, &[3, 2, 2]);
    check_auto(2, 2, &[1, 1]);
    check_auto(2, 3, &[]);
    check_auto(2, 4, &[2, 2]);
}

#[test]
fn ep_53_zones_get_endpoints_by_their_cpu() {
    let mut cluster = cluster();
    report_node(&mut cluster, &node("n1", "a", "'8'", true));
    report_node(&mut cluster, &node("n2", "b", "4000m", true));
    report_node(&mut cluster, &node("n3", "c", "4", false));
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n2", 0, 6);
    let found: Vec<_> = by_zone(&mut cluster).into_iter().collect();
    assert_eq!(found, [("a".to_owned(), 4), ("b".to_owned(), 2)]);
}

#[test]
fn ep_51_and_57_what_is_not_known_takes_all_hints_away() {
    let mut cluster = cluster();
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, 6);
    assert_eq!(by_zone(&mut cluster).len(), 3);
    let revision = cluster.api.revision();
    let writes = cluster.writes;
    report_node(&mut cluster, &node("n2", "b", "0", true));
    assert!(
        by_zone(&mut cluster).is_empty(),
        "overloaded: looked at again"
    );
    assert!(cluster.api.revision() > revision && cluster.writes == writes + 1);
    report_node(&mut cluster, &node("n2", "b", "4", true));
    pods(&mut cluster, "n2", 0, 1);
    assert_eq!(by_zone(&mut cluster).values().sum::<usize>(), 7);
    cluster.apply(&node("n4", "", "4", false));
    pods(&mut cluster, "n4", 0, 1);
    assert!(
        by_zone(&mut cluster).is_empty(),
        "an endpoint without a zone"
    );
}

#[test]
fn ep_58_only_services_that_a_node_overloads_are_looked_at() {
    let mut cluster = cluster();
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, 6);
    cluster.drain();
    let writes = cluster.writes;
    cluster.apply(&node("n4", "a", "100m", true));
    cluster.drain();
    assert_eq!(cluster.writes, writes);
    cluster.apply(&node("n5", "d", "4", true));
    cluster.drain();
    assert_eq!(by_zone(&mut cluster), BTreeMap::new(), "6 < 4 × 2");
    assert_eq!(cluster.writes, writes + 1);
}

#[test]
fn ep_57_hints_stay_while_their_zones_can_carry_them() {
    let mut cluster = cluster();
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, 100);
    pods(&mut cluster, "n2", 0, 100);
    pods(&mut cluster, "n3", 0, 100);
    cluster.drain();
    let before = cluster.slices();
    let writes = cluster.writes;
    cluster.pod("extra", "n3", "10.244.3.201", true);
    assert_eq!(by_zone(&mut cluster).values().sum::<usize>(), 301);
    assert_eq!(cluster.writes, writes + 1);
    let after = cluster.slices();
    let same = before.iter().filter(|slice| after.contains(slice)).count();
    assert!(same >= before.len() - 1, "{same} of {}", before.len());
}

/// What is told of the Service, the newest last: type, reason, message and how often.
fn told(cluster: &Cluster) -> Vec<String> {
    let events = cluster.api.list(Kind::Event, Some("default"));
    let events = events.filter_map(|event| event.as_event());
    let told = events.map(|event| {
        let times = event.count.unwrap_or(1);
        format!(
            "{} {}: {} ×{times}",
            event.event_type, event.reason, event.message
        )
    });
    told.collect()
}

#[test]
fn ep_59_what_becomes_of_hints_is_told() {
    let mut cluster = cluster();
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, 2);
    cluster.drain();
    let few = "Warning TopologyAwareHintsDisabled: Insufficient number of endpoints (2 endpoints, 3 zones), \
               addressType: IPv4 ×1";
    assert_eq!(told(&cluster).last().unwrap(), few);
    pods(&mut cluster, "n1", 2, 4);
    cluster.drain();
    let overload = "Warning TopologyAwareHintsDisabled: Unable to allocate minimum required endpoints to each zone \
                    without exceeding overload threshold (4 endpoints, 3 zones), addressType: IPv4 ×1";
    assert_eq!(told(&cluster).last().unwrap(), overload);
    pods(&mut cluster, "n1", 4, 6);
    cluster.drain();
    let enabled = "Normal TopologyAwareHintsEnabled: Topology Aware Hints has been enabled, addressType: IPv4 ×1";
    assert_eq!(told(&cluster).last().unwrap(), enabled);
    let count = told(&cluster).len();
    pods(&mut cluster, "n2", 6, 9);
    cluster.drain();
    assert_eq!(told(&cluster).len(), count, "nothing new");
    cluster.apply(&node("n4", "", "4", true));
    pods(&mut cluster, "n3", 9, 10);
    cluster.drain();
    let lacking = "Warning TopologyAwareHintsDisabled: Insufficient Node information: allocatable CPU or zone not \
                   specified on one or more nodes, addressType: IPv4";
    assert!(told(&cluster).last().unwrap().starts_with(lacking));
}

#[test]
fn ep_59_hints_that_are_turned_off_are_told() {
    let mut cluster = cluster();
    cluster.apply(&service(AUTO, ""));
    pods(&mut cluster, "n1", 0, 6);
    cluster.drain();
    cluster.apply(&service("", ""));
    cluster.drain();
    let off = "Warning TopologyAwareHintsDisabled: Topology Aware Hints has been disabled, addressType: IPv4 ×1";
    assert_eq!(told(&cluster).last().unwrap(), off);
}
