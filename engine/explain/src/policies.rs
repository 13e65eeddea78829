//! NetworkPolicies: they are stored, and nothing enforces them, so what is behind one is unknown.
//!
//! Deviation: whether a policy would let a connection through is not looked at; a network without a policy
//! controller ignores it, too.

use api::{ApiServer, Kind, Object, Pod, Selector};

use crate::diagnosis::Otherwise;
use crate::pods::list;

/// The verdict, unless a policy selects one of the Pods that it rests on.
pub(crate) fn beyond(
    api: &ApiServer,
    namespace: &str,
    pods: &[&Pod],
    verdict: Otherwise,
) -> Otherwise {
    let Otherwise::Healthy(_) = &verdict else {
        return verdict;
    };
    let policies = api.list(Kind::NetworkPolicy, Some(namespace));
    let policies = policies.filter_map(Object::as_network_policy);
    let selecting = policies.filter(|policy| {
        let selector = Selector::try_from(&policy.spec.pod_selector);
        selector.is_ok_and(|selector| {
            pods.iter()
                .any(|pod| selector.matches(&pod.metadata.labels))
        })
    });
    let names: Vec<&str> = selecting
        .map(|policy| policy.metadata.name.as_str())
        .collect();
    match names.as_slice() {
        [] => verdict,
        names => Otherwise::Unknown(format!(
            "its Pods are ready, but NetworkPolicy {} selects some of them, and policies are not enforced here: whether connections get through is not known",
            list(names)
        )),
    }
}
