//! DBG-21: the selector matches no Pod, with the near misses of DBG-77 … DBG-80.

use std::collections::BTreeSet;

use api::{Kind, Object, matches};

use crate::facts::{Facts, pods};
use crate::finding::Check;
use crate::near_miss::{NearMiss, Unmet, nearest};
use crate::pods::{counted, list, names, terms};
use crate::{Certainty, Finding, Severity};

/// A selector that matches no Pod at all.
pub(super) fn none_selected(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.has_selector() || !facts.selected.is_empty() {
        return Vec::new();
    }
    let selected = terms(&facts.service.spec.selector);
    let near = nearest(&facts.service.spec.selector, &facts.pods);
    let matched = match facts.pods.len() {
        0 => format!(
            "the Service selects {selected}, and namespace {} has no Pods",
            facts.namespace
        ),
        count => format!(
            "the Service selects {selected}, and 0 of {} match",
            counted(count, "Pod")
        ),
    };
    let (hint, fix) = match &near {
        Some(near) => (difference(facts, near), near_fix(near)),
        None => elsewhere(facts, &selected),
    };
    let mistaken = match workload_with(facts) {
        Some(workload) => format!("; {workload} has these labels itself, but its Pods have not"),
        None => String::new(),
    };
    let field = near
        .as_ref()
        .and_then(|near| near.unmet.first())
        .map_or_else(
            || "spec.selector".to_owned(),
            |term| format!("spec.selector.{}", term.key),
        );
    let endpoints = format!("endpoints {}", facts.service.metadata.name);
    vec![Finding {
        id: "DBG-21",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some(field),
        sees: refused_by_node(facts),
        why: format!("{matched}{hint}{mistaken}"),
        fix,
        confirm: vec![
            Check::prints(facts.kubectl_get(&endpoints), "<none>"),
            Check::prints(
                facts.kubectl_get(&format!("pods -l {selected}")),
                format!("No resources found in {} namespace.", facts.namespace),
            ),
            Check::run(facts.kubectl_get("pods --show-labels")),
        ],
    }]
}

/// What clients of a Service without any endpoint for their port see (PROXY-14).
pub(super) fn refused_by_node(facts: &Facts<'_>) -> String {
    if facts.service.is_headless() {
        // DNS has no records of endpoints that are names.
        let slices = facts
            .slices
            .iter()
            .filter(|slice| slice.address_type != "FQDN");
        let mut endpoints = slices.flat_map(|slice| &slice.endpoints);
        // EP-18, DNS-28: its addresses are there, whatever becomes of its ports.
        if endpoints.any(|endpoint| endpoint.conditions.is_ready()) {
            return format!(
                "The name of {} resolves, but has no SRV record of the port",
                facts.name()
            );
        }
        return format!(
            "{} cannot resolve its name (NXDOMAIN), because it has no ready Pod",
            facts.clients()
        );
    }
    format!(
        "{} get \"connection refused\", from the node and not from a Pod, because it has no endpoint",
        facts.clients()
    )
}

fn difference(facts: &Facts<'_>, near: &NearMiss<'_>) -> String {
    let have = if near.pods.len() == 1 { "has" } else { "have" };
    let unmet: Vec<String> = near.unmet.iter().map(|unmet| unmet.told(have)).collect();
    let unmet = unmet.join(" and ");
    let all = facts.pods.len();
    match near.pods.len() {
        1 => format!(": {} {unmet}", near.pods[0].metadata.name),
        count if count == all => format!(": all {unmet}"),
        count => format!(": {count} Pods ({}) {unmet}", list(&names(&near.pods))),
    }
}

fn near_fix(near: &NearMiss<'_>) -> String {
    let fixes: Vec<String> = near.unmet.iter().map(Unmet::fix).collect();
    fixes.join("; ")
}

/// DBG-78: the right labels in another namespace.
fn elsewhere(facts: &Facts<'_>, selected: &str) -> (String, String) {
    let selector = &facts.service.spec.selector;
    let elsewhere: BTreeSet<&str> = pods(facts.api, None)
        .filter(|pod| matches(selector, &pod.metadata.labels))
        .map(|pod| pod.metadata.namespace.as_str())
        .collect();
    let elsewhere: Vec<&str> = elsewhere.into_iter().collect();
    match elsewhere.first() {
        Some(first) => (
            format!("; Pods of namespace {} have these labels", list(&elsewhere)),
            format!(
                "move the Service to namespace {first}, or the Pods to {}",
                facts.namespace
            ),
        ),
        None => (
            String::new(),
            format!("label the Pods {selected}, or correct spec.selector"),
        ),
    }
}

/// DBG-79: a workload that has the labels where only its own are, and not those of its Pods.
fn workload_with(facts: &Facts<'_>) -> Option<String> {
    let selector = &facts.service.spec.selector;
    let kinds = [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::ReplicaSet,
    ];
    let workloads = kinds
        .into_iter()
        .flat_map(|kind| facts.api.list(kind, Some(facts.namespace)));
    let mut workloads = workloads.filter(|workload| {
        let template = match workload {
            Object::Deployment(workload) => &workload.spec.template,
            Object::StatefulSet(workload) => &workload.spec.template,
            Object::DaemonSet(workload) => &workload.spec.template,
            Object::ReplicaSet(workload) => &workload.spec.template,
            _ => return false,
        };
        matches(selector, &workload.meta().labels) && !matches(selector, &template.metadata.labels)
    });
    workloads.next().map(|workload| workload.key().to_string())
}
