//! Where Pods go, and what a Pod is told that fits nowhere.

mod cluster;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Change, DeleteOptions, Kind, Object, ObjectKey, Pod};
use cluster::{Cluster, NODES};
use proptest::prelude::*;
use switchboard_controllers::Scheduler;

fn cluster(nodes: &str) -> Cluster {
    let mut cluster = Cluster::new(vec![Box::new(Scheduler::new())]);
    cluster.apply(nodes);
    cluster
}

/// A Ready node: `more` are further fields of `metadata`, `spec` its spec, `room` what Pods may use.
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
    let mut cluster = cluster(nodes);
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
fn pods_of_a_controller_are_kept_apart() {
    let nodes = NODES.replace("zone: b", "zone: a");
    let mut cluster = cluster(&nodes);
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
    let mut cluster = cluster(&node("n1", "", "", "cpu: 1"));
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
    let mut cluster = cluster(NODES);
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
    let mut cluster = cluster("");
    let meta = ", annotations: {switchboard.dev/status: pinned}";
    cluster.apply(&pod("web", meta, "", ""));
    cluster.drain();
    assert_eq!(condition(&stored(&cluster, "web")), None);
}

/// A node as the independent check sees it.
#[derive(Clone, Debug)]
struct NodeModel {
    zone: u8,
    has_disk: bool,
    effect: Option<&'static str>,
    is_cordoned: bool,
    cpu: Option<u32>,
    pods: Option<usize>,
}

#[derive(Clone, Debug)]
struct PodModel {
    app: u8,
    zones: Option<Vec<u8>>,
    wants_disk: bool,
    bears: bool,
    cpu: u32,
    port: Option<u16>,
    spreads: bool,
    averse: bool,
    is_owned: bool,
}

impl NodeModel {
    fn text(&self, name: &str) -> String {
        let disk = if self.has_disk { ", disk: ssd" } else { "" };
        let taint = self
            .effect
            .map(|effect| format!("{{key: own, effect: {effect}}}"));
        let cpu = self.cpu.map(|cpu| format!("cpu: {cpu}m"));
        let pods = self.pods.map(|pods| format!("pods: {pods}"));
        let room: Vec<String> = cpu.into_iter().chain(pods).collect();
        node(
            name,
            &format!("zone: z{}{disk}", self.zone),
            &format!(
                "unschedulable: {}, taints: [{}]",
                self.is_cordoned,
                taint.unwrap_or_default()
            ),
            &room.join(", "),
        )
    }
}

impl PodModel {
    fn text(&self, name: &str) -> String {
        let selector = format!("labelSelector: {{matchLabels: {{app: a{}}}}}", self.app);
        let mut meta = format!(", labels: {{app: a{}}}", self.app);
        if self.is_owned {
            meta += ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: o, uid: o, controller: true}]";
        }
        let mut container = String::new();
        if self.cpu > 0 {
            container += &format!(", resources: {{requests: {{cpu: {}m}}}}", self.cpu);
        }
        if let Some(port) = self.port {
            container += &format!(", ports: [{{containerPort: 1, hostPort: {port}}}]");
        }
        let mut affinity = Vec::new();
        if let Some(zones) = &self.zones {
            let zones: Vec<String> = zones.iter().map(|zone| format!("z{zone}")).collect();
            affinity.push(format!("nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchExpressions: [{{key: zone, operator: In, values: [{}]}}]}}]}}}}", zones.join(", ")));
        }
        if self.averse {
            affinity.push(format!("podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, {selector}}}]}}"));
        }
        let mut spec = format!(", affinity: {{{}}}", affinity.join(", "));
        if self.wants_disk {
            spec += ", nodeSelector: {disk: ssd}";
        }
        if self.bears {
            spec += ", tolerations: [{key: own, operator: Exists}]";
        }
        if self.spreads {
            spec += &format!(
                ", topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, {selector}}}]"
            );
        }
        pod(name, &meta, &container, &spec)
    }

    fn selects(&self, node: &NodeModel) -> bool {
        (!self.wants_disk || node.has_disk)
            && self
                .zones
                .as_ref()
                .is_none_or(|zones| zones.contains(&node.zone))
    }
}

/// What is where, by name.
#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<String, NodeModel>,
    pods: BTreeMap<String, (PodModel, Option<String>)>,
}

impl Model {
    fn placed(&self) -> impl Iterator<Item = (&PodModel, &String, &NodeModel)> {
        self.pods.values().filter_map(|(pod, node)| {
            let node = node.as_ref()?;
            Some((pod, node, &self.nodes[node]))
        })
    }

    /// The filter that keeps a Pod from a node.
    fn forbids(&self, pod: &PodModel, name: &str) -> Option<&'static str> {
        let node = &self.nodes[name];
        let here = || self.placed().filter(|(_, node, _)| *node == name);
        let in_zone = || {
            self.placed()
                .filter(|(_, _, other)| other.zone == node.zone)
        };
        let used: u32 = here().map(|(pod, _, _)| pod.cpu).sum();
        let hard = matches!(node.effect, Some("NoSchedule" | "NoExecute"));
        let rules = [
            (node.is_cordoned, "cordon"),
            (hard && !pod.bears, "taint"),
            (!pod.selects(node), "selector"),
            (
                pod.port.is_some() && here().any(|(other, _, _)| other.port == pod.port),
                "port",
            ),
            (
                pod.cpu > 0 && node.cpu.is_some_and(|cpu| used + pod.cpu > cpu),
                "cpu",
            ),
            (node.pods.is_some_and(|pods| here().count() >= pods), "pods"),
            (
                pod.averse && in_zone().any(|(other, _, _)| other.app == pod.app),
                "aversion",
            ),
            (
                in_zone().any(|(other, _, _)| other.averse && other.app == pod.app),
                "repulsion",
            ),
            (pod.spreads && self.skew(pod, node.zone) > 1, "spread"),
        ];
        rules
            .into_iter()
            .find(|(holds, _)| *holds)
            .map(|(_, rule)| rule)
    }

    /// How many more of its like the zone would have than the emptiest one.
    fn skew(&self, pod: &PodModel, zone: u8) -> usize {
        let eligible = || self.nodes.iter().filter(|(_, node)| pod.selects(node));
        let count = |zone: u8| {
            let like = self.placed().filter(|(other, _, node)| {
                other.app == pod.app && node.zone == zone && pod.selects(node)
            });
            like.count()
        };
        let fewest = eligible()
            .map(|(_, node)| count(node.zone))
            .min()
            .unwrap_or(0);
        count(zone) + 1 - fewest.min(count(zone))
    }

    /// Follows the log, checking each placement against what was where at that moment.
    fn follow(&mut self, cluster: &Cluster, from: u64) -> Result<(), TestCaseError> {
        for event in cluster.api.events_after(from) {
            let Object::Pod(object) = &event.object else {
                continue;
            };
            let name = &object.metadata.name;
            if event.change == Change::Deleted {
                self.pods.remove(name);
                continue;
            }
            let Some((pod, None)) = self.pods.get(name).cloned() else {
                continue;
            };
            let to = &object.spec.node_name;
            if !to.is_empty() {
                let rule = self.forbids(&pod, to);
                prop_assert_eq!(rule, None, "{} on {}", name, to);
                self.pods.insert(name.clone(), (pod, Some(to.clone())));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Node(u8, NodeModel),
    Pod(u8, PodModel),
    Remove(u8),
}

fn node_model() -> impl Strategy<Value = NodeModel> {
    let effects = prop::sample::select(vec![
        None,
        None,
        Some("NoSchedule"),
        Some("NoExecute"),
        Some("PreferNoSchedule"),
    ]);
    (
        any::<bool>(),
        effects,
        prop::bool::weighted(0.2),
        prop::option::of(500..2000_u32),
        prop::option::of(1..4_usize),
    )
        .prop_map(|(has_disk, effect, is_cordoned, cpu, pods)| NodeModel {
            zone: 0,
            has_disk,
            effect,
            is_cordoned,
            cpu,
            pods,
        })
}

fn pod_model() -> impl Strategy<Value = PodModel> {
    (
        0..2_u8,
        prop::option::weighted(0.3, prop::collection::vec(0..3_u8, 1..3)),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop_oneof![Just(0), 100..1500_u32],
        prop::option::weighted(0.2, 80..82_u16),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(
            |(app, zones, wants_disk, bears, cpu, port, spreads, averse, is_owned)| PodModel {
                app,
                zones,
                wants_disk,
                bears,
                cpu,
                port,
                spreads,
                averse,
                is_owned,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..5_u8, node_model()).prop_map(|(name, node)| Step::Node(name, node)),
        4 => (0..12_u8, pod_model()).prop_map(|(name, pod)| Step::Pod(name, pod)),
        1 => (0..12_u8).prop_map(Step::Remove),
    ]
}

/// Makes the node so, now or from now on.
fn set_node(cluster: &mut Cluster, name: &str, model: &NodeModel) {
    let objects = cluster::objects(&model.text(name));
    let key = ObjectKey::new(Kind::Node, "", name);
    let _ = cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now);
    for object in objects {
        cluster.put(object);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// No Pod is ever put where a filter forbids it, and none waits while there is a place for it.
    #[test]
    fn pods_are_where_they_may_be(steps in prop::collection::vec(step(), 1..40)) {
        let mut cluster = cluster("");
        let mut model = Model::default();
        for step in steps {
            let from = cluster.api.revision();
            match step {
                Step::Node(name, mut node) => {
                    node.zone = name % 3;
                    let name = format!("n{name}");
                    set_node(&mut cluster, &name, &node);
                    model.nodes.insert(name, node);
                }
                Step::Pod(name, pod) => {
                    let name = format!("p{name}");
                    if !model.pods.contains_key(&name) {
                        cluster.apply(&pod.text(&name));
                        model.pods.insert(name, (pod, None));
                    }
                }
                Step::Remove(name) => cluster.remove_pod(&format!("p{name}")),
            }
            cluster.drain();
            model.follow(&cluster, from)?;
            for (name, (pod, node)) in &model.pods {
                if node.is_none() {
                    let place = model.nodes.keys().find(|node| model.forbids(pod, node).is_none());
                    prop_assert_eq!(place, None, "{} waits", name);
                }
            }
        }
    }
}
