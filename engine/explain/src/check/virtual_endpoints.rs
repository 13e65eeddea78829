//! EP-42: endpoints that are virtual addresses themselves.
//!
//! Proxies translate a packet once: to the address of an endpoint, where some host has to be. An address out of a Service
//! range is nobody's.

use std::net::IpAddr;

use api::{EndpointSlice, Kind, Object, ObjectKey};

use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// The first such endpoint of each slice that is not of the controller's making.
pub(super) fn chained(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.is_kept_by_hand() {
        return Vec::new();
    }
    let slices = facts.slices.iter().copied();
    let found = slices.filter_map(|slice| {
        let endpoints = usable(slice).filter_map(|endpoint| endpoint.addresses.first());
        let mut addresses = endpoints.filter_map(|text| text.parse().ok());
        let address = addresses.find(|address| is_virtual(facts, *address))?;
        Some(finding(facts, slice, address))
    });
    found.collect()
}

/// Whether an address is out of a range that Services are given addresses of.
fn is_virtual(facts: &Facts<'_>, address: IpAddr) -> bool {
    let ranges = facts.api.list(Kind::ServiceCidr, None);
    let mut ranges = ranges.filter_map(Object::as_service_cidr);
    ranges.any(|of| of.ranges().any(|range| range.contains(&address)))
}

fn finding(facts: &Facts<'_>, slice: &EndpointSlice, address: IpAddr) -> Finding {
    let services = facts.api.list(Kind::Service, None);
    let mut services = services.filter_map(Object::as_service);
    let owner = services.find(|service| service.addresses().any(|own| own == address));
    let (whose, fix) = match owner {
        Some(owner) => (
            format!(
                "the virtual address of Service {}/{}",
                owner.metadata.namespace, owner.metadata.name
            ),
            format!(
                "write the addresses of the endpoints of {0} into the slice, or let clients call {0} itself (by an \
                 ExternalName Service, if they are to keep this one's name)",
                owner.metadata.name
            ),
        ),
        None => (
            "an address out of the range of Services".to_owned(),
            "write the addresses of hosts into the slice".to_owned(),
        ),
    };
    Finding {
        id: "DBG-49",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::EndpointSlice, facts.namespace, &slice.metadata.name),
        field: Some("endpoints".to_owned()),
        sees: format!(
            "{} that are sent to {address} reach nobody",
            facts.clients()
        ),
        why: format!(
            "{address} in EndpointSlice {} is {whose}, and kube-proxy does not translate a packet twice",
            slice.metadata.name
        ),
        fix,
        confirm: vec![
            Check::prints(facts.kubectl_get_slices(), address.to_string()),
            Check::run("kubectl get services -A"),
        ],
    }
}
