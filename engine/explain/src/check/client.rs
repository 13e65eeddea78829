//! DBG-26, DBG-39, DBG-52: what depends on who asks.

use std::net::IpAddr;

use api::Pod;
use control::Source;

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::counted;
use crate::{Certainty, Finding, Severity};

/// A client in another namespace, in the Service itself, or outside of the cluster.
pub(super) fn from_elsewhere(facts: &Facts<'_>) -> Vec<Finding> {
    let found = [
        other_namespace(facts),
        to_itself(facts),
        from_outside(facts),
    ];
    found.into_iter().flatten().collect()
}

/// DBG-26: the short name means a Service of the client's own namespace.
fn other_namespace(facts: &Facts<'_>) -> Option<Finding> {
    let client = facts.client()?;
    let own = &client.metadata.namespace;
    let name = &facts.service.metadata.name;
    // Of the name that it does use, another step tells.
    if own == facts.namespace || facts.called.is_some() {
        return None;
    }
    let taken = facts.api.service(own, name).is_some();
    let (sees, certain) = match taken {
        true => (
            "reaches another Service",
            "there is a Service of that name there, too",
        ),
        false => (
            "cannot be resolved (NXDOMAIN)",
            "there is none of that name there",
        ),
    };
    Some(Finding {
        id: "DBG-26",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("metadata.namespace".to_owned()),
        sees: format!(
            "From pod/{own}/{} the short name {name} {sees}",
            client.metadata.name
        ),
        why: format!("a short name means the client's own namespace, {own}, and {certain}"),
        fix: format!("use the name {name}.{}", facts.namespace),
        confirm: vec![Check::run(format!(
            "kubectl exec {} -n {own} -- nslookup {name}.{}",
            client.metadata.name, facts.namespace
        ))],
    })
}

/// DBG-39: a client that is an endpoint is sent to itself at times.
fn to_itself(facts: &Facts<'_>) -> Option<Finding> {
    let client = facts.client()?;
    let is_client = |pod: &&Pod| {
        (&pod.metadata.namespace, &pod.metadata.name)
            == (&client.metadata.namespace, &client.metadata.name)
    };
    let taking: Vec<&Pod> = facts.taking().collect();
    if facts.service.is_headless() || !taking.iter().any(is_client) {
        return None;
    }
    // A real network may be either; of a simulated one it is known.
    let is_off = facts
        .control
        .is_some_and(|control| !control.config().network.hairpin);
    let (certainty, severity, comes_back) = match is_off {
        true => (Certainty::Certain, Severity::Fault, "gets no answer"),
        false => (
            Certainty::Possible,
            Severity::Pitfall,
            "comes back to that Pod itself",
        ),
    };
    Some(Finding {
        id: "DBG-39",
        certainty,
        severity,
        subject: facts.key.clone(),
        field: None,
        sees: format!(
            "1 of {} from pod/{}/{} to {} {comes_back}",
            counted(taking.len(), "connection"),
            client.metadata.namespace,
            client.metadata.name,
            facts.name()
        ),
        why: "the client is one of the endpoints: a connection to itself needs its source translated, and a network that \
              sends a packet back to where it came from (hairpin mode)"
            .to_owned(),
        fix: "let the application call itself by localhost, or turn on hairpin mode in the CNI plugin".to_owned(),
        confirm: vec![Check::run(facts.kubectl_get("pods -o wide"))],
    })
}

/// DBG-52: a ClusterIP is in no route of other networks.
fn from_outside(facts: &Facts<'_>) -> Option<Finding> {
    let Some(Source::Outside(host)) = facts.from else {
        return None;
    };
    if facts.service.is_externally_accessible() || facts.service.is_headless() {
        return None;
    }
    let address: IpAddr = facts.service.addresses().next()?;
    let host = facts.outside(host)?;
    if host.routes.iter().any(|(net, _)| net.contains(&address)) {
        return None;
    }
    Some(Finding {
        id: "DBG-52",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some("spec.type".to_owned()),
        sees: format!("outside/{} gets no answer from {address}", host.name),
        why: format!(
            "{address} is a ClusterIP: nobody has that address, only rules on the cluster's nodes know it, and no route \
             of {} leads there",
            host.name
        ),
        fix: "use kubectl port-forward to try, and type NodePort or LoadBalancer, or an Ingress, for good".to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", facts.service.metadata.name)),
            "ClusterIP",
        )],
    })
}
