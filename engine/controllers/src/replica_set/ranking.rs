//! Which Pods of a ReplicaSet go first.
//!
//! **Source of the semantics.** S: `pkg/controller/controller_utils.go` (ActivePodsWithRanks), which compares, in this
//! order: unassigned before assigned; Pending, Unknown, Running; not ready before ready; lower deletion cost; more
//! Pods of the same Deployment on the node; ready for less long; more restarts; newer.
//!
//! Times are compared by the power of two that their age has reached (LogarithmicScaleDown). Deviation: among Pods
//! whose ages have reached the same one, restarts and age since creation are compared before the uid decides. In
//! Kubernetes the uid decides at once unless the times are equal, which is no order.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::Pod;
use base::SimTime;

use crate::owned_pods::{instant, ready_since};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The first `count` of `pods` to go; `related` are all Pods of the same Deployment.
pub(super) fn surplus<'a>(
    pods: &[Arc<Pod>],
    related: impl Iterator<Item = &'a Arc<Pod>>,
    count: usize,
    now: SimTime,
) -> Vec<Arc<Pod>> {
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in related {
        *on_node.entry(pod.spec.node_name.as_str()).or_insert(0) += 1;
    }
    let mut ranked = pods.to_vec();
    ranked.sort_by_cached_key(|pod| {
        let beside = on_node.get(pod.spec.node_name.as_str()).copied();
        rank(pod, beside.unwrap_or(0), now)
    });
    ranked.truncate(count);
    ranked
}

/// Less goes first.
fn rank(pod: &Pod, beside: usize, now: SimTime) -> impl Ord + use<> {
    let phase = match pod.status.phase.as_str() {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    };
    let cost = pod.metadata.annotations.get(DELETION_COST);
    let cost: i32 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
    let ready = pod.is_ready();
    let containers = pod.status.container_statuses.iter();
    let restarts = containers.map(|container| container.restart_count).max();
    let created = pod.metadata.creation_timestamp.as_deref();
    (
        !pod.spec.node_name.is_empty(),
        phase,
        ready,
        cost,
        Reverse(beside),
        ready_since(pod).and_then(|since| age(since, now)),
        Reverse(restarts.unwrap_or(0)),
        created
            .and_then(instant)
            .and_then(|created| age(created, now)),
        (pod.metadata.uid.clone(), pod.metadata.name.clone()),
    )
}

/// The power of two that an age has reached; `None` for no age at all.
fn age(since: SimTime, now: SimTime) -> Option<u32> {
    let nanos = now.as_nanos().saturating_sub(since.as_nanos());
    nanos.checked_ilog2()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::{Condition, ContainerStatus, ObjectMeta, timestamp};

    use super::*;

    const NOW: u64 = 1000;

    fn at(seconds: u64) -> SimTime {
        SimTime::ZERO + Duration::from_secs(seconds)
    }

    /// A Pod that has been Running and ready on `node` for `age` seconds.
    fn pod(name: &str, node: &str, age: u64) -> Pod {
        let mut pod = Pod {
            metadata: ObjectMeta::named("default", name),
            ..Pod::default()
        };
        name.clone_into(&mut pod.metadata.uid);
        let since = timestamp(at(NOW - age));
        pod.metadata.creation_timestamp = Some(since.clone());
        node.clone_into(&mut pod.spec.node_name);
        "Running".clone_into(&mut pod.status.phase);
        pod.status.conditions.push(Condition {
            condition_type: "Ready".to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(since),
            ..Condition::default()
        });
        pod
    }

    fn order(pods: Vec<Pod>) -> Vec<String> {
        let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
        let ranked = surplus(&pods, pods.iter(), pods.len(), at(NOW));
        ranked.iter().map(|pod| pod.metadata.name.clone()).collect()
    }

    #[test]
    fn pods_go_in_the_order_of_kubernetes() {
        let mut unassigned = pod("unassigned", "", 900);
        "Pending".clone_into(&mut unassigned.status.phase);
        let mut pending = pod("pending", "n1", 900);
        "Pending".clone_into(&mut pending.status.phase);
        let mut unready = pod("unready", "n1", 900);
        unready.status.conditions.clear();
        let mut cheap = pod("cheap", "n1", 900);
        cheap
            .metadata
            .annotations
            .insert(DELETION_COST.to_owned(), "-5".to_owned());
        let mut restarted = pod("restarted", "n2", 900);
        restarted.status.container_statuses.push(ContainerStatus {
            restart_count: 3,
            ..ContainerStatus::default()
        });
        let pods = vec![
            pod("old", "n2", 900),
            pod("young", "n2", 10),
            restarted,
            pod("beside", "n1", 900),
            cheap,
            unready,
            pending,
            unassigned,
        ];
        let expected = [
            "unassigned",
            "pending",
            "unready",
            "cheap",
            "beside",
            "young",
            "restarted",
            "old",
        ];
        assert_eq!(order(pods), expected);
    }

    /// 600 s and 900 s have reached the same power of two; 10 s has not.
    #[test]
    fn ages_count_by_their_magnitude() {
        let pods = vec![pod("b", "n1", 600), pod("a", "n2", 900), pod("c", "n3", 10)];
        assert_eq!(order(pods), ["c", "a", "b"]);
    }
}
