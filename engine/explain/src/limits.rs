//! Where the model ends: what would let connections through or not, and is not looked at.
//!
//! A NetworkPolicy is stored, and nothing enforces it (DBG-29); the proxies of a service mesh, and other programs than
//! kube-proxy, are not simulated. What is behind one of them is unknown.
//!
//! Deviation: whether a policy would let a connection through is not looked at; a network without a policy
//! controller ignores it, too.

use api::{Container, Kind, Object, ObjectKey, Pod, Selector};

use crate::diagnosis::Otherwise;
use crate::facts::Facts;
use crate::finding::Check;
use crate::freshness::LABEL_PROXY_NAME;
use crate::pods::{list, names};
use crate::{Certainty, Finding, Severity};

/// What the proxies of meshes are called in Pods.
const MESH_CONTAINERS: [&str; 2] = ["istio-proxy", "linkerd-proxy"];

/// The verdict, unless something that is not modelled has a say; and what that is, where it is an object.
pub(crate) fn beyond(facts: &Facts<'_>, verdict: Otherwise) -> (Otherwise, Option<Finding>) {
    let Otherwise::Healthy(_) = &verdict else {
        return (verdict, None);
    };
    let policies = policies(facts);
    if !policies.is_empty() {
        let finding = by_policy(facts, &policies);
        return (Otherwise::Unknown(unenforced(&policies)), Some(finding));
    }
    match mesh(facts).or_else(|| other_proxy(facts)) {
        Some(why) => (Otherwise::Unknown(why), None),
        None => (verdict, None),
    }
}

/// A policy that has a say in who reaches Pods of the Service, and which Pods.
struct Policy<'a> {
    name: &'a str,
    pods: Vec<&'a Pod>,
}

fn policies<'a>(facts: &Facts<'a>) -> Vec<Policy<'a>> {
    let policies = facts.api.list(Kind::NetworkPolicy, Some(facts.namespace));
    let policies = policies.filter_map(Object::as_network_policy);
    let policies = policies.filter(|policy| {
        let mut kinds = policy.spec.policy_types.iter();
        kinds.any(|kind| kind == "Ingress")
    });
    let policies = policies.filter_map(|policy| {
        let selector = Selector::try_from(&policy.spec.pod_selector).ok()?;
        let selected = facts.selected.iter().copied();
        Some(Policy {
            name: &policy.metadata.name,
            pods: selected
                .filter(|pod| selector.matches(&pod.metadata.labels))
                .collect(),
        })
    });
    policies.filter(|policy| !policy.pods.is_empty()).collect()
}

fn named(policies: &[Policy<'_>]) -> String {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name).collect();
    list(&names)
}

fn unenforced(policies: &[Policy<'_>]) -> String {
    format!(
        "Its Pods are ready, but NetworkPolicy {} selects some of them, and policies are not enforced here: whether \
         connections get through is not known. [DBG-29]",
        named(policies)
    )
}

fn by_policy(facts: &Facts<'_>, policies: &[Policy<'_>]) -> Finding {
    let first = policies[0].name;
    let is_selected = |pod: &&&Pod| {
        let mut policies = policies.iter();
        policies.any(|policy| policy.pods.iter().any(|one| std::ptr::eq(*one, **pod)))
    };
    let pods: Vec<&Pod> = facts.selected.iter().filter(is_selected).copied().collect();
    Finding {
        id: "DBG-29",
        certainty: Certainty::Possible,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::NetworkPolicy, facts.namespace, first),
        field: Some("spec.podSelector".to_owned()),
        sees: format!(
            "{} may get no answer, not even a refusal",
            facts.clients()
        ),
        why: format!(
            "NetworkPolicy {} selects Pods of the Service ({}), and drops what it does not allow, where the network \
             enforces policies",
            named(policies),
            list(&names(&pods))
        ),
        fix: "see that it allows the clients, at the port that the Pods listen on and not at the Service's".to_owned(),
        confirm: vec![Check::prints(facts.kubectl_get("networkpolicies"), first)],
    }
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
