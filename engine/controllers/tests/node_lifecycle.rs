//! Nodes in trouble: taints, Pods that are no longer Ready, and evictions.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{DeleteOptions, Kind, Node, ObjectKey, Pod, Taint};
use cluster::{Cluster, NODES, three_kubelets};
use proptest::prelude::*;
use switchboard_controllers::{Kubelet, NodeLifecycleController, Scheduler};

const GRACE: Duration = Duration::from_secs(40);

/// Three nodes, kubelets and a scheduler, at rest.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(three_kubelets())),
        Box::new(NodeLifecycleController::new(GRACE)),
    ]);
    cluster.apply(NODES);
    cluster.settle();
    cluster
}

fn pod(name: &str, more: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i}}]{more}}}}}"
    )
}

fn node(cluster: &Cluster, name: &str) -> Node {
    Node::clone(cluster.api.node(name).unwrap())
}

/// Writes a condition of a node as its kubelet, or its controller, would.
fn report(cluster: &mut Cluster, name: &str, condition: &str, status: &str) {
    let mut node = node(cluster, name);
    let conditions = &mut node.status.conditions;
    conditions.retain(|found| found.condition_type != condition);
    if !status.is_empty() {
        conditions.push(api::Condition {
            condition_type: condition.to_owned(),
            status: status.to_owned(),
            ..api::Condition::default()
        });
    }
    cluster.api.update_status(node.into(), cluster.now).unwrap();
}

fn cordon(cluster: &mut Cluster, name: &str, flag: bool) {
    let mut node = node(cluster, name);
    node.spec.rest.insert("unschedulable", flag.into());
    cluster.api.replace(node.into(), cluster.now).unwrap();
}

/// `not-ready:NoSchedule@00:00:10`
fn taints(cluster: &Cluster, name: &str) -> Vec<String> {
    let taints: Vec<Taint> = node(cluster, name)
        .spec
        .rest
        .typed("taints")
        .unwrap_or_default();
    taints
        .iter()
        .map(|taint| {
            let key = taint.key.trim_start_matches("node.kubernetes.io/");
            let since = taint.time_added.as_deref().unwrap_or_default();
            let since = since.split(['T', 'Z']).nth(1).unwrap_or_default();
            format!("{key}:{}@{since}", taint.effect)
        })
        .collect()
}

fn find(cluster: &Cluster, name: &str) -> Option<Pod> {
    cluster.api.pod("default", name).map(|pod| Pod::clone(pod))
}

fn is_ready(cluster: &Cluster, name: &str) -> bool {
    find(cluster, name).unwrap().is_ready()
}

const NONE: [&str; 0] = [];

#[test]
fn conditions_and_cordons_become_taints() {
    let mut cluster = cluster();
    cluster.pass(Duration::from_secs(10));
    for (condition, status, expected) in [
        (
            "Ready",
            "False",
            vec![
                "not-ready:NoSchedule@00:00:10",
                "not-ready:NoExecute@00:00:10",
            ],
        ),
        (
            "Ready",
            "Unknown",
            vec![
                "unreachable:NoSchedule@00:00:10",
                "unreachable:NoExecute@00:00:10",
            ],
        ),
        (
            "MemoryPressure",
            "True",
            vec!["memory-pressure:NoSchedule@00:00:10"],
        ),
        (
            "DiskPressure",
            "True",
            vec!["disk-pressure:NoSchedule@00:00:10"],
        ),
        (
            "PIDPressure",
            "True",
            vec!["pid-pressure:NoSchedule@00:00:10"],
        ),
        (
            "NetworkUnavailable",
            "True",
            vec!["network-unavailable:NoSchedule@00:00:10"],
        ),
        ("MemoryPressure", "Unknown", vec![]),
        ("Other", "True", vec![]),
    ] {
        report(&mut cluster, "n1", condition, status);
        cluster.settle();
        assert_eq!(taints(&cluster, "n1"), expected, "{condition} {status}");
        report(
            &mut cluster,
            "n1",
            condition,
            if condition == "Ready" { "True" } else { "" },
        );
        cluster.settle();
        assert_eq!(taints(&cluster, "n1"), NONE, "{condition} {status}");
    }
    cordon(&mut cluster, "n1", true);
    cluster.settle();
    assert_eq!(
        taints(&cluster, "n1"),
        ["unschedulable:NoSchedule@00:00:10"]
    );
    cordon(&mut cluster, "n1", false);
    cluster.settle();
    assert_eq!(taints(&cluster, "n1"), NONE);
}

#[test]
fn taints_of_others_stay() {
    let mut cluster = cluster();
    let mut own = node(&cluster, "n1");
    let listed = serde_json::json!([
        {"key": "own", "value": "a", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/disk-pressure", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"},
    ]);
    own.spec.rest.insert("taints", listed);
    cluster.api.replace(own.into(), cluster.now).unwrap();
    cluster.settle();
    assert_eq!(
        taints(&cluster, "n1"),
        ["own:NoSchedule@", "disk-pressure:NoExecute@"]
    );
    report(&mut cluster, "n1", "Ready", "Unknown");
    cluster.settle();
    report(&mut cluster, "n1", "Ready", "");
    cluster.settle();
    let last = [
        "own:NoSchedule@",
        "disk-pressure:NoExecute@",
        "unreachable:NoSchedule@00:00:00",
        "unreachable:NoExecute@00:00:00",
    ];
    assert_eq!(
        taints(&cluster, "n1"),
        last,
        "who says nothing keeps what it has"
    );
}

#[test]
fn api_77_pods_of_a_node_that_is_away_are_not_ready() {
    let mut cluster = cluster();
    cluster.apply(&pod("a", ", nodeName: n1"));
    cluster.apply(&pod("b", ", nodeName: n2"));
    cluster.drain();
    report(&mut cluster, "n1", "Ready", "Unknown");
    cluster.settle();
    assert!(!is_ready(&cluster, "a") && is_ready(&cluster, "b"));
    cluster.apply(&pod("late", ", nodeName: n1"));
    cluster.pass(Duration::from_secs(10));
    assert_eq!(find(&cluster, "late").unwrap().status.phase, "Running");
    assert!(!is_ready(&cluster, "late"));
    report(&mut cluster, "n1", "Ready", "True");
    cluster.settle();
    assert!(is_ready(&cluster, "a") && is_ready(&cluster, "late"));
    cluster.pass(Duration::from_secs(600));
    assert!(find(&cluster, "a").is_some(), "the eviction is called off");
}

#[test]
fn a_pinned_status_is_left_alone() {
    let mut cluster = cluster();
    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {switchboard.dev/status: pinned}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, status: {phase: Running, podIP: 10.9.9.9, conditions: [{type: Ready, status: 'True'}]}}");
    cluster.drain();
    report(&mut cluster, "n1", "Ready", "False");
    cluster.settle();
    assert!(is_ready(&cluster, "a"));
    cluster.drain();
    assert!(find(&cluster, "a").is_none(), "it is evicted all the same");
}

/// Checks after how many seconds a Pod with these tolerations leaves its node, which is not Ready.
fn check_patience(tolerations: &str, expected: Option<u64>) {
    let mut cluster = cluster();
    let spec = match tolerations {
        "" => ", nodeName: n1".to_owned(),
        given => format!(", nodeName: n1, tolerations: [{given}]"),
    };
    cluster.apply(&pod("a", &spec));
    cluster.drain();
    report(&mut cluster, "n1", "Ready", "False");
    let is_leaving =
        |cluster: &Cluster| find(cluster, "a").is_none_or(|pod| pod.metadata.is_terminating());
    cluster.settle();
    let Some(seconds) = expected else {
        cluster.pass(Duration::from_secs(100_000));
        assert!(!is_leaving(&cluster), "{tolerations}");
        return;
    };
    if seconds > 0 {
        cluster.pass(Duration::from_secs(seconds) - Duration::from_nanos(1));
        assert!(!is_leaving(&cluster), "{tolerations}");
        cluster.pass(Duration::from_nanos(1));
    }
    assert!(is_leaving(&cluster), "{tolerations}");
    let leaving = find(&cluster, "a").unwrap();
    let mut conditions = leaving.status.conditions.iter();
    let told = conditions
        .find(|found| found.condition_type == "DisruptionTarget")
        .unwrap();
    let reason = told.rest.get("reason").and_then(|text| text.as_str());
    assert_eq!(
        (told.status.as_str(), reason),
        ("True", Some("DeletionByTaintManager"))
    );
    cluster.drain();
    assert!(find(&cluster, "a").is_none());
}

#[test]
fn pods_are_evicted_when_their_patience_ends() {
    let of = |more: &str| {
        format!("{{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute{more}}}")
    };
    check_patience("", Some(300));
    check_patience(&of(", tolerationSeconds: 20"), Some(20));
    check_patience(&of(", tolerationSeconds: 0"), Some(0));
    check_patience(&of(", tolerationSeconds: -5"), Some(0));
    check_patience(&of(""), None);
    check_patience("{operator: Exists}", None);
    let two = format!(
        "{}, {}",
        of(", tolerationSeconds: 60"),
        of(", tolerationSeconds: 30")
    );
    check_patience(&two, Some(30));
}

#[test]
fn what_bears_no_taint_of_its_node_goes_at_once() {
    let mut cluster = cluster();
    for (name, bears) in [
        ("a", ""),
        ("b", ", tolerations: [{key: own, operator: Exists}]"),
    ] {
        cluster.apply(&pod(name, &format!(", nodeName: n1{bears}")));
    }
    cluster.apply(&pod("other", ", nodeName: n2"));
    cluster.drain();
    let mut own = node(&cluster, "n1");
    let listed = serde_json::json!([{"key": "own", "effect": "NoExecute"}]);
    own.spec.rest.insert("taints", listed);
    cluster.api.replace(own.into(), cluster.now).unwrap();
    cluster.drain();
    assert!(find(&cluster, "a").is_none());
    assert!(is_ready(&cluster, "b") && is_ready(&cluster, "other"));
    cluster.apply(&pod("c", ""));
    cluster.apply(&pod("d", ""));
    cluster.drain();
    let nodes = ["c", "d"].map(|name| find(&cluster, name).unwrap().spec.node_name);
    assert_eq!(nodes, ["n3", "n2"]);
}

#[test]
fn a_wait_begins_anew_when_a_node_has_been_back() {
    let mut cluster = cluster();
    cluster.apply(&pod("a", ", nodeName: n1"));
    cluster.drain();
    for status in ["False", "True", "Unknown"] {
        report(&mut cluster, "n1", "Ready", status);
        cluster.pass(Duration::from_secs(200));
    }
    assert!(!find(&cluster, "a").unwrap().metadata.is_terminating());
    report(&mut cluster, "n1", "Ready", "False");
    cluster.pass(Duration::from_secs(99));
    assert!(find(&cluster, "a").is_some(), "the other absence counts");
    cluster.pass(Duration::from_secs(3));
    assert!(find(&cluster, "a").is_none());
}

#[test]
fn deleted_nodes_and_pods_are_forgotten() {
    let mut cluster = cluster();
    cluster.apply(&pod("a", ", nodeName: n1"));
    cluster.apply(&pod("b", ", nodeName: n1"));
    cluster.drain();
    report(&mut cluster, "n1", "Ready", "False");
    cluster.pass(Duration::from_secs(100));
    cluster.remove_pod("a");
    cluster.apply(&pod("a", ", nodeName: n1"));
    cluster.pass(Duration::from_secs(250));
    assert!(find(&cluster, "b").is_none());
    assert!(
        find(&cluster, "a").is_some(),
        "another Pod waits for itself"
    );
    let key = ObjectKey::new(Kind::Node, "", "n1");
    cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now)
        .unwrap();
    cluster.pass(Duration::from_secs(39));
    assert!(find(&cluster, "a").is_some());
    cluster.pass(Duration::from_secs(2));
    assert!(find(&cluster, "a").is_none(), "its node does not come back");
    cluster.apply(&pod("elsewhere", ", nodeName: never-seen"));
    cluster.pass(Duration::from_secs(600));
    assert!(find(&cluster, "elsewhere").is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Pod(u8, u8, Option<u32>),
    Remove(u8),
    Node(u8, bool),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u8, 1..4_u8, prop::option::of(0..100_u32))
            .prop_map(|(name, node, seconds)| Step::Pod(name, node, seconds)),
        1 => (0..6_u8).prop_map(Step::Remove),
        3 => (1..4_u8, any::<bool>()).prop_map(|(node, ready)| Step::Node(node, ready)),
        3 => (1..60_u16).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A Pod is away exactly if its node has been for as long as it bears that.
    #[test]
    fn evictions_come_when_they_are_due(steps in prop::collection::vec(step(), 1..40)) {
        let mut cluster = Cluster::new(vec![Box::new(NodeLifecycleController::new(GRACE))]);
        cluster.apply(NODES);
        let mut away: BTreeMap<u8, u64> = BTreeMap::new();
        // Each Pod's node, patience, and since when it is there.
        let mut pods: BTreeMap<u8, (u8, Option<u32>, u64)> = BTreeMap::new();
        let mut now = 0_u64;
        for step in steps {
            match step {
                Step::Pod(name, node, seconds) if !pods.contains_key(&name) => {
                    let seconds_text = seconds.map(|seconds| format!(", tolerationSeconds: {seconds}"));
                    let seconds_text = seconds_text.unwrap_or_default();
                    cluster.apply(&pod(&format!("p{name}"), &format!(
                        ", nodeName: n{node}, terminationGracePeriodSeconds: 0, tolerations: [{{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute{seconds_text}}}]"
                    )));
                    pods.insert(name, (node, seconds, now));
                }
                Step::Pod(..) => {}
                Step::Remove(name) => {
                    cluster.remove_pod(&format!("p{name}"));
                    pods.remove(&name);
                }
                Step::Node(node, ready) => {
                    report(&mut cluster, &format!("n{node}"), "Ready", if ready { "True" } else { "False" });
                    if ready {
                        away.remove(&node);
                    } else {
                        away.entry(node).or_insert(now);
                    }
                }
                Step::Pass(seconds) => {
                    cluster.pass(Duration::from_secs(seconds.into()));
                    now += u64::from(seconds);
                }
            }
            cluster.settle();
            pods.retain(|_, (node, seconds, since)| {
                let Some((away, seconds)) = away.get(node).zip(*seconds) else {
                    return true;
                };
                (*away).max(*since) + u64::from(seconds) > now
            });
            let stored: Vec<u8> = (0..6).filter(|name| find(&cluster, &format!("p{name}")).is_some()).collect();
            prop_assert_eq!(stored, pods.keys().copied().collect::<Vec<u8>>());
        }
    }
}
