//! What workloads have in common: Pods from a template, and since when a Pod is ready and available.
//!
//! **Source of the semantics.** API-77; S: `pkg/controller/controller_utils.go` (GetPodFromTemplate),
//! `pkg/api/v1/pod/util.go` (IsPodAvailable).

use std::time::Duration;

use api::{
    Kind, ObjectMeta, OwnerReference, Pod, PodTemplateSpec, parse_timestamp, parse_unix_nanos,
};
use base::SimTime;

/// A new Pod of an owner of `kind`, whose name is the API server's to complete.
pub(crate) fn from_template(kind: Kind, owner: &ObjectMeta, template: &PodTemplateSpec) -> Pod {
    let metadata = ObjectMeta {
        generate_name: format!("{}-", owner.name),
        namespace: owner.namespace.clone(),
        labels: template.metadata.labels.clone(),
        annotations: template.metadata.annotations.clone(),
        finalizers: template.metadata.finalizers.clone(),
        owner_references: vec![OwnerReference::to_controller(kind, owner)],
        ..ObjectMeta::default()
    };
    Pod {
        metadata,
        spec: template.spec.clone(),
        ..Pod::default()
    }
}

/// Since when a Pod is ready; `None` if it is not, or does not say.
pub(crate) fn ready_since(pod: &Pod) -> Option<SimTime> {
    let mut conditions = pod.status.conditions.iter();
    let ready = conditions
        .find(|condition| condition.condition_type == "Ready" && condition.status == "True")?;
    instant(ready.last_transition_time.as_deref()?)
}

/// When a Pod counts as available, which may be in the future; `None` while it is not ready. One that has to be ready
/// for some time and does not say since when it is never does.
pub(crate) fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<SimTime> {
    let seconds = u64::try_from(min_ready_seconds).unwrap_or(0);
    if seconds == 0 {
        return pod.is_ready().then_some(SimTime::ZERO);
    }
    Some(ready_since(pod)? + Duration::from_secs(seconds))
}

/// A time stamp's instant; what is before the beginning of time counts as that.
pub(crate) fn instant(stamp: &str) -> Option<SimTime> {
    parse_unix_nanos(stamp)?;
    Some(parse_timestamp(stamp).unwrap_or(SimTime::ZERO))
}
