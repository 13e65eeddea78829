//! DBG-43: the selector matches Pods of more than one sort.

use std::collections::{BTreeMap, BTreeSet};

use api::{Pod, Protocol};

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::{declared, list, terms};
use crate::{Certainty, Finding, Severity};

/// Pods that look as if they belonged to different applications: of owners of different kinds, or of different
/// owners with different ports. A canary beside its elder has the same ports, and is left alone.
pub(super) fn mixed(facts: &Facts<'_>) -> Vec<Finding> {
    let mut groups: BTreeMap<(String, String), Vec<&Pod>> = BTreeMap::new();
    for pod in facts.live() {
        groups.entry(owner(pod)).or_default().push(pod);
    }
    let kinds: BTreeSet<&str> = groups.keys().map(|(kind, _)| kind.as_str()).collect();
    let ports: BTreeSet<Vec<(Protocol, i32)>> =
        groups.values().map(|pods| open_ports(pods[0])).collect();
    if groups.len() < 2 || (kinds.len() < 2 && ports.len() < 2) {
        return Vec::new();
    }
    let shares: Vec<String> = groups
        .iter()
        .map(|((kind, name), pods)| match name.as_str() {
            "" => format!("{} of no workload", pods.len()),
            name => format!("{} of {} {name}", pods.len(), kind),
        })
        .collect();
    vec![Finding {
        id: "DBG-43",
        certainty: Certainty::Possible,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("spec.selector".to_owned()),
        sees: format!(
            "{} may get answers of different applications",
            facts.clients()
        ),
        why: format!(
            "the selector matches Pods of {} sorts: {}",
            groups.len(),
            list(&shares)
        ),
        fix: "add a label to spec.selector that only the intended Pods have".to_owned(),
        confirm: vec![Check::run(facts.kubectl_get(&format!(
            "pods -l {} --show-labels",
            terms(&facts.service.spec.selector)
        )))],
    }]
}

/// Kind and name of the workload; a ReplicaSet is its Deployment's, whose Pods share the template's hash.
fn owner(pod: &Pod) -> (String, String) {
    let Some(owner) = pod.metadata.controller() else {
        // Pods without one are alike by their ports.
        return ("Pod".to_owned(), String::new());
    };
    let hash = pod.metadata.labels.get("pod-template-hash");
    let deployment = hash.and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")));
    match deployment {
        Some(name) if owner.kind == "ReplicaSet" => ("Deployment".to_owned(), name.to_owned()),
        _ => (owner.kind.clone(), owner.name.clone()),
    }
}

fn open_ports(pod: &Pod) -> Vec<(Protocol, i32)> {
    let mut ports: Vec<(Protocol, i32)> = declared(pod)
        .map(|(_, protocol, number)| (protocol, number))
        .collect();
    ports.sort_unstable();
    ports
}
