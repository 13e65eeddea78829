//! DBG-42: whether each node's rules were made of what the API says now.
//!
//! A node's rules are as of a position in the API's log. They are stale if what proxies read of the Service was
//! another thing then; a change that proxies do not read (a label, a selector) makes nothing stale.

use std::collections::BTreeMap;

use api::{
    ApiServer, Change, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, Kind,
    LoadBalancerStatus, Object, ObjectKey, Protocol, Service, SessionAffinityConfig, TrafficPolicy,
    WatchEvent,
};
use control::Control;

use crate::facts::unread_label;
use crate::finding::Check;
use crate::pods::spoken;
use crate::{Certainty, Finding, Severity};

/// Another proxy serves the objects that have this label (PROXY-2).
pub(crate) const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// A finding for each node whose rules are older than the Service; for one node's only, where that is the client's.
pub(crate) fn stale_nodes(
    control: Option<&Control>,
    service: &ObjectKey,
    client_node: Option<&str>,
) -> Vec<Finding> {
    let Some(control) = control else {
        return Vec::new();
    };
    let api = control.api();
    let now = Published::as_of(api, service, u64::MAX);
    // Nodes mostly share a position.
    let mut stale_at: BTreeMap<u64, bool> = BTreeMap::new();
    let mut findings = Vec::new();
    let nodes = control.config().nodes.iter().map(|node| node.name.as_str());
    for node in nodes.filter(|node| client_node.is_none_or(|client| client == *node)) {
        let agent = control
            .agent(node)
            .expect("every configured node has an agent");
        let programmed = agent.programmed().map(|basis| basis.view.revision);
        let revision = programmed.unwrap_or(0);
        let stale = stale_at
            .entry(revision)
            .or_insert_with(|| Published::as_of(api, service, revision) != now);
        if *stale {
            findings.push(finding(control, service, node, programmed));
        }
    }
    findings
}

fn finding(control: &Control, service: &ObjectKey, node: &str, programmed: Option<u64>) -> Finding {
    let later = control.api().events_after(programmed.unwrap_or(0));
    let changed = later.iter().find(|event| concerns(event, service));
    let is_due =
        changed.is_some_and(|event| control.now().since(event.at) > control.patience_with(node));
    let changed = changed.map_or(String::new(), |event| format!(" at {}", event.at));
    let rules = match programmed {
        None => "its proxy has not written any rules yet".to_owned(),
        Some(revision) => format!("its rules are those of resourceVersion {revision}"),
    };
    Finding {
        id: "DBG-42",
        certainty: match is_due {
            true => Certainty::Certain,
            false => Certainty::Likely,
        },
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::Node, "", node),
        field: None,
        sees: format!(
            "Connections from node {node} to {} may get no answer or go to Pods that are gone",
            spoken(service)
        ),
        why: format!(
            "the node's rules are old: {rules}, and the Service or its endpoints changed{changed}; it is now {}",
            control.now()
        ),
        fix: match is_due {
            true => format!(
                "wait for the sync of node {node}; if it does not come, restart kube-proxy there"
            ),
            false => format!(
                "wait for the sync of node {node}: no more time has passed than it may take"
            ),
        },
        confirm: vec![
            Check::run(format!(
                "kubectl get --raw /api/v1/nodes/{node}:10256/proxy/healthz"
            )),
            Check::run("kubectl get pods -o wide -n kube-system"),
        ],
    }
}

/// What proxies read of a Service and its slices.
#[derive(PartialEq, Default)]
struct Published<'a> {
    service: Option<ReadService<'a>>,
    slices: BTreeMap<&'a str, ReadSlice<'a>>,
}

#[derive(PartialEq)]
struct ReadService<'a> {
    cluster_ips: &'a [String],
    external_ips: &'a [String],
    load_balancer: &'a LoadBalancerStatus,
    load_balancer_sources: &'a [String],
    ports: Vec<(&'a str, Protocol, i32, i32)>,
    /// Internal and external.
    policies: [TrafficPolicy; 2],
    affinity: (&'a str, Option<&'a SessionAffinityConfig>),
    health_check_node_port: i32,
}

#[derive(PartialEq)]
struct ReadSlice<'a> {
    address_type: &'a str,
    ports: &'a [EndpointPort],
    endpoints: Vec<ReadEndpoint<'a>>,
}

type ReadEndpoint<'a> = (
    Option<&'a String>,
    EndpointConditions,
    Option<&'a String>,
    Option<&'a EndpointHints>,
);

impl<'a> Published<'a> {
    /// As it was after the event of that revision.
    fn as_of(api: &'a ApiServer, service: &ObjectKey, revision: u64) -> Self {
        let mut published = Self::default();
        let log = api
            .events_after(0)
            .iter()
            .take_while(|event| event.revision <= revision);
        for event in log {
            published.observe(event, service);
        }
        published
    }

    fn observe(&mut self, event: &'a WatchEvent, key: &ObjectKey) {
        let gone = event.change == Change::Deleted;
        match &event.object {
            Object::Service(service) if concerns(event, key) => {
                let is_read = !gone && is_served(service);
                self.service = is_read.then(|| ReadService::of(service));
            }
            Object::EndpointSlice(slice) if in_namespace(&event.object, key) => {
                let name = slice.metadata.name.as_str();
                // Its label may have named the Service before.
                self.slices.remove(name);
                // Names are no addresses.
                let is_read = slice.address_type != "FQDN" && unread_label(slice).is_none();
                if !gone && is_read && concerns(event, key) {
                    self.slices.insert(name, ReadSlice::of(slice));
                }
            }
            _ => {}
        }
    }
}

impl<'a> ReadService<'a> {
    fn of(service: &'a Service) -> Self {
        let spec = &service.spec;
        let ports = spec.ports.iter();
        Self {
            cluster_ips: &spec.cluster_ips,
            external_ips: &spec.external_ips,
            load_balancer: &service.status.load_balancer,
            load_balancer_sources: &spec.load_balancer_source_ranges,
            ports: ports
                .map(|port| {
                    let name = port.name.as_str();
                    (name, port.transport(), port.port, port.node_port)
                })
                .collect(),
            policies: [service.internal_policy(), service.external_policy()],
            affinity: (
                &spec.session_affinity,
                spec.session_affinity_config.as_ref(),
            ),
            health_check_node_port: spec.health_check_node_port,
        }
    }
}

impl<'a> ReadSlice<'a> {
    fn of(slice: &'a EndpointSlice) -> Self {
        let endpoints = slice.endpoints.iter().map(|endpoint| {
            let address = endpoint.addresses.first();
            (
                address,
                endpoint.conditions,
                endpoint.node_name.as_ref(),
                endpoint.hints.as_ref(),
            )
        });
        Self {
            address_type: &slice.address_type,
            ports: &slice.ports,
            endpoints: endpoints.collect(),
        }
    }
}

/// Whether proxies look at the Service at all (PROXY-2).
fn is_served(service: &Service) -> bool {
    let is_foreign = service.metadata.labels.contains_key(LABEL_PROXY_NAME);
    let is_alias = service.spec.service_type == "ExternalName";
    !is_foreign && !is_alias && !service.is_headless()
}

fn concerns(event: &WatchEvent, service: &ObjectKey) -> bool {
    match &event.object {
        Object::Service(_) => event.object.key() == *service,
        Object::EndpointSlice(slice) => {
            in_namespace(&event.object, service)
                && slice.service_name() == Some(service.name.as_str())
        }
        _ => false,
    }
}

fn in_namespace(object: &Object, service: &ObjectKey) -> bool {
    Some(&object.meta().namespace) == service.namespace.as_ref()
}
