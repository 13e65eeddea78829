//! Where Pods go, and what a Pod is told that fits nowhere.

mod cluster;
#[path = "scheduler/model.rs"]
mod model;

use std::sync::Arc;
use std::time::Duration;

use api::Pod;
use cluster::{Cluster, NODES};
use switchboard_controllers::Scheduler;

/// These nodes, and a scheduler.
fn cluster_of(nodes: &str) -> Cluster {
    let mut cluster = Cluster::new(vec![Box::new(Scheduler::new())]);
    cluster.apply(nodes);
    cluster
}

/// A Ready node; `room` is what Pods may use.
fn node(name: &str, labels: &str, spec: &str, room: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{{labels}}}}}, spec: {{{spec}}}, status: {{allocatable: {{{room}}}, conditions: [{{type: Ready, status: 'True'}}]}}}}\n---\n"
    )
}

/// A Pod with a container: `meta` are further fields of `metadata`, `container` of the container, `spec` of `spec`.
fn pod(name: &str, meta: &str, container: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}{meta}}}, spec: {{containers: [{{name: c, image: i{container}}}]{spec}}}}}\n---\n"
    )
}

fn stored(cluster: &Cluster, name: &str) -> Arc<Pod> {
    let object = cluster.api.pod("default", name).unwrap();
    Arc::new(Pod::clone(object))
}

fn condition(pod: &Pod) -> Option<(&str, &str, &str)> {
    let mut conditions = pod.status.conditions.iter();
    let found = conditions.find(|found| found.condition_type == "PodScheduled")?;
    let text = |field| found.rest.get(field).and_then(|text| text.as_str());
    Some((
        &found.status,
        text("reason").unwrap_or_default(),
        text("message").unwrap_or_default(),
    ))
}

/// The Pod's node, or what it is told.
fn outcome(cluster: &Cluster, name: &str) -> String {
    let pod = stored(cluster, name);
    if pod.spec.node_name.is_empty() {
        let (status, reason, message) = condition(&pod).unwrap_or_default();
        assert_eq!(status, "False");
        format!("{reason}: {message}")
    } else {
        pod.spec.node_name.clone()
    }
}

/// Checks where the Pod `web` with this spec goes, or why it does not.
fn check(nodes: &str, pods: &str, container: &str, spec: &str, expected: &str) {
    let mut cluster = cluster_of(nodes);
    cluster.apply(pods);
    cluster.settle();
    cluster.apply(&pod("web", ", labels: {app: web}", container, spec));
    cluster.drain();
    assert_eq!(outcome(&cluster, "web"), expected, "{container} {spec}");
}

/// kube-scheduler's words for `count` nodes of which `hopeless` have a reason that no other Pod's going changes.
fn unschedulable(count: usize, reasons: &str, hopeless: usize) -> String {
    let helpless = "Preemption is not helpful for scheduling";
    let victims = "No preemption victims found for incoming pod";
    let rest = count - hopeless;
    let outcome = match (hopeless, rest) {
        (_, 0) => format!("{hopeless} {helpless}"),
        (0, _) => format!("{rest} {victims}"),
        _ => {
            let mut parts = [
                format!("{hopeless} {helpless}"),
                format!("{rest} {victims}"),
            ];
            parts.sort();
            parts.join(", ")
        }
    };
    format!(
        "Unschedulable: 0/{count} nodes are available: {reasons}. no new claims to deallocate, preemption: 0/{count} nodes are available: {outcome}."
    )
}

#[test]
fn a_pod_that_fits_nowhere_is_told_of_once_for_each_reason() {
    let mut cluster = cluster_of(&node("n1", "", "", "cpu: 1"));
    let asks = ", resources: {requests: {cpu: 2}}";
    cluster.apply(&pod("web", "", asks, ""));
    cluster.drain();
    let told = |cluster: &Cluster| {
        let why = unschedulable(1, "1 Insufficient cpu", 1);
        let why = why.trim_start_matches("Unschedulable: ").to_owned();
        assert_eq!(
            cluster.told_events()[0],
            format!("Pod/web 1x FailedScheduling: {why}")
        );
        cluster.told_events().len()
    };
    assert_eq!(told(&cluster), 1);
    cluster.apply(&pod("other", "", "", ""));
    cluster.remove_pod("other");
    cluster.drain();
    assert_eq!(told(&cluster), 1, "the same again is nothing new");
    cluster.apply(&node("n2", "", "unschedulable: true", ""));
    cluster.drain();
    assert_eq!(told(&cluster), 2);
    let event = cluster.api.list(api::Kind::Event, None).next().unwrap();
    let event = event.as_event().unwrap();
    assert_eq!(
        (event.source.component.as_str(), event.event_type.as_str()),
        ("default-scheduler", "Warning")
    );
}

#[test]
fn node_selectors_and_affinity_name_nodes_by_labels_and_name() {
    let nodes = [
        node("n1", "disk: ssd, cores: '4'", "", ""),
        node("n2", "disk: hdd, cores: '16'", "", ""),
        node("n3", "cores: many", "", ""),
    ]
    .concat();
    let terms = |terms: &str| {
        format!(
            ", affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{terms}]}}}}}}"
        )
    };
    let asks = |asked: &str| terms(&format!("{{matchExpressions: [{asked}]}}"));
    let none = unschedulable(3, "3 node(s) didn't match Pod's node affinity/selector", 3);
    for (spec, expected) in [
        (", nodeSelector: {disk: hdd}".to_owned(), "n2"),
        (", nodeSelector: {disk: hdd, cores: '4'}".to_owned(), &none),
        (asks("{key: disk, operator: In, values: [hdd, tape]}"), "n2"),
        (asks("{key: disk, operator: NotIn, values: [ssd]}"), "n2"),
        (
            asks("{key: disk, operator: Exists}, {key: disk, operator: NotIn, values: [ssd]}"),
            "n2",
        ),
        (asks("{key: disk, operator: DoesNotExist}"), "n3"),
        (asks("{key: cores, operator: Gt, values: ['4']}"), "n2"),
        (asks("{key: cores, operator: Lt, values: ['5']}"), "n1"),
        (asks("{key: cores, operator: Gt, values: ['16']}"), &none),
        (
            terms(
                "{matchExpressions: [{key: disk, operator: In, values: [tape]}]}, {matchExpressions: [{key: cores, operator: In, values: [many]}]}",
            ),
            "n3",
        ),
        (
            terms("{matchFields: [{key: metadata.name, operator: In, values: [n2]}]}"),
            "n2",
        ),
        (
            terms("{matchFields: [{key: metadata.name, operator: NotIn, values: [n1]}]}"),
            "n2",
        ),
        (
            terms("{matchFields: [{key: metadata.name, operator: In, values: [n9]}]}"),
            &unschedulable(3, "3 node(s) didn't satisfy plugin(s) [NodeAffinity]", 3),
        ),
    ] {
        check(&nodes, "", "", &spec, expected);
    }
}

#[test]
fn taints_keep_pods_away_that_do_not_bear_them() {
    let taint = |name: &str, effect: &str| {
        node(
            name,
            "",
            &format!("taints: [{{key: own, value: a, effect: {effect}}}]"),
            "",
        )
    };
    let nodes = [taint("n1", "NoSchedule"), taint("n2", "NoExecute")].concat();
    let bears = |asked: &str| format!(", tolerations: [{{{asked}}}]");
    let none = unschedulable(2, "2 node(s) had untolerated taint(s)", 2);
    for (spec, expected) in [
        (String::new(), none.as_str()),
        (bears("key: own, operator: Exists"), "n1"),
        (bears("key: own, value: a"), "n1"),
        (bears("key: own, value: b"), &none),
        (bears("operator: Exists"), "n1"),
        (bears("key: own, operator: Exists, effect: NoExecute"), "n2"),
        (bears("key: other, operator: Exists"), &none),
    ] {
        check(&nodes, "", "", &spec, expected);
    }
    let shunned = [taint("n1", "PreferNoSchedule"), node("n2", "", "", "")].concat();
    let busy = pod("a", "", "", ", nodeName: n2");
    check(&shunned, &busy, "", "", "n2");
    check(
        &shunned,
        &busy,
        "",
        &bears("key: own, operator: Exists"),
        "n1",
    );
    check(&taint("n1", "PreferNoSchedule"), "", "", "", "n1");
}

#[test]
fn cordoned_nodes_take_only_those_who_bear_it() {
    let nodes = node("n1", "", "unschedulable: true", "");
    check(
        &nodes,
        "",
        "",
        "",
        &unschedulable(1, "1 node(s) were unschedulable", 1),
    );
    let bears = ", tolerations: [{key: node.kubernetes.io/unschedulable, operator: Exists}]";
    check(&nodes, "", "", bears, "n1");
}

#[test]
fn requests_are_held_against_what_nodes_have() {
    let nodes = [
        node("n1", "", "", "cpu: 1, memory: 1Gi, pods: 2"),
        node("n2", "", "", "cpu: '2', memory: 512Mi"),
    ]
    .concat();
    let asks = |asked: &str| format!(", resources: {{requests: {{{asked}}}}}");
    let busy = pod("a", "", &asks("cpu: 500m"), ", nodeName: n1");
    for (container, expected) in [
        (asks("cpu: 500m"), "n2"),
        (asks("cpu: 500m, memory: 1Gi"), "n1"),
        (
            asks("cpu: 501m, memory: 1Gi"),
            &unschedulable(2, "1 Insufficient cpu, 1 Insufficient memory", 1),
        ),
        (asks("cpu: 1001m"), "n2"),
        (asks("cpu: '3'"), &unschedulable(2, "2 Insufficient cpu", 2)),
        (asks("cpu: 1.5, memory: 0.5Gi"), "n2"),
    ] {
        check(&nodes, &busy, &container, "", expected);
    }
    let sidecars = ", initContainers: [{name: i, image: i, resources: {requests: {cpu: 1500m}}}, {name: s, image: i, restartPolicy: Always, resources: {requests: {cpu: 500m}}}]";
    check(&nodes, "", &asks("cpu: 600m"), sidecars, "n2");
    check(
        &nodes,
        "",
        &asks("cpu: 1600m"),
        sidecars,
        &unschedulable(2, "2 Insufficient cpu", 2),
    );
    let full = [busy, pod("b", "", "", ", nodeName: n1")].concat();
    check(
        &node("n1", "", "", "pods: 2"),
        &full,
        "",
        "",
        &unschedulable(1, "1 Too many pods", 0),
    );
}

#[test]
fn host_ports_are_had_by_one_pod_of_a_node() {
    let nodes = [node("n1", "", "", ""), node("n2", "", "", "")].concat();
    let port = |more: &str| format!(", ports: [{{containerPort: 80, hostPort: 80{more}}}]");
    let busy = [
        pod("a", "", &port(", hostIP: 10.0.0.1"), ", nodeName: n1"),
        pod("b", "", "", ", nodeName: n2"),
        pod("c", "", "", ", nodeName: n2"),
    ]
    .concat();
    for (container, expected) in [
        (port(""), "n2"),
        (port(", hostIP: 10.0.0.2"), "n1"),
        (port(", hostIP: 10.0.0.1"), "n2"),
        (port(", protocol: UDP"), "n1"),
    ] {
        check(&nodes, &busy, &container, "", expected);
    }
    check(
        &node("n1", "", "", ""),
        &busy,
        &port(""),
        "",
        &unschedulable(
            1,
            "1 node(s) didn't have free ports for the requested pod ports",
            0,
        ),
    );
}

#[test]
fn pods_are_spread_over_domains() {
    let zone = |name: &str, zone: &str| node(name, &format!("zone: {zone}"), "", "");
    let nodes = [
        zone("n1", "a"),
        zone("n2", "a"),
        zone("n3", "b"),
        node("n4", "", "", ""),
    ]
    .concat();
    let like = |name: &str, node: &str| {
        pod(
            name,
            ", labels: {app: web}",
            "",
            &format!(", nodeName: {node}"),
        )
    };
    let busy = [
        like("a", "n1"),
        like("b", "n3"),
        pod("c", "", "", ", nodeName: n2"),
        pod("d", "", "", ", nodeName: n2"),
    ]
    .concat();
    let spread = |more: &str| {
        format!(
            ", topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, labelSelector: {{matchLabels: {{app: web}}}}{more}}}]"
        )
    };
    let hard = spread(", whenUnsatisfiable: DoNotSchedule");
    check(&nodes, &like("a", "n1"), "", &hard, "n3");
    check(&nodes, &busy, "", &hard, "n1");
    check(
        &nodes,
        &like("a", "n1"),
        "",
        &spread(", whenUnsatisfiable: ScheduleAnyway"),
        "n3",
    );
    let uneven = "1 node(s) didn't match pod topology spread constraints (missing required label), 2 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable";
    let mut reasons: Vec<&str> = uneven.split(", ").collect();
    reasons.sort_unstable();
    let cordoned = nodes.replace(
        "labels: {zone: b}}, spec: {}",
        "labels: {zone: b}}, spec: {unschedulable: true}",
    );
    check(
        &cordoned,
        &like("a", "n1"),
        "",
        &hard,
        &unschedulable(4, &reasons.join(", "), 2),
    );
    let honoring = spread(", whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor");
    check(&cordoned, &like("a", "n1"), "", &honoring, "n2");
    let domains = spread(", whenUnsatisfiable: DoNotSchedule, minDomains: 3");
    let reasons = "1 node(s) didn't match pod topology spread constraints (missing required label), 3 node(s) didn't match pod topology spread constraints";
    check(&nodes, &busy, "", &domains, &unschedulable(4, reasons, 1));
}

#[test]
fn anti_affinity_holds_in_both_directions() {
    let nodes = [
        node("n1", "zone: a", "", ""),
        node("n2", "zone: a", "", ""),
        node("n3", "zone: b", "", ""),
    ]
    .concat();
    let away = |app: &str, more: &str| {
        format!(
            ", affinity: {{podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, labelSelector: {{matchLabels: {{app: {app}}}}}{more}}}]}}}}"
        )
    };
    let db = pod("db", ", labels: {app: db}", "", ", nodeName: n1");
    check(&nodes, &db, "", &away("db", ""), "n3");
    check(&nodes, &db, "", &away("cache", ""), "n2");
    check(&nodes, &db, "", &away("db", ", namespaces: [other]"), "n2");
    check(
        &nodes,
        &db,
        "",
        &away("db", ", namespaceSelector: {}"),
        "n3",
    );
    let averse = |node: &str| {
        let spec = format!(", nodeName: {node}{}", away("web", ""));
        pod(&format!("db-{node}"), ", labels: {app: db}", "", &spec)
    };
    check(&nodes, &averse("n1"), "", "", "n3");
    let both = [averse("n1"), averse("n3")].concat();
    let reasons = "3 node(s) didn't satisfy existing pods anti-affinity rules";
    check(&nodes, &both, "", "", &unschedulable(3, reasons, 0));
    let reasons = "3 node(s) didn't match pod anti-affinity rules";
    check(
        &nodes,
        &both,
        "",
        &away("db", ""),
        &unschedulable(3, reasons, 0),
    );
}

#[test]
fn affinity_brings_pods_together() {
    let nodes = [
        node("n1", "zone: a", "", ""),
        node("n2", "zone: b", "", ""),
        node("n3", "", "", ""),
    ]
    .concat();
    let near = |apps: &[&str]| {
        let term = |app: &&str| {
            format!("{{topologyKey: zone, labelSelector: {{matchLabels: {{app: {app}}}}}}}")
        };
        let terms: Vec<String> = apps.iter().map(term).collect();
        format!(
            ", affinity: {{podAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{}]}}}}",
            terms.join(", ")
        )
    };
    let db = pod("db", ", labels: {app: db}", "", ", nodeName: n2");
    check(&nodes, &db, "", &near(&["db"]), "n2");
    check(&nodes, &db, "", &near(&["web"]), "n1");
    let reasons = "3 node(s) didn't match pod affinity rules";
    for apps in [&["cache"][..], &["db", "web"]] {
        check(&nodes, &db, "", &near(apps), &unschedulable(3, reasons, 3));
    }
    let like = pod("like", ", labels: {app: web}", "", ", nodeName: n2");
    check(&nodes, &like, "", &near(&["web"]), "n2");
}

#[test]
fn a_pod_that_comes_may_make_room_for_others() {
    let nodes = [
        node("n1", "zone: a", "", ""),
        node(
            "n2",
            "zone: b",
            "taints: [{key: own, effect: NoSchedule}]",
            "",
        ),
    ]
    .concat();
    let mut cluster = cluster_of(&nodes);
    let like = |name: &str, spec: &str| pod(name, ", labels: {app: web}", "", spec);
    let selector = "labelSelector: {matchLabels: {app: web}}";
    let spread = format!(
        ", topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, {selector}}}]"
    );
    let near_db = ", affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {app: db}}}]}}";
    cluster.apply(&like("a", ", nodeName: n1"));
    cluster.apply(&like("web", &spread));
    cluster.apply(&pod("near", "", "", near_db));
    cluster.drain();
    assert!(outcome(&cluster, "web").contains("topology spread constraints"));
    assert!(outcome(&cluster, "near").contains("pod affinity rules"));
    cluster.apply(&like("b", ", nodeName: n2"));
    cluster.apply(&pod("db", ", labels: {app: db}", "", ", nodeName: n1"));
    cluster.drain();
    assert_eq!(
        ["web", "near"].map(|name| outcome(&cluster, name)),
        ["n1", "n1"]
    );
}

#[test]
fn the_most_important_pod_is_served_first() {
    let mut cluster = cluster_of(&node("n1", "", "", "pods: 1"));
    for (name, more) in [("a", ""), ("z", ", priorityClassName: high, priority: 7")] {
        cluster.apply(&pod(name, "", "", more));
    }
    cluster.drain();
    assert_eq!(outcome(&cluster, "z"), "n1");
    assert_eq!(
        outcome(&cluster, "a"),
        unschedulable(1, "1 Too many pods", 0)
    );
}

#[test]
fn pods_of_a_controller_are_kept_apart() {
    let nodes = NODES.replace("zone: b", "zone: a");
    let mut cluster = cluster_of(&nodes);
    let owned = |owner: &str| {
        format!(
            ", ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {owner}, uid: {owner}, controller: true}}]"
        )
    };
    for name in ["p1", "p2"] {
        cluster.apply(&pod(name, "", "", ", nodeName: n3"));
    }
    for name in ["a", "b", "c", "d"] {
        cluster.apply(&pod(name, &owned("web"), "", ""));
    }
    cluster.apply(&pod("e", &owned("api"), "", ""));
    cluster.drain();
    let nodes = ["a", "b", "c", "d", "e"].map(|name| outcome(&cluster, name));
    assert_eq!(nodes, ["n1", "n3", "n2", "n3", "n1"]);
}

#[test]
fn reasons_are_counted_as_kube_scheduler_does() {
    let nodes = [
        node("n1", "", "taints: [{key: own, effect: NoSchedule}]", ""),
        node("n2", "", "", ""),
        node("n3", "", "", ""),
    ]
    .concat();
    let expected = "Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
    check(&nodes, "", "", ", nodeSelector: {disk: ssd}", expected);
    check(
        "",
        "",
        "",
        "",
        "Unschedulable: no nodes available to schedule pods",
    );
    let never = ", nodeSelector: {disk: ssd}, preemptionPolicy: Never";
    let (why, _) = expected
        .split_once("0/3 nodes are available: 3 Pre")
        .unwrap();
    let expected = format!("{why}not eligible due to preemptionPolicy=Never.");
    check(&nodes, "", "", never, &expected);
}

#[test]
fn a_pod_that_fits_nowhere_is_tried_again_when_that_may_help() {
    let mut cluster = cluster_of(&node("n1", "", "", "cpu: 1"));
    let asks = ", resources: {requests: {cpu: '1'}}";
    cluster.apply(&pod("a", "", asks, ""));
    cluster.settle();
    cluster.apply(&pod("b", "", asks, ""));
    cluster.apply(&pod("c", "", asks, ", nodeSelector: {disk: ssd}"));
    cluster.drain();
    assert!(outcome(&cluster, "b").contains("1 Insufficient cpu"));
    let writes = cluster.writes;
    cluster.apply(&pod("other", "", "", ", nodeName: n1"));
    cluster.pass(Duration::from_secs(60));
    assert_eq!(cluster.writes, writes, "nothing has changed for them");
    cluster.remove_pod("a");
    cluster.drain();
    let placed = stored(&cluster, "b");
    assert_eq!(placed.spec.node_name, "n1");
    assert_eq!(condition(&placed), Some(("True", "", "")));
    assert!(outcome(&cluster, "c").contains("node affinity/selector"));
    cluster.apply(&node("n2", "disk: ssd", "", ""));
    cluster.drain();
    assert_eq!(outcome(&cluster, "c"), "n2");
}

#[test]
fn gates_hold_a_pod_back() {
    let mut cluster = cluster_of(NODES);
    cluster.apply(&pod(
        "web",
        "",
        "",
        ", schedulingGates: [{name: example.com/quota}]",
    ));
    cluster.drain();
    assert_eq!(
        outcome(&cluster, "web"),
        "SchedulingGated: Scheduling is blocked due to non-empty scheduling gates"
    );
    let mut freed = Pod::clone(&stored(&cluster, "web"));
    freed.spec.rest.remove("schedulingGates");
    cluster.api.replace(freed.into(), cluster.now).unwrap();
    cluster.drain();
    assert_eq!(outcome(&cluster, "web"), "n1");
}

#[test]
fn a_pinned_status_is_left_alone() {
    let mut cluster = cluster_of("");
    let meta = ", annotations: {switchboard.dev/status: pinned}";
    cluster.apply(&pod("web", meta, "", ""));
    cluster.drain();
    assert_eq!(condition(&stored(&cluster, "web")), None);
}
