//! What nodes remember of earlier packets, and when they forget.

use super::*;

/// A rule's memory goes with the rule: an endpoint that comes back does not know its clients any more.
#[test]
fn proxy_32_affinity_is_dropped_with_the_endpoint() {
    let slice = |addresses: &[&str]| {
        let endpoints = addresses.iter().map(|ip| format!("{{addresses: [{ip}]}}"));
        format!(
            "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: sticky-a, labels: {{kubernetes.io/service-name: sticky}}}}
addressType: IPv4
ports: [{{name: '', port: 8080, protocol: TCP}}]
endpoints: [{}]
",
            endpoints.collect::<Vec<_>>().join(", ")
        )
    };
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let service = SERVICE.replace("name: web", "name: sticky").replace(
            "spec: {selector: {app: web}, ",
            "spec: {sessionAffinity: ClientIP, ",
        );
        apply(&mut sim, &service);
        let (first, second) = ("10.244.1.4", "10.244.2.3");
        let mut reached = |addresses: &[&str], millis| {
            apply(&mut sim, &slice(addresses));
            run_to(&mut sim, millis);
            let host = Host::Name("sticky".to_owned());
            backends(&connect(&mut sim, client(), host, Protocol::TCP, 10))
        };
        let of_first = reached(&[first], 8000);
        assert_eq!(of_first, ["pod/default/web-1".to_owned()].into(), "{mode}");
        let of_second = reached(&[second], 12_000);
        assert_eq!(of_second, ["pod/default/web-2".to_owned()].into(), "{mode}");
        assert_eq!(reached(&[first, second], 16_000), of_second, "{mode}");
    }
}

/// PROXY-73: a UDP client that keeps its port does not send to a dead endpoint for ever.
#[test]
fn proxy_73_stale_udp_connections_are_deleted() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let udp = SERVICE
            .replace("name: web", "name: udp")
            .replace("port: 80", "protocol: UDP, port: 80");
        apply(&mut sim, &udp);
        run_to(&mut sim, 8000);
        let host = Host::Name("udp".to_owned());
        connect(&mut sim, client(), host, Protocol::UDP, 30);
        let answering = |sim: &Sim| -> BTreeSet<IpAddr> {
            let node = sim.plane.node_state(sim.nodes["node-a"]);
            let entries = node.entries(sim.control().now());
            let to_service = entries.filter(|entry| {
                entry.original().protocol() == Protocol::UDP
                    && entry.original().destination_port() == Some(80)
            });
            to_service.map(|entry| entry.reply().source()).collect()
        };
        assert_eq!(answering(&sim).len(), 3, "{mode}");
        let gone = ObjectKey::new(Kind::Pod, "default", "web-1");
        sim.delete(&gone).unwrap();
        let started = sim.control().now();
        // Terminating, it still serves and keeps its clients; then it is gone, and UDP entries live for 30 seconds.
        run_to(&mut sim, 14_000);
        assert!(
            sim.control().now().since(started) < Duration::from_secs(10),
            "{mode}"
        );
        assert_eq!(answering(&sim).len(), 2, "{mode}: {:?}", answering(&sim));
    }
}
