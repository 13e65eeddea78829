//! Short ways to write views and node facts.

use std::sync::Arc;

use ruleset::{Family, Protocol};
use switchboard_rules::{
    ClusterView, EndpointView, Hints, LocalDetection, NodeFacts, NodePortAddresses, ServiceName,
    ServicePortView, ServiceView, SlicePortView, SliceView, TrafficPolicy,
};

/// The node that the recordings were made on.
pub(crate) fn node_1() -> NodeFacts {
    NodeFacts {
        name: "node-1".into(),
        zone: Some("zone-a".into()),
        addresses: ["192.168.10.11", "fd00:168:10::11"]
            .map(|ip| ip.parse().unwrap())
            .to_vec(),
        local_detection: LocalDetection::ClusterCidr(vec![
            "10.244.0.0/16".parse().unwrap(),
            "fd00:10:244::/48".parse().unwrap(),
        ]),
        masquerade_all: false,
        node_port_addresses: NodePortAddresses::All,
        localhost_node_ports: true,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    }
}

/// The same node with what nftables mode sets by default.
pub(crate) fn nftables_node_1() -> NodeFacts {
    NodeFacts {
        node_port_addresses: NodePortAddresses::Primary,
        ..node_1()
    }
}

pub(crate) fn service_name(name: &str) -> ServiceName {
    ServiceName {
        namespace: "default".into(),
        name: name.into(),
    }
}

pub(crate) fn port(name: &str, protocol: Protocol, port: u16) -> ServicePortView {
    ServicePortView {
        name: name.into(),
        protocol,
        port,
        node_port: None,
    }
}

pub(crate) fn slice_port(name: &str, protocol: Protocol, port: u16) -> SlicePortView {
    SlicePortView {
        name: name.into(),
        protocol,
        port,
    }
}

/// A Service with one TCP port 80 called `http`.
pub(crate) fn service(cluster_ips: &[&str], policy: TrafficPolicy) -> ServiceView {
    ServiceView {
        cluster_ips: cluster_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ports: [port("http", Protocol::TCP, 80)].into(),
        internal_traffic_policy: policy,
        ..ServiceView::default()
    }
}

/// A slice whose port `http` is 8080.
pub(crate) fn slice(family: Family, endpoints: &[EndpointView]) -> SliceView {
    SliceView {
        family,
        ports: [slice_port("http", Protocol::TCP, 8080)].into(),
        endpoints: endpoints.to_vec(),
    }
}

/// A ready endpoint.
pub(crate) fn endpoint(address: &str, node: &str) -> EndpointView {
    EndpointView {
        address: address.parse().unwrap(),
        node: Some(node.into()),
        ready: true,
        serving: true,
        terminating: false,
        hints: Hints::NONE,
        pod: None,
    }
}

pub(crate) fn hints(zones: &[&str], nodes: &[&str]) -> Hints {
    let named = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    Hints::of(named(zones), named(nodes))
}

/// The same endpoint, shutting down while it still serves.
pub(crate) fn terminating(endpoint: EndpointView) -> EndpointView {
    EndpointView {
        ready: false,
        terminating: true,
        ..endpoint
    }
}

pub(crate) fn add_service(view: &mut ClusterView, name: &str, service: ServiceView) {
    view.services.insert(service_name(name), Arc::new(service));
}

pub(crate) fn add_slice(view: &mut ClusterView, service: &str, name: &str, slice: SliceView) {
    let owner = service_name(service);
    view.services
        .insert_slice(owner, name.into(), Arc::new(slice));
}

/// Service `web` at 10.96.0.40 with these endpoints.
pub(crate) fn web(policy: TrafficPolicy, endpoints: &[EndpointView]) -> ClusterView {
    let mut view = ClusterView::default();
    add_service(&mut view, "web", service(&["10.96.0.40"], policy));
    add_slice(&mut view, "web", "web-1", slice(Family::V4, endpoints));
    view
}
