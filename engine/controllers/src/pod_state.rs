//! What the controllers of workloads ask of a Pod.
//!
//! **Source of the semantics.** API-77; S: `pkg/api/v1/pod/util.go` (IsPodAvailable),
//! `pkg/controller/statefulset/stateful_set_utils.go`.

use std::time::Duration;

use api::{DeleteOptions, Kind, ObjectKey, Pod, parse_timestamp};
use base::SimTime;

use crate::controller::Effect;

/// What names the template that a Pod was made from.
pub(crate) const LABEL_REVISION: &str = "controller-revision-hash";

/// Whether it does its work.
pub(crate) fn is_running_and_ready(pod: &Pod) -> bool {
    pod.status.phase == "Running" && pod.is_ready()
}

/// From when on a Pod that stays ready counts as available; `None` for one that is not ready.
///
/// Like Kubernetes it trusts the transition time of the condition, which is given in seconds; a missing one is
/// long ago.
pub(crate) fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<SimTime> {
    let mut conditions = pod.status.conditions.iter();
    let ready =
        conditions.find(|found| found.condition_type == "Ready" && found.status == "True")?;
    let Ok(wait @ 1..) = u64::try_from(min_ready_seconds) else {
        return Some(SimTime::ZERO);
    };
    let since = ready
        .last_transition_time
        .as_deref()
        .and_then(parse_timestamp);
    Some(since.unwrap_or(SimTime::ZERO) + Duration::from_secs(wait))
}

/// The revision that a Pod says it is of.
pub(crate) fn revision_of(pod: &Pod) -> &str {
    let label = pod.metadata.labels.get(LABEL_REVISION);
    label.map_or("", String::as_str)
}

/// Deletes this very Pod, gracefully.
pub(crate) fn delete(pod: &Pod) -> Effect {
    let meta = &pod.metadata;
    let key = ObjectKey::new(Kind::Pod, &meta.namespace, &meta.name);
    let uid = Some(meta.uid.clone());
    Effect::Delete(
        key,
        DeleteOptions {
            uid,
            ..DeleteOptions::default()
        },
    )
}
