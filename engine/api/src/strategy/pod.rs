//! Pod: the defaults and checks of the fields that matter to a Service network.
//!
//! **Source of the semantics.** API-19, API-22, API-36, API-76; S: `pkg/apis/core/v1/defaults.go`,
//! `pkg/apis/core/validation/validation.go`.
//!
//! Deviation: fields that nothing here reads (tolerations, probes, volumes …) get no defaults and no checks, and
//! an update may change any field of `spec`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::FieldError;
use crate::object::{Container, Pod};
use crate::validate::{PROTOCOLS, meta, one_of, port, text};

/// `terminationGracePeriodSeconds` of a Pod that states none.
const GRACE_SECONDS: i64 = 30;

pub(super) fn complete(pod: &mut Pod) {
    let spec = &mut pod.spec;
    for container in spec.init_containers.iter_mut().chain(&mut spec.containers) {
        for port in &mut container.ports {
            if port.protocol.is_empty() {
                "TCP".clone_into(&mut port.protocol);
            }
        }
    }
    if spec.rest.get("restartPolicy").is_none() {
        spec.rest.insert("restartPolicy", Value::from("Always"));
    }
    spec.termination_grace_period_seconds
        .get_or_insert(GRACE_SECONDS);
    if spec.dns_policy.is_empty() {
        "ClusterFirst".clone_into(&mut spec.dns_policy);
    }
    if spec.rest.get("schedulerName").is_none() {
        spec.rest
            .insert("schedulerName", Value::from("default-scheduler"));
    }
    if pod.status.phase.is_empty() {
        "Pending".clone_into(&mut pod.status.phase);
    }
    pod.metadata.generation.get_or_insert(1);
}

/// The generation counts changes of `spec` (API-36).
pub(super) fn count_generation(pod: &mut Pod, old: &Pod) {
    let before = old.metadata.generation.unwrap_or(1);
    pod.metadata.generation = Some(before + i64::from(pod.spec != old.spec));
}

pub(super) fn errors(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &pod.spec;
    let mut names = BTreeSet::new();
    if spec.containers.is_empty() {
        errors.push(FieldError::required("spec.containers", ""));
    }
    for (index, container) in spec.containers.iter().enumerate() {
        errors.extend(container_errors(
            container,
            &format!("spec.containers[{index}]"),
            &mut names,
        ));
    }
    for (index, container) in spec.init_containers.iter().enumerate() {
        let field = format!("spec.initContainers[{index}]");
        errors.extend(container_errors(container, &field, &mut names));
    }
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    errors.extend(one_of("spec.dnsPolicy", &spec.dns_policy, &policies));
    if !spec.node_name.is_empty() {
        let found = text::subdomain(&spec.node_name);
        errors.extend(meta::complaints("spec.nodeName", &spec.node_name, found));
    }
    for (field, value) in [
        ("spec.hostname", &spec.hostname),
        ("spec.subdomain", &spec.subdomain),
    ] {
        if !value.is_empty() {
            errors.extend(meta::complaints(field, value, text::label(value)));
        }
    }
    // The status is the user's too (see `server`), so its addresses are checked like a user's.
    for (index, entry) in pod.status.pod_ips.iter().enumerate() {
        if let Err(found) = text::address(&entry.ip) {
            errors.extend(meta::complaints(
                &format!("status.podIPs[{index}].ip"),
                &entry.ip,
                found,
            ));
        }
    }
    if !pod.status.pod_ip.is_empty()
        && let Err(found) = text::address(&pod.status.pod_ip)
    {
        errors.extend(meta::complaints("status.podIP", &pod.status.pod_ip, found));
    }
    errors
}

/// S: `pkg/api/pod/warnings.go`.
pub(super) fn warnings(pod: &Pod) -> Vec<String> {
    let found = text::label(&pod.metadata.name);
    if found.is_empty() {
        return Vec::new();
    }
    let found = found.join(" ");
    vec![format!(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{found}]"
    )]
}

fn container_errors<'a>(
    container: &'a Container,
    field: &str,
    names: &mut BTreeSet<&'a str>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = &container.name;
    if name.is_empty() {
        errors.push(FieldError::required(format!("{field}.name"), ""));
    } else {
        errors.extend(meta::complaints(
            &format!("{field}.name"),
            name,
            text::label(name),
        ));
        if !names.insert(name) {
            errors.push(FieldError::duplicate(format!("{field}.name"), name));
        }
    }
    if container.image.is_empty() {
        errors.push(FieldError::required(format!("{field}.image"), ""));
    }
    let mut port_names = BTreeSet::new();
    for (index, entry) in container.ports.iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        if !entry.name.is_empty() {
            let found = text::port_name(&entry.name);
            if found.is_empty() && !port_names.insert(&entry.name) {
                errors.push(FieldError::duplicate(format!("{field}.name"), &entry.name));
            }
            errors.extend(meta::complaints(
                &format!("{field}.name"),
                &entry.name,
                found,
            ));
        }
        if entry.container_port == 0 {
            errors.push(FieldError::required(format!("{field}.containerPort"), ""));
        } else {
            errors.extend(port(
                &format!("{field}.containerPort"),
                entry.container_port,
            ));
        }
        errors.extend(one_of(
            &format!("{field}.protocol"),
            &entry.protocol,
            &PROTOCOLS,
        ));
    }
    errors
}
