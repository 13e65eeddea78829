//! `metadata.generation`: how often what the user wants has changed.
//!
//! **Source of the semantics.** API-36; S: `pkg/registry/*/*/strategy.go` (PrepareForCreate, PrepareForUpdate).
//! Kinds without one, such as Service, keep what is there.

use crate::object::Object;

/// A new object begins at 1.
pub(super) fn begin(object: &mut Object) {
    if has_one(object) {
        object.meta_mut().generation = Some(1);
    }
}

/// Counts a change.
pub(super) fn count(object: &mut Object, old: &Object) {
    if has_one(object) {
        let before = old.meta().generation.unwrap_or(1);
        object.meta_mut().generation = Some(before + i64::from(has_changed(object, old)));
    }
}

fn has_one(object: &Object) -> bool {
    matches!(
        object,
        Object::Pod(_)
            | Object::EndpointSlice(_)
            | Object::Deployment(_)
            | Object::ReplicaSet(_)
            | Object::StatefulSet(_)
            | Object::DaemonSet(_)
            | Object::NetworkPolicy(_)
    )
}

fn has_changed(object: &Object, old: &Object) -> bool {
    match (object, old) {
        (Object::Pod(new), Object::Pod(old)) => new.spec != old.spec,
        (Object::EndpointSlice(new), Object::EndpointSlice(old)) => {
            new.metadata.labels != old.metadata.labels
                || new.address_type != old.address_type
                || new.endpoints != old.endpoints
                || new.ports != old.ports
        }
        (Object::Deployment(new), Object::Deployment(old)) => {
            new.spec != old.spec || new.metadata.annotations != old.metadata.annotations
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(old)) => new.spec != old.spec,
        (Object::StatefulSet(new), Object::StatefulSet(old)) => new.spec != old.spec,
        (Object::DaemonSet(new), Object::DaemonSet(old)) => new.spec != old.spec,
        (Object::NetworkPolicy(new), Object::NetworkPolicy(old)) => new.spec != old.spec,
        _ => false,
    }
}
