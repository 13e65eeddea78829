//! DBG-33, DBG-49, DBG-50, DBG-55: slices that somebody else writes, and what is in them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{EndpointSlice, Kind, ObjectKey, Pod, ServicePort};

use super::selector::refused_by_node;
use crate::facts::{Facts, is_of_controller, manager, slices, usable};
use crate::finding::Check;
use crate::pods::{list, names, spoken_port};
use crate::{Certainty, Finding, Severity};

/// A Service without a selector: DBG-49 where no slice is its own, DBG-33 where ports do not go together.
pub(super) fn without_selector(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.has_selector() {
        return Vec::new();
    }
    if facts.slices.is_empty() {
        return vec![no_slices(facts)];
    }
    let ports = facts.service.spec.ports.iter();
    ports
        .filter_map(|port| other_port_name(facts, port))
        .collect()
}

fn no_slices(facts: &Facts<'_>) -> Finding {
    let name = &facts.service.metadata.name;
    let meant = slices(facts.api, facts.namespace)
        .find(|slice| slice.service_name().is_none() && slice.metadata.name.starts_with(name));
    let (subject, field, why, fix) = match meant {
        Some(slice) => (
            ObjectKey::new(Kind::EndpointSlice, facts.namespace, &slice.metadata.name),
            "metadata.labels",
            format!(
                "the Service has no selector, and EndpointSlice {} lacks the label kubernetes.io/service-name that would \
                 make it the Service's",
                slice.metadata.name
            ),
            format!("label the slice kubernetes.io/service-name={name}"),
        ),
        None => (
            facts.key.clone(),
            "spec.selector",
            "the Service has no selector, and nobody has written an EndpointSlice for it"
                .to_owned(),
            format!(
                "give it a selector, or write an EndpointSlice with the label kubernetes.io/service-name={name}"
            ),
        ),
    };
    Finding {
        id: "DBG-49",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject,
        field: Some(field.to_owned()),
        sees: refused_by_node(facts),
        why,
        fix,
        confirm: vec![Check::prints(
            facts.kubectl_get_slices(),
            format!("No resources found in {} namespace.", facts.namespace),
        )],
    }
}

/// Slices and Services are joined by the names of ports (PROXY-4, API-82).
fn other_port_name(facts: &Facts<'_>, port: &ServicePort) -> Option<Finding> {
    let filled = facts
        .slices
        .iter()
        .copied()
        .filter(|slice| !slice.endpoints.is_empty());
    let named = filled.flat_map(|slice| {
        let ports = slice.ports.iter();
        ports.map(move |port| (slice, port.name.as_deref().unwrap_or_default()))
    });
    if named.clone().any(|(_, name)| name == port.name) {
        return None;
    }
    // One that is no other port's may have been meant for this one.
    let is_other = |name: &str| {
        facts
            .service
            .spec
            .ports
            .iter()
            .any(|port| port.name == name)
    };
    let (slice, found) = named.clone().find(|(_, name)| !is_other(name))?;
    let quoted = |name: &str| match name {
        "" => "no name".to_owned(),
        name => format!("the name \"{name}\""),
    };
    Some(Finding {
        id: "DBG-33",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::EndpointSlice, facts.namespace, &slice.metadata.name),
        field: Some("ports[0].name".to_owned()),
        sees: refused_by_node(facts),
        why: format!(
            "ports of slices belong to the Service's port of the same name: port {} of the Service has {}, and that of \
             the slice has {}",
            port.port,
            quoted(&port.name),
            quoted(found)
        ),
        fix: match port.name.as_str() {
            "" => "remove the name of the slice's port".to_owned(),
            name => format!(
                "name the slice's port {name}, as port {}",
                spoken_port(port)
            ),
        },
        confirm: vec![
            Check::run(facts.kubectl_get(&format!(
                "service {} -o jsonpath='{{.spec.ports[*].name}}'",
                facts.service.metadata.name
            ))),
            Check::run(facts.kubectl_get(&format!(
                "endpointslice {} -o jsonpath='{{.ports[*].name}}'",
                slice.metadata.name
            ))),
        ],
    })
}

/// DBG-20, DBG-50: slices of a Service with a selector that the controller did not write (EP-48).
pub(super) fn of_two_managers(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.has_selector() {
        return Vec::new();
    }
    let foreign = facts
        .slices
        .iter()
        .filter(|slice| !is_of_controller(slice) && usable(slice).next().is_some());
    let foreign: Vec<&EndpointSlice> = foreign.copied().collect();
    let Some(first) = foreign.first() else {
        return Vec::new();
    };
    let name = &first.metadata.name;
    let writer = manager(first).unwrap_or("nobody that it names");
    let addresses: Vec<&str> = usable(first)
        .filter_map(|endpoint| endpoint.addresses.first().map(String::as_str))
        .collect();
    vec![Finding {
        id: "DBG-50",
        certainty: Certainty::Likely,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::EndpointSlice, facts.namespace, name),
        field: Some("metadata.labels".to_owned()),
        sees: format!(
            "{} are sometimes sent to {}, which need not be there",
            facts.clients(),
            list(&addresses)
        ),
        why: format!(
            "the Service has a selector, and beside the slices of its Pods there is {name}, written by {writer}: it may \
             have been left behind by Endpoints or a hand of before"
        ),
        fix: format!(
            "delete Endpoints {} and slice {name}, if nobody keeps them on purpose",
            facts.service.metadata.name
        ),
        confirm: vec![Check::prints(facts.kubectl_get_slices(), name.as_str())],
    }]
}

/// DBG-55: two Pods that say they have one address.
pub(super) fn shared_address(facts: &Facts<'_>) -> Vec<Finding> {
    let mut own: BTreeMap<IpAddr, &Pod> = BTreeMap::new();
    for pod in facts.taking().filter(|pod| !pod.spec.host_network) {
        own.extend(pod.addresses().into_iter().map(|address| (address, pod)));
    }
    let mut others: BTreeMap<IpAddr, Vec<&Pod>> = BTreeMap::new();
    let all = crate::facts::pods(facts.api, None);
    for other in all.filter(|pod| !pod.spec.host_network && !pod.is_finished()) {
        for address in other.addresses() {
            if own
                .get(&address)
                .is_some_and(|pod| !std::ptr::eq(*pod, other))
            {
                others.entry(address).or_default().push(other);
            }
        }
    }
    let shared = others.into_iter();
    shared
        .map(|(address, others)| two_of_one(facts, own[&address], address, &others))
        .collect()
}

fn two_of_one(facts: &Facts<'_>, pod: &Pod, address: std::net::IpAddr, others: &[&Pod]) -> Finding {
    Finding {
        id: "DBG-55",
        certainty: Certainty::Likely,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::Pod, facts.namespace, &pod.metadata.name),
        field: Some("status.podIP".to_owned()),
        sees: format!(
            "{} may reach a wrong application at {address}",
            facts.clients()
        ),
        why: format!(
            "{} and {} both say that they have the address {address}, and only one of them can",
            pod.metadata.name,
            list(&names(others))
        ),
        fix: "delete the Pod that is no longer there".to_owned(),
        confirm: vec![Check::prints(
            "kubectl get pods -A -o wide",
            address.to_string(),
        )],
    }
}
