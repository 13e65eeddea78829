//! DBG-54: endpoints near the client are to be preferred, and they are not, or there are too few of them.

use std::collections::{BTreeMap, BTreeSet};

use api::{Endpoint, Event, Kind, Object};

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::{counted, list};
use crate::{Certainty, Finding, Severity};

/// How the annotation for topology hints was called, and is called (EP-49).
const ANNOTATIONS: [&str; 2] = [
    "service.kubernetes.io/topology-mode",
    "service.kubernetes.io/topology-aware-hints",
];
/// The field that took its place.
const FIELD: &str = "spec.trafficDistribution";
/// How much more load for each endpoint of one zone than of another is told.
const SKEW: usize = 2;

/// Hints that are wanted and absent, or that concentrate load.
pub(super) fn hints(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(field) = wanted(facts) else {
        return Vec::new();
    };
    let endpoints = facts.slices.iter().flat_map(|slice| &slice.endpoints);
    let ready: Vec<&Endpoint> = endpoints
        .filter(|endpoint| endpoint.conditions.is_ready())
        .collect();
    if ready.is_empty() {
        return Vec::new();
    }
    let unhinted = ready
        .iter()
        .filter(|endpoint| endpoint.hints.is_none())
        .count();
    let found = match unhinted {
        0 => concentrated(facts, &ready),
        _ => Some(absent(facts, (&ready, unhinted), field == FIELD)),
    };
    let finding = found.map(|Found { sees, why, fix }| Finding {
        id: "DBG-54",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some(field),
        sees,
        why,
        fix,
        confirm: vec![
            Check::run(facts.kubectl_get(&format!(
                "endpointslices -l kubernetes.io/service-name={} -o yaml",
                facts.service.metadata.name
            ))),
            Check::run("kubectl get nodes --show-labels"),
        ],
    });
    finding.into_iter().collect()
}

/// What is told of a Service that wants hints.
struct Found {
    sees: String,
    why: String,
    fix: String,
}

/// The field that asks for hints.
fn wanted(facts: &Facts<'_>) -> Option<String> {
    let annotations = &facts.service.metadata.annotations;
    let mode = ANNOTATIONS
        .iter()
        .find(|key| annotations.contains_key(**key));
    match (mode, &facts.service.spec.traffic_distribution) {
        (Some(key), _) => matches!(annotations[*key].as_str(), "Auto" | "auto")
            .then(|| format!("metadata.annotations[{key}]")),
        (None, Some(_)) => Some(FIELD.to_owned()),
        (None, None) => None,
    }
}

/// A single ready endpoint without hints disables them all (PROXY-10).
fn absent(facts: &Facts<'_>, (ready, unhinted): (&[&Endpoint], usize), by_field: bool) -> Found {
    let zoneless = ready
        .iter()
        .filter(|endpoint| endpoint.zone.is_none())
        .count();
    let why = match (last_refusal(facts), zoneless) {
        (Some(message), _) => format!(
            "the controller gives no hints: {}",
            message.trim_end_matches('.')
        ),
        (None, 0) => format!(
            "{unhinted} of {} have no hint, and one is enough to disable all",
            counted(ready.len(), "ready endpoint")
        ),
        (None, count) => format!(
            "{count} of {} run on nodes without a zone and so have no hint, and one is enough to disable all",
            counted(ready.len(), "ready endpoint")
        ),
    };
    Found {
        sees: format!("{} are sent to any endpoint, near or far", facts.clients()),
        why,
        fix: match by_field {
            true => "label every node topology.kubernetes.io/zone".to_owned(),
            false => format!(
                "label every node topology.kubernetes.io/zone; with topology-mode Auto have endpoints in proportion to \
                 the zones' CPU, or use {FIELD} instead"
            ),
        },
    }
}

/// EP-59: what the controller said last.
fn last_refusal<'a>(facts: &Facts<'a>) -> Option<&'a str> {
    let events = facts.api.list(Kind::Event, Some(facts.namespace));
    let events = events.filter_map(Object::as_event);
    let ours = events.filter(|event| {
        let about = &event.involved_object;
        about.kind == "Service"
            && about.name == facts.service.metadata.name
            && event.reason == "TopologyAwareHintsDisabled"
    });
    let last = ours.max_by_key(|event| event.last_timestamp.as_deref());
    last.map(|event: &std::sync::Arc<Event>| event.message.as_str())
}

/// Hints send each zone's clients to that zone's endpoints, however few these are.
fn concentrated(facts: &Facts<'_>, ready: &[&Endpoint]) -> Option<Found> {
    let mut nodes: BTreeMap<&str, usize> = BTreeMap::new();
    for zone in facts.nodes().filter_map(|node| node.zone()) {
        *nodes.entry(zone).or_default() += 1;
    }
    let mut endpoints: BTreeMap<&str, usize> = BTreeMap::new();
    for endpoint in ready {
        let hinted = endpoint.hints.iter().flat_map(|hints| &hints.for_zones);
        for zone in hinted {
            *endpoints.entry(zone.name.as_str()).or_default() += 1;
        }
    }
    let unserved: BTreeSet<&str> = nodes
        .keys()
        .copied()
        .filter(|zone| !endpoints.contains_key(zone))
        .collect();
    let told: Vec<String> = nodes
        .iter()
        .map(|(zone, nodes)| {
            let own = endpoints.get(zone).copied().unwrap_or(0);
            format!(
                "{zone} has {} for {}",
                counted(own, "endpoint"),
                counted(*nodes, "node")
            )
        })
        .collect();
    let (fullest, emptiest) = extremes(&nodes, &endpoints)?;
    // endpoints/nodes of one against the other, in whole numbers.
    let is_skewed =
        nodes[fullest] * endpoints[emptiest] >= SKEW * nodes[emptiest] * endpoints[fullest];
    if !is_skewed && unserved.is_empty() {
        return None;
    }
    let spill = match unserved.is_empty() {
        true => String::new(),
        false => format!(
            "; clients in {} are sent to any endpoint",
            list(&unserved.into_iter().collect::<Vec<_>>())
        ),
    };
    Some(Found {
        sees: format!("Endpoints of {} are loaded unevenly", facts.name()),
        why: format!(
            "clients are sent to endpoints of their own zone, however few: {}{spill}",
            told.join(", ")
        ),
        fix: "spread the Pods over the zones as the clients are (topologySpreadConstraints), or do without \
              trafficDistribution"
            .to_owned(),
    })
}

/// The zones with the most and the least nodes for each endpoint.
fn extremes<'a>(
    nodes: &BTreeMap<&'a str, usize>,
    endpoints: &BTreeMap<&'a str, usize>,
) -> Option<(&'a str, &'a str)> {
    let served: Vec<&str> = nodes
        .keys()
        .copied()
        .filter(|zone| endpoints.contains_key(zone))
        .collect();
    let by_load = |left: &&&str, right: &&&str| {
        (nodes[**left] * endpoints[**right]).cmp(&(nodes[**right] * endpoints[**left]))
    };
    let fullest = served.iter().max_by(by_load)?;
    let emptiest = served.iter().min_by(by_load)?;
    Some((fullest, emptiest))
}
