//! DBG-60: the Service was made anew, with another ClusterIP, and a client may have kept the old one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::{Change, Kind, Object, ObjectMeta, Service};
use base::SimTime;

use crate::facts::Facts;
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// Addresses that Services of this name had before.
pub(super) fn addresses(facts: &Facts<'_>) -> Vec<Finding> {
    let own: BTreeSet<IpAddr> = facts.service.addresses().collect();
    let mut former: Vec<(IpAddr, SimTime)> = Vec::new();
    for event in facts.api.events_after(0) {
        if let Object::Service(service) = &event.object
            && event.change == Change::Deleted
            && event.object.key() == *facts.key
        {
            former.extend(service.addresses().map(|address| (address, event.at)));
        }
    }
    former.retain(|(address, _)| !own.contains(address));
    let Some((address, until)) = former.last().copied() else {
        return Vec::new();
    };
    let now: Vec<String> = own.iter().map(ToString::to_string).collect();
    let means = match now.is_empty() {
        true => "its Pods' own addresses".to_owned(),
        false => now.join(", "),
    };
    let becomes = match owner(facts, address) {
        Some(service) if serves_the_same(facts, service) => return Vec::new(),
        Some(service) => {
            let ObjectMeta {
                namespace, name, ..
            } = &service.metadata;
            format!("go to service/{namespace}/{name}")
        }
        None => "get no answer there".to_owned(),
    };
    vec![Finding {
        id: "DBG-60",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("spec.clusterIP".to_owned()),
        sees: format!("Clients that have kept the address {address} of {} {becomes}", facts.name()),
        why: format!(
            "the Service was deleted at {until} and made anew: its name now means {means}, and {address} is no longer its address"
        ),
        fix: "restart the clients, or have them resolve the name again; next time change the Service in place".to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", facts.service.metadata.name)),
            now.first().cloned().unwrap_or_else(|| "None".to_owned()),
        )],
    }]
}

/// The Service that has the address now.
fn owner<'a>(facts: &Facts<'a>, address: IpAddr) -> Option<&'a Service> {
    let services = facts.api.list(Kind::Service, None);
    let mut services = services.filter_map(Object::as_service);
    let found = services.find(|service| service.addresses().any(|own| own == address));
    found.map(|service| &**service)
}

/// Whether somebody has given the old address to the same Pods on purpose.
fn serves_the_same(facts: &Facts<'_>, service: &Service) -> bool {
    service.metadata.namespace == facts.namespace
        && service.spec.selector == facts.service.spec.selector
}
