//! What an update of a Pod may change: next to nothing of its `spec`.
//!
//! **Source of the semantics.** S: `pkg/apis/core/validation/validation.go` (ValidatePodUpdate,
//! validateOnlyAddedTolerations).
//!
//! Deviation: the server appends a listing of the differences to the last message; its layout is meant to be
//! unstable, and we leave it out.

use crate::field::FieldError;
use crate::object::{Container, Pod, PodSpec, Toleration};
use crate::validate::Errors;

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// All complaints about the change from `old`.
pub(in crate::strategy) fn errors(pod: &Pod, old: &Pod) -> Errors {
    let (spec, before) = (&pod.spec, &old.spec);
    let mut errors = Errors::new();
    for (field, new, old) in [
        ("spec.containers", &spec.containers, &before.containers),
        (
            "spec.initContainers",
            &spec.init_containers,
            &before.init_containers,
        ),
    ] {
        if new.len() != old.len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(field, detail));
            return errors;
        }
    }
    match deadline_error(spec, before) {
        Some((error, true)) => {
            errors.push(error);
            return errors;
        }
        Some((error, false)) => errors.push(error),
        None => {}
    }
    errors.extend(toleration_error(spec, before));
    if without_allowed(spec, before) != *before {
        errors.push(FieldError::forbidden("spec", FIXED));
    }
    errors
}

/// A deadline may be set or come nearer; and whether the error is the last one to tell.
fn deadline_error(spec: &PodSpec, before: &PodSpec) -> Option<(FieldError, bool)> {
    let field = "spec.activeDeadlineSeconds";
    let seconds = |spec: &PodSpec| spec.rest.typed::<i64>("activeDeadlineSeconds");
    let (new, old) = (seconds(spec), seconds(before));
    match (new, old) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            let detail = format!("must be between 0 and {}, inclusive", i32::MAX);
            Some((FieldError::invalid(field, &new, &detail), true))
        }
        (Some(new), Some(old)) if old < new => {
            let detail = "must be less than or equal to previous value";
            Some((FieldError::invalid(field, &new, detail), true))
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            Some((FieldError::invalid(field, &new, detail), false))
        }
        _ => None,
    }
}

/// Every old toleration must still be there; how long it is borne may change.
fn toleration_error(spec: &PodSpec, before: &PodSpec) -> Option<FieldError> {
    let tolerations = |spec: &PodSpec| -> Vec<Toleration> {
        let listed = spec.rest.typed("tolerations");
        let mut listed: Vec<Toleration> = listed.unwrap_or_default();
        listed
            .iter_mut()
            .for_each(|toleration| toleration.toleration_seconds = None);
        listed
    };
    let new = tolerations(spec);
    let lost = tolerations(before)
        .iter()
        .any(|toleration| !new.contains(toleration));
    lost.then(|| {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        FieldError::forbidden("spec.tolerations", detail)
    })
}

/// The new `spec` with everything as before that an update may change.
fn without_allowed(spec: &PodSpec, before: &PodSpec) -> PodSpec {
    let mut spec = spec.clone();
    keep_images(&mut spec.containers, &before.containers);
    keep_images(&mut spec.init_containers, &before.init_containers);
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        match before.rest.get(field) {
            Some(value) => spec.rest.insert(field, value.clone()),
            None => drop(spec.rest.remove(field)),
        }
    }
    let was_negative = before
        .termination_grace_period_seconds
        .is_some_and(|old| old < 0);
    if was_negative && spec.termination_grace_period_seconds == Some(1) {
        spec.termination_grace_period_seconds = before.termination_grace_period_seconds;
    }
    if before.node_name.is_empty() {
        spec.node_name.clear();
    }
    spec
}

fn keep_images(containers: &mut [Container], before: &[Container]) {
    for (container, before) in containers.iter_mut().zip(before) {
        container.image.clone_from(&before.image);
    }
}
