//! A large cluster's objects, and a server for them.
//!
//! The mix: Pods with three labels each, spread evenly over the Services, which have a port and a selector; one
//! EndpointSlice for every 100 Pods of a Service.

use api::{ApiConfig, ApiServer, Kind, Object};
use base::{Seed, SimTime};
use serde_json::json;

/// The nodes that Pods are spread over.
pub const NODES: usize = 5_000;

/// A server without objects of the mix.
///
/// # Panics
/// Never: its settings are valid.
#[must_use]
pub fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().expect("a range")],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, SimTime::ZERO)
}

/// So many Pods and Services, Services first, then Pods, then slices.
///
/// # Panics
/// Never: they are well typed.
#[must_use]
pub fn objects(pods: usize, services: usize) -> Vec<Object> {
    let read = |kind, value: serde_json::Value| {
        let fields = value.as_object().expect("an object").clone();
        Object::from_fields(kind, fields).expect("well typed")
    };
    let mut objects = Vec::new();
    for index in 0..services {
        objects.push(read(Kind::Service, json!({
            "metadata": {"name": format!("web-{index}")},
            "spec": {"selector": {"app": format!("web-{index}")}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        })));
    }
    for index in 0..pods {
        objects.push(read(Kind::Pod, json!({
            "metadata": {
                "name": format!("pod-{index}"),
                "labels": {"app": format!("web-{}", index % services), "tier": "front", "pod-template-hash": format!("{:x}", index % services)},
            },
            "spec": {"nodeName": format!("node-{}", index % NODES), "containers": [{"name": "c", "image": "registry.example/app:1", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": address(index), "podIPs": [{"ip": address(index)}], "conditions": [{"type": "Ready", "status": "True"}]},
        })));
    }
    for service in 0..services {
        let mine: Vec<usize> = (service..pods).step_by(services).collect();
        for (part, chunk) in mine.chunks(100).enumerate() {
            let endpoints: Vec<_> = chunk.iter().map(|pod| json!({
                "addresses": [address(*pod)], "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", pod % NODES), "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("pod-{pod}")},
            })).collect();
            objects.push(read(Kind::EndpointSlice, json!({
                "metadata": {"name": format!("web-{service}-{part}"), "labels": {"kubernetes.io/service-name": format!("web-{service}")}},
                "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            })));
        }
    }
    objects
}

fn address(pod: usize) -> String {
    let [_, a, b, c] = u32::try_from(pod).expect("few Pods").to_be_bytes();
    format!("10.{}.{b}.{c}", 128 + a)
}
