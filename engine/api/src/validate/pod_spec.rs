//! `spec` of a Pod or of a workload's template.
//!
//! **Source of the semantics.** API-19, API-22, API-76; S: `pkg/apis/core/validation/validation.go`
//! (ValidatePodSpec, ValidatePodTemplateSpec).
//!
//! Deviation: volumes, environment, resources, security contexts, affinity and spreading constraints are kept and not
//! checked: the network does not depend on them.

use serde::Deserialize;

use super::{Errors, address, container, meta, required_one_of, taint, text};
use crate::field::FieldError;
use crate::object::{PodDnsConfig, PodSpec, PodTemplateSpec, StringMap, Toleration};

/// Whose `spec` it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A Pod's own.
    Pod,
    /// That of a workload's template.
    Template,
}

const DNS_POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const RESTART_POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
/// What the C library resolves with (S: MaxDNSNameservers, MaxDNSSearchPaths, MaxDNSSearchListChars).
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_LIST_MAX: usize = 2048;

/// Checks a `spec` at `field`.
pub(crate) fn errors(spec: &PodSpec, owner: Owner, field: &str) -> Errors {
    let at = |part: &str| format!("{field}.{part}");
    let mut errors = container::errors(spec, field);
    errors.extend(host_network_errors(spec, owner, &at("containers")));
    errors.extend(required_one_of(
        &at("restartPolicy"),
        &spec.restart_policy,
        &RESTART_POLICIES,
    ));
    errors.extend(required_one_of(
        &at("dnsPolicy"),
        &spec.dns_policy,
        &DNS_POLICIES,
    ));
    let node_selector: StringMap = spec.rest.typed("nodeSelector").unwrap_or_default();
    errors.extend(meta::labels(&node_selector, &at("nodeSelector")));
    errors.extend(dns_config_errors(
        spec.dns_config.as_deref(),
        &spec.dns_policy,
        &at("dnsConfig"),
    ));
    for (index, gate) in spec.readiness_gates.iter().enumerate() {
        let field = at(&format!("readinessGates[{index}].conditionType"));
        let found = text::qualified_name(&gate.condition_type);
        errors.extend(meta::complaints(&field, &gate.condition_type, found));
    }
    errors.extend(name_errors(spec, field));
    let tolerations: Vec<Toleration> = spec.rest.typed("tolerations").unwrap_or_default();
    errors.extend(taint::toleration_errors(&tolerations, &at("tolerations")));
    errors.extend(host_alias_errors(spec, &at("hostAliases")));
    errors
}

/// Checks a template at `field`. Kubernetes names the metadata's fields without `metadata` here.
pub(crate) fn template_errors(template: &PodTemplateSpec, field: &str) -> Errors {
    let mut errors = template_metadata_errors(template, field);
    errors.extend(self::errors(
        &template.spec,
        Owner::Template,
        &format!("{field}.spec"),
    ));
    errors
}

/// Checks the labels and annotations of a template at `field`.
pub(crate) fn template_metadata_errors(template: &PodTemplateSpec, field: &str) -> Errors {
    let meta = &template.metadata;
    let mut errors = meta::labels(&meta.labels, &format!("{field}.labels"));
    errors.extend(meta::annotations(
        &meta.annotations,
        &format!("{field}.annotations"),
    ));
    errors
}

/// On its node's network a container's port is the node's; a template's may still be without.
fn host_network_errors(spec: &PodSpec, owner: Owner, list: &str) -> Errors {
    let mut errors = Errors::new();
    let containers = spec
        .containers
        .iter()
        .enumerate()
        .filter(|_| spec.host_network);
    for (index, container) in containers {
        for (place, entry) in container.ports.iter().enumerate() {
            let must_match = owner == Owner::Pod || entry.host_port != 0;
            if must_match && entry.host_port != entry.container_port {
                let field = format!("{list}[{index}].ports[{place}].hostPort");
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(field, &entry.host_port, detail));
            }
        }
    }
    errors
}

fn dns_config_errors(config: Option<&PodDnsConfig>, policy: &str, field: &str) -> Errors {
    let Some(config) = config else {
        let missing = (policy == "None").then(|| {
            FieldError::required(field, "must provide `dnsConfig` when `dnsPolicy` is None")
        });
        return missing.into_iter().collect();
    };
    let at_servers = format!("{field}.nameservers");
    if policy == "None" && config.nameservers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return vec![FieldError::required(at_servers, detail)];
    }
    let mut errors = Errors::new();
    if config.nameservers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(
            &at_servers,
            &config.nameservers,
            &detail,
        ));
    }
    for (index, server) in config.nameservers.iter().enumerate() {
        errors.extend(address(&format!("{at_servers}[{index}]"), server));
    }
    errors.extend(search_errors(
        &config.searches,
        &format!("{field}.searches"),
    ));
    let unnamed = config
        .options
        .iter()
        .enumerate()
        .filter(|(_, option)| option.name.is_empty());
    errors.extend(unnamed.map(|(index, _)| {
        FieldError::required(format!("{field}.options[{index}]"), "must not be empty")
    }));
    errors
}

fn search_errors(searches: &[String], field: &str) -> Errors {
    let mut errors = Errors::new();
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(field, &searches, &detail));
    }
    if searches.join(" ").len() > SEARCH_LIST_MAX {
        let detail = format!(
            "must not have more than {SEARCH_LIST_MAX} characters (including spaces) in the search list"
        );
        errors.push(FieldError::invalid(field, &searches, &detail));
    }
    for (index, search) in searches
        .iter()
        .enumerate()
        .filter(|(_, search)| *search != ".")
    {
        let search = search.strip_suffix('.').unwrap_or(search);
        let found = text::subdomain_with_underscore(search);
        errors.extend(meta::complaints(
            &format!("{field}[{index}]"),
            search,
            found,
        ));
    }
    errors
}

/// Names of other things, and the deadline between them.
fn name_errors(spec: &PodSpec, field: &str) -> Errors {
    let at = |part: &str| format!("{field}.{part}");
    let word = |part: &str| {
        spec.rest
            .get(part)
            .and_then(|value| value.as_str())
            .unwrap_or("")
    };
    let mut errors = Errors::new();
    let mut check = |part: &str, value: &str, found: fn(&str) -> Vec<String>| {
        if !value.is_empty() {
            errors.extend(meta::complaints(&at(part), value, found(value)));
        }
    };
    check(
        "serviceAccountName",
        word("serviceAccountName"),
        text::subdomain,
    );
    check("nodeName", &spec.node_name, text::subdomain);
    let deadline: Option<i64> = spec.rest.typed("activeDeadlineSeconds");
    let bad = deadline.filter(|seconds| !(1..=i64::from(i32::MAX)).contains(seconds));
    errors.extend(bad.map(|seconds| {
        let detail = format!("must be between 1 and {}, inclusive", i32::MAX);
        FieldError::invalid(at("activeDeadlineSeconds"), &seconds, &detail)
    }));
    for (part, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if !value.is_empty() {
            errors.extend(meta::complaints(&at(part), value, text::label(value)));
        }
    }
    errors
}

fn host_alias_errors(spec: &PodSpec, field: &str) -> Errors {
    let aliases: Vec<HostAlias> = spec.rest.typed("hostAliases").unwrap_or_default();
    let mut errors = Errors::new();
    for (index, alias) in aliases.iter().enumerate() {
        errors.extend(address(&format!("{field}[{index}].ip"), &alias.ip));
        for (place, name) in alias.hostnames.iter().enumerate() {
            let field = format!("{field}[{index}].hostnames[{place}]");
            errors.extend(meta::complaints(&field, name, text::subdomain(name)));
        }
    }
    errors
}

/// An entry of `spec.hostAliases`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct HostAlias {
    pub(crate) ip: String,
    pub(crate) hostnames: Vec<String>,
}
