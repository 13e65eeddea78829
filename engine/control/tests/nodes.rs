//! Nodes without power or API server, and Pods that crash, on the virtual clock.

mod cluster;

use std::time::Duration;

use api::{Kind, ObjectKey};
use cluster::{apply, config, converge};
use controllers::PodSignal;
use switchboard_control::{ClusterConfig, Control, NodeConfig, TimingConfig};

fn cluster(nodes: u32, grace: Duration) -> Control {
    let node = |number: u32| NodeConfig {
        name: format!("n{number}"),
        addresses: vec![std::net::Ipv4Addr::from(0xC0A8_0000 + number).into()],
        pod_cidrs: vec![
            format!("10.{}.{}.0/24", 128 + number / 256, number % 256)
                .parse()
                .unwrap(),
        ],
        ..NodeConfig::default()
    };
    let timing = TimingConfig {
        node_grace: grace,
        ..TimingConfig::default()
    };
    let config = ClusterConfig {
        pod_cidrs: vec!["10.128.0.0/9".parse().unwrap()],
        timing,
        ..config((1..=nodes).map(node).collect())
    };
    Control::new(config).unwrap()
}

fn pass(control: &mut Control, seconds: u64) {
    cluster::pass(control, Duration::from_secs(seconds));
}

const WEB: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 4, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}}
";

/// How many of the Service's endpoints are ready, and how many there are.
fn endpoints(control: &Control) -> (usize, usize) {
    let slices = control.list(Kind::EndpointSlice, Some("default"));
    let slices = slices.iter().filter_map(api::Object::as_endpoint_slice);
    let found: Vec<bool> = slices
        .flat_map(|slice| {
            slice
                .endpoints
                .iter()
                .map(|endpoint| endpoint.conditions.is_ready())
        })
        .collect();
    (found.iter().filter(|ready| **ready).count(), found.len())
}

#[test]
fn a_cluster_at_rest_waits_for_no_heartbeat() {
    let mut control = cluster(500, Duration::from_secs(40));
    converge(&mut control);
    let revision = control.api().revision();
    let mut steps = 0;
    let until = control.now() + Duration::from_secs(600);
    while control.next_event_at().is_some_and(|at| at <= until) {
        control.step();
        steps += 1;
    }
    assert_eq!(control.api().revision(), revision);
    // The proxies' full syncs and the API server's repairs.
    assert!(steps < 500 * 4, "{steps}");
}

#[test]
fn a_deployment_survives_a_node() {
    let mut control = cluster(2, Duration::from_secs(60));
    apply(&mut control, WEB);
    converge(&mut control);
    assert_eq!(endpoints(&control), (4, 4));
    control.signals();
    control.set_node_down("n1", true);
    control.set_node_down("n1", true);
    control.set_node_down("nobody", true);
    pass(&mut control, 1);
    let removed = control.signals();
    let removed = removed
        .iter()
        .filter(|(_, signal)| matches!(signal, PodSignal::Removed { node, .. } if node == "n1"));
    assert_eq!(removed.count(), 2);
    pass(&mut control, 50);
    assert_eq!(endpoints(&control), (4, 4), "nobody knows yet");
    pass(&mut control, 20);
    assert_eq!(endpoints(&control), (2, 4));
    pass(&mut control, 310);
    assert_eq!(
        endpoints(&control),
        (4, 6),
        "four on n2, and two that nobody can end"
    );
    control.set_node_down("n1", false);
    converge(&mut control);
    assert_eq!(endpoints(&control), (4, 4));
    assert!(control.api().node("n1").unwrap().is_ready());
}

#[test]
fn two_troubles_of_a_node_must_both_end() {
    let mut control = cluster(2, Duration::from_secs(40));
    converge(&mut control);
    control.set_node_down("n1", true);
    control.set_node_cut_off("n1", true);
    pass(&mut control, 60);
    control.set_node_down("n1", false);
    pass(&mut control, 60);
    assert!(!control.api().node("n1").unwrap().is_ready());
    control.set_node_cut_off("n1", false);
    pass(&mut control, 11);
    assert!(control.api().node("n1").unwrap().is_ready());
}

#[test]
fn a_pod_that_crashes_or_is_taken_to_be_unready_is_no_endpoint_meanwhile() {
    let mut control = cluster(1, Duration::from_secs(40));
    apply(&mut control, WEB);
    converge(&mut control);
    let pods = control.list(Kind::Pod, Some("default"));
    let key: ObjectKey = pods[0].key();
    control.crash_pod(&key);
    let millis = |control: &mut Control, count| {
        let until = control.now() + Duration::from_millis(count);
        while control.next_event_at().is_some_and(|at| at <= until) {
            control.step();
        }
    };
    millis(&mut control, 500);
    assert_eq!(endpoints(&control), (3, 4));
    millis(&mut control, 1000);
    assert_eq!(endpoints(&control), (4, 4));
    control.set_pod_unready(&key, true);
    converge(&mut control);
    assert_eq!(endpoints(&control), (3, 4));
    control.set_pod_unready(&key, false);
    converge(&mut control);
    assert_eq!(endpoints(&control), (4, 4));
}

#[test]
fn nobody_waits_for_a_container_that_never_lives() {
    let mut control = cluster(1, Duration::from_secs(40));
    apply(
        &mut control,
        "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i, livenessProbe: {tcpSocket: {port: 1}, periodSeconds: 1}}]}}",
    );
    assert!(converge(&mut control) < Duration::from_secs(10));
    let restarts = |control: &Control| {
        control
            .api()
            .pod("default", "p")
            .unwrap()
            .status
            .container_statuses[0]
            .restart_count
    };
    assert_eq!(restarts(&control), 1);
    pass(&mut control, 60);
    assert!(restarts(&control) > 2);
}

#[test]
fn a_node_has_the_cpus_that_it_is_said_to_have() {
    let mut config = cluster(2, Duration::from_secs(40)).config().clone();
    config.nodes[0].cpu = Some(2);
    let mut control = Control::new(config).unwrap();
    let cpus = |node: &str| {
        let node = control.api().node(node).unwrap();
        let json = serde_json::to_value(&**node).unwrap();
        ["capacity", "allocatable"].map(|key| json["status"][key]["cpu"].clone())
    };
    assert_eq!(cpus("n1"), ["2", "2"]);
    assert_eq!(cpus("n2"), ["8", "8"]);
    let pods = ["a", "b", "c", "d"].map(|name| {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i, resources: {{requests: {{cpu: 2}}}}}}]}}}}\n")
    });
    apply(&mut control, &pods.join("---\n"));
    converge(&mut control);
    let on_first = ["a", "b", "c", "d"].map(|name| {
        let pod = control.api().pod("default", name).unwrap();
        usize::from(pod.spec.node_name == "n1")
    });
    assert_eq!(on_first.iter().sum::<usize>(), 1);
}
