//! Containers of a Pod or a template.
//!
//! **Source of the semantics.** API-22, API-76; S: `pkg/apis/core/validation/validation.go` (validateContainers,
//! validateInitContainers, validateContainerPorts).

use std::collections::BTreeSet;

use super::{Errors, PROTOCOLS, meta, one_of, port, probe, required_one_of, text};
use crate::field::FieldError;
use crate::object::{Container, ContainerPort, PodSpec};

const MESSAGE_POLICIES: [&str; 2] = ["File", "FallbackToLogsOnError"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const RESTART_POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];

/// Checks the containers of `spec`, which is at `field`.
pub(crate) fn errors(spec: &PodSpec, field: &str) -> Errors {
    let mut names = BTreeSet::new();
    let mut errors = regular_errors(spec, &format!("{field}.containers"), &mut names);
    let list = format!("{field}.initContainers");
    for (index, container) in spec.init_containers.iter().enumerate() {
        let field = format!("{list}[{index}]");
        errors.extend(common_errors(container, &field));
        if !names.insert(&container.name) && !container.name.is_empty() {
            errors.push(FieldError::duplicate(
                format!("{field}.name"),
                &container.name,
            ));
        }
        // They run one after the other, so their ports collide only with their own.
        errors.extend(host_port_errors(std::slice::from_ref(container), &list));
        let runs_on = container.runs_on();
        errors.extend(if runs_on {
            probe::errors(container, spec.termination_grace_period_seconds, &field)
        } else {
            probe::forbidden(container, &field)
        });
    }
    errors
}

/// What is asked of a Pod's images and not of a template's.
pub(crate) fn image_errors(spec: &PodSpec) -> Errors {
    let lists = [
        ("spec.containers", &spec.containers),
        ("spec.initContainers", &spec.init_containers),
    ];
    let containers = lists.into_iter().flat_map(|(list, containers)| {
        let entries = containers.iter().enumerate();
        entries.map(move |(index, container)| (format!("{list}[{index}].image"), container))
    });
    let padded = containers.filter(|(_, container)| container.image.trim() != container.image);
    let detail = "must not have leading or trailing whitespace";
    padded
        .map(|(field, container)| FieldError::invalid(field, &container.image, detail))
        .collect()
}

fn regular_errors<'a>(spec: &'a PodSpec, list: &str, names: &mut BTreeSet<&'a String>) -> Errors {
    if spec.containers.is_empty() {
        return vec![FieldError::required(list, "")];
    }
    let mut errors = Errors::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let field = format!("{list}[{index}]");
        errors.extend(common_errors(container, &field));
        if !names.insert(&container.name) {
            errors.push(FieldError::duplicate(
                format!("{field}.name"),
                &container.name,
            ));
        }
        errors.extend(probe::errors(
            container,
            spec.termination_grace_period_seconds,
            &field,
        ));
    }
    errors.extend(host_port_errors(&spec.containers, list));
    errors
}

fn common_errors(container: &Container, field: &str) -> Errors {
    let mut errors = Errors::new();
    let (name, at_name) = (&container.name, format!("{field}.name"));
    if name.is_empty() {
        errors.push(FieldError::required(at_name, ""));
    } else {
        errors.extend(meta::complaints(&at_name, name, text::label(name)));
    }
    if container.image.is_empty() {
        errors.push(FieldError::required(format!("{field}.image"), ""));
    }
    let word = |field: &str| {
        container
            .rest
            .get(field)
            .and_then(|value| value.as_str())
            .unwrap_or("")
    };
    let policy = "terminationMessagePolicy";
    errors.extend(required_one_of(
        &format!("{field}.{policy}"),
        word(policy),
        &MESSAGE_POLICIES,
    ));
    errors.extend(port_errors(&container.ports, &format!("{field}.ports")));
    let policy = "imagePullPolicy";
    errors.extend(required_one_of(
        &format!("{field}.{policy}"),
        word(policy),
        &PULL_POLICIES,
    ));
    if let Some(policy) = &container.restart_policy {
        errors.extend(one_of(
            &format!("{field}.restartPolicy"),
            policy,
            &RESTART_POLICIES,
        ));
    }
    errors
}

fn port_errors(ports: &[ContainerPort], list: &str) -> Errors {
    let mut names = BTreeSet::new();
    let mut errors = Errors::new();
    for (index, entry) in ports.iter().enumerate() {
        let field = format!("{list}[{index}]");
        if !entry.name.is_empty() {
            let (found, at_name) = (text::port_name(&entry.name), format!("{field}.name"));
            if found.is_empty() && !names.insert(&entry.name) {
                errors.push(FieldError::duplicate(&at_name, &entry.name));
            }
            errors.extend(meta::complaints(&at_name, &entry.name, found));
        }
        if entry.container_port == 0 {
            errors.push(FieldError::required(format!("{field}.containerPort"), ""));
        } else {
            errors.extend(port(
                &format!("{field}.containerPort"),
                entry.container_port,
            ));
        }
        if entry.host_port != 0 {
            errors.extend(port(&format!("{field}.hostPort"), entry.host_port));
        }
        errors.extend(required_one_of(
            &format!("{field}.protocol"),
            &entry.protocol,
            &PROTOCOLS,
        ));
    }
    errors
}

/// Two ports of one node cannot be one.
fn host_port_errors(containers: &[Container], list: &str) -> Errors {
    let mut seen = BTreeSet::new();
    let mut errors = Errors::new();
    for (index, container) in containers.iter().enumerate() {
        for (place, entry) in container
            .ports
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.host_port != 0)
        {
            let text = format!("{}/{}/{}", entry.protocol, entry.host_ip, entry.host_port);
            if seen.contains(&text) {
                let field = format!("{list}[{index}].ports[{place}].hostPort");
                errors.push(FieldError::duplicate(field, &text));
            }
            seen.insert(text);
        }
    }
    errors
}
