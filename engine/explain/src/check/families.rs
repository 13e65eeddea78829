//! DBG-51: an address family of the Service that no Pod has, or no slice of somebody else's.

use api::Pod;

use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::pods::{list, names};
use crate::{Certainty, Finding, Severity};

/// A finding for each family of the Service without an address among the Pods that take connections.
pub(super) fn missing_family(facts: &Facts<'_>) -> Vec<Finding> {
    let taking: Vec<&Pod> = facts.taking().collect();
    if taking.is_empty() {
        return Vec::new();
    }
    let families = &facts.service.spec.ip_families;
    let has = |family: &str| {
        let mut addresses = taking.iter().flat_map(|pod| pod.addresses());
        addresses.any(|address| address.is_ipv4() == (family == "IPv4"))
    };
    let missing = (0..).zip(families).filter(|(_, family)| !has(family));
    missing
        .map(|(index, family)| Finding {
            why: format!(
                "the Service is to be reached over {family}, and its Pods ({}) have no {family} address",
                list(&names(&taking))
            ),
            fix: format!(
                "give nodes and Pods {family} addresses, or {}",
                giving_up(facts, index)
            ),
            confirm: vec![
                Check::prints(facts.kubectl_get_slices(), "<unset>"),
                Check::run(facts.kubectl_get(&format!(
                    "pod {} -o jsonpath='{{.status.podIPs}}'",
                    taking[0].metadata.name
                ))),
            ],
            ..without(facts, index, family)
        })
        .collect()
}

/// A finding for each family of a Service without a selector for which nobody has written an endpoint, if somebody has for
/// the other (EP-27).
pub(super) fn missing_slices(facts: &Facts<'_>) -> Vec<Finding> {
    let families = &facts.service.spec.ip_families;
    let has = |family: &str| {
        let mut slices = facts.slices.iter();
        slices.any(|slice| slice.address_type == family && usable(slice).next().is_some())
    };
    // A headless Service without a selector is of both families whatever the cluster has, and nobody has asked for them.
    let is_asked_for = facts.is_kept_by_hand() && !facts.service.is_headless();
    if !is_asked_for || !families.iter().any(|family| has(family)) {
        return Vec::new();
    }
    let missing = (0..).zip(families).filter(|(_, family)| !has(family));
    missing
        .map(|(index, family)| Finding {
            why: format!(
                "the Service is to be reached over {family}, and no EndpointSlice of addressType {family} has an endpoint for \
                 it: the Service has no selector, so somebody has to write one"
            ),
            fix: format!(
                "write an EndpointSlice of addressType {family}, or {}",
                giving_up(facts, index)
            ),
            confirm: vec![Check::run(facts.kubectl_get_slices())],
            ..without(facts, index, family)
        })
        .collect()
}

/// How to do without a family: the first one stays as long as the Service does (API-62, API-63).
fn giving_up(facts: &Facts<'_>, index: usize) -> String {
    match (index, facts.service.spec.ip_families.get(1)) {
        (0, Some(other)) => format!("make the Service anew with {other} alone"),
        (0, None) => "make the Service anew with another family".to_owned(),
        _ => "set spec.ipFamilyPolicy to SingleStack".to_owned(),
    }
}

/// What a family without endpoints does to clients.
fn without(facts: &Facts<'_>, index: usize, family: &str) -> Finding {
    let address = facts.service.spec.cluster_ips.get(index);
    let at = match address.filter(|text| *text != "None") {
        Some(address) => format!(" at {address}"),
        None => String::new(),
    };
    // DNS-22: a name without a record is no obstacle to who finds the other.
    let (severity, sees) = match facts.service.is_headless() {
        true => {
            let record = if family == "IPv4" { "A" } else { "AAAA" };
            let name = facts.name();
            (
                Severity::Pitfall,
                format!("The name of {name} has no {record} record"),
            )
        }
        false => (
            Severity::Fault,
            format!(
                "{} over {family}{at} get \"connection refused\", from the node and not from a Pod",
                facts.clients()
            ),
        ),
    };
    Finding {
        id: "DBG-51",
        certainty: Certainty::Certain,
        severity,
        subject: facts.key.clone(),
        field: Some(format!("spec.ipFamilies[{index}]")),
        sees,
        why: String::new(),
        fix: String::new(),
        confirm: Vec::new(),
    }
}
