//! DBG-24: a `targetPort` that is a name which Pods do not declare (EP-18, EP-19).

use api::yaml::closest;
use api::{IntOrString, Pod, Protocol, ServicePort};

use super::selector::refused_by_node;
use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::{declared, list, names, spoken_port};
use crate::{Certainty, Finding, Severity};

/// A finding for each port with such a name.
pub(super) fn unnamed(facts: &Facts<'_>) -> Vec<Finding> {
    let live = facts.live();
    let ports = facts.service.spec.ports.iter().enumerate();
    ports
        .filter_map(|(index, port)| unnamed_port(facts, (index, port), &live))
        .collect()
}

fn unnamed_port(
    facts: &Facts<'_>,
    (index, port): (usize, &ServicePort),
    live: &[&Pod],
) -> Option<Finding> {
    let Some(IntOrString::String(target)) = &port.target_port else {
        return None;
    };
    let protocol = port.transport();
    let declares =
        |pod: &&Pod| declared(pod).any(|(name, other, _)| name == target && other == protocol);
    let (with, without): (Vec<&Pod>, Vec<&Pod>) = live.iter().copied().partition(declares);
    let first = without.first()?;
    let lacking = list(&names(&without));
    let declare = if without.len() == 1 {
        "declares"
    } else {
        "declare"
    };
    let sees = if with.is_empty() {
        port_refused(facts, port)
    } else {
        format!(
            "{} port {} reach only {}",
            facts.clients(),
            port.port,
            list(&names(&with))
        )
    };
    let hint = match init_container_with(first, target) {
        Some(name) => {
            format!("; init container {name} declares it, but has ended by the time Pods serve")
        }
        None => String::new(),
    };
    Some(Finding {
        id: "DBG-24",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some(format!("spec.ports[{index}].targetPort")),
        sees,
        why: format!(
            "targetPort \"{target}\" ({protocol}) is not declared by {lacking}, which {declare} {}{hint}",
            named_ports(first)
        ),
        fix: fix(index, target, protocol, &without, with.is_empty()),
        confirm: vec![
            match with.is_empty() && facts.service.spec.ports.len() == 1 {
                true => Check::prints(facts.kubectl_get_slices(), "<unset>"),
                false => Check::run(facts.kubectl_get_slices()),
            },
            Check::run(facts.kubectl_get(&format!(
                "pod {} -o jsonpath='{{.spec.containers[*].ports}}'",
                first.metadata.name
            ))),
        ],
    })
}

/// `"web" (8080/TCP)`
fn named_ports(pod: &Pod) -> String {
    let named = declared(pod).filter(|(name, ..)| !name.is_empty());
    let named: Vec<String> = named
        .map(|(name, other, number)| format!("\"{name}\" ({number}/{other})"))
        .collect();
    match named.len() {
        0 => "no port with a name".to_owned(),
        _ => list(&named),
    }
}

fn fix(
    index: usize,
    target: &str,
    protocol: Protocol,
    without: &[&Pod],
    nobody_has: bool,
) -> String {
    let candidates: Vec<&str> = declared(without[0])
        .filter(|(name, other, _)| !name.is_empty() && *other == protocol)
        .map(|(name, ..)| name)
        .collect();
    match closest(target, candidates.iter().copied()).or(candidates.first().copied()) {
        Some(name) if nobody_has => format!("change spec.ports[{index}].targetPort to {name}"),
        _ => format!(
            "name the container port of {} \"{target}\" with protocol {protocol}",
            list(&names(without))
        ),
    }
}

/// The init container, no sidecar, that declares a port of this name (EP-17).
fn init_container_with<'a>(pod: &'a Pod, target: &str) -> Option<&'a str> {
    let mut containers = pod
        .spec
        .init_containers
        .iter()
        .filter(|container| !container.runs_on());
    let declares = |port: &api::ContainerPort| port.name == target;
    containers
        .find(|container| container.ports.iter().any(declares))
        .map(|container| container.name.as_str())
}

/// What clients of one port see; a Service with several is not dead because one is.
fn port_refused(facts: &Facts<'_>, port: &ServicePort) -> String {
    if facts.service.spec.ports.len() == 1 {
        return refused_by_node(facts);
    }
    format!(
        "{} port {} get \"connection refused\", from the node and not from a Pod, because that port has no \
         endpoint",
        facts.clients(),
        spoken_port(port)
    )
}
