//! Clusters from YAML, through the API server.

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, Kind, decode};
use base::{Seed, SimTime};
use switchboard_conformance::{Cluster, LocalDetection, ProxySettings};

pub fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec![
            "10.96.0.0/16".parse().unwrap(),
            "fd00:10:96::/112".parse().unwrap(),
        ],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(1),
    };
    ApiServer::new(config, SimTime::ZERO)
}

/// A Service `default/web` at 10.96.0.40 with TCP port 80 called `http`; `more` goes into its spec.
pub fn web(more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{clusterIP: 10.96.0.40, ports: [{{name: http, port: 80}}]{more}}}
"
    )
}

/// An IPv4 slice of `web` with port 8080 called `http`, and these endpoints (YAML flow items).
pub fn slice(name: &str, endpoints: &[&str]) -> String {
    format!(
        "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{}]
",
        endpoints.join(", ")
    )
}

/// Two nodes, `node-1` in `zone-1` and `node-2` in `zone-2`, and what `manifests` say.
pub fn cluster(manifests: &str) -> Cluster {
    let mut server = server();
    let nodes = [1, 2].map(|n| {
        format!(
            "
apiVersion: v1
kind: Node
metadata: {{name: node-{n}, labels: {{topology.kubernetes.io/zone: zone-{n}}}}}
spec: {{podCIDRs: [10.244.{n}.0/24]}}
status: {{addresses: [{{type: InternalIP, address: 192.168.10.{n}}}]}}
"
        )
    });
    for text in nodes.iter().map(String::as_str).chain([manifests]) {
        for document in split(&Source::new("cluster", text)).unwrap() {
            for manifest in decode(&document).unwrap() {
                server.create(manifest.object, SimTime::ZERO).unwrap();
            }
        }
    }
    let kinds = [Kind::Namespace, Kind::Service, Kind::EndpointSlice];
    Cluster {
        service_cidrs: server.config().service_cidrs.clone(),
        nodes: server
            .list(Kind::Node, None)
            .filter_map(|node| node.as_node().cloned())
            .collect(),
        proxy: ProxySettings {
            local_detection: LocalDetection::ClusterCidr(vec!["10.244.0.0/16".parse().unwrap()]),
            ..ProxySettings::default()
        },
        objects: kinds
            .iter()
            .flat_map(|kind| server.list(*kind, None).cloned())
            .collect(),
    }
}
