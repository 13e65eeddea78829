//! DBG-58: the network does not carry packets between the client's node and an endpoint's. No Service is at fault.
//!
//! Of a simulated network it is known which links are broken; of a real one one would have to try each pair of nodes.

use std::collections::BTreeSet;

use api::{Kind, Node, ObjectKey};
use control::{Control, Fault, Impairment, LinkEnd, OutsideConfig, Source};

use super::chosen::{Front, chosen};
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
    let mut lossy = lossy.peekable();
    if lossy.peek().is_none() {
        return Vec::new();
    }
    let ways = ways(facts, control);
    lossy
        .filter_map(|(a, b, impairment)| finding(facts, &ways, a, b, impairment))
        .collect()
}

/// Whether packets get lost for good, or again and again.
fn loses(impairment: &Impairment) -> bool {
    impairment.cut || impairment.loss.value() > 0
}

fn finding(
    facts: &Facts<'_>,
    ways: &[Way<'_>],
    a: &LinkEnd,
    b: &LinkEnd,
    impairment: &Impairment,
) -> Option<Finding> {
    let beyond = ways.iter().filter(|way| way.leads_over(a, b));
    let beyond: BTreeSet<&str> = beyond
        .map(|way| way.endpoint.metadata.name.as_str())
        .collect();
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

/// How packets get to an endpoint.
struct Way<'a> {
    /// The host outside of the cluster that they come from, if they do.
    host: Option<&'a str>,
    /// The node whose rules they meet first; none where a host sends them to a Pod's own address.
    entrance: Option<&'a Node>,
    /// The node that hosts the endpoint.
    endpoint: &'a Node,
}

impl Way<'_> {
    /// Whether one of its legs is a link between these ends. What stays on a node is on no link.
    fn leads_over(&self, a: &LinkEnd, b: &LinkEnd) -> bool {
        let first = self.entrance.unwrap_or(self.endpoint);
        let comes_in = self.host.is_some_and(|host| {
            let is_host = |end: &LinkEnd| *end == LinkEnd::Outside(host.to_owned());
            is_host(a) && is_at(b, first) || is_host(b) && is_at(a, first)
        });
        let goes_on = first.metadata.name != self.endpoint.metadata.name
            && (is_at(a, first) && is_at(b, self.endpoint)
                || is_at(b, first) && is_at(a, self.endpoint));
        comes_in || goes_on
    }
}

fn is_at(end: &LinkEnd, node: &Node) -> bool {
    match end {
        LinkEnd::Node(name) => *name == node.metadata.name,
        LinkEnd::Zone(zone) => node.zone() == Some(zone),
        LinkEnd::Outside(_) => false,
    }
}

/// The ways of who asks; anybody may be anywhere.
fn ways<'a>(facts: &Facts<'a>, control: &'a Control) -> Vec<Way<'a>> {
    let nodes: Vec<&Node> = facts.nodes().collect();
    let mut ways = Vec::new();
    let mut add = |host: Option<&'a str>, entrance: Option<&'a Node>, names: BTreeSet<&str>| {
        let hosts = nodes.iter().copied();
        let hosts = hosts.filter(|node| names.contains(node.metadata.name.as_str()));
        ways.extend(hosts.map(|endpoint| Way {
            host,
            entrance,
            endpoint,
        }));
    };
    let is_within = !matches!(facts.from, Some(Source::Outside(_)));
    let asks = |node: &&Node| {
        let own = facts.client_node();
        facts.from.is_none() || own == Some(&node.metadata.name)
    };
    for node in nodes.iter().copied().filter(asks).filter(|_| is_within) {
        add(None, Some(node), hosts(facts, node, Front::Within));
    }
    for host in &control.config().outside {
        let asks = |from: &Source| *from == Source::Outside(host.name.clone());
        if !facts.from.is_none_or(asks) {
            continue;
        }
        if facts.service.is_headless() {
            add(Some(&host.name), None, hosts_of_all(facts));
        }
        for (node, front) in entrances(facts, host, &nodes) {
            add(Some(&host.name), Some(node), hosts(facts, node, front));
        }
    }
    ways
}

/// The nodes through which a host comes in: where its routes lead, or else any, by node port or load balancer.
fn entrances<'a>(
    facts: &Facts<'a>,
    host: &OutsideConfig,
    nodes: &[&'a Node],
) -> Vec<(&'a Node, Front)> {
    let service = facts.service;
    let own = service.addresses().map(|address| (address, Front::Within));
    let external = facts.external_addresses();
    let all = own.chain(external.map(|address| (address, Front::External)));
    let routed = all.filter_map(|(address, front)| {
        let name = host.route_to(address)?;
        let mut nodes = nodes.iter().copied();
        Some((nodes.find(|node| node.metadata.name == *name)?, front))
    });
    let routed: Vec<(&Node, Front)> = routed.collect();
    match routed.is_empty() && service.uses_node_ports() {
        true => nodes.iter().map(|node| (*node, Front::External)).collect(),
        false => routed,
    }
}

/// The nodes that host what a node chooses from; of a headless Service, whatever the name stands for.
fn hosts<'a>(facts: &Facts<'a>, node: &Node, front: Front) -> BTreeSet<&'a str> {
    if facts.service.is_headless() {
        return hosts_of_all(facts);
    }
    let chosen = chosen(facts, &node.metadata.name, front).into_iter();
    chosen
        .filter_map(|endpoint| endpoint.node.as_deref())
        .collect()
}

fn hosts_of_all<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let endpoints = sent_to(&facts.slices).into_iter();
    endpoints
        .filter_map(|endpoint| endpoint.node_name.as_deref())
        .collect()
}
