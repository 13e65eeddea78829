//! DBG-58: the network does not carry packets between the client's node and an endpoint's. No Service is at fault.
//!
//! Of a simulated network it is known which links are broken; of a real one one would have to try each pair of nodes.

use std::collections::BTreeSet;

use api::{Kind, Node, ObjectKey};
use control::{Fault, Impairment, LinkEnd, Source};

use crate::facts::{Facts, sent_to};
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// Links on the way to endpoints that lose packets.
pub(super) fn broken(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(control) = facts.control else {
        return Vec::new();
    };
    let lossy = control.faults().filter_map(|fault| match fault {
        Fault::Link { a, b, impairment } if loses(impairment) => Some((a, b, impairment)),
        _ => None,
    });
    lossy
        .filter_map(|(a, b, impairment)| finding(facts, a, b, impairment))
        .collect()
}

/// Whether packets get lost for good, or again and again.
fn loses(impairment: &Impairment) -> bool {
    impairment.cut || impairment.loss.value() > 0
}

fn finding(
    facts: &Facts<'_>,
    a: &LinkEnd,
    b: &LinkEnd,
    impairment: &Impairment,
) -> Option<Finding> {
    let hosts = hosts(facts);
    let mut beyond: BTreeSet<&str> = BTreeSet::new();
    for (near, far) in [(a, b), (b, a)] {
        if is_client_at(facts, near) {
            let far = hosts.iter().filter(|node| is_at(far, node));
            beyond.extend(far.map(|node| node.metadata.name.as_str()));
        }
    }
    let beyond: Vec<&str> = beyond.into_iter().collect();
    let first = *beyond.first()?;
    let (severity, seen) = match impairment.cut {
        true => (Severity::Fault, "get no answer"),
        false => (Severity::Pitfall, "are slow, or get no answer"),
    };
    Some(Finding {
        id: "DBG-58",
        certainty: Certainty::Certain,
        severity,
        subject: ObjectKey::new(Kind::Node, "", first),
        field: None,
        sees: format!(
            "{} {seen} where an endpoint on {} is chosen",
            facts.clients(),
            list(&beyond)
        ),
        why: format!(
            "the network between {a} and {b} does not carry all packets ({impairment}): no Service is at fault"
        ),
        fix:
            "repair the network between the nodes: a firewall, a route, or the CNI plugin's tunnels"
                .to_owned(),
        confirm: vec![
            Check::run(facts.kubectl_get("pods -o wide")),
            Check::run("kubectl get nodes -o wide"),
        ],
    })
}

/// The nodes that host endpoints which are sent to.
fn hosts<'a>(facts: &Facts<'a>) -> Vec<&'a Node> {
    let endpoints = sent_to(&facts.slices);
    let names: BTreeSet<&str> = endpoints
        .iter()
        .filter_map(|endpoint| endpoint.node_name.as_deref())
        .collect();
    let nodes = facts.nodes();
    nodes
        .filter(|node| names.contains(node.metadata.name.as_str()))
        .collect()
}

/// Whether the one who asks may be at that end; anybody may be anywhere.
fn is_client_at(facts: &Facts<'_>, end: &LinkEnd) -> bool {
    match (facts.from, end) {
        (None, _) => true,
        (Some(Source::Outside(host)), LinkEnd::Outside(name)) => host == name,
        (Some(_), LinkEnd::Outside(_)) => false,
        (Some(_), _) => {
            let own = facts.client_node();
            let mut nodes = facts.nodes();
            nodes.any(|node| own == Some(&node.metadata.name) && is_at(end, node))
        }
    }
}

fn is_at(end: &LinkEnd, node: &Node) -> bool {
    match end {
        LinkEnd::Node(name) => *name == node.metadata.name,
        LinkEnd::Zone(zone) => node.zone() == Some(zone),
        LinkEnd::Outside(_) => false,
    }
}
