//! What becomes of a workload's ReplicaSets and Pods when it is deleted (API-92).

use api::{Change, DeleteOptions, Kind, ObjectKey, Propagation};

use super::*;

/// A Deployment of three Pods that run, and its deletion.
fn deleted(kind: Kind, name: &str, propagation: Propagation) -> Cluster {
    let mut cluster = fleet();
    cluster.apply(&web(3, "a", ""));
    cluster.drain();
    assert_eq!(counts(&cluster), (3, 3));
    let name = match kind {
        Kind::ReplicaSet => sets(&cluster)[0].metadata.name.clone(),
        _ => name.to_owned(),
    };
    let key = ObjectKey::new(kind, "default", &name);
    let options = DeleteOptions {
        propagation: Some(propagation),
        ..DeleteOptions::default()
    };
    cluster.api.delete(&key, &options, cluster.now).unwrap();
    cluster
}

/// The kinds of the workload's objects that have gone, in order.
fn gone(cluster: &Cluster) -> Vec<Kind> {
    let events = cluster.api.events_after(0);
    let gone = events
        .iter()
        .filter(|event| event.change == Change::Deleted);
    gone.map(|event| event.object.key().kind).collect()
}

#[test]
fn in_the_background_owners_go_first() {
    let mut cluster = deleted(Kind::Deployment, "web", Propagation::Background);
    cluster.drain();
    let mut expected = vec![Kind::Deployment, Kind::ReplicaSet];
    expected.extend([Kind::Pod; 3]);
    assert_eq!(gone(&cluster), expected);
}

#[test]
fn in_the_foreground_owners_go_last() {
    let mut cluster = deleted(Kind::Deployment, "web", Propagation::Foreground);
    assert!(stored(&cluster).metadata.is_terminating());
    cluster.settle();
    assert_eq!(stored(&cluster).metadata.finalizers, ["foregroundDeletion"]);
    let set = sets(&cluster).remove(0);
    assert_eq!(set.metadata.finalizers, ["foregroundDeletion"]);
    let ending = pods(&cluster);
    assert!(ending.iter().all(|pod| pod.metadata.is_terminating()));
    cluster.drain();
    let mut expected = vec![Kind::Pod; 3];
    expected.extend([Kind::ReplicaSet, Kind::Deployment]);
    assert_eq!(gone(&cluster), expected);
}

#[test]
fn orphans_stay_and_are_adopted() {
    let mut cluster = deleted(Kind::Deployment, "web", Propagation::Orphan);
    cluster.drain();
    assert_eq!(gone(&cluster), [Kind::Deployment]);
    assert_eq!(counts(&cluster), (3, 3));
    let set = sets(&cluster).remove(0);
    assert!(set.metadata.owner_references.is_empty());
    cluster.apply(&web(3, "a", ""));
    cluster.drain();
    let adopted = sets(&cluster);
    assert_eq!(adopted.len(), 1);
    let owner = adopted[0].metadata.controller().unwrap();
    assert_eq!(owner.uid, stored(&cluster).metadata.uid);
    assert_eq!(gone(&cluster), [Kind::Deployment]);
}

/// The Pods of a ReplicaSet stay, and its Deployment makes another one, which adopts them.
#[test]
fn pods_outlive_their_replica_set() {
    let mut cluster = deleted(Kind::ReplicaSet, "", Propagation::Orphan);
    let before: Vec<String> = pods(&cluster)
        .iter()
        .map(|pod| pod.metadata.uid.clone())
        .collect();
    cluster.drain();
    assert_eq!(gone(&cluster), [Kind::ReplicaSet]);
    let set = sets(&cluster).remove(0);
    let after = pods(&cluster);
    let uids: Vec<String> = after.iter().map(|pod| pod.metadata.uid.clone()).collect();
    assert_eq!(uids, before);
    for pod in after {
        assert_eq!(pod.metadata.controller().unwrap().uid, set.metadata.uid);
    }
}
