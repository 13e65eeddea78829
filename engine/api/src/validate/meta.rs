//! `metadata` of any object.
//!
//! **Source of the semantics.** API-18 … API-21, API-85; S: `apimachinery/pkg/api/validation/objectmeta.go`.

use std::collections::BTreeSet;

use super::text;
use crate::field::FieldError;
use crate::object::{Kind, Object, ObjectMeta, StringMap};

/// Bytes of all annotations together (S: `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Checks the metadata of an object that is about to be created; its name is already complete.
pub(crate) fn created(object: &Object) -> Vec<FieldError> {
    let mut errors = name(object.kind(), object.meta());
    errors.extend(labels_and_annotations(object.meta()));
    errors
}

/// Checks the metadata of an object that is about to replace `old`. Names are not checked again (API-14).
pub(crate) fn updated(object: &Object, old: &Object) -> Vec<FieldError> {
    let (new, old) = (object.meta(), old.meta());
    let mut errors = Vec::from_iter(new_finalizers(new, old));
    let mut fixed = |field: &str, new: &str, old: &str| {
        if new != old {
            errors.push(FieldError::invalid(field, &new, "field is immutable"));
        }
    };
    fixed("metadata.uid", &new.uid, &old.uid);
    let text = |time: &Option<String>| time.clone().unwrap_or_default();
    let stamps = (text(&new.creation_timestamp), text(&old.creation_timestamp));
    fixed("metadata.creationTimestamp", &stamps.0, &stamps.1);
    errors.extend(labels_and_annotations(new));
    errors
}

/// What is being deleted waits for nobody else (API-85).
fn new_finalizers(new: &ObjectMeta, old: &ObjectMeta) -> Option<FieldError> {
    let known = &old.finalizers;
    let added: BTreeSet<&String> = new
        .finalizers
        .iter()
        .filter(|added| !known.contains(added))
        .collect();
    if !old.is_terminating() || added.is_empty() {
        return None;
    }
    let added: Vec<String> = added
        .into_iter()
        .map(|added| format!("{added:?}"))
        .collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    Some(FieldError::forbidden("metadata.finalizers", &detail))
}

/// Checks a map of labels or a selector at `field` (API-20, API-21).
pub(crate) fn labels(labels: &StringMap, field: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(complaints(field, key, text::qualified_name(key)));
        errors.extend(complaints(field, value, text::label_value(value)));
    }
    errors
}

/// Turns the complaints about one text into errors at `field`.
pub(crate) fn complaints(field: &str, value: &str, complaints: Vec<String>) -> Vec<FieldError> {
    let error = |detail: String| FieldError::invalid(field, &value, &detail);
    complaints.into_iter().map(error).collect()
}

fn name(kind: Kind, meta: &ObjectMeta) -> Vec<FieldError> {
    if meta.name.is_empty() {
        let detail = "name or generateName is required";
        return vec![FieldError::required("metadata.name", detail)];
    }
    let check = match kind {
        Kind::Service | Kind::Namespace => text::label(&meta.name),
        Kind::Pod | Kind::Node | Kind::EndpointSlice => text::subdomain(&meta.name),
        // Each inert kind has rules of its own (`system:node` is a fine ClusterRole); the store needs none.
        _ => Vec::new(),
    };
    complaints("metadata.name", &meta.name, check)
}

fn labels_and_annotations(meta: &ObjectMeta) -> Vec<FieldError> {
    let mut errors = labels(&meta.labels, "metadata.labels");
    for key in meta.annotations.keys() {
        let found = text::qualified_name(&key.to_lowercase());
        errors.extend(complaints("metadata.annotations", key, found));
    }
    let size: usize = meta
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(
            "metadata.annotations",
            ANNOTATIONS_MAX,
        ));
    }
    errors
}
