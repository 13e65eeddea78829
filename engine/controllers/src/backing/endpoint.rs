//! What a Pod is to a Service that selects it.
//!
//! **Source of the semantics.** EP-3, EP-6, EP-14, EP-15, EP-17, EP-18; S: `endpointslice/util/controller_utils.go`
//! (ShouldPodBeInEndpoints, ShouldSetHostname), `pkg/api/v1/pod/util.go` (FindPort).

use std::net::IpAddr;

use api::{IntOrString, IpFamily, ObjectReference, Pod, Service, ServicePort};

/// Whether endpoints can be made of a Pod: one that has run to its end has none, and one that is terminating only
/// where such are listed. One without an address has none either; see [`addresses`].
pub(crate) fn can_be_listed(pod: &Pod, with_terminating: bool) -> bool {
    !pod.is_finished() && (with_terminating || !pod.metadata.is_terminating())
}

/// A Pod's addresses of one family, in canonical form.
pub(crate) fn addresses(pod: &Pod, family: IpFamily) -> impl Iterator<Item = String> {
    let addresses = pod.addresses().into_iter();
    addresses
        .filter(move |address| IpFamily::of(*address) == family)
        .map(|address: IpAddr| address.to_string())
}

pub(crate) fn target_ref(pod: &Pod) -> ObjectReference {
    let meta = &pod.metadata;
    ObjectReference {
        kind: "Pod".to_owned(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// EP-15.
pub(crate) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    named.then(|| pod.spec.hostname.clone())
}

/// The number that a Service's port has at a Pod; none if it is a name that the Pod does not know.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match port.target_port.as_ref() {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => named_port(pod, name, port),
    }
}

fn named_port(pod: &Pod, name: &str, wanted: &ServicePort) -> Option<i32> {
    let mut declared = pod
        .serving_containers()
        .flat_map(|container| &container.ports);
    let found = declared.find(|port| port.name == name && port.transport() == wanted.transport());
    found.map(|port| port.container_port)
}
