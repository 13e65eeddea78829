//! What the controllers of workloads ask of a Pod.
//!
//! **Source of the semantics.** API-77; S: `pkg/controller/statefulset/stateful_set_utils.go`.

use api::{DeleteOptions, Kind, ObjectKey, Pod};

use crate::controller::Effect;

/// What names the template that a Pod was made from.
pub(crate) const LABEL_REVISION: &str = "controller-revision-hash";

/// Whether it does its work.
pub(crate) fn is_running_and_ready(pod: &Pod) -> bool {
    pod.status.phase == "Running" && pod.is_ready()
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
