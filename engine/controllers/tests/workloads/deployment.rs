//! Deployments.

use std::time::Duration;

use api::{Kind, ObjectKey};

use super::{active, annotation, conditions, counts, fleet, pods, sets, sizes, stored, web};
use crate::cluster::Cluster;

fn running(replicas: i32, more: &str) -> Cluster {
    let mut cluster = fleet();
    cluster.apply(&web(replicas, "a", more));
    cluster.drain();
    cluster
}

#[test]
fn comes_up() {
    let cluster = running(3, "");
    assert_eq!(counts(&cluster), (3, 3));
    let set = sets(&cluster).remove(0);
    let hash = &set.metadata.labels["pod-template-hash"];
    assert_eq!(set.metadata.name, format!("web-{hash}"));
    assert_eq!(
        set.spec.selector.as_ref().unwrap().match_labels["pod-template-hash"],
        *hash
    );
    assert_eq!(annotation(&set.metadata, "revision"), "1");
    assert_eq!(annotation(&set.metadata, "desired-replicas"), "3");
    assert_eq!(annotation(&set.metadata, "max-replicas"), "4");
    for pod in active(&cluster) {
        assert!(pod.metadata.name.starts_with(&format!("web-{hash}-")));
        assert_eq!(pod.metadata.labels["pod-template-hash"], *hash);
        let owner = &pod.metadata.owner_references[0];
        assert_eq!(
            (owner.kind.as_str(), &owner.uid),
            ("ReplicaSet", &set.metadata.uid)
        );
        assert_eq!(
            (owner.controller, owner.block_owner_deletion),
            (Some(true), Some(true))
        );
    }
    let deployment = stored(&cluster);
    assert_eq!(annotation(&deployment.metadata, "revision"), "1");
    let status = &deployment.status;
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.replicas, Some(3));
    assert_eq!((status.updated_replicas, status.ready_replicas), (3, 3));
    assert_eq!(status.available_replicas, 3);
    assert_eq!(status.rest.get("unavailableReplicas"), None);
    assert_eq!(
        conditions(status),
        [
            "Available=True MinimumReplicasAvailable",
            "Progressing=True NewReplicaSetAvailable"
        ]
    );
}

#[test]
fn tells_what_is_missing_while_it_comes_up() {
    let mut cluster = fleet();
    cluster.apply(&web(4, "a", ""));
    cluster.settle();
    let status = &stored(&cluster).status;
    assert_eq!(status.rest.get("unavailableReplicas"), Some(&4.into()));
    assert_eq!(
        conditions(status),
        [
            "Available=False MinimumReplicasUnavailable",
            "Progressing=True ReplicaSetUpdated"
        ]
    );
}

#[test]
fn scales_up_and_down() {
    let mut cluster = running(2, "");
    for replicas in [7, 3, 0, 1] {
        cluster.apply(&web(replicas, "a", ""));
        cluster.drain();
        let count = usize::try_from(replicas).unwrap();
        assert_eq!(counts(&cluster), (count, count));
        assert_eq!(pods(&cluster).len(), count, "what is too much has gone");
        assert_eq!(sizes(&cluster), format!("a:{replicas}"));
        assert_eq!(stored(&cluster).status.replicas, Some(replicas));
    }
}

#[test]
fn rolls_step_by_step() {
    let mut cluster = running(4, "");
    cluster.apply(&web(4, "b", ""));
    cluster.settle();
    assert_eq!(sizes(&cluster), "a:3 b:2", "one more, and one missing");
    cluster.pass(super::START);
    assert_eq!(sizes(&cluster), "a:1 b:4");
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:4");
    assert_eq!(counts(&cluster), (4, 4));
    assert_eq!(annotation(&stored(&cluster).metadata, "revision"), "2");
}

#[test]
fn recreates_when_all_old_pods_are_gone() {
    let mut cluster = running(3, "strategy: {type: Recreate}, ");
    cluster.apply(&web(3, "b", "strategy: {type: Recreate}, "));
    cluster.settle();
    assert_eq!(sizes(&cluster), "a:0");
    assert_eq!(pods(&cluster).len(), 3, "they are terminating");
    assert_eq!(counts(&cluster), (0, 0));
    cluster.pass(Duration::from_millis(999));
    assert_eq!(sizes(&cluster), "a:0");
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:3");
    assert_eq!(counts(&cluster), (3, 3));
}

#[test]
fn rolling_back_brings_the_old_set_back() {
    let mut cluster = running(2, "");
    let first = sets(&cluster).remove(0);
    for image in ["b", "a"] {
        cluster.now += Duration::from_secs(10);
        cluster.apply(&web(2, image, ""));
        cluster.drain();
    }
    assert_eq!(sizes(&cluster), "a:2 b:0");
    let again = sets(&cluster).remove(0);
    assert_eq!(first.metadata.uid, again.metadata.uid);
    assert_eq!(annotation(&again.metadata, "revision"), "3");
    assert_eq!(annotation(&again.metadata, "revision-history"), "1");
    assert_eq!(annotation(&stored(&cluster).metadata, "revision"), "3");
}

#[test]
fn paused_it_scales_but_does_not_roll() {
    let mut cluster = running(2, "");
    cluster.apply(&web(3, "b", "paused: true, "));
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:3");
    assert_eq!(
        conditions(&stored(&cluster).status),
        [
            "Available=True MinimumReplicasAvailable",
            "Progressing=Unknown DeploymentPaused"
        ]
    );
    cluster.apply(&web(3, "b", "paused: false, "));
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:3");
}

#[test]
fn all_it_owns_goes_with_it() {
    let mut cluster = running(3, "");
    cluster.apply(&web(3, "b", ""));
    cluster.settle();
    cluster.delete(Kind::Deployment, "web");
    cluster.drain();
    assert_eq!(sets(&cluster).len(), 0);
    assert_eq!(pods(&cluster).len(), 0);
}

#[test]
fn keeps_as_many_revisions_as_it_is_told() {
    let mut cluster = running(1, "revisionHistoryLimit: 2, ");
    for image in ["b", "c", "d", "e"] {
        cluster.now += Duration::from_secs(10);
        cluster.apply(&web(1, image, "revisionHistoryLimit: 2, "));
        cluster.drain();
    }
    assert_eq!(sizes(&cluster), "c:0 d:0 e:1");
}

#[test]
fn new_pods_count_when_they_have_been_ready_for_long_enough() {
    let mut cluster = fleet();
    cluster.apply(&web(2, "a", "minReadySeconds: 30, "));
    cluster.pass(Duration::from_secs(20));
    let status = &stored(&cluster).status;
    assert_eq!((status.ready_replicas, status.available_replicas), (2, 0));
    cluster.pass(Duration::from_secs(20));
    assert_eq!(stored(&cluster).status.available_replicas, 2);
    cluster.apply(&web(2, "b", "minReadySeconds: 30, "));
    cluster.pass(Duration::from_secs(20));
    assert_eq!(sizes(&cluster), "a:2 b:1");
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:2");
}

#[test]
fn a_rollout_without_progress_runs_out_of_time() {
    let mut cluster = fleet();
    for node in ["n1", "n2", "n3"] {
        let key = ObjectKey::new(Kind::Node, "", node);
        cluster
            .api
            .delete(&key, &Default::default(), cluster.now)
            .unwrap();
    }
    cluster.apply(&web(1, "a", "progressDeadlineSeconds: 60, "));
    cluster.pass(Duration::from_secs(60));
    let progressing = |cluster: &Cluster| conditions(&stored(cluster).status).remove(1);
    assert_eq!(progressing(&cluster), "Progressing=True ReplicaSetUpdated");
    cluster.pass(Duration::from_secs(2));
    assert_eq!(
        progressing(&cluster),
        "Progressing=False ProgressDeadlineExceeded"
    );
    cluster.apply(super::NODES);
    cluster.drain();
    assert_eq!(
        progressing(&cluster),
        "Progressing=True NewReplicaSetAvailable"
    );
}

#[test]
fn scaling_during_a_rollout_is_shared_out() {
    let mut cluster = running(10, "");
    cluster.apply(&web(10, "b", ""));
    cluster.settle();
    assert_eq!(sizes(&cluster), "a:8 b:5");
    cluster.apply(&web(20, "b", ""));
    cluster.settle();
    // 25 Pods may be there, 13 were: 12 more in the proportion of 8 to 5.
    assert_eq!(sizes(&cluster), "a:15 b:10");
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:20");
}

#[test]
fn a_name_that_is_taken_is_avoided() {
    let mut cluster = running(1, "");
    let taken = sets(&cluster)[0].metadata.name.clone();
    cluster.delete(Kind::Deployment, "web");
    cluster.drain();
    let stranger = super::manifest("ReplicaSet", 0, "other", "");
    let stranger = stranger.replace("app: web", "app: other");
    cluster.apply(&stranger.replace("name: web}", &format!("name: {taken}}}")));
    cluster.apply(&web(1, "a", ""));
    cluster.drain();
    assert_eq!(counts(&cluster), (1, 1));
    let collisions = stored(&cluster).status.rest.get("collisionCount").cloned();
    assert_eq!(collisions, Some(1.into()));
}

#[test]
fn sets_that_match_are_adopted() {
    let mut cluster = fleet();
    let old = super::manifest("ReplicaSet", 2, "a", "");
    cluster.apply(&old.replace("name: web}", "name: old, labels: {app: web}}"));
    cluster.drain();
    cluster.apply(&web(2, "b", ""));
    cluster.drain();
    assert_eq!(sizes(&cluster), "a:0 b:2");
    assert_eq!(annotation(&stored(&cluster).metadata, "revision"), "1");
    let uid = &stored(&cluster).metadata.uid;
    for set in sets(&cluster) {
        assert_eq!(set.metadata.owner_references[0].uid, *uid);
    }
}
