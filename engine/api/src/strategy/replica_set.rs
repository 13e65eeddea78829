//! ReplicaSet: defaults and checks.
//!
//! **Source of the semantics.** S: `pkg/apis/apps/v1/defaults.go`, `pkg/apis/apps/validation/validation.go`
//! (ValidateReplicaSetSpec; its text about an empty selector does speak of a deployment),
//! `pkg/registry/apps/replicaset/strategy.go`.

use super::{pod, workload};
use crate::object::ReplicaSet;
use crate::validate::{Errors, immutable};

pub(super) fn complete(set: &mut ReplicaSet) {
    pod::defaults::template_spec(&mut set.spec.template.spec);
    set.spec.replicas.get_or_insert(1);
    set.status.replicas.get_or_insert(0);
}

pub(super) fn errors(set: &ReplicaSet, old: Option<&ReplicaSet>) -> Errors {
    let spec = &set.spec;
    let selector = spec.selector.as_ref();
    let mut errors = workload::counts([
        ("replicas", spec.replicas),
        ("minReadySeconds", Some(spec.min_ready_seconds)),
    ]);
    errors.extend(workload::selector_errors(
        selector,
        "empty selector is invalid for deployment",
    ));
    errors.extend(workload::template_errors(selector, &spec.template));
    if let Some(old) = old {
        errors.extend(immutable(
            "spec.selector",
            &spec.selector,
            &old.spec.selector,
        ));
    }
    errors
}

pub(super) fn warnings(set: &ReplicaSet, old: Option<&ReplicaSet>) -> Vec<String> {
    let old = old.map(|old| &old.metadata);
    workload::warnings(&set.metadata, old, &set.spec.template)
}
