//! Service: the checks after allocation, and what this program cannot carry out.
//!
//! The order of checks is the order of the lines that kubectl prints.
//! **Source of the semantics.** API-39 … API-57, API-60 … API-64; S: `pkg/apis/core/validation/validation.go`
//! (validateService, ValidateServiceUpdate).

use std::collections::BTreeSet;

use serde::Serialize;

use super::families::cluster_ip_errors;
use super::status;
use crate::allocator::ClusterIps;
use crate::field::FieldError;
use crate::object::{ANNOTATION_SOURCE_RANGES, IntOrString, Service, ServicePort, ServiceSpec};
use crate::validate::{PROTOCOLS, meta, one_of, port, port_or_name, text};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const BALANCED_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];

/// Clouds that open too much would open this one as well (S: `pkg/cluster/ports`).
const KUBELET_PORT: i32 = 10_250;

/// All complaints about a Service but those about its metadata.
pub(crate) fn errors(service: &Service, old: Option<&Service>) -> Vec<FieldError> {
    let spec = &service.spec;
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(change_errors(service, old));
    }
    if spec.ports.is_empty() && !service.is_headless() && spec.service_type != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    errors.extend(exposure_errors(service));
    errors.extend(external_name_errors(spec));
    errors.extend(ports_errors(spec));
    errors.extend(meta::labels(&spec.selector, "spec.selector"));
    errors.extend(affinity_errors(spec));
    errors.extend(cluster_ip_errors(service));
    errors.extend(external_ip_errors(spec));
    errors.extend(one_of("spec.type", &spec.service_type, &TYPES));
    errors.extend(cluster_ip_type_errors(spec));
    errors.extend(duplicate_node_port_errors(spec));
    errors.extend(duplicate_port_errors(spec));
    errors.extend(source_range_errors(service));
    errors.extend(load_balancer_errors(spec));
    errors.extend(policy_errors(service));
    errors.extend(status::errors(service));
    errors
}

/// What may not be offered to the world outside (API-40).
fn exposure_errors(service: &Service) -> Vec<FieldError> {
    let spec = &service.spec;
    let mut errors = Vec::new();
    let entries = spec.ports.iter().enumerate();
    let kubelet = entries.filter(|(_, entry)| entry.port == KUBELET_PORT);
    for (index, entry) in kubelet.filter(|_| spec.service_type == "LoadBalancer") {
        let field = format!("spec.ports[{index}]");
        let detail =
            format!("may not expose port {KUBELET_PORT} externally since it is used by kubelet");
        errors.push(FieldError::invalid(field, &entry.port, &detail));
    }
    if service.uses_node_ports() && service.is_headless() {
        let detail = format!(
            "may not be set to 'None' for {} services",
            spec.service_type
        );
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &"None", &detail));
    }
    errors
}

fn change_errors(service: &Service, old: &Service) -> Vec<FieldError> {
    let (spec, before) = (&service.spec, &old.spec);
    let both_headless = service.is_headless() && old.is_headless();
    let mut errors = Vec::new();
    let fixed = "may not change once set";
    for index in changed(&before.cluster_ips, &spec.cluster_ips) {
        let field = format!("spec.clusterIPs[{index}]");
        errors.push(FieldError::invalid(field, &spec.cluster_ips, fixed));
    }
    if !both_headless {
        // Kubernetes names the first one, whichever it is.
        let changed = changed(&before.ip_families, &spec.ip_families);
        let error = |_| FieldError::invalid("spec.ipFamilies[0]", &spec.ip_families, fixed);
        errors.extend(changed.into_iter().map(error));
    }
    let balanced = |spec: &ServiceSpec| spec.service_type == "LoadBalancer";
    let class = &spec.load_balancer_class;
    if balanced(spec) && balanced(before) && *class != before.load_balancer_class {
        errors.push(FieldError::invalid("spec.loadBalancerClass", class, fixed));
    }
    let checked = service.needs_health_check() && old.needs_health_check();
    if checked && spec.health_check_node_port != before.health_check_node_port {
        let field = "spec.healthCheckNodePort";
        errors.push(FieldError::forbidden(field, "field is immutable"));
    }
    errors
}

/// Where a list differs from what it was; of one that has grown or shrunk only the first entry counts (API-60, API-62).
fn changed(before: &[String], after: &[String]) -> Vec<usize> {
    let compared = match before.len() == after.len() {
        true => before.len(),
        false => 1,
    };
    let pairs = before.iter().zip(after).take(compared).enumerate();
    pairs
        .filter(|(_, (before, after))| before != after)
        .map(|(index, _)| index)
        .collect()
}

fn external_name_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    if spec.service_type != "ExternalName" {
        return Vec::new();
    }
    if spec.external_name.is_empty() {
        return vec![FieldError::required("spec.externalName", "")];
    }
    let name = spec
        .external_name
        .strip_suffix('.')
        .unwrap_or(&spec.external_name);
    meta::complaints("spec.externalName", name, text::subdomain(name))
}

fn ports_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut names = BTreeSet::new();
    let mut errors = Vec::new();
    for (index, entry) in spec.ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        if !entry.name.is_empty() {
            let at = format!("{field}.name");
            errors.extend(meta::complaints(&at, &entry.name, text::label(&entry.name)));
            if !names.insert(&entry.name) {
                errors.push(FieldError::duplicate(at, &entry.name));
            }
        } else if spec.ports.len() > 1 {
            errors.push(FieldError::required(format!("{field}.name"), ""));
        }
        errors.extend(port(&format!("{field}.port"), entry.port));
        errors.extend(one_of(
            &format!("{field}.protocol"),
            &entry.protocol,
            &PROTOCOLS,
        ));
        let target = entry
            .target_port
            .clone()
            .unwrap_or(IntOrString::Int(entry.port));
        errors.extend(port_or_name(&format!("{field}.targetPort"), &target));
        if let Some(app_protocol) = &entry.app_protocol {
            let found = text::qualified_name(app_protocol);
            errors.extend(meta::complaints(
                &format!("{field}.appProtocol"),
                app_protocol,
                found,
            ));
        }
    }
    errors
}

fn affinity_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(one_of(
        "spec.sessionAffinity",
        &spec.session_affinity,
        &["ClientIP", "None"],
    ));
    let config = spec.session_affinity_config.as_ref();
    let timeout = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    if let Some(seconds) = timeout.filter(|seconds| !(1..=86_400).contains(seconds)) {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let detail = "must be greater than 0 and less than 86400";
        errors.push(FieldError::invalid(field, &seconds, detail));
    }
    errors
}

fn external_ip_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, ip) in spec.external_ips.iter().enumerate() {
        let field = format!("spec.externalIPs[{index}]");
        match text::address(ip) {
            Ok(address) => {
                let special = text::special_range(address);
                errors.extend(special.map(|detail| FieldError::invalid(field, ip, detail)));
            }
            Err(found) => errors.extend(meta::complaints(&field, ip, found)),
        }
    }
    errors
}

fn cluster_ip_type_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let given = spec
        .ports
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.node_port != 0);
    let error = |index| {
        let field = format!("spec.ports[{index}].nodePort");
        FieldError::forbidden(field, "may not be used when `type` is 'ClusterIP'")
    };
    given
        .filter(|_| spec.service_type == "ClusterIP")
        .map(|(index, _)| error(index))
        .collect()
}

/// Two entries of one protocol at one node port (API-44).
fn duplicate_node_port_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let entries = spec.ports.iter().enumerate();
    let given = entries.filter(|(_, entry)| entry.node_port != 0);
    given
        .filter(|(_, entry)| !seen.insert((&entry.protocol, entry.node_port)))
        .map(|(index, entry)| {
            FieldError::duplicate(format!("spec.ports[{index}].nodePort"), &entry.node_port)
        })
        .collect()
}

/// What Go prints of a port whose protocol and number are taken (API-44).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortInGo<'a> {
    name: &'a str,
    protocol: &'a str,
    app_protocol: Option<&'a str>,
    port: i32,
    target_port: i32,
    node_port: i32,
}

fn duplicate_port_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let fresh = |entry: &ServicePort| (entry.protocol.clone(), entry.port);
    let repeated = spec
        .ports
        .iter()
        .enumerate()
        .filter(|(_, entry)| !seen.insert(fresh(entry)));
    repeated
        .map(|(index, entry)| {
            let shown = PortInGo {
                name: "",
                protocol: &entry.protocol,
                app_protocol: None,
                port: entry.port,
                target_port: 0,
                node_port: 0,
            };
            FieldError::duplicate(format!("spec.ports[{index}]"), &shown)
        })
        .collect()
}

/// The field, or else the annotation (API-51).
fn source_range_errors(service: &Service) -> Vec<FieldError> {
    let spec = &service.spec;
    let annotation = service.metadata.annotations.get(ANNOTATION_SOURCE_RANGES);
    let at_annotation = format!("metadata.annotations[{ANNOTATION_SOURCE_RANGES}]");
    let listed = &spec.load_balancer_source_ranges;
    let (field, texts): (&str, Vec<(String, &str)>) = match annotation {
        _ if !listed.is_empty() => {
            let field = "spec.LoadBalancerSourceRanges";
            let texts = listed.iter().enumerate();
            let texts = texts.map(|(index, text)| (format!("{field}[{index}]"), text.as_str()));
            (field, texts.collect())
        }
        Some(texts) => {
            let texts = texts.split(',').filter(|_| !texts.trim().is_empty());
            let texts = texts.map(|text| (at_annotation.clone(), text));
            (&at_annotation, texts.collect())
        }
        None => return Vec::new(),
    };
    let mut errors = Vec::new();
    if spec.service_type != "LoadBalancer" {
        errors.push(FieldError::forbidden(field, BALANCED_ONLY));
    }
    for (field, text) in texts {
        let text = text.trim();
        errors.extend(meta::complaints(&field, text, text::cidr(text)));
    }
    errors
}

fn load_balancer_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let class = spec.load_balancer_class.as_deref();
    if spec.service_type == "LoadBalancer" {
        let complaints =
            |class| meta::complaints("spec.loadBalancerClass", class, text::qualified_name(class));
        return class.map(complaints).unwrap_or_default();
    }
    let given = [
        (
            "spec.allocateLoadBalancerNodePorts",
            spec.allocate_load_balancer_node_ports.is_some(),
        ),
        ("spec.loadBalancerClass", class.is_some()),
    ];
    given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(field, _)| FieldError::forbidden(field, BALANCED_ONLY))
        .collect()
}

fn policy_errors(service: &Service) -> Vec<FieldError> {
    let spec = &service.spec;
    let mut errors = Vec::new();
    let policy = &spec.external_traffic_policy;
    let field = "spec.externalTrafficPolicy";
    if service.is_externally_accessible() {
        errors.extend(one_of(field, policy, &["Cluster", "Local"]));
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(field, policy, detail));
    }
    let port = spec.health_check_node_port;
    if port != 0 && !service.needs_health_check() {
        let detail =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(
            "spec.healthCheckNodePort",
            &port,
            detail,
        ));
    }
    if let Some(policy) = &spec.internal_traffic_policy {
        errors.extend(one_of(
            "spec.internalTrafficPolicy",
            policy,
            &["Cluster", "Local"],
        ));
    }
    if let Some(distribution) = &spec.traffic_distribution {
        errors.extend(one_of(
            "spec.trafficDistribution",
            distribution,
            &DISTRIBUTIONS,
        ));
    }
    errors
}

/// What is valid but beyond this program: field and text.
pub(crate) fn limits(service: &Service, ranges: &ClusterIps) -> Vec<(String, String)> {
    let needs_range = service.needs_cluster_ip() && !service.is_headless();
    if needs_range && ranges.families().is_empty() {
        let text = "a ClusterIP without a Service range is not supported by this version of switchboard; supported: clusterIP \"None\"";
        return vec![("spec.clusterIPs".to_owned(), text.to_owned())];
    }
    Vec::new()
}
