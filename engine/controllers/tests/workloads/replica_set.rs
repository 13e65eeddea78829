//! ReplicaSets.

use std::time::Duration;

use api::{Kind, Pod};

use super::{REPLICA_SETS, active, counts, fleet, manifest, pods, sets};

fn set(replicas: i32) -> String {
    manifest("ReplicaSet", replicas, "a", "")
}

#[test]
fn what_is_deleted_is_replaced() {
    let mut cluster = fleet();
    cluster.apply(&set(3));
    cluster.drain();
    let first = active(&cluster).remove(0);
    cluster.delete(Kind::Pod, &first.metadata.name);
    cluster.settle();
    assert_eq!(
        counts(&cluster),
        (3, 2),
        "a Pod that terminates is replaced at once"
    );
    let status = &sets(&cluster)[0].status;
    assert_eq!(status.rest.get("terminatingReplicas"), Some(&1.into()));
    cluster.drain();
    let status = &sets(&cluster)[0].status;
    assert_eq!(status.rest.get("terminatingReplicas"), Some(&0.into()));
    assert_eq!(status.rest.get("fullyLabeledReplicas"), Some(&3.into()));
    assert_eq!((status.replicas, status.available_replicas), (Some(3), 3));
}

#[test]
fn what_has_failed_is_replaced() {
    let mut cluster = fleet();
    cluster.apply(&set(2));
    cluster.drain();
    let name = active(&cluster)[0].metadata.name.clone();
    cluster.report(&name, "Failed", "", Some(false));
    cluster.drain();
    assert_eq!((pods(&cluster).len(), counts(&cluster)), (3, (2, 2)));
}

#[test]
fn orphans_that_match_are_adopted() {
    let mut cluster = fleet();
    cluster.pod("before", "n1", "10.0.0.1", true);
    cluster.apply(&set(3));
    cluster.drain();
    assert_eq!(counts(&cluster), (3, 3));
    cluster.pod("after", "n1", "10.0.0.2", true);
    cluster.drain();
    assert_eq!(counts(&cluster), (3, 3), "one too many has gone");
    let uid = &sets(&cluster)[0].metadata.uid;
    let pods = active(&cluster);
    assert!(pods.iter().any(|pod| pod.metadata.name == "before"));
    for pod in pods {
        assert_eq!(pod.metadata.owner_references.len(), 1);
        assert_eq!(pod.metadata.owner_references[0].uid, *uid);
    }
}

#[test]
fn what_no_longer_matches_is_released_and_replaced() {
    let mut cluster = fleet();
    cluster.apply(&set(2));
    cluster.drain();
    let mut pod = Pod::clone(&active(&cluster)[0]);
    pod.metadata
        .labels
        .insert("app".to_owned(), "mine".to_owned());
    cluster
        .api
        .replace(pod.clone().into(), cluster.now)
        .unwrap();
    cluster.drain();
    assert_eq!(counts(&cluster), (3, 3));
    let name = &pod.metadata.name;
    let released = cluster.api.pod("default", name).unwrap();
    assert_eq!(released.metadata.owner_references.len(), 0);
    cluster.delete(Kind::ReplicaSet, "web");
    cluster.drain();
    let left = pods(&cluster);
    assert_eq!((left.len(), &left[0].metadata.name), (1, name));
}

/// The controller works again and again, and hears of nothing it has done.
#[test]
fn a_lagging_watch_makes_no_pod_too_many() {
    let mut cluster = fleet();
    cluster.apply(&set(5));
    cluster.settle();
    cluster.apply(&set(8));
    for _ in 0..3 {
        cluster.run(REPLICA_SETS, 1);
        assert!(active(&cluster).len() <= 8);
    }
    cluster.settle();
    assert_eq!(active(&cluster).len(), 8);
    cluster.apply(&set(2));
    cluster.drain();
    assert_eq!(counts(&cluster), (2, 2));
}

/// Pods that have just begun go before those that have been ready for long.
#[test]
fn the_youngest_go_first() {
    let mut cluster = fleet();
    cluster.apply(&set(2));
    cluster.drain();
    let before: Vec<String> = names(&active(&cluster));
    cluster.pass(Duration::from_secs(3600));
    cluster.apply(&set(3));
    cluster.drain();
    cluster.apply(&set(2));
    cluster.drain();
    assert_eq!(names(&active(&cluster)), before);
}

#[test]
fn a_pod_that_is_refused_is_reported_and_tried_again() {
    let mut cluster = fleet();
    let long = "x".repeat(254);
    cluster.apply(&set(1).replace(
        "labels: {app: web}}, spec: {",
        &format!("labels: {{app: web}}, finalizers: [{long}]}}, spec: {{"),
    ));
    cluster.pass(Duration::from_secs(1));
    let conditions = super::conditions(&sets(&cluster)[0].status);
    assert_eq!(conditions, ["ReplicaFailure=True FailedCreate"]);
    assert_eq!(pods(&cluster).len(), 0);
    cluster.drain();
}

fn names(pods: &[std::sync::Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|pod| pod.metadata.name.clone()).collect()
}
