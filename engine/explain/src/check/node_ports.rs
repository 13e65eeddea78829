//! DBG-74: a node port answers at some addresses of a node only.
//!
//! **Source of the semantics.** PROXY-26: `nodePortAddresses`, and what each mode does without it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use control::Source;

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// Addresses of nodes at which nobody answers a node port.
pub(super) fn unanswered(facts: &Facts<'_>) -> Vec<Finding> {
    let service = facts.service;
    let has_balancer = !service.status.load_balancer.ingress.is_empty();
    // Its clients use the load balancer.
    if service.spec.service_type == "LoadBalancer" && has_balancer {
        return Vec::new();
    }
    let ports = service.spec.ports.iter().map(|port| port.node_port);
    let Some(port) = ports.into_iter().find(|port| *port > 0) else {
        return Vec::new();
    };
    // Within the cluster one uses the ClusterIP.
    let is_within = matches!(facts.from, Some(Source::Pod(_) | Source::Node(_)));
    let Some(control) = facts.control.filter(|_| !is_within) else {
        return Vec::new();
    };
    let mut answering = BTreeSet::new();
    let mut silent = BTreeSet::new();
    for node in &control.config().nodes {
        let agent = control.agent(&node.name);
        let own = agent.expect("every configured node has an agent").facts();
        let asked = node.addresses.iter().copied();
        for address in asked.filter(|address| facts.has_family(*address)) {
            match own.takes_node_ports_at(address) {
                true => answering.insert(address),
                false => silent.insert(address),
            };
        }
    }
    if silent.is_empty() {
        return Vec::new();
    }
    let all = |addresses: &BTreeSet<IpAddr>| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        list(&texts)
    };
    // Whatever has no other way in is lost to everybody outside.
    let is_only_way = service.spec.service_type == "NodePort"
        && service.spec.external_ips.is_empty()
        && !has_balancer;
    let elsewhere = match answering.is_empty() {
        true => String::new(),
        false => format!(", and are answered at {}", all(&answering)),
    };
    vec![Finding {
        id: "DBG-74",
        certainty: Certainty::Certain,
        severity: match answering.is_empty() && is_only_way {
            true => Severity::Fault,
            false => Severity::Pitfall,
        },
        subject: facts.key.clone(),
        field: Some("spec.ports".to_owned()),
        sees: format!(
            "Connections to node port {port} at {} are refused{elsewhere}",
            all(&silent)
        ),
        why: "nodePortAddresses in kube-proxy's configuration says which addresses of a node take node ports; without it, \
              nftables mode takes the primary ones only"
            .to_owned(),
        fix: "use an address that answers, or widen nodePortAddresses in kube-proxy's configuration".to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", service.metadata.name)),
            port.to_string(),
        )],
    }]
}
