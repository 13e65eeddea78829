//! Any bytes as a DNS message: an answer that reads back, or none.
#![no_main]

use std::sync::LazyLock;

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, decode};
use base::{Seed, SimTime};
use dns::{ClusterZone, UDP_MAX, parse_response, serve};
use libfuzzer_sys::fuzz_target;

const OBJECTS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {clusterIP: None, ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: '', port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.9], hostname: db-0}
- {addresses: [10.244.2.4]}
";

fn zone() -> ClusterZone {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().expect("it is a range")],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    let mut server = ApiServer::new(config, SimTime::ZERO);
    for document in split(&Source::new("objects.yaml", OBJECTS)).expect("it is YAML") {
        for manifest in decode(&document).expect("they are objects") {
            server
                .apply(manifest.object, SimTime::ZERO)
                .expect("they are valid");
        }
    }
    let mut zone = ClusterZone::new("cluster.local");
    for event in server.events_after(0) {
        zone.observe(event);
    }
    zone
}

fuzz_target!(|bytes: &[u8]| {
    static ZONE: LazyLock<ClusterZone> = LazyLock::new(zone);
    let _ = parse_response(bytes);
    if let Some(reply) = serve(&ZONE, bytes, UDP_MAX) {
        assert_eq!(reply.get(..2), bytes.get(..2), "the id is the query's");
        // A failure repeats no question, so it is no response to one.
        let rcode = reply[3] & 0x0f;
        assert!(parse_response(&reply).is_ok() || rcode != 0, "{reply:02x?}");
        assert_eq!(
            serve(&ZONE, &reply, UDP_MAX),
            None,
            "a response is not answered"
        );
    }
});
