//! Pod: defaults, checks, and what an update may change.
//!
//! **Source of the semantics.** API-19, API-22, API-36, API-75, API-76; S: `pkg/registry/core/pod/strategy.go`,
//! `pkg/apis/core/validation/validation.go` (ValidatePod, ValidatePodStatusUpdate).
//!
//! Deviation: a write of `nodeName` binds a Pod that has no node yet, where Kubernetes has a subresource for it.
//! Scheduling gates and ephemeral containers are kept and not looked at.

pub(super) mod defaults;
mod qos;
mod update;
mod warnings;

use serde_json::json;

use crate::field::FieldError;
use crate::object::{Pod, PodIp};
use crate::validate::pod_spec::{self, Owner};
use crate::validate::{Errors, address, container};

pub(super) use update::errors as update_errors;
pub(super) use warnings::{template as template_warnings, warnings};

pub(super) fn complete(pod: &mut Pod) {
    defaults::pod_spec(&mut pod.spec);
    complete_status(pod);
}

/// The status is the user's, too (see `server`); `podIP` and the first of `podIPs` are one thing.
pub(super) fn complete_status(pod: &mut Pod) {
    let class = qos::class(&pod.spec);
    let status = &mut pod.status;
    if status.phase.is_empty() {
        "Pending".clone_into(&mut status.phase);
    }
    status.rest.complete(class);
    let first = status.pod_ips.first().map_or("", |entry| &entry.ip);
    if status.pod_ip.is_empty() {
        status.pod_ip = first.to_owned();
    } else if status.pod_ip != first {
        let ip = status.pod_ip.clone();
        status.pod_ips = vec![PodIp { ip }];
    }
}

/// All complaints about `spec` and `status`.
pub(super) fn errors(pod: &Pod) -> Errors {
    let mut errors = pod_spec::errors(&pod.spec, Owner::Pod, "spec");
    errors.extend(container::image_errors(&pod.spec));
    errors.extend(status_errors(pod));
    errors
}

/// All complaints about `status`.
pub(super) fn status_errors(pod: &Pod) -> Errors {
    let (field, ips) = ("status.podIPs", &pod.status.pod_ips);
    let mut errors = Errors::new();
    for (index, entry) in ips.iter().enumerate() {
        errors.extend(address(&format!("{field}[{index}]"), &entry.ip));
    }
    let families = pod.addresses();
    let of_one_family = |pair: &[std::net::IpAddr]| pair[0].is_ipv4() == pair[1].is_ipv4();
    if ips.len() > 2 || families.windows(2).any(of_one_family) {
        let detail = "may specify no more than one IP for each IP family";
        // As Go prints it: its fields have no JSON names.
        let shown: Vec<_> = ips.iter().map(|entry| json!({"IP": entry.ip})).collect();
        errors.push(FieldError::invalid(field, &shown, detail));
    }
    errors
}
