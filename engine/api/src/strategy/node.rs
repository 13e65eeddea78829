//! Node: defaults and checks.
//!
//! **Source of the semantics.** API-78; S: `pkg/apis/core/v1/{conversion,defaults}.go`,
//! `pkg/apis/core/validation/validation.go` (ValidateNode, ValidateNodeUpdate; taints are named below `metadata`).
//!
//! Deviation: quantities of `status.capacity` and `status.allocatable` are not checked.

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::field::FieldError;
use crate::object::{Node, Taint};
use crate::validate::{Errors, meta, taint, text};

/// `podCIDR` and the first of `podCIDRs` are one thing; what a node has and does not say otherwise, Pods may use.
pub(super) fn complete(node: &mut Node) {
    let spec = &mut node.spec;
    let first = spec.pod_cidrs.first().map_or("", String::as_str);
    if spec.pod_cidr.is_empty() {
        spec.pod_cidr = first.to_owned();
    } else if spec.pod_cidr != first {
        spec.pod_cidrs = vec![spec.pod_cidr.clone()];
    }
    let status = &mut node.status;
    if let Some(Value::Object(capacity)) = status.rest.get("capacity")
        && status.allocatable.is_empty()
    {
        let entries = capacity.iter();
        status.allocatable = entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
    }
}

pub(super) fn errors(node: &Node, old: Option<&Node>) -> Errors {
    let mut errors = Errors::new();
    if let Some(old) = old {
        errors.extend(change_errors(node, old));
    }
    let taints: Vec<Taint> = node.spec.rest.typed("taints").unwrap_or_default();
    errors.extend(taint::taint_errors(&taints, "metadata.taints"));
    errors.extend(range_errors(&node.spec.pod_cidrs));
    errors
}

pub(super) fn warnings(node: &Node) -> Vec<String> {
    let retired = [
        ("configSource", "the feature is removed"),
        (
            "externalID",
            "this field is deprecated, and is unused by Kubernetes",
        ),
    ];
    let given = retired
        .into_iter()
        .filter(|(field, _)| node.spec.rest.get(field).is_some());
    given
        .map(|(field, text)| format!("spec.{field}: {text}"))
        .collect()
}

fn range_errors(ranges: &[String]) -> Errors {
    let field = "spec.podCIDRs";
    let mut errors = Errors::new();
    for (index, range) in ranges.iter().enumerate() {
        errors.extend(meta::complaints(
            &format!("{field}[{index}]"),
            range,
            text::cidr(range),
        ));
    }
    let families = ranges
        .iter()
        .filter_map(|range| range.parse::<IpNet>().ok());
    let families: Vec<bool> = families.map(|range| range.addr().is_ipv4()).collect();
    let same = families.windows(2).any(|pair| pair[0] == pair[1]);
    if ranges.len() > 2 || same {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(field, &ranges, detail));
    }
    errors
}

fn change_errors(node: &Node, old: &Node) -> Errors {
    let mut errors = Errors::new();
    let addresses = &node.status.addresses;
    for (index, entry) in addresses.iter().enumerate() {
        if addresses[..index].contains(entry) {
            let field = format!("status.addresses[{index}]");
            // As Go prints it: its fields have no JSON names.
            let shown = json!({"Type": entry.address_type, "Address": entry.address});
            errors.push(FieldError::duplicate(field, &shown));
        }
    }
    let (new, before) = (&node.spec, &old.spec);
    if !before.pod_cidrs.is_empty() && new.pod_cidrs != before.pod_cidrs {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.podCIDRs", detail));
    }
    let provider = before.rest.get("providerID").filter(|id| *id != "");
    if provider.is_some() && new.rest.get("providerID") != provider {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden("spec.providerID", detail));
    }
    errors
}
