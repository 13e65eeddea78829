//! DBG-33, DBG-49, DBG-50, DBG-55: slices that somebody else writes, and what is in them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{EndpointPort, EndpointSlice, Kind, ObjectKey, Pod, ServicePort};

use super::selector::refused_by_node;
use crate::facts::{Facts, is_of_controller, manager, slices, usable};
use crate::finding::Check;
use crate::pods::{counted, list, names, spoken_port};
use crate::{Certainty, Finding, Severity};

/// A Service without a selector: DBG-49 where no slice is its own or of its families, DBG-22 where they have nobody who
/// is ready, DBG-33 where ports do not go together.
pub(super) fn without_selector(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.is_kept_by_hand() {
        return Vec::new();
    }
    let Some(first) = facts.slices.first() else {
        return vec![match facts.unread.first() {
            Some((slice, label)) => unread(facts, slice, label),
            None => no_slices(facts),
        }];
    };
    let slices = facts.slices.iter().copied();
    let read: Vec<&EndpointSlice> = slices.filter(|slice| facts.is_of_family(slice)).collect();
    let Some(own) = read.first() else {
        return vec![other_family(facts, first)];
    };
    let filled = read.iter().copied();
    let filled: Vec<&EndpointSlice> = filled
        .filter(|slice| usable(slice).next().is_some())
        .collect();
    if filled.is_empty() {
        return vec![nobody_ready(facts, own, &read)];
    }
    // A headless Service's name stands for the addresses, whatever the ports.
    if facts.service.is_headless() {
        return Vec::new();
    }
    let ports = facts.service.spec.ports.iter();
    ports
        .filter_map(|port| other_port(facts, &filled, port))
        .collect()
}

/// A fault of a slice that somebody else writes.
fn in_slice(facts: &Facts<'_>, slice: &EndpointSlice, id: &'static str) -> Finding {
    Finding {
        id,
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::EndpointSlice, facts.namespace, &slice.metadata.name),
        field: None,
        sees: refused_by_node(facts),
        why: String::new(),
        fix: String::new(),
        confirm: vec![Check::prints(
            facts.kubectl_get_slices(),
            slice.metadata.name.as_str(),
        )],
    }
}

/// PROXY-2.
fn unread(facts: &Facts<'_>, slice: &EndpointSlice, label: &str) -> Finding {
    let name = &slice.metadata.name;
    Finding {
        field: Some("metadata.labels".to_owned()),
        why: format!(
            "the Service has no selector, and kube-proxy does not read its EndpointSlice {name}, for it is labelled {label}"
        ),
        fix: format!("remove the label {label} from the slice"),
        confirm: vec![Check::prints(
            facts.kubectl_get_slices() + " --show-labels",
            label,
        )],
        ..in_slice(facts, slice, "DBG-49")
    }
}

fn other_family(facts: &Facts<'_>, slice: &EndpointSlice) -> Finding {
    let families = facts.service.spec.ip_families.join(",");
    let found = || in_slice(facts, slice, "DBG-49");
    // DNS has records of any addresses, and none of names.
    let is_named = facts.service.is_headless() && slice.address_type != "FQDN";
    let sees = is_named.then(|| {
        let name = facts.name();
        format!("The name of {name} leads to no address of {families}, only to others")
    });
    Finding {
        field: Some("addressType".to_owned()),
        why: format!(
            "the Service's addresses are {families}, and its EndpointSlice {} has addresses of type {}, which are not \
             sent to",
            slice.metadata.name, slice.address_type
        ),
        fix: format!("write an EndpointSlice of addressType {families}"),
        ..sees.map_or_else(found, |sees| Finding { sees, ..found() })
    }
}

/// PROXY-14.
fn nobody_ready(facts: &Facts<'_>, slice: &EndpointSlice, read: &[&EndpointSlice]) -> Finding {
    let count: usize = read.iter().map(|slice| slice.endpoints.len()).sum();
    let (id, why, fix) = match count {
        0 => (
            "DBG-49",
            format!(
                "the Service has no selector, and its EndpointSlice {} is empty",
                slice.metadata.name
            ),
            "write the addresses into the slice's endpoints",
        ),
        _ => (
            "DBG-22",
            format!("its slices have {}, 0 ready", counted(count, "endpoint")),
            "set conditions.ready of the endpoints to true as soon as they take connections",
        ),
    };
    Finding {
        field: Some("endpoints".to_owned()),
        why,
        fix: fix.to_owned(),
        ..in_slice(facts, slice, id)
    }
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

/// Slices and Services are joined by the names of ports and by their protocols (PROXY-4, API-82).
fn other_port(facts: &Facts<'_>, filled: &[&EndpointSlice], port: &ServicePort) -> Option<Finding> {
    if filled.iter().any(|slice| facts.offers(slice, port)) {
        return None;
    }
    let named = filled.iter().flat_map(|slice| {
        let ports = slice.ports.iter();
        ports.map(move |port| (*slice, port, port.name.as_deref().unwrap_or_default()))
    });
    if let Some((slice, found, _)) = named.clone().find(|(.., name)| *name == port.name) {
        return Some(same_name(facts, slice, found, port));
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
    let Some((slice, _, found)) = named.clone().find(|(.., name)| !is_other(name)) else {
        return filled.first().map(|slice| without_port(facts, slice, port));
    };
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

/// No slice says anything of the port, nor of one that may be meant for it (EP-19, EP-41).
fn without_port(facts: &Facts<'_>, slice: &EndpointSlice, port: &ServicePort) -> Finding {
    let name = &slice.metadata.name;
    let has = match (slice.ports.is_empty(), port.name.as_str()) {
        (true, _) => "has no ports".to_owned(),
        (false, "") => "has none without a name".to_owned(),
        (false, own) => format!("has none of the name {own}"),
    };
    let named = match port.name.as_str() {
        "" => String::new(),
        own => format!(" named {own}"),
    };
    Finding {
        field: Some("ports".to_owned()),
        sees: format!(
            "{} port {} get \"connection refused\", from the node and not from a Pod",
            facts.clients(),
            spoken_port(port)
        ),
        why: format!(
            "ports of slices belong to the Service's port of the same name, and EndpointSlice {name} {has}: there is nothing \
             to send port {} of the Service to",
            spoken_port(port)
        ),
        fix: format!(
            "write into the slice a port{named} with the number that the endpoints listen on"
        ),
        confirm: vec![Check::run(facts.kubectl_get(&format!(
            "endpointslice {name} -o jsonpath='{{.ports}}'"
        )))],
        ..in_slice(facts, slice, "DBG-33")
    }
}

/// A port of the right name that proxies pass by.
fn same_name(
    facts: &Facts<'_>,
    slice: &EndpointSlice,
    found: &EndpointPort,
    port: &ServicePort,
) -> Finding {
    let index = slice.ports.iter().position(|other| other == found);
    let at = format!("ports[{}]", index.unwrap_or_default());
    let (protocol, wanted) = (found.transport(), port.transport());
    let (field, why, fix) = match protocol == wanted {
        true => (
            "port",
            "that of the slice has no number".to_owned(),
            "give the slice's port the number that the endpoints listen on".to_owned(),
        ),
        false => (
            "protocol",
            format!("that of the slice is {protocol}"),
            format!("change the protocol of the slice's port to {wanted}"),
        ),
    };
    Finding {
        field: Some(format!("{at}.{field}")),
        why: format!(
            "ports of slices belong to the Service's port of the same name and protocol: port {} of the Service is \
             {wanted}, and {why}",
            spoken_port(port)
        ),
        fix,
        ..in_slice(facts, slice, "DBG-33")
    }
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
