//! EP-42: endpoints that are virtual addresses themselves.
//!
//! Proxies translate a packet once: to the address of an endpoint, where some host has to be. An address from a Service
//! range is nobody's.

use std::net::IpAddr;

use api::{EndpointSlice, Kind, Object, ObjectKey};

use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// The first such endpoint of each slice that is not of the controller's making.
pub(super) fn chained(facts: &Facts<'_>) -> Vec<Finding> {
    // Clients of a headless Service dial its endpoints themselves, and what they dial is translated.
    if !facts.is_kept_by_hand() || facts.service.is_headless() {
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

/// Whether an address is in a range that Services are given addresses from.
fn is_virtual(facts: &Facts<'_>, address: IpAddr) -> bool {
    let ranges = facts.api.list(Kind::ServiceCidr, None);
    let mut ranges = ranges.filter_map(Object::as_service_cidr);
    ranges.any(|of| of.ranges().any(|range| range.contains(&address)))
}

fn finding(facts: &Facts<'_>, slice: &EndpointSlice, address: IpAddr) -> Finding {
    let services = facts.api.list(Kind::Service, None);
    let mut services = services.filter_map(Object::as_service);
    let owner = services.find(|service| service.addresses().any(|own| own == address));
    // Whether an address that no Service has is a Service's is a question of ranges, which nobody may have stated.
    let certainty = match owner {
        Some(_) => Certainty::Certain,
        None => Certainty::Possible,
    };
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
            "within the range that Services get addresses from".to_owned(),
            "write the addresses of hosts into the slice; if this is one, state the cluster's ranges of addresses".to_owned(),
        ),
    };
    Finding {
        id: "DBG-49",
        certainty,
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
