//! Which addresses the Endpoints of a Service list, packed into subsets.
//!
//! **What.** Ports that the very same addresses offer share a subset; an address is in as many subsets as it needs
//! to offer all of its ports.
//! **Source of the semantics.** EP-64 … EP-66, EP-70; S: `pkg/controller/endpoint/endpoints_controller.go`
//! (podToEndpointAddressForService, addEndpointSubset), `pkg/api/v1/endpoints/util.go` (RepackSubsets).
//!
//! Deviation: ports and subsets are in the order of the ports' names; in Kubernetes they are in the order of a hash
//! over all they hold. Endpoints of a real cluster that differ in that alone are left as they are.

use std::collections::BTreeMap;

use api::{EndpointAddress, EndpointSubset, EndpointsPort, IpFamily, Pod, Service, ServicePort};

use crate::backing;

/// A Pod among the endpoints.
struct Listed<'a> {
    address: EndpointAddress,
    uid: &'a str,
    is_ready: bool,
    ports: Vec<Offer>,
}

/// A port that a Pod offers; none stands for the Pod of a headless Service without ports.
type Offer = Option<EndpointsPort>;

/// What the Endpoints of a Service should list of the Pods that it selects.
pub(super) fn subsets(service: &Service, pods: &[impl AsRef<Pod>]) -> Vec<EndpointSubset> {
    let pods = pods.iter().map(AsRef::as_ref);
    let mut listed: Vec<Listed> = pods.filter_map(|pod| list(service, pod)).collect();
    // Addresses are compared as texts.
    listed.sort_by(|left, right| (&left.address.ip, left.uid).cmp(&(&right.address.ip, right.uid)));
    repack(&listed)
}

/// Whether two lists of subsets say the same, in whatever order.
pub(super) fn say_the_same(left: &[EndpointSubset], right: &[EndpointSubset]) -> bool {
    sorted(left) == sorted(right)
}

/// Ports, ready addresses, others.
type Parts<'a> = (
    Vec<&'a EndpointsPort>,
    &'a [EndpointAddress],
    &'a [EndpointAddress],
);

fn sorted(subsets: &[EndpointSubset]) -> Vec<Parts<'_>> {
    let parts = subsets.iter().map(|subset| {
        let mut ports: Vec<&EndpointsPort> = subset.ports.iter().collect();
        ports.sort();
        let (ready, others) = (&*subset.addresses, &*subset.not_ready_addresses);
        (ports, ready, others)
    });
    let mut parts: Vec<Parts> = parts.collect();
    parts.sort_by(|left, right| left.0.cmp(&right.0));
    parts
}

fn repack(listed: &[Listed]) -> Vec<EndpointSubset> {
    let mut by_port: BTreeMap<&Offer, Vec<usize>> = BTreeMap::new();
    for (place, pod) in listed.iter().enumerate() {
        for port in &pod.ports {
            by_port.entry(port).or_default().push(place);
        }
    }
    let mut by_pods: BTreeMap<Vec<usize>, Vec<EndpointsPort>> = BTreeMap::new();
    for (port, places) in by_port {
        by_pods.entry(places).or_default().extend(port.clone());
    }
    let mut subsets: Vec<EndpointSubset> = by_pods
        .into_iter()
        .map(|(places, ports)| subset(places.iter().map(|place| &listed[*place]), ports))
        .collect();
    subsets.sort_by(|left, right| left.ports.cmp(&right.ports));
    subsets
}

fn subset<'a>(
    pods: impl Iterator<Item = &'a Listed<'a>>,
    ports: Vec<EndpointsPort>,
) -> EndpointSubset {
    let (ready, not_ready): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.is_ready);
    let addresses = |pods: Vec<&Listed>| pods.iter().map(|pod| pod.address.clone()).collect();
    EndpointSubset {
        addresses: addresses(ready),
        not_ready_addresses: addresses(not_ready),
        ports,
    }
}

/// A Pod as it is listed; `None` if it is not: terminating, without an address of the Service's first family (EP-63),
/// or without a port.
fn list<'a>(service: &Service, pod: &'a Pod) -> Option<Listed<'a>> {
    let publish = service.spec.publish_not_ready_addresses;
    if !backing::can_be_listed(pod, publish) {
        return None;
    }
    let family = IpFamily::parse(service.spec.ip_families.first()?)?;
    let address = EndpointAddress {
        ip: backing::addresses(pod, family).next()?,
        hostname: backing::hostname(service, pod).unwrap_or_default(),
        node_name: Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()),
        target_ref: Some(backing::target_ref(pod)),
    };
    let ports = offers(service, pod);
    (!ports.is_empty()).then(|| Listed {
        address,
        uid: &pod.metadata.uid,
        is_ready: publish || pod.is_ready(),
        ports,
    })
}

/// A name that the Pod does not know is left out (EP-65).
fn offers(service: &Service, pod: &Pod) -> Vec<Offer> {
    let ports = &service.spec.ports;
    if ports.is_empty() {
        return service.is_headless().then_some(None).into_iter().collect();
    }
    let offer = |port: &ServicePort| {
        Some(EndpointsPort {
            name: port.name.clone(),
            port: backing::target_port(pod, port)?,
            protocol: port.transport().to_string(),
            app_protocol: port.app_protocol.clone(),
        })
    };
    ports.iter().filter_map(offer).map(Some).collect()
}
