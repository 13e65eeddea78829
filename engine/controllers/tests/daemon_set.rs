//! DaemonSets on nodes that come, change and go, and behind a lagging watch.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{Change, DaemonSet, DeleteOptions, Kind, Object, ObjectKey, Pod, Status, WatchEvent};
use base::{Seed, SimTime};
use cluster::{Cluster, NODES};
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;
use switchboard_controllers::{Controller, DaemonSetController, Effect, Kubelet, KubeletConfig};

const START: Duration = Duration::from_secs(2);
const ALL: [&str; 3] = ["n1", "n2", "n3"];

/// Puts each Pod on the node that its affinity names, whatever the node's taints.
#[derive(Default)]
struct Binder {
    waiting: BTreeMap<ObjectKey, Pod>,
}

/// The one node that a Pod's required affinity names.
fn tied_to(pod: &Pod) -> Option<String> {
    let affinity = pod.spec.rest.get("affinity")?;
    let terms = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let field = &terms["nodeSelectorTerms"][0]["matchFields"][0];
    assert_eq!(field["key"], "metadata.name");
    Some(field["values"][0].as_str()?.to_owned())
}

impl Controller for Binder {
    fn name(&self) -> &'static str {
        "binder"
    }

    fn observe(&mut self, event: &WatchEvent, _now: SimTime) {
        let key = event.object.key();
        self.waiting.remove(&key);
        if let Some(pod) = event.object.as_pod()
            && event.change != Change::Deleted
            && pod.spec.node_name.is_empty()
            && !pod.metadata.is_terminating()
        {
            self.waiting.insert(key, Pod::clone(pod));
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        (!self.waiting.is_empty()).then_some(SimTime::ZERO)
    }

    fn reconcile(&mut self, _now: SimTime) -> Vec<Effect> {
        let waiting = std::mem::take(&mut self.waiting);
        let bound = waiting.into_values().map(|mut pod| {
            pod.spec.node_name = tied_to(&pod).expect("daemons are tied to nodes");
            Effect::Update(pod.into())
        });
        bound.collect()
    }

    fn refused(&mut self, _effect: &Effect, _status: &Status, _now: SimTime) {}
}

fn cluster() -> Cluster {
    let node = |number: u8| {
        let range = format!("10.244.{number}.0/24").parse().unwrap();
        let address = [192, 168, 1, number].into();
        (format!("n{number}"), vec![address], vec![range])
    };
    let config = KubeletConfig {
        pod_start: START,
        nodes: (1..=4).map(node).collect(),
    };
    let mut cluster = Cluster::new(vec![
        Box::new(DaemonSetController::new(Seed::new(7))),
        Box::new(Binder::default()),
        Box::new(Kubelet::new(config)),
    ]);
    cluster.apply(NODES);
    cluster
}

/// A set `agent` of this image.
fn set(image: &str, pod: &str, more: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: agent}}, spec: {{selector: {{matchLabels: {{app: agent}}}}, template: {{metadata: {{labels: {{app: agent}}}}, spec: {{containers: [{{name: c, image: '{image}'}}]{pod}}}}}{more}}}}}"
    )
}

fn node(name: &str, labels: &str, taints: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{{labels}}}}}, spec: {{taints: [{taints}]}}, status: {{conditions: [{{type: Ready, status: 'True'}}]}}}}"
    )
}

/// A cluster in which the set is up.
fn up(text: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.apply(text);
    cluster.drain();
    cluster
}

fn then(cluster: &mut Cluster, text: &str) {
    cluster.apply(text);
    cluster.drain();
}

fn pods(cluster: &Cluster) -> Vec<Pod> {
    let pods = cluster.api.list(Kind::Pod, None).filter_map(Object::as_pod);
    pods.map(|pod| Pod::clone(pod)).collect()
}

/// Node and image of every Pod, by node.
fn shown(cluster: &Cluster) -> Vec<String> {
    let mut shown: Vec<String> = pods(cluster)
        .iter()
        .map(|pod| format!("{} {}", pod.spec.node_name, pod.spec.containers[0].image))
        .collect();
    shown.sort();
    shown
}

fn on(nodes: &[&str], image: &str) -> Vec<String> {
    nodes.iter().map(|node| format!("{node} {image}")).collect()
}

fn stored(cluster: &Cluster) -> DaemonSet {
    let key = ObjectKey::new(Kind::DaemonSet, "default", "agent");
    DaemonSet::clone(
        cluster
            .api
            .get(&key)
            .and_then(Object::as_daemon_set)
            .unwrap(),
    )
}

/// desired, current, misscheduled, ready, updated, available, unavailable.
fn numbers(cluster: &Cluster) -> [i32; 7] {
    let status = stored(cluster).status;
    let unavailable = status.rest.typed("numberUnavailable");
    [
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_misscheduled,
        status.number_ready,
        status.updated_number_scheduled,
        status.number_available,
        unavailable.unwrap_or(0),
    ]
}

/// Over all the history since a revision of the store: the most Pods on one node, and the fewest that were available at
/// once.
fn extremes(cluster: &Cluster, after: u64) -> (usize, usize) {
    let mut alive: BTreeMap<String, (String, bool)> = BTreeMap::new();
    let (mut most, mut fewest) = (0, usize::MAX);
    for event in cluster.api.events_after(0) {
        let Some(pod) = event.object.as_pod() else {
            continue;
        };
        if event.change == Change::Deleted {
            alive.remove(&pod.metadata.uid);
        } else {
            let is_ready = pod.is_ready() && !pod.metadata.is_terminating();
            let node = tied_to(pod).unwrap();
            alive.insert(pod.metadata.uid.clone(), (node, is_ready));
        }
        if event.revision > after {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (node, _) in alive.values() {
                *counts.entry(node).or_default() += 1;
            }
            most = most.max(counts.values().copied().max().unwrap_or(0));
            let ready = alive.values().filter(|(_, is_ready)| *is_ready);
            let ready: BTreeSet<&str> = ready.map(|(node, _)| node.as_str()).collect();
            fewest = fewest.min(ready.len());
        }
    }
    (most, fewest)
}

#[test]
fn every_node_gets_a_pod() {
    let mut cluster = up(&set("i:1", "", ""));
    assert_eq!(shown(&cluster), on(&ALL, "i:1"));
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 3, 3, 0]);
    let set = stored(&cluster);
    let seen: Option<i64> = set.status.rest.typed("observedGeneration");
    assert_eq!(seen, set.metadata.generation);
    let revision = cluster.api.revision();
    cluster.drain();
    assert_eq!(cluster.api.revision(), revision, "at rest");
    let pod = pods(&cluster).remove(0);
    let labels = &pod.metadata.labels;
    assert_eq!(
        (
            labels["app"].as_str(),
            labels["pod-template-generation"].as_str()
        ),
        ("agent", "1")
    );
    let kind = Kind::of_resource("controllerrevision").unwrap();
    let revision = cluster.api.list(kind, None).next().unwrap();
    assert_eq!(
        revision.meta().name,
        format!("agent-{}", labels["controller-revision-hash"])
    );
    let owner = &pod.metadata.owner_references[0];
    assert_eq!(
        (owner.kind.as_str(), &owner.uid),
        ("DaemonSet", &set.metadata.uid)
    );
    assert_eq!(owner.controller, Some(true));
    assert_eq!(pod.metadata.generate_name, "agent-");
    let tolerations = pod.spec.rest.get("tolerations").unwrap();
    let not_ready =
        json!({"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"});
    assert!(tolerations.as_array().unwrap().contains(&not_ready));
}

#[test]
fn nodes_come_and_go() {
    let mut cluster = up(&set("i:1", "", ""));
    then(&mut cluster, &node("n4", "", ""));
    assert_eq!(shown(&cluster), on(&["n1", "n2", "n3", "n4"], "i:1"));
    let key = ObjectKey::new(Kind::Node, "", "n4");
    cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now)
        .unwrap();
    cluster.drain();
    assert_eq!(
        shown(&cluster),
        on(&["n1", "n2", "n3", "n4"], "i:1"),
        "who runs on a deleted node is for others to collect"
    );
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 3, 3, 0]);
}

#[test]
fn taints_keep_new_pods_away_or_drive_all_out() {
    let mut cluster = up(&set("i:1", "", ""));
    then(
        &mut cluster,
        &node("n1", "", "{key: k, effect: NoSchedule}"),
    );
    assert_eq!(shown(&cluster), on(&ALL, "i:1"), "what runs may stay");
    assert_eq!(numbers(&cluster), [2, 2, 1, 2, 2, 2, 0]);
    then(&mut cluster, &node("n1", "", "{key: k, effect: NoExecute}"));
    assert_eq!(shown(&cluster), on(&ALL[1..], "i:1"));
    assert_eq!(numbers(&cluster), [2, 2, 0, 2, 2, 2, 0]);
    then(
        &mut cluster,
        &node("n1", "", "{key: k, effect: NoSchedule}"),
    );
    assert_eq!(shown(&cluster), on(&ALL[1..], "i:1"), "none comes back");
    then(
        &mut cluster,
        &node(
            "n1",
            "",
            "{key: node.kubernetes.io/unschedulable, effect: NoSchedule}",
        ),
    );
    assert_eq!(
        shown(&cluster),
        on(&ALL, "i:1"),
        "daemons do not mind a cordon"
    );
}

#[test]
fn a_selector_follows_the_labels_of_nodes() {
    let mut cluster = up(&set("i:1", ", nodeSelector: {disk: ssd}", ""));
    assert_eq!(numbers(&cluster), [0; 7]);
    then(&mut cluster, &node("n2", "disk: ssd", ""));
    assert_eq!(shown(&cluster), on(&["n2"], "i:1"));
    then(&mut cluster, &node("n2", "disk: hdd", ""));
    assert_eq!(shown(&cluster), on(&[], "i:1"));
    then(&mut cluster, &set("i:1", ", nodeSelector: {disk: hdd}", ""));
    assert_eq!(shown(&cluster), on(&["n2"], "i:1"));
}

#[test]
fn lost_failed_and_surplus_pods_are_mended() {
    let mut cluster = up(&set("i:1", "", ""));
    let names: Vec<String> = pods(&cluster)
        .into_iter()
        .map(|pod| pod.metadata.name)
        .collect();
    cluster.delete(Kind::Pod, &names[0]);
    cluster.report(&names[1], "Failed", "", Some(false));
    cluster.drain();
    assert_eq!(shown(&cluster), on(&ALL, "i:1"));
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 3, 3, 0]);
    // An orphan of the set's labels is adopted, and is one too many.
    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: stray, labels: {app: agent}}, spec: {nodeName: n1, containers: [{name: c, image: stray}]}}");
    cluster.drain();
    assert_eq!(shown(&cluster), on(&ALL, "i:1"));
}

#[test]
fn a_rolling_update_goes_node_by_node() {
    let mut cluster = up(&set("i:1", "", ""));
    let before = cluster.api.revision();
    then(&mut cluster, &set("i:2", "", ""));
    assert_eq!(shown(&cluster), on(&ALL, "i:2"));
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 3, 3, 0]);
    assert_eq!(extremes(&cluster, before), (1, 2));
    let generation = |pod: Pod| pod.metadata.labels["pod-template-generation"].clone();
    let generations: BTreeSet<String> = pods(&cluster).into_iter().map(generation).collect();
    assert_eq!(generations, BTreeSet::from(["2".to_owned()]));
}

#[test]
fn a_rolling_update_takes_what_may_be_missing() {
    let more = ", updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 50%}}, minReadySeconds: 5";
    let mut cluster = up(&set("i:1", "", more));
    let (before, began) = (cluster.api.revision(), cluster.now);
    then(&mut cluster, &set("i:2", "", more));
    assert_eq!(shown(&cluster), on(&ALL, "i:2"));
    assert_eq!(extremes(&cluster, before), (1, 1));
    assert!(
        cluster.now.since(began) >= Duration::from_secs(10),
        "each of two rounds waits"
    );
}

#[test]
fn a_surge_brings_the_new_pod_before_the_old_one_goes() {
    let more =
        ", updateStrategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}";
    let mut cluster = up(&set("i:1", "", more));
    let before = cluster.api.revision();
    then(&mut cluster, &set("i:2", "", more));
    assert_eq!(shown(&cluster), on(&ALL, "i:2"));
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 3, 3, 0]);
    assert_eq!(extremes(&cluster, before), (2, 3));
}

#[test]
fn on_delete_leaves_the_rollout_to_the_user() {
    let on_delete = ", updateStrategy: {type: OnDelete}";
    let mut cluster = up(&set("i:1", "", on_delete));
    then(&mut cluster, &set("i:2", "", on_delete));
    assert_eq!(shown(&cluster), on(&ALL, "i:1"));
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 0, 3, 0]);
    let first = pods(&cluster)
        .into_iter()
        .find(|pod| pod.spec.node_name == "n1")
        .unwrap();
    cluster.delete(Kind::Pod, &first.metadata.name);
    cluster.drain();
    assert_eq!(shown(&cluster), ["n1 i:2", "n2 i:1", "n3 i:1"]);
    assert_eq!(numbers(&cluster), [3, 3, 0, 3, 1, 3, 0]);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Image(u8),
    Taint { node: u8, effect: usize },
    Run { controller: usize, events: usize },
    Pass(u64),
}

const EFFECTS: [&str; 3] = [
    "",
    "{key: k, effect: NoSchedule}",
    "{key: k, effect: NoExecute}",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (1..3_u8).prop_map(Step::Image),
        1 => (1..4_u8, 0..3_usize).prop_map(|(node, effect)| Step::Taint { node, effect }),
        14 => (0..3_usize, 0..4_usize).prop_map(|(controller, events)| Step::Run { controller, events }),
        3 => (500..4000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(96))]

    /// However late the controller hears of things, no node ever has more Pods than the surge allows; in the end
    /// every node has the one that it should have.
    #[test]
    fn no_node_has_too_many_behind_a_lagging_watch(
        surge in 0..3_usize,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut cluster = cluster();
        let missing = usize::from(surge == 0);
        let more = format!(", updateStrategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {missing}}}}}");
        let (mut image, mut effects) = (1, BTreeMap::new());
        cluster.apply(&set("i:1", "", &more));
        for step in steps {
            match step {
                Step::Image(next) => {
                    image = next;
                    cluster.apply(&set(&format!("i:{image}"), "", &more));
                }
                Step::Taint { node: number, effect } => {
                    effects.insert(format!("n{number}"), effect);
                    cluster.apply(&node(&format!("n{number}"), "", EFFECTS[effect]));
                }
                Step::Run { controller, events } => cluster.run(controller, events),
                Step::Pass(millis) => cluster.now += Duration::from_millis(millis),
            }
        }
        cluster.drain();
        // A Pod may be on its way out while the images change back and forth, its successor's successor coming up.
        let (most, _) = extremes(&cluster, 0);
        prop_assert!(most <= 1 + 2 * surge.min(1), "{most}");
        let pods = pods(&cluster);
        for name in ALL {
            let here = pods.iter().filter(|pod| pod.spec.node_name == name);
            let here: Vec<&str> = here.map(|pod| pod.spec.containers[0].image.as_str()).collect();
            let expected = format!("i:{image}");
            match effects.get(name).copied().unwrap_or(0) {
                0 => prop_assert_eq!(here, [expected.as_str()]),
                1 => prop_assert!(here.len() <= 1 && here.iter().all(|found| *found == expected)),
                _ => prop_assert!(here.is_empty()),
            }
        }
    }

    /// However late the controller hears of things, a rollout leaves no more nodes without an available Pod than it
    /// may.
    #[test]
    fn a_rollout_stays_within_its_bounds(
        missing in 1..3_usize,
        steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..1500_u64), 0..120),
    ) {
        let more = format!(", updateStrategy: {{type: RollingUpdate, rollingUpdate: {{maxUnavailable: {missing}}}}}");
        let mut cluster = up(&set("i:1", "", &more));
        let before = cluster.api.revision();
        cluster.apply(&set("i:2", "", &more));
        for (controller, events, millis) in steps {
            cluster.run(controller, events);
            cluster.now += Duration::from_millis(millis);
        }
        cluster.drain();
        prop_assert_eq!(shown(&cluster), on(&ALL, "i:2"));
        let (most, fewest) = extremes(&cluster, before);
        prop_assert_eq!((most, fewest), (1, 3 - missing));
    }
}
