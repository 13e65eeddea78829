//! `status` of a StatefulSet.
//!
//! **Source of the semantics.** S: `pkg/controller/statefulset/stateful_set_control.go` (computeReplicaStatus,
//! completeRollingUpdate).

use api::{Pod, StatefulSet, WorkloadStatus};
use base::SimTime;

use super::State;
use crate::controller::Effect;
use crate::owned_pods::available_at;
use crate::pod_state::{is_running_and_ready, revision_of};

/// The status as it is now, and when it will be another although nothing happens.
pub(super) struct Newest {
    pub(super) newest: WorkloadStatus,
    pub(super) wake: Option<SimTime>,
}

pub(super) fn of(state: &State, now: SimTime) -> Newest {
    let set = &state.set;
    let pods = || {
        state
            .pods
            .values()
            .filter(|pod| !pod.status.phase.is_empty())
    };
    let ready_since = |pod: &Pod| {
        let since = available_at(pod, set.spec.min_ready_seconds);
        since.filter(|_| is_running_and_ready(pod))
    };
    let times: Vec<SimTime> = pods().filter_map(|pod| ready_since(pod)).collect();
    let of_revision = |name: &str| {
        let staying = pods().filter(|pod| !pod.metadata.is_terminating());
        count(staying.filter(|pod| revision_of(pod) == name))
    };
    let updated = of_revision(state.update.name());
    let (replicas, ready) = (count(pods()), count(times.iter()));
    let is_complete = state.is_rolling()
        && [updated, replicas, ready]
            .iter()
            .all(|found| *found == state.replicas());
    let current = if is_complete {
        &state.update
    } else {
        &state.current
    };
    let mut newest = WorkloadStatus {
        observed_generation: set.metadata.generation,
        replicas: Some(replicas),
        updated_replicas: updated,
        ready_replicas: ready,
        available_replicas: count(times.iter().filter(|since| **since <= now)),
        rest: set.status.rest.clone(),
    };
    let rest = &mut newest.rest;
    match of_revision(current.name()) {
        0 => drop(rest.remove("currentReplicas")),
        current => rest.insert("currentReplicas", current.into()),
    }
    rest.insert("currentRevision", current.name().into());
    rest.insert("updateRevision", state.update.name().into());
    rest.insert("collisionCount", 0.into());
    let wake = times.into_iter().filter(|since| *since > now).min();
    Newest { newest, wake }
}

/// Writes a status, whatever else has changed in the meantime.
pub(super) fn write(set: &StatefulSet, status: WorkloadStatus) -> Effect {
    let mut set = set.clone();
    set.metadata.resource_version.clear();
    set.status = status;
    Effect::UpdateStatus(set.into())
}

fn count<T>(items: impl Iterator<Item = T>) -> i32 {
    i32::try_from(items.count()).unwrap_or(i32::MAX)
}
