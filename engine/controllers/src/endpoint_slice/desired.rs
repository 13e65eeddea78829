//! Which endpoints a Service should have, grouped by their ports.
//!
//! **Source of the semantics.** EP-3 … EP-21; S: `endpointslice/utils.go` (podToEndpoint, getEndpointPorts).

use std::collections::BTreeMap;

use api::{Endpoint, EndpointConditions, EndpointPort, IpFamily, Pod, Service, ServicePort};

use super::cache::Cache;
use crate::backing;

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
    let addresses: Vec<String> = backing::addresses(pod, family).collect();
    let node = cache.node(&pod.spec.node_name);
    if addresses.is_empty() || cache.is_lost(service, pod) || !backing::can_be_listed(pod, true) {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.metadata.is_terminating());
    Some(Endpoint {
        addresses,
        conditions: EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: backing::hostname(service, pod),
        target_ref: Some(backing::target_ref(pod)),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        zone: node.and_then(|node| node.zone()).map(str::to_owned),
        ..Endpoint::default()
    })
}

/// The Service's ports at one Pod; a name that the Pod does not know is left out (EP-17, EP-18).
fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let port = |port: &ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone()),
            protocol: Some(port.transport().to_string()),
            port: Some(backing::target_port(pod, port)?),
            app_protocol: port.app_protocol.clone(),
        })
    };
    let mut ports: Vec<EndpointPort> = service.spec.ports.iter().filter_map(port).collect();
    ports.sort();
    ports
}
