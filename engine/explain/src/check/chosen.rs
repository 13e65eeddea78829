//! Which endpoints the rules of a node send connections to.

use std::collections::{BTreeMap, BTreeSet};

use control::Source;
use rules::{EndpointView, ServiceEntry, ServiceName, plan_service};
use ruleset::Family;

use crate::facts::Facts;

/// At which of a Service's addresses connections arrive: each has a traffic policy of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// The ClusterIP.
    Within,
    /// External addresses, and node ports.
    External,
}

impl Front {
    /// Where those come who ask.
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let is_outside = matches!(facts.from, Some(Source::Outside(_)));
        match is_outside && facts.service.is_externally_accessible() {
            true => Self::External,
            false => Self::Within,
        }
    }
}

/// The endpoints that a node's present rules choose from, by policy and topology. None before its first sync, and none
/// of a headless Service, which has no rules.
pub(super) fn chosen<'a>(facts: &Facts<'a>, node: &str, front: Front) -> Vec<&'a EndpointView> {
    let agent = facts.control.and_then(|control| control.agent(node).ok());
    let Some(basis) = agent.and_then(|agent| agent.programmed()) else {
        return Vec::new();
    };
    let name = ServiceName {
        namespace: facts.namespace.into(),
        name: facts.service.metadata.name.as_str().into(),
    };
    let Some(ServiceEntry {
        service: Some(service),
        slices,
    }) = basis.view.services.entry(&name)
    else {
        return Vec::new();
    };
    let policy = match front {
        Front::Within => service.internal_traffic_policy,
        Front::External => service.external_traffic_policy,
    };
    let mut sent_to = BTreeSet::new();
    for family in Family::ALL {
        for port in plan_service(&name, service, slices, &basis.facts, family) {
            let endpoints = port.endpoints(policy).iter();
            sent_to.extend(endpoints.map(|own| (own.address.ip(), own.pod.clone())));
        }
    }
    let endpoints = slices.values().flat_map(|slice| &slice.endpoints);
    let endpoints = endpoints.map(|endpoint| ((endpoint.address, endpoint.pod.clone()), endpoint));
    // Each once, whatever the number of its ports.
    let endpoints: BTreeMap<_, _> = endpoints.filter(|(who, _)| sent_to.contains(who)).collect();
    endpoints.into_values().collect()
}
