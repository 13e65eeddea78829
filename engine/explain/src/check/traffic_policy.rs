//! DBG-37, DBG-38: a policy of Local, and nodes without an endpoint.

use std::collections::BTreeSet;

use api::TrafficPolicy;
use control::{ProxyMode, Source};

use crate::facts::{Facts, usable};
use crate::finding::Check;
use crate::pods::{counted, list};
use crate::{Certainty, Finding, Severity};

/// DBG-37: packets of Pods and nodes are dropped where no endpoint is (PROXY-13), or refused by IPVS (DBG-68).
pub(super) fn internal(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.service.internal_policy() != TrafficPolicy::Local || facts.service.is_headless() {
        return Vec::new();
    }
    let nodes = Endpoints::of(facts);
    let entrance = facts.service.addresses().next();
    let entrance = entrance.and_then(|address| facts.entrance(address));
    let asked = |node: &&str| match entrance {
        Some(entrance) => entrance == *node,
        None => facts.from.is_none(),
    };
    let is_shared = facts.service.is_externally_accessible();
    let empty = nodes.without.iter().copied().filter(asked);
    // One virtual server per address and port serves both policies: IPVS then sends to all (PROXY-15).
    let empty: Vec<&str> = empty
        .filter(|node| !(is_shared && is_ipvs(facts, node)))
        .collect();
    if nodes.with.is_empty() || empty.is_empty() {
        return Vec::new();
    }
    let refusing = empty.iter().filter(|node| is_ipvs(facts, node)).count();
    let (seen, done) = match refusing {
        0 => ("get no answer", "dropped"),
        all if all == empty.len() => ("get \"connection refused\"", "refused"),
        _ => (
            "get no answer, or \"connection refused\" where IPVS is",
            "dropped or refused",
        ),
    };
    vec![Finding {
        id: "DBG-37",
        certainty: Certainty::Certain,
        // That nobody asks from there is what the policy is for.
        severity: match facts.from {
            Some(_) => Severity::Fault,
            None => Severity::Pitfall,
        },
        subject: facts.key.clone(),
        field: Some("spec.internalTrafficPolicy".to_owned()),
        sees: match facts.from {
            Some(source) => format!("Connections from {source} to {} {seen}", facts.name()),
            None => format!(
                "Clients of {} on {} {seen}, others are answered",
                facts.name(),
                list(&empty)
            ),
        },
        why: format!(
            "internalTrafficPolicy is Local, and {} hosts none of the {} ({}): packets are {done} there",
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

/// DBG-38: packets from outside are dropped at nodes without an endpoint, which load balancers are to avoid. Pods and
/// nodes of the cluster are served all the same (PROXY-25).
pub(super) fn external(facts: &Facts<'_>) -> Vec<Finding> {
    let is_local = facts.service.external_policy() == TrafficPolicy::Local;
    let is_within = matches!(facts.from, Some(Source::Pod(_) | Source::Node(_)));
    if !is_local || is_within || !facts.service.is_externally_accessible() {
        return Vec::new();
    }
    let nodes = Endpoints::of(facts);
    if nodes.with.is_empty() || nodes.without.is_empty() {
        return Vec::new();
    }
    let health = match facts.service.spec.health_check_node_port {
        0 => String::new(),
        port => format!(
            "; load balancers of a real cluster ask port {port} of each node, which says 503 there"
        ),
    };
    let (severity, sees) = match lost(facts, &nodes.without) {
        Some(sees) => (Severity::Fault, sees),
        None => (
            Severity::Pitfall,
            format!(
                "Connections from outside to {} by way of {} get no answer, by way of {} they do",
                facts.name(),
                list(&nodes.without),
                list(&nodes.with)
            ),
        ),
    };
    vec![Finding {
        id: "DBG-38",
        certainty: Certainty::Certain,
        severity,
        subject: facts.key.clone(),
        field: Some("spec.externalTrafficPolicy".to_owned()),
        sees,
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

/// An external address to which the client's own route leads through one of these nodes.
fn lost(facts: &Facts<'_>, without: &[&str]) -> Option<String> {
    let client = facts.from?;
    facts.external_addresses().find_map(|address| {
        let node = facts.entrance(address)?;
        without.contains(&node).then(|| {
            format!("Connections from {client} to {address}, which come in through {node}, get no answer")
        })
    })
}

fn is_ipvs(facts: &Facts<'_>, node: &str) -> bool {
    let control = facts.control;
    control.is_some_and(|control| control.proxy_mode(node) == Ok(ProxyMode::Ipvs))
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
        let hosts = endpoints.filter_map(|endpoint| {
            let (node, address) = (endpoint.node_name.as_deref()?, endpoint.addresses.first()?);
            let pod = endpoint.target_ref.as_ref();
            Some((node, pod.map_or(address, |pod| &pod.name)))
        });
        // A Pod of two families is in slices of both.
        let hosts: BTreeSet<(&str, &String)> = hosts.collect();
        let hosting: BTreeSet<&str> = hosts.iter().map(|(node, _)| *node).collect();
        let nodes = facts.nodes().map(|node| node.metadata.name.as_str());
        Self {
            without: nodes.filter(|node| !hosting.contains(node)).collect(),
            with: hosting.into_iter().collect(),
            count: hosts.len(),
        }
    }
}
