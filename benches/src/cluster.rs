//! Clusters: Services of one TCP port, five endpoints each, spread over five nodes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, WatchEvent, decode};
use base::{Seed, SimTime};
use proxy::ViewBuilder;
use rules::{
    ClusterView, EndpointView, LocalDetection, NodeFacts, NodePortAddresses, ServiceName,
    SliceView, SlicesByName,
};
use ruleset::Protocol;

/// Endpoints of a Service.
pub const ENDPOINTS: usize = 5;

/// What the watch tells of `services` Services, `svc-0` onwards, and of their EndpointSlices; in the order in
/// which they were written. At most 50,000.
#[must_use]
pub fn events(services: usize) -> Vec<WatchEvent> {
    let config = ApiConfig {
        service_cidrs: service_cidrs(),
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    let mut server = ApiServer::new(config, SimTime::ZERO);
    for index in 0..services {
        let source = Source::new("cluster.yaml", manifests(index));
        for document in split(&source).expect("the manifests are YAML") {
            for manifest in decode(&document).expect("the manifests are objects") {
                server
                    .apply(manifest.object, SimTime::ZERO)
                    .expect("the manifests are valid");
            }
        }
    }
    server.events_after(0).to_vec()
}

/// The view of a proxy that has seen all events.
#[must_use]
pub fn view(events: &[WatchEvent]) -> ClusterView {
    let mut builder = ViewBuilder::new(service_cidrs().into());
    for event in events {
        builder.observe(event);
    }
    builder.view().clone()
}

/// The same view with one endpoint of one Service gone.
///
/// # Panics
/// When there is no Service of that number.
#[must_use]
pub fn without_an_endpoint(view: &ClusterView, index: usize) -> ClusterView {
    with_slice(view, index, |slice| {
        slice.endpoints.pop();
    })
}

/// The same view with so many endpoints of one Service, at most 250.
///
/// # Panics
/// When there is no Service of that number.
#[must_use]
pub fn with_endpoints(view: &ClusterView, index: usize, count: usize) -> ClusterView {
    with_slice(view, index, |slice| {
        let endpoint = slice.endpoints[0].clone();
        let numbered = |number| {
            let address = format!("10.200.{}.{number}", index % 250);
            EndpointView {
                address: address.parse().expect("it is an address"),
                ..endpoint.clone()
            }
        };
        slice.endpoints = (1..=count).map(numbered).collect();
    })
}

/// The same view with another slice of one Service.
fn with_slice(
    view: &ClusterView,
    index: usize,
    change: impl FnOnce(&mut SliceView),
) -> ClusterView {
    let name = service_name(index);
    let slices = view.services.slices(&name);
    let mut slices = slices.into_iter().flat_map(SlicesByName::iter);
    let (slice_name, slice) = slices.next().expect("every Service has a slice");
    let mut slice = (**slice).clone();
    change(&mut slice);
    let slice_name = Arc::clone(slice_name);
    let mut view = view.clone();
    view.services
        .insert_slice(name, slice_name, Arc::new(slice));
    view
}

/// The same Services, of UDP.
#[must_use]
pub fn over_udp(view: &ClusterView) -> ClusterView {
    let mut udp = view.clone();
    for (name, service, slices) in view.services.existing() {
        let mut service = (**service).clone();
        for port in &mut service.ports {
            port.protocol = Protocol::UDP;
        }
        udp.services.insert(name.clone(), Arc::new(service));
        let slices = slices.iter().map(|(name, slice)| {
            let mut slice = (**slice).clone();
            for port in &mut slice.ports {
                port.protocol = Protocol::UDP;
            }
            (name.clone(), Arc::new(slice))
        });
        udp.services.set_slices(name.clone(), slices.collect());
    }
    udp
}

/// Where a Service is reached.
///
/// # Panics
/// When there is no Service of that number.
#[must_use]
pub fn frontend(view: &ClusterView, index: usize) -> SocketAddr {
    let service = view.services.get(&service_name(index));
    let service = service.expect("it is one of the cluster's");
    (service.cluster_ips[0], service.ports[0].port).into()
}

/// What a Service is called.
#[must_use]
pub fn service_name(index: usize) -> ServiceName {
    ServiceName {
        namespace: "default".into(),
        name: format!("svc-{index}").into(),
    }
}

/// The node that rules are made for: one of the five.
#[must_use]
pub fn node() -> NodeFacts {
    NodeFacts {
        name: "node-0".into(),
        zone: None,
        addresses: vec![crate::packets::NODE],
        local_detection: LocalDetection::ClusterCidr(vec![
            "10.244.0.0/16".parse().expect("it is a range"),
        ]),
        masquerade_all: false,
        node_port_addresses: NodePortAddresses::All,
        localhost_node_ports: true,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    }
}

fn service_cidrs() -> Vec<ipnet::IpNet> {
    vec!["10.96.0.0/12".parse().expect("it is a range")]
}

/// A Service and its slice. The endpoints of Service `n` are numbers `5n` to `5n + 4` of 10.128.0.0/9.
fn manifests(index: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: svc-{index}}}\n\
         spec: {{selector: {{app: svc-{index}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: svc-{index}-a, labels: {{kubernetes.io/service-name: svc-{index}}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: 8080, protocol: TCP}}]\nendpoints:\n"
    );
    for node in 0..ENDPOINTS {
        let number = index * ENDPOINTS + node;
        let (high, middle, low) = (128 + number / 62_500, number / 250 % 250, number % 250 + 1);
        writeln!(
            text,
            "- {{addresses: [10.{high}.{middle}.{low}], nodeName: node-{node}}}"
        )
        .expect("a String takes everything");
    }
    text
}
