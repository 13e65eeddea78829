//! Namespaces, ServiceCIDRs, IPAddresses and NetworkPolicies.

use api::{IpAddress, Namespace, NetworkPolicy, ServiceCidr};

use super::{AGE, Column, NAME, shown};
use crate::selector::spelled;

pub(super) const NAMESPACE: &[Column] = &[NAME, shown("STATUS"), AGE];
pub(super) const SERVICE_CIDR: &[Column] = &[NAME, shown("CIDRS"), AGE];
/// The server declares no column for the age.
pub(super) const IP_ADDRESS: &[Column] = &[NAME, shown("PARENTREF")];
pub(super) const NETWORK_POLICY: &[Column] = &[NAME, shown("POD-SELECTOR"), AGE];

pub(super) fn namespace(namespace: &Namespace, age: String) -> Vec<String> {
    let phase = namespace.status.phase.clone();
    vec![namespace.metadata.name.clone(), phase, age]
}

pub(super) fn service_cidr(cidr: &ServiceCidr, age: String) -> Vec<String> {
    vec![cidr.metadata.name.clone(), cidr.spec.cidrs.join(","), age]
}

pub(super) fn ip_address(address: &IpAddress) -> Vec<String> {
    let parent = address.spec.parent_ref.as_ref();
    let parent = parent.map_or_else(
        || "<none>".to_owned(),
        |parent| {
            let dot = if parent.group.is_empty() { "" } else { "." };
            let resource = format!("{}{dot}{}", parent.resource, parent.group);
            let slash = if parent.namespace.is_empty() { "" } else { "/" };
            let (resource, namespace) = (resource.to_ascii_lowercase(), &parent.namespace);
            format!("{resource}{slash}{namespace}/{}", parent.name)
        },
    );
    vec![address.metadata.name.clone(), parent]
}

pub(super) fn policy(policy: &NetworkPolicy, age: String) -> Vec<String> {
    let selector = spelled(Some(&policy.spec.pod_selector));
    vec![policy.metadata.name.clone(), selector, age]
}
