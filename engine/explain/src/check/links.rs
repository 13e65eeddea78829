//! DBG-58: the network does not carry packets between the client's node and an endpoint's, or between a Pod and its node. No
//! Service is at fault.
//!
//! Of a simulated network it is known which links are broken; of a real one one would have to try each pair of nodes.

use std::collections::{BTreeMap, BTreeSet};

use api::{Kind, Node, ObjectKey};
use control::{Control, Fault, Impairment, LinkEnd, OutsideConfig, Source};

use super::chosen::{Front, chosen};
use crate::facts::{Facts, sent_to};
use crate::finding::Check;
use crate::pods::{list, spoken};
use crate::{Certainty, Finding, Severity};

/// Links on the way to endpoints that lose packets.
pub(super) fn broken(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(control) = facts.control else {
        return Vec::new();
    };
    let lossy = control.faults().filter(|fault| match fault {
        Fault::Link { impairment, .. } | Fault::PodLink { impairment, .. } => loses(impairment),
        _ => false,
    });
    let mut lossy = lossy.peekable();
    if lossy.peek().is_none() {
        return Vec::new();
    }
    let ways = ways(facts, control);
    lossy
        .filter_map(|fault| match fault {
            Fault::Link { a, b, impairment } => between_nodes(facts, &ways, (a, b), impairment),
            Fault::PodLink { pods, impairment } => of_pods(facts, &ways, pods, impairment),
            _ => None,
        })
        .collect()
}

/// Whether packets get lost for good, or again and again.
fn loses(impairment: &Impairment) -> bool {
    impairment.cut || impairment.loss.value() > 0
}

/// What clients see of a link like that.
const fn seen(impairment: &Impairment) -> &'static str {
    match impairment.cut {
        true => "get no answer",
        false => "are slow, or get no answer",
    }
}

/// That the network between two ends loses packets; `look` shows who is where.
fn finding(
    subject: ObjectKey,
    sees: String,
    (between, impairment): (&str, &Impairment),
    fix: &str,
    look: String,
) -> Finding {
    Finding {
        id: "DBG-58",
        certainty: Certainty::Certain,
        severity: match impairment.cut {
            true => Severity::Fault,
            false => Severity::Pitfall,
        },
        subject,
        field: None,
        sees,
        why: format!("{between} does not carry all packets ({impairment}): no Service is at fault"),
        fix: fix.to_owned(),
        confirm: vec![Check::run(look), Check::run("kubectl get nodes -o wide")],
    }
}

fn between_nodes(
    facts: &Facts<'_>,
    ways: &[Way<'_>],
    (a, b): (&LinkEnd, &LinkEnd),
    impairment: &Impairment,
) -> Option<Finding> {
    let beyond = ways.iter().filter(|way| way.leads_over(a, b));
    let beyond: BTreeSet<&str> = beyond.map(|way| way.node.metadata.name.as_str()).collect();
    let beyond: Vec<&str> = beyond.into_iter().collect();
    let first = *beyond.first()?;
    Some(finding(
        ObjectKey::new(Kind::Node, "", first),
        format!(
            "{} {} where an endpoint on {} is chosen",
            facts.clients(),
            seen(impairment),
            list(&beyond)
        ),
        (&format!("the network between {a} and {b}"), impairment),
        "repair the network between the nodes: a firewall, a route, or the CNI plugin's tunnels",
        facts.kubectl_get("pods -o wide"),
    ))
}

/// The links of the client's Pod and of the endpoints' to their nodes.
fn of_pods(
    facts: &Facts<'_>,
    ways: &[Way<'_>],
    impaired: &[ObjectKey],
    impairment: &Impairment,
) -> Option<Finding> {
    let seen = seen(impairment);
    let client = match facts.from {
        Some(Source::Pod(client)) if impaired.contains(client) => Some(client),
        _ => None,
    };
    let (pod, sees) = if let Some(client) = client {
        let sees = format!("all connections of {} {seen}", spoken(client));
        (client, sees)
    } else {
        let reached: BTreeSet<&str> = ways.iter().filter_map(|way| way.pod).collect();
        let beyond = impaired.iter().filter(|pod| {
            pod.namespace.as_deref() == Some(facts.namespace) && reached.contains(pod.name.as_str())
        });
        let beyond: Vec<&ObjectKey> = beyond.collect();
        let first = *beyond.first()?;
        let names: Vec<&str> = beyond.iter().map(|pod| pod.name.as_str()).collect();
        let clients = facts.clients();
        let sees = format!("{clients} {seen} where {} is chosen", list(&names));
        (first, sees)
    };
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    Some(finding(
        pod.clone(),
        sees,
        (&format!("the link between {pod} and its node"), impairment),
        "repair the Pod's link: its interface, the CNI plugin on its node, or a NetworkPolicy; \
         a Pod that is made anew gets a new link",
        format!("kubectl get pod {} -n {namespace} -o wide", pod.name),
    ))
}

/// How packets get to an endpoint.
struct Way<'a> {
    /// The host outside of the cluster that they come from, if they do.
    host: Option<&'a str>,
    /// The node whose rules they meet first; none where a host sends them to a Pod's own address.
    entrance: Option<&'a Node>,
    /// The node that hosts the endpoint.
    node: &'a Node,
    /// The endpoint, if it is a Pod.
    pod: Option<&'a str>,
}

/// An endpoint: the node that hosts it, and its Pod.
type Endpoint<'a> = (&'a str, Option<&'a str>);

impl Way<'_> {
    /// Whether one of its legs is a link between these ends. What stays on a node is on no link.
    fn leads_over(&self, a: &LinkEnd, b: &LinkEnd) -> bool {
        let first = self.entrance.unwrap_or(self.node);
        let comes_in = self.host.is_some_and(|host| {
            let is_host = |end: &LinkEnd| *end == LinkEnd::Outside(host.to_owned());
            is_host(a) && is_at(b, first) || is_host(b) && is_at(a, first)
        });
        let goes_on = first.metadata.name != self.node.metadata.name
            && (is_at(a, first) && is_at(b, self.node) || is_at(b, first) && is_at(a, self.node));
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
    let by_name: BTreeMap<&str, &Node> = nodes
        .iter()
        .map(|node| (node.metadata.name.as_str(), *node))
        .collect();
    let mut add =
        |host: Option<&'a str>, entrance: Option<&'a Node>, to: BTreeSet<Endpoint<'a>>| {
            ways.extend(to.into_iter().filter_map(|(node, pod)| {
                Some(Way {
                    host,
                    entrance,
                    node: by_name.get(node)?,
                    pod,
                })
            }));
        };
    let is_within = !matches!(facts.from, Some(Source::Outside(_)));
    let asks = |node: &&Node| {
        let own = facts.client_node();
        facts.from.is_none() || own == Some(&node.metadata.name)
    };
    for node in nodes.iter().copied().filter(asks).filter(|_| is_within) {
        add(None, Some(node), endpoints(facts, node, Front::Within));
    }
    for host in &control.config().outside {
        let asks = |from: &Source| *from == Source::Outside(host.name.clone());
        if !facts.from.is_none_or(asks) {
            continue;
        }
        if facts.service.is_headless() {
            add(Some(&host.name), None, all_endpoints(facts));
        }
        for (node, front) in entrances(facts, host, &nodes) {
            add(Some(&host.name), Some(node), endpoints(facts, node, front));
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

/// What a node chooses from; of a headless Service, whatever the name stands for.
fn endpoints<'a>(facts: &Facts<'a>, node: &Node, front: Front) -> BTreeSet<Endpoint<'a>> {
    if facts.service.is_headless() {
        return all_endpoints(facts);
    }
    let chosen = chosen(facts, &node.metadata.name, front).into_iter();
    chosen
        .filter_map(|endpoint| Some((endpoint.node.as_deref()?, endpoint.pod.as_deref())))
        .collect()
}

fn all_endpoints<'a>(facts: &Facts<'a>) -> BTreeSet<Endpoint<'a>> {
    let endpoints = sent_to(&facts.slices).into_iter();
    endpoints
        .filter_map(|endpoint| {
            let pod = endpoint.target_ref.as_ref();
            let pod = pod.filter(|target| target.kind == "Pod");
            Some((
                endpoint.node_name.as_deref()?,
                pod.map(|target| target.name.as_str()),
            ))
        })
        .collect()
}
