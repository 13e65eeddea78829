//! DBG-20, DBG-50: endpoints that nobody keeps, of a Service without a selector (EP-48).

use std::collections::BTreeSet;

use api::{Endpoint, EndpointSlice, Kind, ObjectKey};

use crate::facts::{Facts, is_of_controller, manager, usable};
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// Endpoints whose Pod is gone; or else those that the controller has left behind beside somebody else's.
pub(super) fn left_behind(facts: &Facts<'_>) -> Vec<Finding> {
    if !facts.is_kept_by_hand() {
        return Vec::new();
    }
    let is_filled = |slice: &&EndpointSlice| usable(slice).next().is_some();
    let filled: Vec<&EndpointSlice> = facts.slices.iter().copied().filter(is_filled).collect();
    let of_nobody = filled.iter().find_map(|slice| {
        let is_gone = |endpoint: &&Endpoint| is_gone(facts, endpoint);
        usable(slice)
            .find(is_gone)
            .map(|endpoint| (*slice, endpoint))
    });
    let writers: BTreeSet<&str> = filled.iter().filter_map(|slice| manager(slice)).collect();
    match (of_nobody, filled.first()) {
        (Some((slice, endpoint)), _) => vec![without_pod(facts, slice, endpoint, &writers)],
        // Others may have written slices on purpose, each a part.
        (None, Some(first))
            if writers.len() > 1 && filled.iter().any(|slice| is_of_controller(slice)) =>
        {
            vec![two_writers(facts, first, &writers)]
        }
        (None, _) => Vec::new(),
    }
}

/// Whether an endpoint says that it is a Pod, and there is no such Pod.
fn is_gone(facts: &Facts<'_>, endpoint: &Endpoint) -> bool {
    let target = endpoint.target_ref.as_ref();
    target.is_some_and(|target| {
        let namespace = match target.namespace.as_str() {
            "" => facts.namespace,
            namespace => namespace,
        };
        let pod = ObjectKey::new(Kind::Pod, namespace, &target.name);
        target.kind == "Pod" && facts.api.get(&pod).is_none()
    })
}

fn without_pod(
    facts: &Facts<'_>,
    slice: &EndpointSlice,
    endpoint: &Endpoint,
    writers: &BTreeSet<&str>,
) -> Finding {
    let address = endpoint.addresses.first().map_or("", String::as_str);
    let pod = endpoint
        .target_ref
        .as_ref()
        .map_or("", |target| &target.name);
    let name = &slice.metadata.name;
    Finding {
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        field: Some("endpoints".to_owned()),
        sees: format!(
            "{} that are sent to {address} get no answer, or that of a stranger who has the address now",
            facts.clients()
        ),
        why: format!(
            "EndpointSlice {name} says that {address} is Pod {pod}, and there is no such Pod: the Service has no selector, \
             so nobody takes the endpoint away{}",
            by(writers)
        ),
        confirm: vec![
            Check::prints(facts.kubectl_get_slices(), name.as_str()),
            Check::prints(
                facts.kubectl_get(&format!("pod {pod}")),
                format!("pods \"{pod}\" not found"),
            ),
        ],
        ..orphan(facts, slice)
    }
}

/// While both say the same, nothing is lost yet.
fn two_writers(facts: &Facts<'_>, slice: &EndpointSlice, writers: &BTreeSet<&str>) -> Finding {
    Finding {
        certainty: Certainty::Likely,
        severity: Severity::Pitfall,
        field: Some("metadata.labels".to_owned()),
        sees: format!(
            "{} go on to the endpoints of before, whatever becomes of them",
            facts.clients()
        ),
        why: format!(
            "the Service has no selector, and its slices are of two writers{}: they were left behind when the selector was \
             removed, and Endpoints that stay are mirrored for ever",
            by(writers)
        ),
        confirm: vec![Check::prints(
            facts.kubectl_get_slices() + " --show-labels",
            slice.metadata.name.as_str(),
        )],
        ..orphan(facts, slice)
    }
}

fn orphan(facts: &Facts<'_>, slice: &EndpointSlice) -> Finding {
    let service = &facts.service.metadata.name;
    Finding {
        id: "DBG-50",
        certainty: Certainty::Likely,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::EndpointSlice, facts.namespace, &slice.metadata.name),
        field: None,
        sees: String::new(),
        why: String::new(),
        fix: format!(
            "give the Service a selector again, or delete Endpoints {service} and the slices that nobody keeps on purpose"
        ),
        confirm: Vec::new(),
    }
}

/// ` (written by …)`
fn by(writers: &BTreeSet<&str>) -> String {
    let writers: Vec<&str> = writers.iter().copied().collect();
    match writers.is_empty() {
        true => String::new(),
        false => format!(" (written by {})", list(&writers)),
    }
}
