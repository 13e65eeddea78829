//! What Kubernetes warns about in a Pod, or in the template of a workload, that it takes.
//!
//! **Source of the semantics.** API-58; S: `pkg/api/pod/warnings.go`, `pkg/registry/core/pod/strategy.go`.
//!
//! Deviation: what it says of volumes, environment, resources, affinity and retired annotations is left out.

use std::collections::BTreeMap;

use crate::object::{ContainerPort, Pod, PodSpec, PodTemplateSpec};
use crate::validate::pod_spec::HostAlias;
use crate::validate::{canonical, text};

/// Warnings about a new Pod; updates are not warned about.
pub(in crate::strategy) fn warnings(pod: &Pod) -> Vec<String> {
    let found = text::label(&pod.metadata.name);
    let mut warnings = Vec::new();
    if !found.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
            found.join(" ")
        ));
    }
    warnings.extend(spec_warnings(&pod.spec, "spec"));
    warnings
}

/// Warnings about the template of a workload.
pub(in crate::strategy) fn template(template: &PodTemplateSpec) -> Vec<String> {
    spec_warnings(&template.spec, "spec.template.spec")
}

fn spec_warnings(spec: &PodSpec, field: &str) -> Vec<String> {
    let mut warnings = host_alias_warnings(spec, &format!("{field}.hostAliases"));
    warnings.extend(port_warnings(spec, field));
    let grace = spec.termination_grace_period_seconds;
    if grace.is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{field}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    let servers = spec
        .dns_config
        .iter()
        .flat_map(|config| &config.nameservers);
    warnings.extend(servers.enumerate().filter_map(|(index, server)| {
        canonical::address(&format!("{field}.dnsConfig.nameservers[{index}]"), server)
    }));
    warnings
}

fn host_alias_warnings(spec: &PodSpec, field: &str) -> Vec<String> {
    let aliases: Vec<HostAlias> = spec.rest.typed("hostAliases").unwrap_or_default();
    let mut warnings = Vec::new();
    for (index, alias) in aliases.iter().enumerate() {
        let field = format!("{field}[{index}].ip");
        if aliases[..index].iter().any(|other| other.ip == alias.ip) {
            warnings.push(format!("{field}: duplicate ip {:?}", alias.ip));
        }
        warnings.extend(canonical::address(&field, &alias.ip));
    }
    warnings
}

/// Ports that say the same thing twice, or nearly so; init containers first, as the server visits them.
fn port_warnings(spec: &PodSpec, field: &str) -> Vec<String> {
    let lists = [
        ("initContainers", &spec.init_containers),
        ("containers", &spec.containers),
    ];
    let mut known: BTreeMap<(i32, &str), Vec<(String, &ContainerPort)>> = BTreeMap::new();
    let mut warnings = Vec::new();
    for (list, containers) in lists {
        for (index, container) in containers.iter().enumerate() {
            for (place, port) in container.ports.iter().enumerate() {
                let field = format!("{field}.{list}[{index}].ports[{place}]");
                if !port.host_ip.is_empty() && port.host_port == 0 {
                    warnings.push(format!(
                        "{field}: hostIP set without hostPort: {}",
                        in_go(port)
                    ));
                }
                let others = known
                    .entry((port.container_port, &port.protocol))
                    .or_default();
                for (other_field, other) in others.iter() {
                    warnings.extend(
                        overlap(port, other).map(|what| {
                            format!("{field}: {what} port definition with {other_field}")
                        }),
                    );
                }
                others.push((field, port));
            }
        }
    }
    warnings
}

/// How two declarations of one container port go together.
fn overlap(port: &ContainerPort, other: &ContainerPort) -> Option<&'static str> {
    let same_port = port.host_port == other.host_port;
    if same_port && port.host_ip == other.host_ip {
        Some("duplicate")
    } else if port.host_port == 0 || other.host_port == 0 {
        Some("overlapping")
    } else if same_port && (port.host_ip.is_empty() != other.host_ip.is_empty()) {
        Some("dangerously ambiguous")
    } else {
        None
    }
}

/// As Go's `%+v` prints it.
fn in_go(port: &ContainerPort) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        port.name, port.host_port, port.container_port, port.protocol, port.host_ip
    )
}
