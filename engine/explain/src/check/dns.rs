//! DBG-34, DBG-36: names do not resolve, whatever becomes of connections (DBG-62).

use api::{EndpointSlice, Kind, ObjectKey, Pod};
use control::{Control, Fault};

use crate::facts::{Facts, slices, usable};
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// Where cluster DNS is.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";

/// Cluster DNS without a server, or a client that does not ask it.
pub(super) fn broken(facts: &Facts<'_>) -> Vec<Finding> {
    let findings = [no_server(facts), asks_elsewhere(facts)];
    findings.into_iter().flatten().collect()
}

/// DBG-34. A cluster without the Service kube-dns may have another DNS, of which nothing is known.
fn no_server(facts: &Facts<'_>) -> Option<Finding> {
    let key = ObjectKey::new(Kind::Service, NAMESPACE, NAME);
    facts.api.get(&key).filter(|_| *facts.key != key)?;
    let is_silent = |control: &Control| control.faults().any(|fault| *fault == Fault::DnsDown);
    let silent = facts.control.is_some_and(is_silent);
    let is_dns = |slice: &&EndpointSlice| slice.service_name() == Some(NAME);
    let mut own = slices(facts.api, NAMESPACE).filter(is_dns);
    let has_server = own.any(|slice| usable(slice).next().is_some());
    let why = match (has_server, silent) {
        (false, _) => "has no ready endpoint",
        (true, true) => "takes queries and answers none",
        (true, false) => return None,
    };
    let has_caches = facts
        .control
        .is_some_and(|control| control.config().node_local_dns);
    let lost = match has_caches {
        true => "names that their node's cache has not kept",
        false => "any name",
    };
    Some(Finding {
        id: "DBG-34",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: key,
        field: None,
        sees: format!("Clients in Pods cannot resolve {lost}"),
        why: format!("cluster DNS, Service {NAMESPACE}/{NAME}, {why}"),
        fix: format!("repair the Pods behind {NAMESPACE}/{NAME}: look at their logs and readiness"),
        confirm: vec![Check::run(format!(
            "kubectl get pods -l k8s-app={NAME} -n {NAMESPACE}"
        ))],
    })
}

/// DBG-36: what the Pod asks is what its policy says (DNS-54).
fn asks_elsewhere(facts: &Facts<'_>) -> Option<Finding> {
    let client: &Pod = facts.client()?;
    let policy = client.spec.dns_policy.as_str();
    let is_host = client.spec.host_network && policy != "ClusterFirstWithHostNet";
    if !is_host && policy != "Default" || policy == "None" {
        return None;
    }
    let name = &client.metadata.name;
    let (why, wanted) = match is_host {
        true => (
            format!(
                "{name} uses its node's network, and dnsPolicy {policy} then means the node's resolver"
            ),
            "ClusterFirstWithHostNet",
        ),
        false => (
            format!("{name} has dnsPolicy Default, which means the node's resolver"),
            "ClusterFirst",
        ),
    };
    Some(Finding {
        id: "DBG-36",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::Pod, &client.metadata.namespace, name),
        field: Some("spec.dnsPolicy".to_owned()),
        sees: format!(
            "pod/{}/{name} cannot resolve the names of Services (NXDOMAIN)",
            client.metadata.namespace
        ),
        why: format!("{why}, which knows no names of this cluster"),
        fix: format!("change spec.dnsPolicy of the Pod to {wanted}"),
        confirm: vec![Check::run(format!(
            "kubectl exec {name} -n {} -- cat /etc/resolv.conf",
            client.metadata.namespace
        ))],
    })
}
