//! Which Pods a workload stands for.

use api::{Kind, Object, ObjectKey, OwnerReference};

/// Whether a Pod is `workload`'s: itself or through a ReplicaSet, as a Deployment's Pods are. `owners` gives the
/// owner references of an object, if there is such an object.
pub fn is_pod_of(
    pod: &Object,
    workload: &ObjectKey,
    owners: impl Fn(&ObjectKey) -> Option<Vec<OwnerReference>>,
) -> bool {
    let meta = pod.meta();
    let is_it = |reference: &OwnerReference| {
        workload.kind.name() == reference.kind && workload.name == reference.name
    };
    let through_a_set = |reference: &OwnerReference| {
        Kind::of_resource(&reference.kind)
            .filter(|_| reference.kind == "ReplicaSet")
            .map(|kind| ObjectKey::new(kind, &meta.namespace, &reference.name))
            .and_then(|set| owners(&set))
            .is_some_and(|owners| owners.iter().any(is_it))
    };
    workload.namespace.as_ref() == Some(&meta.namespace)
        && meta
            .owner_references
            .iter()
            .any(|reference| is_it(reference) || through_a_set(reference))
}

/// Whether an object is a Pod that is ready and not on its way out.
#[must_use]
pub fn is_ready_pod(object: &Object) -> bool {
    object
        .as_pod()
        .is_some_and(|pod| pod.is_ready() && !pod.metadata.is_terminating())
}
