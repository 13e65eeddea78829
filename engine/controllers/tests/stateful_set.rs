//! StatefulSets from creation to their end: with scheduler and kubelet, and behind a lagging watch.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{Change, Kind, Object, ObjectKey, Pod, StatefulSet, WatchEvent};
use base::SimTime;
use cluster::{Cluster, NODES};
use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;
use switchboard_controllers::{
    Controller, Effect, Kubelet, KubeletConfig, Scheduler, StatefulSetController,
};

const START: Duration = Duration::from_secs(2);

fn cluster() -> Cluster {
    let node = |number: u8| {
        let range = format!("10.244.{number}.0/24").parse().unwrap();
        let address = [192, 168, 1, number].into();
        (format!("n{number}"), vec![address], vec![range])
    };
    let config = KubeletConfig {
        pod_start: START,
        nodes: (1..=3).map(node).collect(),
    };
    let mut cluster = Cluster::new(vec![
        Box::new(StatefulSetController::new()),
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(config)),
    ]);
    cluster.apply(NODES);
    cluster
}

/// A set `db` of this image.
fn set(replicas: u8, image: &str, more: &str) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: db}}, spec: {{replicas: {replicas}, serviceName: peers, selector: {{matchLabels: {{app: db}}}}, template: {{metadata: {{labels: {{app: db}}}}, spec: {{containers: [{{name: c, image: '{image}'}}]}}}}{more}}}}}"
    )
}

fn stored(cluster: &Cluster) -> StatefulSet {
    let key = ObjectKey::new(Kind::StatefulSet, "default", "db");
    StatefulSet::clone(
        cluster
            .api
            .get(&key)
            .and_then(Object::as_stateful_set)
            .unwrap(),
    )
}

/// replicas, ready, available, current, updated.
fn numbers(cluster: &Cluster) -> [i64; 5] {
    let status = stored(cluster).status;
    let current = status
        .rest
        .get("currentReplicas")
        .and_then(serde_json::Value::as_i64);
    [
        status.replicas.unwrap().into(),
        status.ready_replicas.into(),
        status.available_replicas.into(),
        current.unwrap_or(0),
        status.updated_replicas.into(),
    ]
}

fn pods(cluster: &Cluster) -> Vec<Pod> {
    let pods = cluster.api.list(Kind::Pod, None).filter_map(Object::as_pod);
    pods.map(|pod| Pod::clone(pod)).collect()
}

/// Name and image of every Pod.
fn images(cluster: &Cluster) -> String {
    let shown = pods(cluster)
        .into_iter()
        .map(|pod| format!("{} {}", pod.metadata.name, pod.spec.containers[0].image));
    shown.collect::<Vec<_>>().join(", ")
}

/// What happened to Pods after a revision of the store: `+` made, `ok` ready, `~` told to go, `-` gone.
fn story(cluster: &Cluster, after: u64) -> String {
    let mut told: BTreeSet<(String, &str)> = BTreeSet::new();
    let mut story = Vec::new();
    for event in cluster.api.events_after(0) {
        let Some(pod) = event.object.as_pod() else {
            continue;
        };
        let sign = match event.change {
            Change::Deleted => "-",
            Change::Added => "+",
            Change::Modified if pod.metadata.is_terminating() => "~",
            Change::Modified if pod.is_ready() => "ok ",
            Change::Modified => continue,
        };
        if told.insert((pod.metadata.uid.clone(), sign)) && event.revision > after {
            story.push(format!("{sign}{}", pod.metadata.name));
        }
    }
    story.join(", ")
}

fn revisions(cluster: &Cluster) -> Vec<i64> {
    let kind = Kind::of_resource("controllerrevision").unwrap();
    let found = cluster
        .api
        .list(kind, None)
        .map(|object| object.to_fields()["revision"].as_i64().unwrap());
    let mut numbers: Vec<i64> = found.collect();
    numbers.sort_unstable();
    numbers
}

/// A cluster in which the set is up.
fn up(text: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.apply(text);
    cluster.drain();
    cluster
}

/// Applies a set and lets the cluster come to rest; what happened.
fn then(cluster: &mut Cluster, text: &str) -> String {
    let before = cluster.api.revision();
    cluster.apply(text);
    cluster.drain();
    story(cluster, before)
}

#[test]
fn pods_come_up_one_after_the_other() {
    let mut cluster = up(&set(3, "i:1", ""));
    assert_eq!(
        story(&cluster, 0),
        "+db-0, ok db-0, +db-1, ok db-1, +db-2, ok db-2"
    );
    assert_eq!(cluster.now - SimTime::ZERO, START * 3);
    assert_eq!(numbers(&cluster), [3, 3, 3, 3, 3]);
    let (revision, before) = (cluster.api.revision(), cluster.writes);
    cluster.drain();
    assert_eq!(
        (cluster.api.revision(), cluster.writes),
        (revision, before),
        "at rest"
    );
}

#[test]
fn ep_15_pods_are_named_and_labelled() {
    let cluster = up(&set(2, "i:1", ""));
    let set = stored(&cluster);
    let pod = cluster.api.pod("default", "db-1").unwrap();
    let names = [&pod.spec.hostname, &pod.spec.subdomain].map(String::as_str);
    assert_eq!(names, ["db-1", "peers"]);
    let labels = &pod.metadata.labels;
    assert_eq!(labels["app"], "db");
    assert_eq!(labels["statefulset.kubernetes.io/pod-name"], "db-1");
    assert_eq!(labels["apps.kubernetes.io/pod-index"], "1");
    let revision = set.status.rest.get("currentRevision").unwrap();
    assert_eq!(*revision, labels["controller-revision-hash"]);
    assert_eq!(set.status.rest.get("updateRevision"), Some(revision));
    assert_eq!(set.status.observed_generation, set.metadata.generation);
    let owner = &pod.metadata.owner_references[0];
    assert_eq!(
        (owner.kind.as_str(), &owner.uid),
        ("StatefulSet", &set.metadata.uid)
    );
    assert_eq!(owner.controller, Some(true));
}

#[test]
fn ordinals_begin_where_they_are_told() {
    let mut cluster = up(&set(2, "i:1", ", ordinals: {start: 5}"));
    assert_eq!(images(&cluster), "db-5 i:1, db-6 i:1");
    let told = then(&mut cluster, &set(2, "i:1", ", ordinals: {start: 4}"));
    assert_eq!(told, "+db-4, ok db-4, ~db-6, -db-6");
}

#[test]
fn each_pod_is_ready_for_long_enough_before_the_next() {
    let cluster = up(&set(2, "i:1", ", minReadySeconds: 10"));
    assert_eq!(
        cluster.now - SimTime::ZERO,
        (START + Duration::from_secs(10)) * 2
    );
    assert_eq!(numbers(&cluster), [2; 5]);
}

#[test]
fn scaling_down_goes_in_reverse_order() {
    let mut cluster = up(&set(3, "i:1", ""));
    let told = then(&mut cluster, &set(1, "i:1", ""));
    assert_eq!(told, "~db-2, -db-2, ~db-1, -db-1");
    assert_eq!(numbers(&cluster), [1; 5]);
    assert_eq!(then(&mut cluster, &set(0, "i:1", "")), "~db-0, -db-0");
    assert_eq!(numbers(&cluster), [0; 5]);
}

#[test]
fn scaling_down_waits_for_pods_that_are_not_ready() {
    let mut cluster = up(&set(3, "i:1", ""));
    cluster.report("db-0", "Running", "10.0.0.1", Some(false));
    assert_eq!(then(&mut cluster, &set(1, "i:1", "")), "");
    cluster.report("db-0", "Running", "10.0.0.1", Some(true));
    cluster.drain();
    assert_eq!(images(&cluster), "db-0 i:1");
}

#[test]
fn of_those_to_go_only_the_lowest_unhealthy_one_goes_before_it_is_well() {
    let mut cluster = up(&set(3, "i:1", ""));
    cluster.report("db-1", "Running", "10.0.0.1", Some(false));
    assert_eq!(
        then(&mut cluster, &set(1, "i:1", "")),
        "~db-2, -db-2, ~db-1, -db-1"
    );
    let mut cluster = up(&set(3, "i:1", ""));
    for name in ["db-1", "db-2"] {
        cluster.report(name, "Running", "10.0.0.1", Some(false));
    }
    assert_eq!(
        then(&mut cluster, &set(1, "i:1", "")),
        "",
        "the last one is not the lowest"
    );
}

#[test]
fn parallel_does_not_wait() {
    let parallel = ", podManagementPolicy: Parallel";
    let mut cluster = up(&set(3, "i:1", parallel));
    assert_eq!(
        story(&cluster, 0),
        "+db-0, +db-1, +db-2, ok db-0, ok db-1, ok db-2"
    );
    let told = then(&mut cluster, &set(1, "i:1", parallel));
    assert_eq!(told, "~db-2, ~db-1, -db-1, -db-2");
}

#[test]
fn a_new_template_is_rolled_out_in_reverse_order() {
    let mut cluster = up(&set(3, "i:1", ""));
    let first = stored(&cluster).status.rest.get("currentRevision").cloned();
    let told = then(&mut cluster, &set(3, "i:2", ""));
    let expected: Vec<String> = [2, 1, 0]
        .map(|pod| format!("~db-{pod}, -db-{pod}, +db-{pod}, ok db-{pod}"))
        .to_vec();
    assert_eq!(told, expected.join(", "));
    assert_eq!(images(&cluster), "db-0 i:2, db-1 i:2, db-2 i:2");
    assert_eq!(numbers(&cluster), [3; 5]);
    let rest = stored(&cluster).status.rest;
    assert_eq!(rest.get("currentRevision"), rest.get("updateRevision"));
    assert_ne!(rest.get("currentRevision"), first.as_ref());
}

#[test]
fn pods_below_the_partition_keep_their_template() {
    let mut cluster = up(&set(3, "i:1", ""));
    let partition = ", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}";
    let told = then(&mut cluster, &set(3, "i:2", partition));
    assert_eq!(told, "~db-2, -db-2, +db-2, ok db-2");
    assert_eq!(numbers(&cluster), [3, 3, 3, 2, 1]);
    for name in ["db-0", "db-2"] {
        cluster.delete(Kind::Pod, name);
        cluster.drain();
    }
    assert_eq!(images(&cluster), "db-0 i:1, db-1 i:1, db-2 i:2");
    let partition = ", updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}";
    then(&mut cluster, &set(3, "i:2", partition));
    assert_eq!(images(&cluster), "db-0 i:2, db-1 i:2, db-2 i:2");
    assert_eq!(numbers(&cluster), [3; 5]);
}

#[test]
fn as_many_pods_are_replaced_at_once_as_may_be_missing() {
    let more = ", podManagementPolicy: Parallel, updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 50%}}";
    let mut cluster = up(&set(4, "i:1", more));
    let told = then(&mut cluster, &set(4, "i:2", more));
    assert!(
        told.starts_with("~db-3, ~db-2, -db-2, -db-3, +db-2, +db-3, "),
        "{told}"
    );
    assert_eq!(images(&cluster), "db-0 i:2, db-1 i:2, db-2 i:2, db-3 i:2");
}

#[test]
fn on_delete_leaves_the_rollout_to_the_user() {
    let on_delete = ", updateStrategy: {type: OnDelete}";
    let mut cluster = up(&set(2, "i:1", on_delete));
    assert_eq!(then(&mut cluster, &set(2, "i:2", on_delete)), "");
    assert_eq!(numbers(&cluster), [2, 2, 2, 2, 0]);
    cluster.delete(Kind::Pod, "db-0");
    cluster.drain();
    assert_eq!(images(&cluster), "db-0 i:2, db-1 i:1");
    assert_eq!(numbers(&cluster), [2, 2, 2, 1, 1]);
}

#[test]
fn a_pod_that_is_lost_comes_back_under_its_name() {
    let mut cluster = up(&set(3, "i:1", ""));
    let before = cluster.api.revision();
    cluster.delete(Kind::Pod, "db-1");
    cluster.drain();
    assert_eq!(story(&cluster, before), "~db-1, -db-1, +db-1, ok db-1");
    let before = cluster.api.revision();
    cluster.report("db-0", "Failed", "", Some(false));
    cluster.drain();
    assert!(story(&cluster, before).ends_with("-db-0, +db-0, ok db-0"));
    assert_eq!(numbers(&cluster), [3; 5]);
}

#[test]
fn a_rollback_is_an_old_revision_with_a_new_number() {
    let mut cluster = up(&set(1, "i:1", ", revisionHistoryLimit: 1"));
    let first = stored(&cluster).status.rest.get("currentRevision").cloned();
    assert_eq!(revisions(&cluster), [1]);
    then(&mut cluster, &set(1, "i:2", ", revisionHistoryLimit: 1"));
    assert_eq!(revisions(&cluster), [1, 2]);
    then(&mut cluster, &set(1, "i:1", ", revisionHistoryLimit: 1"));
    assert_eq!(
        stored(&cluster).status.rest.get("currentRevision"),
        first.as_ref()
    );
    assert_eq!(revisions(&cluster), [2, 3]);
    then(&mut cluster, &set(1, "i:3", ", revisionHistoryLimit: 1"));
    assert_eq!(revisions(&cluster), [3, 4], "one old revision is kept");
}

#[test]
fn every_pod_has_claims_of_its_own() {
    let claims = ", volumeClaimTemplates: [{metadata: {name: data, labels: {tier: disk}}, spec: {accessModes: [ReadWriteOnce]}}]";
    let mut cluster = up(&set(2, "i:1", claims));
    let kind = Kind::of_resource("pvc").unwrap();
    let claim = ObjectKey::new(kind, "default", "data-db-1");
    let claim = cluster.api.get(&claim).unwrap();
    let labels = &claim.meta().labels;
    assert_eq!(
        (labels["tier"].as_str(), labels["app"].as_str()),
        ("disk", "db")
    );
    assert_eq!(
        claim.to_fields()["spec"]["accessModes"],
        json!(["ReadWriteOnce"])
    );
    let pod = cluster.api.pod("default", "db-1").unwrap();
    let volume = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]);
    assert_eq!(pod.spec.rest.get("volumes"), Some(&volume));
    let uid = claim.meta().uid.clone();
    then(&mut cluster, &set(1, "i:1", claims));
    then(&mut cluster, &set(2, "i:1", claims));
    let claims: Vec<&Object> = cluster.api.list(kind, None).collect();
    assert_eq!(claims.len(), 2);
    assert_eq!(claims[1].meta().uid, uid, "it has been kept");
}

#[test]
fn orphans_are_adopted_and_strangers_let_go() {
    let mut cluster = cluster();
    let orphan = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: db}}}}, spec: {{containers: [{{name: c, image: old}}]}}}}"
        )
    };
    for name in ["db-0", "other"] {
        cluster.apply(&orphan(name));
    }
    cluster.drain();
    let on_delete = ", updateStrategy: {type: OnDelete}";
    assert_eq!(then(&mut cluster, &set(1, "i:1", on_delete)), "");
    let owners = |cluster: &Cluster, name: &str| {
        cluster
            .api
            .pod("default", name)
            .unwrap()
            .metadata
            .owner_references
            .len()
    };
    assert_eq!(
        (owners(&cluster, "db-0"), owners(&cluster, "other")),
        (1, 0)
    );
    let mut pod = Pod::clone(cluster.api.pod("default", "db-0").unwrap());
    pod.metadata
        .labels
        .insert("app".to_owned(), "mine".to_owned());
    cluster.api.replace(pod.into(), cluster.now).unwrap();
    cluster.settle();
    assert_eq!(owners(&cluster, "db-0"), 0);
    cluster.delete(Kind::Pod, "db-0");
    cluster.drain();
    assert_eq!(images(&cluster), "db-0 i:1, other old");
}

#[test]
fn a_set_of_more_than_there_can_be_is_no_harm() {
    let mut cluster = cluster();
    let text = set(1, "i:1", ", podManagementPolicy: Parallel");
    cluster.apply(&text.replace("replicas: 1", "replicas: 2147483647"));
    cluster.run(0, usize::MAX);
    assert_eq!(pods(&cluster).len(), 500);
}

/// An object that the controller writes comes back to it as an event.
fn echo(effect: Effect) -> Option<WatchEvent> {
    let (change, object) = match effect {
        Effect::Create(object) => (Change::Added, object),
        Effect::Update(object) | Effect::UpdateStatus(object) => (Change::Modified, object),
        _ => return None,
    };
    Some(WatchEvent {
        revision: 0,
        at: SimTime::ZERO,
        change,
        object,
        previous: None,
    })
}

/// Each of many sets makes its Pod, one after the other: it would take minutes if each looked at all Pods.
#[test]
fn many_sets_come_up_fast() {
    let mut controller = StatefulSetController::new();
    let template = cluster::objects(&set(1, "i:1", "")).remove(0);
    let mut made = 0;
    for index in 0..5_000 {
        let mut object = template.clone();
        object.meta_mut().name = format!("s{index}");
        object.meta_mut().uid = format!("u{index}");
        object.meta_mut().namespace = "default".to_owned();
        let mut events = Vec::from_iter(echo(Effect::Create(object)));
        while !events.is_empty() {
            for event in &events {
                controller.observe(event, SimTime::ZERO);
            }
            let effects = controller.reconcile(SimTime::ZERO);
            let pods = effects.iter().filter(
                |effect| matches!(effect, Effect::Create(object) if object.kind() == Kind::Pod),
            );
            made += pods.count();
            events = effects.into_iter().filter_map(echo).collect();
        }
    }
    assert_eq!(made, 5_000);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Set { replicas: u8, image: u8 },
    Delete(u8),
    Run { controller: usize, events: usize },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..4_u8, 1..3_u8).prop_map(|(replicas, image)| Step::Set { replicas, image }),
        1 => (0..4_u8).prop_map(Step::Delete),
        12 => (0..3_usize, 0..4_usize).prop_map(|(controller, events)| Step::Run { controller, events }),
        2 => (500..4000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(96))]

    /// However late the controller hears of things: without deletions by others at most one Pod of an ordered set is
    /// not ready, and in the end everything is as wanted.
    #[test]
    fn order_holds_behind_a_lagging_watch(steps in prop::collection::vec(step(), 0..120)) {
        let mut cluster = cluster();
        let (mut replicas, mut image, mut is_disturbed) = (3, 1, false);
        cluster.apply(&set(replicas, "i:1", ""));
        for step in steps {
            match step {
                Step::Set { replicas: wanted, image: next } => {
                    (replicas, image) = (wanted, next);
                    cluster.apply(&set(replicas, &format!("i:{image}"), ""));
                }
                Step::Delete(ordinal) => {
                    let name = format!("db-{ordinal}");
                    if cluster.api.pod("default", &name).is_some() {
                        is_disturbed = true;
                        cluster.delete(Kind::Pod, &name);
                    }
                }
                Step::Run { controller, events } => cluster.run(controller, events),
                Step::Pass(millis) => cluster.now += Duration::from_millis(millis),
            }
            let unready = pods(&cluster).into_iter().filter(|pod| {
                !pod.is_ready() || pod.metadata.is_terminating()
            });
            let unready = unready.count();
            prop_assert!(is_disturbed || unready <= 1, "{}", images(&cluster));
        }
        cluster.drain();
        let expected: BTreeMap<String, String> = (0..replicas)
            .map(|ordinal| (format!("db-{ordinal}"), format!("i:{image}")))
            .collect();
        let found = pods(&cluster).into_iter().map(|pod| {
            (pod.metadata.name.clone(), pod.spec.containers[0].image.clone())
        });
        prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
        prop_assert_eq!(numbers(&cluster), [i64::from(replicas); 5]);
    }
}
