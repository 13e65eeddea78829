//! Service: the checks after allocation, warnings, and what this program cannot carry out.
//!
//! The order of checks is the order of the lines that kubectl prints.
//! **Source of the semantics.** API-39 … API-58, API-60 … API-63; S: `pkg/apis/core/validation/validation.go`
//! (validateService, ValidateServiceUpdate), `pkg/api/service/warnings.go`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::families::cluster_ip_errors;
use crate::allocator::ClusterIps;
use crate::field::FieldError;
use crate::object::{IntOrString, Service, ServicePort, ServiceSpec};
use crate::validate::{PROTOCOLS, meta, one_of, port, port_or_name, text};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];

/// All complaints about `spec`.
pub(super) fn errors(service: &Service, old: Option<&Service>) -> Vec<FieldError> {
    let spec = &service.spec;
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(change_errors(service, old));
    }
    if spec.ports.is_empty() && !service.is_headless() && spec.service_type != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let external = matches!(spec.service_type.as_str(), "NodePort" | "LoadBalancer");
    if external && service.is_headless() {
        let detail = format!(
            "may not be set to 'None' for {} services",
            spec.service_type
        );
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &"None", &detail));
    }
    errors.extend(external_name_errors(spec));
    errors.extend(ports_errors(spec));
    errors.extend(meta::labels(&spec.selector, "spec.selector"));
    errors.extend(affinity_errors(spec));
    errors.extend(cluster_ip_errors(service));
    errors.extend(external_ip_errors(spec));
    errors.extend(one_of("spec.type", &spec.service_type, &TYPES));
    errors.extend(cluster_ip_type_errors(spec));
    errors.extend(duplicate_port_errors(spec));
    errors.extend(load_balancer_errors(spec));
    errors.extend(policy_errors(spec));
    errors
}

fn change_errors(service: &Service, old: &Service) -> Vec<FieldError> {
    let (spec, before) = (&service.spec, &old.spec);
    let changed =
        |was: Option<&String>, is: Option<&String>| was.is_some() && is.is_some() && was != is;
    let both_headless = service.is_headless() && old.is_headless();
    let mut errors = Vec::new();
    let fixed = "may not change once set";
    if changed(before.cluster_ips.first(), spec.cluster_ips.first()) {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            &spec.cluster_ips,
            fixed,
        ));
    }
    if changed(before.ip_families.first(), spec.ip_families.first()) && !both_headless {
        errors.push(FieldError::invalid(
            "spec.ipFamilies[0]",
            &spec.ip_families,
            fixed,
        ));
    }
    errors
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

fn load_balancer_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    if spec.service_type == "LoadBalancer" {
        return Vec::new();
    }
    let given = [
        (
            "spec.LoadBalancerSourceRanges",
            !spec.load_balancer_source_ranges.is_empty(),
        ),
        (
            "spec.allocateLoadBalancerNodePorts",
            spec.allocate_load_balancer_node_ports.is_some(),
        ),
        ("spec.loadBalancerClass", spec.load_balancer_class.is_some()),
    ];
    let error =
        |field| FieldError::forbidden(field, "may only be used when `type` is 'LoadBalancer'");
    given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(field, _)| error(field))
        .collect()
}

fn policy_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let external = matches!(spec.service_type.as_str(), "NodePort" | "LoadBalancer")
        || !spec.external_ips.is_empty();
    let policy = &spec.external_traffic_policy;
    let field = "spec.externalTrafficPolicy";
    if external && !policy.is_empty() {
        errors.extend(one_of(field, policy, &["Cluster", "Local"]));
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(field, policy, detail));
    }
    let port = spec.health_check_node_port;
    let checked = spec.service_type == "LoadBalancer" && policy == "Local";
    if port != 0 && !checked {
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
pub(super) fn limits(service: &Service, ranges: &ClusterIps) -> Vec<(String, String)> {
    let spec = &service.spec;
    let mut limits = Vec::new();
    let mut limit = |field: &str, value: &str, supported: &str| {
        let text = format!(
            "{value} is not supported by this version of switchboard; supported: {supported}"
        );
        limits.push((field.to_owned(), text));
    };
    if spec.service_type != "ClusterIP" {
        limit(
            "spec.type",
            &format!("\"{}\"", spec.service_type),
            "ClusterIP",
        );
    }
    if spec.session_affinity != "None" && !service.is_headless() {
        limit(
            "spec.sessionAffinity",
            &format!("\"{}\"", spec.session_affinity),
            "None",
        );
    }
    if !spec.external_ips.is_empty() {
        limit("spec.externalIPs", "an external IP", "none");
    }
    if spec.service_type == "ClusterIP" && !service.is_headless() && ranges.families().is_empty() {
        limit(
            "spec.clusterIPs",
            "a ClusterIP without a Service range",
            "clusterIP \"None\"",
        );
    }
    limits
}

/// What Kubernetes warns about (API-58).
pub(super) fn warnings(service: &Service) -> Vec<String> {
    let spec = &service.spec;
    let mut warnings = Vec::new();
    for (index, ip) in spec.cluster_ips.iter().enumerate() {
        let canonical = ip
            .parse()
            .map(|address: std::net::IpAddr| address.to_string());
        if let Some(canonical) = canonical.ok().filter(|canonical| canonical != ip) {
            warnings.push(format!(
                "spec.clusterIPs[{index}]: IPv6 address \"{ip}\" should be in RFC 5952 canonical format (\"{canonical}\")"
            ));
        }
    }
    if service.is_headless() && spec.session_affinity != "None" {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    if !spec.external_name.is_empty() && spec.service_type != "ExternalName" {
        warnings
            .push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warnings.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\""
                .to_owned(),
        );
    }
    warnings
}
