//! IPAddress: its name is the address, and it belongs to somebody for good.
//!
//! **Source of the semantics.** ALLOC-36; S: `pkg/apis/networking/validation/validation.go` (ValidateIPAddress,
//! ValidateIPAddressUpdate).

use std::net::IpAddr;

use serde::Serialize;

use crate::field::FieldError;
use crate::object::{IpAddress, ObjectMeta, ParentReference};
use crate::status::Status;
use crate::validate::{meta, text};

/// A parent as messages show it: Kubernetes prints its internal struct.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    group: &'a str,
    resource: &'a str,
    namespace: &'a str,
    name: &'a str,
}

/// All complaints about an IPAddress but those about its labels and annotations.
pub(super) fn errors(address: &IpAddress, old: Option<&IpAddress>) -> Vec<FieldError> {
    let parent = address.spec.parent_ref.as_ref();
    if let Some(old) = old {
        return change_errors(parent, old);
    }
    let mut errors = name_errors(&address.metadata.name);
    match parent {
        None => errors.push(FieldError::required("spec.parentRef", "")),
        Some(parent) => errors.extend(parent_errors(parent)),
    }
    errors
}

/// Whether a Service can have an address: its name must be one that an IPAddress can refer to (ALLOC-23).
pub(super) fn check_holder(address: IpAddr, service: &ObjectMeta) -> Result<(), String> {
    let errors = parent_errors(&ParentReference::to_service(service));
    if errors.is_empty() {
        return Ok(());
    }
    let object = IpAddress {
        metadata: ObjectMeta::named("", &address.to_string()),
        ..IpAddress::default()
    };
    Err(Status::invalid(&object.into(), errors).message)
}

fn change_errors(parent: Option<&ParentReference>, old: &IpAddress) -> Vec<FieldError> {
    if parent == old.spec.parent_ref.as_ref() {
        return Vec::new();
    }
    let shown = parent.map(|parent| Shown {
        group: &parent.group,
        resource: &parent.resource,
        namespace: &parent.namespace,
        name: &parent.name,
    });
    let error = FieldError::invalid("spec.parentRef", &shown, "field is immutable");
    vec![error]
}

/// A name that is missing is reported with the rest of the metadata.
fn name_errors(name: &str) -> Vec<FieldError> {
    let complaints = match text::address(name) {
        _ if name.is_empty() => Vec::new(),
        Err(complaints) => complaints,
        Ok(address) if address.to_string() == name => Vec::new(),
        Ok(address) => vec![format!("must be in canonical form (\"{address}\")")],
    };
    meta::complaints("metadata.name", name, complaints)
}

fn parent_errors(parent: &ParentReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !parent.group.is_empty() {
        let found = text::subdomain(&parent.group);
        errors.extend(meta::complaints(
            "spec.parentRef.group",
            &parent.group,
            found,
        ));
    }
    for (field, value, required) in [
        ("spec.parentRef.resource", &parent.resource, true),
        ("spec.parentRef.name", &parent.name, true),
        ("spec.parentRef.namespace", &parent.namespace, false),
    ] {
        if !value.is_empty() {
            errors.extend(meta::complaints(field, value, path_segment(value)));
        } else if required {
            errors.push(FieldError::required(field, ""));
        }
    }
    errors
}

/// What can stand between the slashes of a path (S: `apimachinery/pkg/api/validate/content/path.go`).
fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    let wrong = ["/", "%"].into_iter().filter(|part| text.contains(part));
    wrong
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}
