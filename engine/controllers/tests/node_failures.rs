//! Nodes that lose their power, or the API server, and come back.

mod cluster;

use std::time::Duration;

use api::{DeleteOptions, Kind, Node, ObjectKey, Pod};
use cluster::{Cluster, NODES, START, three_kubelets};
use proptest::prelude::*;
use switchboard_controllers::{
    EndpointSliceController, Incident, Kubelet, NodeLifecycleController, PodSignal, Scheduler,
};

const GRACE: Duration = Duration::from_secs(40);

/// Nodes n1, n2, n3 whose first heartbeat has come.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new(vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(three_kubelets())),
        Box::new(NodeLifecycleController::new(GRACE)),
        Box::new(EndpointSliceController::new(
            Duration::ZERO,
            base::Seed::new(7),
        )),
    ]);
    cluster.apply(NODES);
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}",
    );
    cluster.settle();
    cluster
}

fn web(name: &str, node: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}}}, \
         spec: {{nodeName: {node}, containers: [{{name: c, image: i}}]}}}}"
    )
}

/// Pods a on n1 and b on n2, that run since second 2; it is second 12.
fn running() -> Cluster {
    let mut cluster = cluster();
    cluster.apply(&web("a", "n1"));
    cluster.apply(&web("b", "n2"));
    cluster.pass(Duration::from_secs(12));
    cluster
}

fn find(cluster: &Cluster, name: &str) -> Option<Pod> {
    cluster.api.pod("default", name).map(|pod| Pod::clone(pod))
}

fn is_ready(cluster: &Cluster, name: &str) -> bool {
    find(cluster, name).unwrap().is_ready()
}

/// The status of a node's Ready, and the keys of its taints.
fn node_state(cluster: &Cluster, name: &str) -> String {
    let node: &Node = cluster.api.node(name).unwrap();
    let ready = node
        .status
        .conditions
        .iter()
        .find(|found| found.condition_type == "Ready");
    let taints: Vec<api::Taint> = node.spec.rest.typed("taints").unwrap_or_default();
    let taints: Vec<String> = taints
        .iter()
        .map(|taint| {
            format!(
                "{}:{}",
                taint.key.trim_start_matches("node.kubernetes.io/"),
                taint.effect
            )
        })
        .collect();
    format!("{} [{}]", ready.unwrap().status, taints.join(" "))
}

/// The slices' endpoints: address and conditions.
fn endpoints(cluster: &Cluster) -> String {
    let told = cluster.told();
    let [slice] = told.as_slice() else {
        panic!("{told:?}")
    };
    slice.split(" | ").nth(1).unwrap().to_owned()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const AWAY: &str = "Unknown [unreachable:NoSchedule unreachable:NoExecute]";

#[test]
fn a_node_without_power_is_found_out_after_the_grace_period() {
    let mut cluster = running();
    cluster.set_node("n1", false, true);
    cluster.settle();
    assert!(
        matches!(cluster.signals.last(), Some((_, PodSignal::Removed { node, .. })) if node == "n1")
    );
    assert_eq!(
        endpoints(&cluster),
        "10.244.1.2 rs, 10.244.2.2 rs",
        "nobody knows yet"
    );
    // The last heartbeat came in second 10, and the controller looks every 5 s.
    cluster.pass(seconds(43) - Duration::from_nanos(1));
    assert_eq!(node_state(&cluster, "n1"), "True []");
    cluster.pass(Duration::from_nanos(1));
    assert_eq!(node_state(&cluster, "n1"), AWAY);
    assert_eq!(endpoints(&cluster), "10.244.1.2 , 10.244.2.2 rs");
    let node = cluster.api.node("n1").unwrap();
    let ready = &node.status.conditions[0].rest;
    assert_eq!(ready.get("reason").unwrap(), "NodeStatusUnknown");
    assert_eq!(
        ready.get("message").unwrap(),
        "Kubelet stopped posting node status."
    );
    assert_eq!(
        cluster.told_events(),
        [
            "Pod/a 1x NodeNotReady: Node is not ready",
            "Node/n1 1x NodeNotReady: Node n1 status is now: NodeNotReady",
        ]
    );
}

#[test]
fn pods_of_a_node_that_stays_away_are_evicted_and_stay_until_it_is_back() {
    let mut cluster = running();
    cluster.set_node("n1", false, true);
    cluster.pass(seconds(43 + 300) - Duration::from_nanos(1));
    assert!(!find(&cluster, "a").unwrap().metadata.is_terminating());
    cluster.pass(Duration::from_nanos(1));
    assert!(find(&cluster, "a").unwrap().metadata.is_terminating());
    assert_eq!(endpoints(&cluster), "10.244.1.2 t, 10.244.2.2 rs");
    let events = cluster.told_events();
    assert!(
        events.contains(
            &"Pod/a 1x TaintManagerEviction: Marking for deletion Pod default/a".to_owned()
        ),
        "{events:?}"
    );
    cluster.pass(seconds(10_000));
    assert!(
        find(&cluster, "a").is_some(),
        "nobody is there to say that it has ended"
    );
    cluster.set_node("n1", true, true);
    cluster.settle();
    assert!(find(&cluster, "a").is_none());
    assert_eq!(node_state(&cluster, "n1"), "True []");
}

#[test]
fn a_node_that_boots_starts_its_pods_anew() {
    let mut cluster = running();
    cluster.set_node("n1", false, true);
    cluster.pass(seconds(100));
    let signals = cluster.signals.len();
    cluster.set_node("n1", true, true);
    cluster.settle();
    assert_eq!(node_state(&cluster, "n1"), "True []", "it says so at once");
    let pod = find(&cluster, "a").unwrap();
    let state = pod.status.container_statuses[0].rest.get("state").unwrap();
    assert_eq!((pod.is_ready(), pod.status.pod_ip.as_str()), (false, ""));
    assert_eq!(
        (
            &state["terminated"]["exitCode"],
            &state["terminated"]["reason"]
        ),
        (&255.into(), &"Unknown".into())
    );
    assert_eq!(endpoints(&cluster), "10.244.2.2 rs");
    assert_eq!(cluster.signals.len(), signals);
    cluster.pass(START);
    let pod = find(&cluster, "a").unwrap();
    assert_eq!(pod.status.container_statuses[0].restart_count, 1);
    assert!(pod.is_ready());
    assert_eq!(
        endpoints(&cluster),
        "10.244.1.3 rs, 10.244.2.2 rs",
        "another sandbox, another address"
    );
    cluster.pass(seconds(1000));
    assert!(is_ready(&cluster, "a"), "the eviction is called off");
    let events = cluster.told_events();
    assert!(
        events.contains(&"Node/n1 1x NodeReady: Node n1 status is now: NodeReady".to_owned()),
        "{events:?}"
    );
}

#[test]
fn a_node_that_is_back_within_the_grace_period_was_never_away() {
    let mut cluster = running();
    cluster.set_node("n1", false, true);
    cluster.pass(seconds(20));
    cluster.set_node("n1", true, true);
    cluster.pass(seconds(1000));
    assert!(is_ready(&cluster, "a"));
    assert_eq!(
        find(&cluster, "a").unwrap().status.container_statuses[0].restart_count,
        1
    );
    assert_eq!(cluster.told_events(), [""; 0]);
}

#[test]
fn a_node_that_boots_runs_what_the_api_says() {
    let mut cluster = running();
    cluster.apply(&web("c", "n1"));
    cluster.pass(seconds(3));
    cluster.set_node("n1", false, true);
    cluster.apply(&web("late", "n1"));
    cluster.delete(Kind::Pod, "a");
    cluster.remove_pod("c");
    cluster.apply(&web("c", "n1"));
    cluster.pass(seconds(20));
    assert!(
        find(&cluster, "a").is_some() && find(&cluster, "late").unwrap().status.phase == "Pending"
    );
    cluster.set_node("n1", true, true);
    cluster.pass(START);
    assert!(find(&cluster, "a").is_none());
    assert!(is_ready(&cluster, "late") && is_ready(&cluster, "c"));
    let restarts = |name| find(&cluster, name).unwrap().status.container_statuses[0].restart_count;
    assert_eq!((restarts("late"), restarts("c")), (0, 0), "another c");
}

#[test]
fn who_is_not_started_again_has_failed_after_a_reboot() {
    let mut cluster = cluster();
    cluster.apply(&web("a", "n1").replace("nodeName", "restartPolicy: Never, nodeName"));
    cluster.pass(seconds(12));
    cluster.set_node("n1", false, true);
    cluster.pass(seconds(5));
    assert_eq!(find(&cluster, "a").unwrap().status.phase, "Running");
    cluster.set_node("n1", true, true);
    cluster.drain();
    let pod = find(&cluster, "a").unwrap();
    assert_eq!(
        (pod.status.phase.as_str(), pod.is_ready()),
        ("Failed", false)
    );
    assert_eq!(endpoints(&cluster), "");
}

#[test]
fn a_node_without_api_server_goes_on_and_catches_up() {
    let mut cluster = running();
    cluster.apply(&web("c", "n1"));
    cluster.pass(seconds(3));
    let signals = cluster.signals.len();
    cluster.set_node("n1", true, false);
    cluster.apply(&web("late", "n1"));
    cluster.delete(Kind::Pod, "c");
    cluster.pass(seconds(60));
    assert_eq!(node_state(&cluster, "n1"), AWAY);
    assert_eq!(
        cluster.signals.len(),
        signals,
        "its containers know nothing of it"
    );
    assert!(!is_ready(&cluster, "a") && find(&cluster, "c").is_some());
    // It is second 75.
    cluster.set_node("n1", true, true);
    cluster.pass(seconds(5) - Duration::from_nanos(1));
    assert!(
        find(&cluster, "c").is_none() && find(&cluster, "late").unwrap().status.phase == "Running"
    );
    assert_eq!(node_state(&cluster, "n1"), AWAY, "until the next heartbeat");
    assert!(!is_ready(&cluster, "a"));
    cluster.pass(Duration::from_nanos(1));
    assert_eq!(node_state(&cluster, "n1"), "True []");
    assert!(is_ready(&cluster, "a") && is_ready(&cluster, "late"));
    assert_eq!(
        find(&cluster, "a").unwrap().status.container_statuses[0].restart_count,
        0
    );
}

#[test]
fn what_happens_on_a_node_without_api_server_is_told_afterwards() {
    let mut cluster = running();
    cluster.set_node("n1", true, false);
    let key = ObjectKey::new(Kind::Pod, "default", "a");
    cluster.happen(&Incident::PodCrash(key));
    cluster.pass(seconds(10));
    assert!(matches!(
        cluster.signals.last(),
        Some((_, PodSignal::Serving { .. }))
    ));
    assert_eq!(
        find(&cluster, "a").unwrap().status.container_statuses[0].restart_count,
        0
    );
    cluster.set_node("n1", true, true);
    cluster.settle();
    assert_eq!(
        find(&cluster, "a").unwrap().status.container_statuses[0].restart_count,
        1
    );
}

#[test]
fn a_node_that_is_given_up_while_it_comes_back_says_so_again() {
    let mut cluster = running();
    cluster.set_node("n1", false, true);
    // In second 55 it is given up; it boots at that instant, before anybody has seen that.
    cluster.pass(seconds(43) - Duration::from_nanos(1));
    cluster.now += Duration::from_nanos(1);
    cluster.set_node("n1", true, true);
    cluster.pass(seconds(20));
    assert_eq!(node_state(&cluster, "n1"), "True []");
    assert!(is_ready(&cluster, "a"));
}

#[test]
fn heartbeats_are_not_written() {
    let mut cluster = running();
    let revision = cluster.api.revision();
    cluster.pass(seconds(3600));
    assert_eq!(cluster.api.revision(), revision);
}

#[test]
fn what_a_user_says_of_a_node_that_is_well_stays() {
    let mut cluster = running();
    let mut node = Node::clone(cluster.api.node("n1").unwrap());
    "Unknown".clone_into(&mut node.status.conditions[0].status);
    cluster.api.update_status(node.into(), cluster.now).unwrap();
    cluster.pass(seconds(60));
    assert_eq!(node_state(&cluster, "n1"), AWAY);
    assert!(!is_ready(&cluster, "a"));
}

#[derive(Clone, Debug)]
enum Step {
    Pod(u8, u8),
    Remove(u8),
    Delete(u8),
    Node(u8, bool, bool),
    Crash(u8),
    Unready(u8, bool),
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..5_u8, 1..4_u8).prop_map(|(name, node)| Step::Pod(name, node)),
        1 => (0..5_u8).prop_map(Step::Remove),
        1 => (0..5_u8).prop_map(Step::Delete),
        3 => (1..4_u8, any::<bool>(), any::<bool>()).prop_map(|(node, up, there)| Step::Node(node, up, there)),
        1 => (0..5_u8).prop_map(Step::Crash),
        1 => (0..5_u8, any::<bool>()).prop_map(|(name, flag)| Step::Unready(name, flag)),
        4 => (1..100_u16).prop_map(Step::Pass),
    ]
}

/// Who runs where, by the signals: a Pod's uid, its node, and whether it serves.
fn processes(cluster: &Cluster) -> Vec<(String, String, bool)> {
    let mut running: Vec<(String, String, bool)> = Vec::new();
    for (_, signal) in &cluster.signals {
        match signal {
            PodSignal::Started { uid, node, .. } => {
                assert!(
                    running.iter().all(|(known, ..)| known != uid),
                    "{uid} started twice"
                );
                running.push((uid.clone(), node.clone(), false));
            }
            PodSignal::Serving { uid, .. } | PodSignal::Crashed { uid, .. } => {
                let serves = matches!(signal, PodSignal::Serving { .. });
                let found = running.iter_mut().find(|(known, ..)| known == uid);
                found.expect("it runs").2 = serves;
            }
            PodSignal::Terminating { uid, .. } => {
                assert!(running.iter().any(|(known, ..)| known == uid));
            }
            PodSignal::Removed { uid, .. } => {
                let before = running.len();
                running.retain(|(known, ..)| known != uid);
                assert_eq!(running.len() + 1, before, "{uid} ended twice");
            }
        }
    }
    running.sort();
    running
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever happens: once all nodes are well again, every Pod that was not deleted runs and is ready, everything else
    /// is gone, and the network has been told of exactly those. Nothing runs on a node without power.
    #[test]
    fn when_all_is_well_again_all_pods_run(steps in prop::collection::vec(step(), 1..40)) {
        let mut cluster = cluster();
        let name = |name: u8| format!("p{name}");
        let key = |name: u8| ObjectKey::new(Kind::Pod, "default", &format!("p{name}"));
        let mut down = [false; 4];
        for step in steps {
            match step {
                Step::Pod(number, node) => {
                    if find(&cluster, &name(number)).is_none() {
                        cluster.apply(&web(&name(number), &format!("n{node}")));
                    }
                }
                Step::Remove(number) => cluster.remove_pod(&name(number)),
                Step::Delete(number) => {
                    let _ = cluster.api.delete(&key(number), &DeleteOptions::default(), cluster.now);
                }
                Step::Node(node, is_up, is_connected) => {
                    down[usize::from(node)] = !is_up;
                    cluster.set_node(&format!("n{node}"), is_up, is_connected);
                }
                Step::Crash(number) => cluster.happen(&Incident::PodCrash(key(number))),
                Step::Unready(number, is_unready) => {
                    cluster.happen(&Incident::PodUnready { pod: key(number), is_unready });
                }
                Step::Pass(count) => cluster.pass(seconds(count.into())),
            }
            cluster.settle();
            let nodes: Vec<String> = processes(&cluster).into_iter().map(|(_, node, _)| node).collect();
            for (number, is_down) in down.iter().enumerate() {
                let runs = nodes.contains(&format!("n{number}"));
                prop_assert!(!(*is_down && runs));
            }
        }
        for number in 0..5 {
            cluster.happen(&Incident::PodUnready { pod: key(number), is_unready: false });
        }
        for node in 1..4 {
            cluster.set_node(&format!("n{node}"), true, true);
        }
        cluster.drain();
        let mut expected = Vec::new();
        for pod in cluster.api.list(Kind::Pod, None).filter_map(api::Object::as_pod) {
            prop_assert!(pod.is_ready() && !pod.metadata.is_terminating(), "{:?}", pod);
            expected.push((pod.metadata.uid.clone(), pod.spec.node_name.clone(), true));
        }
        expected.sort();
        prop_assert_eq!(processes(&cluster), expected);
        for node in 1..4 {
            prop_assert_eq!(node_state(&cluster, &format!("n{node}")), "True []");
        }
    }
}
