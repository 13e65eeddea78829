//! Who should prefer an endpoint: the topology hints of a Service's slices.
//!
//! **What.** `spec.trafficDistribution` hints every ready endpoint at its own zone, and its own node if asked to.
//! The annotation `topology-mode: Auto` wins over the field and shares the endpoints out by CPU
//! ([`super::topology`]). Without either there are no hints.
//! **Why.** Hints are decided after packing: only then is it known which slices are written anyway. A slice whose
//! endpoints have not changed is written if its hints are wrong.
//! **Source of the semantics.** EP-49, EP-50, EP-60 … EP-62; S: `endpointslice/trafficdist/trafficdist.go`,
//! `endpointslice/reconciler.go`, `topologycache/utils.go` (RemoveHintsFromSlices).

use api::{Endpoint, EndpointHints, EndpointSlice, Named, Service};

use super::packing::Plan;

const ANNOTATIONS_MODE: [&str; 2] = [
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
];

/// How a Service's endpoints are hinted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distribution {
    /// No hints.
    Anywhere,
    /// Each endpoint at its own zone (EP-60).
    SameZone,
    /// As `SameZone`, and at its own node (EP-61).
    SameNode,
    /// By the CPU of zones (EP-51 … EP-58).
    Auto,
}

/// What a Service asks for (EP-49).
pub(super) fn distribution(service: &Service) -> Distribution {
    let annotations = &service.metadata.annotations;
    let mode = ANNOTATIONS_MODE
        .iter()
        .find_map(|key| annotations.get(*key));
    if mode.is_some_and(|mode| matches!(mode.as_str(), "Auto" | "auto")) {
        return Distribution::Auto;
    }
    match service.spec.traffic_distribution.as_deref() {
        Some("PreferClose" | "PreferSameZone") => Distribution::SameZone,
        Some("PreferSameNode") => Distribution::SameNode,
        _ => Distribution::Anywhere,
    }
}

/// Hints each endpoint by where it runs itself; `Anywhere` and `Auto` take all hints away.
pub(super) fn assign(distribution: Distribution, plan: &mut Plan) {
    let wanted = |endpoint: &Endpoint| wanted(distribution, endpoint);
    let is_wrong = |endpoint: &Endpoint| wanted(endpoint) != endpoint.hints;
    let needs_update = |slice: &EndpointSlice| slice.endpoints.iter().any(is_wrong);
    plan.touch(needs_update);
    for endpoint in plan.written() {
        endpoint.hints = wanted(endpoint);
    }
}

/// Whether the controller counts on an endpoint.
pub(super) fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready == Some(true)
}

/// A hint at one zone.
pub(super) fn zone_hint(zone: &str) -> EndpointHints {
    EndpointHints {
        for_zones: vec![named(zone)],
        ..EndpointHints::default()
    }
}

/// An endpoint that is not ready keeps what it has (EP-62).
fn wanted(distribution: Distribution, endpoint: &Endpoint) -> Option<EndpointHints> {
    let with_node = match distribution {
        Distribution::Anywhere | Distribution::Auto => return None,
        _ if !is_ready(endpoint) => return endpoint.hints.clone(),
        Distribution::SameZone => false,
        Distribution::SameNode => true,
    };
    let node = endpoint.node_name.as_deref().filter(|_| with_node);
    let hints = EndpointHints {
        for_zones: endpoint.zone.as_deref().map(named).into_iter().collect(),
        for_nodes: node.map(named).into_iter().collect(),
    };
    (hints != EndpointHints::default()).then_some(hints)
}

fn named(name: &str) -> Named {
    Named {
        name: name.to_owned(),
    }
}
