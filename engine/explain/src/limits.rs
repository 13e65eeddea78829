//! Where the model ends: what would let connections through or not, and is not looked at.
//!
//! A NetworkPolicy is stored, and nothing enforces it (DBG-29); the proxies of a service mesh, and other programs than
//! kube-proxy, are not simulated. What is behind one of them is unknown.
//!
//! Deviation: whether a policy would let a connection through is not looked at; a network without a policy
//! controller ignores it, too.

use api::{Container, Kind, Object, Selector};

use crate::diagnosis::Otherwise;
use crate::facts::Facts;
use crate::freshness::LABEL_PROXY_NAME;
use crate::pods::list;

/// What the proxies of meshes are called in Pods.
const MESH_CONTAINERS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// The verdict, unless something that is not modelled has a say.
pub(crate) fn beyond(facts: &Facts<'_>, verdict: Otherwise) -> Otherwise {
    let Otherwise::Healthy(_) = &verdict else {
        return verdict;
    };
    let unknown = [policies(facts), mesh(facts), other_proxy(facts)];
    match unknown.into_iter().flatten().next() {
        Some(why) => Otherwise::Unknown(why),
        None => verdict,
    }
}

fn policies(facts: &Facts<'_>) -> Option<String> {
    let policies = facts.api.list(Kind::NetworkPolicy, Some(facts.namespace));
    let policies = policies.filter_map(Object::as_network_policy);
    let selecting = policies.filter(|policy| {
        let selector = Selector::try_from(&policy.spec.pod_selector);
        selector.is_ok_and(|selector| {
            let mut selected = facts.selected.iter();
            selected.any(|pod| selector.matches(&pod.metadata.labels))
        })
    });
    let names: Vec<&str> = selecting
        .map(|policy| policy.metadata.name.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "Its Pods are ready, but NetworkPolicy {} selects some of them, and policies are not enforced here: whether \
             connections get through is not known. [DBG-29]",
            list(&names)
        )
    })
}

fn mesh(facts: &Facts<'_>) -> Option<String> {
    let is_mesh = |container: &&Container| MESH_CONTAINERS.contains(&container.name.as_str());
    let mut meshed = facts.selected.iter().filter_map(|pod| {
        let found = pod.serving_containers().find(is_mesh)?;
        Some((pod, found))
    });
    meshed.next().map(|(pod, found)| {
        format!(
            "Its Pods are ready, but container {} of {} takes its connections first, and service meshes are not \
             simulated: whether they get through is not known.",
            found.name, pod.metadata.name
        )
    })
}

fn other_proxy(facts: &Facts<'_>) -> Option<String> {
    let proxy = facts.service.metadata.labels.get(LABEL_PROXY_NAME)?;
    Some(format!(
        "Its endpoints are ready, but its label {LABEL_PROXY_NAME} leaves it to the proxy \"{proxy}\", which is not \
         simulated."
    ))
}
