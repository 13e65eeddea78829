//! DBG-51: an address family of the Service that no Pod has.

use api::Pod;

use crate::facts::Facts;
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
    let missing = families
        .iter()
        .enumerate()
        .filter(|(_, family)| !has(family));
    missing
        .map(|(index, family)| {
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
                    (Severity::Pitfall, format!("The name of {name} has no {record} record"))
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
                why: format!(
                    "the Service is to be reached over {family}, and its Pods ({}) have no {family} address",
                    list(&names(&taking))
                ),
                fix: format!(
                    "give nodes and Pods {family} addresses, or remove {family} from spec.ipFamilies"
                ),
                confirm: vec![
                    Check::prints(facts.kubectl_get_slices(), "<unset>"),
                    Check::run(facts.kubectl_get(&format!(
                        "pod {} -o jsonpath='{{.status.podIPs}}'",
                        taking[0].metadata.name
                    ))),
                ],
            }
        })
        .collect()
}
