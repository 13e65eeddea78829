//! `metadata` of any object.
//!
//! **Source of the semantics.** API-14, API-18 … API-21, API-85; S: `apimachinery/pkg/api/validation/objectmeta.go`,
//! `apiserver/pkg/registry/rest/{create,update}.go`, `pkg/apis/core/validation/validation.go` (ValidateObjectMeta).
//!
//! Of what is immutable (API-85), name and namespace are those by which the stored object was found, another
//! identity is a failed precondition, and the server keeps the time of creation; the deletion is left to check.
//!
//! Deviation: `managedFields` are kept as they come; nobody reads or writes them.

use super::{Errors, immutable, not_negative, text};
use crate::field::FieldError;
use crate::object::{Kind, Object, ObjectMeta, OwnerReference, StringMap};

/// Bytes of all annotations together (S: `TotalAnnotationSizeLimitB`).
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// Finalizers that need no prefix (S: `pkg/apis/core/helper`, IsStandardFinalizerName).
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

/// Checks the metadata of an object that is about to be created; its name is already complete.
pub(crate) fn created(object: &Object) -> Errors {
    let (kind, meta) = (object.kind(), object.meta());
    let mut errors = Errors::new();
    if !meta.generate_name.is_empty() {
        let found = name_complaints(kind, &without_last_dash(&meta.generate_name));
        errors.extend(complaints(
            "metadata.generateName",
            &meta.generate_name,
            found,
        ));
    }
    if meta.name.is_empty() {
        let detail = "name or generateName is required";
        errors.push(FieldError::required("metadata.name", detail));
    } else {
        let found = name_complaints(kind, &meta.name);
        errors.extend(complaints("metadata.name", &meta.name, found));
    }
    errors.extend(common(meta));
    errors.extend(unqualified_finalizers(kind, meta));
    errors
}

/// Checks the metadata of an object that is about to replace `old`. Names are not checked again (API-14).
pub(crate) fn updated(object: &Object, old: &Object) -> Errors {
    let (new, old) = (object.meta(), old.meta());
    let mut errors = common(new);
    if old.is_terminating() {
        errors.extend(new_finalizers(new, old));
    }
    errors.extend(immutable(
        "metadata.deletionTimestamp",
        &new.deletion_timestamp,
        &old.deletion_timestamp,
    ));
    errors.extend(immutable(
        "metadata.deletionGracePeriodSeconds",
        &new.deletion_grace_period_seconds,
        &old.deletion_grace_period_seconds,
    ));
    errors.extend(unqualified_finalizers(object.kind(), new));
    errors
}

/// Checks a map of labels or a selector at `field` (API-20, API-21).
pub(crate) fn labels(labels: &StringMap, field: &str) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in labels {
        errors.extend(complaints(field, key, text::qualified_name(key)));
        errors.extend(complaints(field, value, text::label_value(value)));
    }
    errors
}

/// Checks annotations at `field`; the case of their keys does not matter.
pub(crate) fn annotations(annotations: &StringMap, field: &str) -> Errors {
    let mut errors = Errors::new();
    for key in annotations.keys() {
        let found = text::qualified_name(&key.to_lowercase());
        errors.extend(complaints(field, key, found));
    }
    let pairs = annotations.iter();
    let size: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(field, ANNOTATIONS_MAX));
    }
    errors
}

/// Turns the complaints about one text into errors at `field`.
pub(crate) fn complaints(field: &str, value: &str, complaints: Vec<String>) -> Errors {
    let error = |detail: String| FieldError::invalid(field, &value, &detail);
    complaints.into_iter().map(error).collect()
}

/// What each kind asks of its names (API-14, API-19).
fn name_complaints(kind: Kind, name: &str) -> Vec<String> {
    match kind {
        Kind::Service | Kind::Namespace | Kind::StatefulSet => text::label(name),
        Kind::Pod
        | Kind::Node
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Deployment
        | Kind::ReplicaSet
        | Kind::DaemonSet
        | Kind::NetworkPolicy => text::subdomain(name),
        // Each inert kind has rules of its own (`system:node` is a fine ClusterRole); the store needs none.
        _ => text::path_segment(name),
    }
}

/// A prefix may end with a dash: something will follow.
fn without_last_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut name = rest.to_owned();
            name.pop();
            name + "a"
        }
        _ => prefix.to_owned(),
    }
}

fn common(meta: &ObjectMeta) -> Errors {
    let mut errors = Errors::new();
    let generation = meta.generation.unwrap_or(0);
    errors.extend(not_negative("metadata.generation", generation));
    errors.extend(labels(&meta.labels, "metadata.labels"));
    errors.extend(annotations(&meta.annotations, "metadata.annotations"));
    errors.extend(owners(&meta.owner_references));
    errors.extend(finalizers(&meta.finalizers));
    errors
}

fn owners(owners: &[OwnerReference]) -> Errors {
    let field = "metadata.ownerReferences";
    let mut errors = Errors::new();
    let mut first: Option<String> = None;
    for owner in owners {
        let version = owner.api_version.rsplit('/').next().unwrap_or_default();
        for (part, value, given, detail) in [
            (
                "apiVersion",
                &owner.api_version,
                version,
                "version must not be empty",
            ),
            ("kind", &owner.kind, &owner.kind, "must not be empty"),
            ("name", &owner.name, &owner.name, "must not be empty"),
            ("uid", &owner.uid, &owner.uid, "must not be empty"),
        ] {
            if given.is_empty() {
                errors.push(FieldError::invalid(
                    format!("{field}.{part}"),
                    value,
                    detail,
                ));
            }
        }
        if (owner.api_version.as_str(), owner.kind.as_str()) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(field, owner, detail));
        }
        if owner.controller == Some(true) {
            let name = format!("{}/{}", owner.kind, owner.name);
            match &first {
                None => first = Some(name),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                    );
                    errors.push(FieldError::invalid(field, &owners, &detail));
                }
            }
        }
    }
    errors
}

fn finalizers(finalizers: &[String]) -> Errors {
    let field = "metadata.finalizers";
    let mut errors = Errors::new();
    for finalizer in finalizers {
        errors.extend(complaints(
            field,
            finalizer,
            text::qualified_name(finalizer),
        ));
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(field, &finalizers, detail));
    }
    errors
}

/// Only the well-known finalizers need no prefix; events are not asked.
fn unqualified_finalizers(kind: Kind, meta: &ObjectMeta) -> Errors {
    let entries = meta.finalizers.iter().enumerate();
    let unknown = entries.filter(|(_, name)| {
        kind != Kind::Event && !name.contains('/') && !STANDARD_FINALIZERS.contains(&name.as_str())
    });
    let error = |(index, name): (usize, &String)| {
        let field = format!("metadata.finalizers[{index}]");
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        FieldError::invalid(field, name, detail)
    };
    unknown.map(error).collect()
}

/// Whoever is asked to agree to a deletion must have been there before it (API-85).
fn new_finalizers(new: &ObjectMeta, old: &ObjectMeta) -> Option<FieldError> {
    let mut extra: Vec<&String> = new.finalizers.iter().collect();
    extra.retain(|finalizer| !old.finalizers.contains(finalizer));
    extra.sort();
    extra.dedup();
    // As Go prints a list of texts.
    let names: Vec<String> = extra.iter().map(|name| format!("{name:?}")).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        names.join(", ")
    );
    (!extra.is_empty()).then(|| FieldError::forbidden("metadata.finalizers", &detail))
}
