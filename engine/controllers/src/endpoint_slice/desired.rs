//! Which endpoints a Service should have, grouped by their ports.
//!
//! **Source of the semantics.** EP-3 … EP-21; S: `endpointslice/utils.go` (podToEndpoint, getEndpointPorts).

use std::collections::BTreeMap;

use api::{
    Endpoint, EndpointConditions, EndpointPort, IntOrString, IpFamily, ObjectReference, Pod,
    Service, ServicePort,
};

use super::cache::Cache;

/// Endpoints by the ports they share. The ports are sorted: their order makes no difference (EP-21).
pub(super) type Groups = BTreeMap<Vec<EndpointPort>, Vec<Endpoint>>;

/// The endpoints of one family, in the order of `pods`.
pub(super) fn groups(
    service: &Service,
    pods: &[impl AsRef<Pod>],
    cache: &Cache,
    family: IpFamily,
) -> Groups {
    let mut groups = Groups::new();
    for pod in pods.iter().map(AsRef::as_ref) {
        if let Some(endpoint) = endpoint(service, pod, cache, family) {
            groups
                .entry(ports(service, pod))
                .or_default()
                .push(endpoint);
        }
    }
    groups
}

/// A Pod as an endpoint; `None` if it is finished, has no address of the family, or its node is unknown.
fn endpoint(service: &Service, pod: &Pod, cache: &Cache, family: IpFamily) -> Option<Endpoint> {
    let publish = service.spec.publish_not_ready_addresses;
    let addresses = pod
        .addresses()
        .into_iter()
        .filter(|address| IpFamily::of(*address) == family);
    let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
    let node = cache.node(&pod.spec.node_name);
    let lost = node.is_none() && !pod.spec.node_name.is_empty() && !publish;
    if addresses.is_empty() || pod.is_finished() || lost {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.metadata.is_terminating());
    let meta = &pod.metadata;
    Some(Endpoint {
        addresses,
        conditions: EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: hostname(service, pod),
        target_ref: Some(ObjectReference {
            kind: "Pod".to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        }),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        zone: node.and_then(|node| node.zone()).map(str::to_owned),
        ..Endpoint::default()
    })
}

/// EP-15.
fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    named.then(|| pod.spec.hostname.clone())
}

/// The Service's ports at one Pod; a name that the Pod does not know is left out (EP-17, EP-18).
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let port = |port: &ServicePort| {
        let number = match port.target_port.as_ref() {
            None => port.port,
            Some(IntOrString::Int(number)) => *number,
            Some(IntOrString::String(name)) => named_port(pod, name, port)?,
        };
        Some(EndpointPort {
            name: Some(port.name.clone()),
            protocol: Some(port.transport().to_string()),
            port: Some(number),
            app_protocol: port.app_protocol.clone(),
        })
    };
    let mut ports: Vec<EndpointPort> = service.spec.ports.iter().filter_map(port).collect();
    ports.sort();
    ports
}

fn named_port(pod: &Pod, name: &str, wanted: &ServicePort) -> Option<i32> {
    let mut declared = pod
        .serving_containers()
        .flat_map(|container| &container.ports);
    let found = declared.find(|port| port.name == name && port.transport() == wanted.transport());
    found.map(|port| port.container_port)
}
