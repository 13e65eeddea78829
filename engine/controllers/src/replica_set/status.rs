//! `status` of a ReplicaSet.
//!
//! **Source of the semantics.** S: `pkg/controller/replicaset/replica_set_utils.go` (calculateStatus).

use std::sync::Arc;

use api::{Condition, Pod, ReplicaSet, Rest, WorkloadStatus, timestamp};
use base::SimTime;
use serde_json::json;

use crate::conditions;
use crate::owned_pods::available_at;

const FAILURE: &str = "ReplicaFailure";

/// The status that follows from a set's Pods: those that are active, and how many are terminating. `failure` is why
/// its last attempt to make Pods failed.
pub(super) fn of(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&str>,
    now: SimTime,
) -> WorkloadStatus {
    let min_ready = set.spec.min_ready_seconds;
    let is_available = |pod: &Pod| available_at(pod, min_ready).is_some_and(|at| at <= now);
    let is_labelled = |pod: &Pod| {
        let mut wanted = set.spec.template.metadata.labels.iter();
        wanted.all(|(label, value)| pod.metadata.labels.get(label) == Some(value))
    };
    let count = |is: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|pod| is(pod)).count());
    let mut rest = set.status.rest.clone();
    match count(&is_labelled) {
        0 => drop(rest.remove("fullyLabeledReplicas")),
        labelled => rest.insert("fullyLabeledReplicas", labelled.into()),
    }
    rest.insert("terminatingReplicas", number(terminating).into());
    set_failure(&mut rest, failure, now);
    WorkloadStatus {
        observed_generation: set.metadata.generation,
        replicas: Some(number(active.len())),
        updated_replicas: set.status.updated_replicas,
        ready_replicas: count(&Pod::is_ready),
        available_replicas: count(&is_available),
        rest,
    }
}

/// The condition keeps the time and the words of the first failure of several.
fn set_failure(status: &mut Rest, failure: Option<&str>, now: SimTime) {
    let mut found = conditions::read(status);
    let known = conditions::find(&found, FAILURE).is_some();
    match failure {
        Some(message) if !known => {
            let mut condition = Condition {
                condition_type: FAILURE.to_owned(),
                status: "True".to_owned(),
                last_transition_time: Some(timestamp(now)),
                ..Condition::default()
            };
            condition.rest.insert("reason", json!("FailedCreate"));
            condition.rest.insert("message", json!(message));
            found.push(condition);
        }
        None if known => found.retain(|condition| condition.condition_type != FAILURE),
        _ => return,
    }
    conditions::write(status, &found);
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
