//! Event: checks.
//!
//! **Source of the semantics.** S: `pkg/apis/core/validation/events.go` (legacyValidateEvent).

use serde_json::Value;

use crate::field::FieldError;
use crate::object::Event;
use crate::validate::{Errors, meta, text};

/// Characters of the names and reasons of an event in the newer form, and of what it says.
const NAME_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

pub(super) fn errors(event: &Event) -> Errors {
    let time = event.rest.get("eventTime").filter(|time| !time.is_null());
    match time {
        None => old_form_errors(event),
        Some(_) => new_form_errors(event),
    }
}

/// An event is where its object is; one of an object without a namespace is in `default`.
fn old_form_errors(event: &Event) -> Errors {
    let (own, of_object) = (&event.metadata.namespace, &event.involved_object.namespace);
    let agree = of_object == own || (of_object.is_empty() && own == "default");
    (!agree).then(|| mismatch(event)).into_iter().collect()
}

/// Events of the newer form say more of who tells them.
fn new_form_errors(event: &Event) -> Errors {
    let mut errors = Errors::new();
    let own = event.metadata.namespace.as_str();
    if event.involved_object.namespace.is_empty() && !matches!(own, "default" | "kube-system") {
        errors.push(mismatch(event));
    }
    let controller = &event.reporting_component;
    if controller.is_empty() {
        errors.push(FieldError::required("reportingController", ""));
    }
    let found = text::qualified_name(controller);
    errors.extend(meta::complaints("reportingController", controller, found));
    let action = event
        .rest
        .get("action")
        .and_then(Value::as_str)
        .unwrap_or_default();
    for (field, value) in [
        ("reportingInstance", event.reporting_instance.as_str()),
        ("action", action),
        ("reason", &event.reason),
    ] {
        if value.is_empty() {
            errors.push(FieldError::required(field, ""));
        }
        errors.extend(too_long(field, value, NAME_MAX));
    }
    errors.extend(too_long("message", &event.message, NOTE_MAX));
    errors
}

fn mismatch(event: &Event) -> FieldError {
    let (field, namespace) = ("involvedObject.namespace", &event.involved_object.namespace);
    FieldError::invalid(field, namespace, "does not match event.namespace")
}

fn too_long(field: &str, value: &str, max: usize) -> Option<FieldError> {
    let detail = format!("can have at most {max} characters");
    (value.len() > max).then(|| FieldError::invalid(field, &"", &detail))
}
