//! DBG-37, DBG-38: a policy of Local, and nodes without an endpoint.

use std::collections::BTreeSet;

use api::TrafficPolicy;

use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::pods::{counted, list};
use crate::{Certainty, Finding, Severity};

/// DBG-37: packets of Pods and nodes are dropped where no endpoint is (PROXY-13).
pub(super) fn internal(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.service.internal_policy() != TrafficPolicy::Local || facts.service.is_headless() {
        return Vec::new();
    }
    let nodes = Endpoints::of(facts);
    let asked = |node: &&str| facts.client_node().is_none_or(|client| client == *node);
    let empty: Vec<&str> = nodes.without.iter().copied().filter(asked).collect();
    let is_outside = facts.from.is_some() && facts.client_node().is_none();
    if nodes.with.is_empty() || empty.is_empty() || is_outside {
        return Vec::new();
    }
    vec![Finding {
        id: "DBG-37",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some("spec.internalTrafficPolicy".to_owned()),
        sees: match facts.from {
            Some(source) => format!("Connections from {source} to {} get no answer", facts.name()),
            None => format!(
                "Clients of {} on {} get no answer, others do",
                facts.name(),
                list(&empty)
            ),
        },
        why: format!(
            "internalTrafficPolicy is Local, and {} hosts none of the {} ({}): packets are dropped there",
            list(&empty),
            counted(nodes.count, "ready endpoint"),
            list(&nodes.with)
        ),
        fix: "change spec.internalTrafficPolicy to Cluster, or run an endpoint on every node that has clients"
            .to_owned(),
        confirm: vec![
            Check::prints(
                facts.kubectl_get(&format!(
                    "service {} -o jsonpath='{{.spec.internalTrafficPolicy}}'",
                    facts.service.metadata.name
                )),
                "Local",
            ),
            Check::run(facts.kubectl_get("pods -o wide")),
        ],
    }]
}

/// DBG-38: packets from outside are dropped at nodes without an endpoint, which load balancers are to avoid.
pub(super) fn external(facts: &Facts<'_>) -> Vec<Finding> {
    let is_local = facts.service.external_policy() == TrafficPolicy::Local;
    if !is_local || !facts.service.is_externally_accessible() {
        return Vec::new();
    }
    let nodes = Endpoints::of(facts);
    if nodes.with.is_empty() || nodes.without.is_empty() {
        return Vec::new();
    }
    let health = match facts.service.spec.health_check_node_port {
        0 => String::new(),
        port => format!("; load balancers ask port {port} of each node, which says 503 there"),
    };
    vec![Finding {
        id: "DBG-38",
        certainty: Certainty::Certain,
        severity: Severity::Pitfall,
        subject: facts.key.clone(),
        field: Some("spec.externalTrafficPolicy".to_owned()),
        sees: format!(
            "Connections from outside to {} by way of {} get no answer, by way of {} they do",
            facts.name(),
            list(&nodes.without),
            list(&nodes.with)
        ),
        why: format!(
            "externalTrafficPolicy is Local, and {} hosts none of the {}{health}",
            list(&nodes.without),
            counted(nodes.count, "ready endpoint")
        ),
        fix: "let the load balancer check the health of nodes, or change spec.externalTrafficPolicy to Cluster (then \
              the client's address is hidden)"
            .to_owned(),
        confirm: vec![
            Check::prints(
                facts.kubectl_get(&format!(
                    "service {} -o jsonpath='{{.spec.externalTrafficPolicy}}'",
                    facts.service.metadata.name
                )),
                "Local",
            ),
            Check::run(facts.kubectl_get("pods -o wide")),
        ],
    }]
}

/// Which nodes host endpoints that are sent to.
struct Endpoints<'a> {
    with: Vec<&'a str>,
    without: Vec<&'a str>,
    count: usize,
}

impl<'a> Endpoints<'a> {
    fn of(facts: &Facts<'a>) -> Self {
        let endpoints = facts.slices.iter().flat_map(|slice| usable(slice));
        let hosts: Vec<&str> = endpoints
            .filter_map(|endpoint| endpoint.node_name.as_deref())
            .collect();
        let hosting: BTreeSet<&str> = hosts.iter().copied().collect();
        let nodes = facts.nodes().map(|node| node.metadata.name.as_str());
        Self {
            without: nodes.filter(|node| !hosting.contains(node)).collect(),
            with: hosting.into_iter().collect(),
            count: hosts.len(),
        }
    }
}
