//! What annotations have simulated applications do, as clients see it.

use super::*;

/// The only backend of the Service, of an application with these annotations and with this in its container.
fn cluster_of(annotations: &str, container: &str) -> Sim {
    let mut sim = Sim::new(config(7, ProxyMode::Nftables)).unwrap();
    apply(&mut sim, CLIENT);
    apply(&mut sim, SERVICE);
    run_to(&mut sim, 3000);
    let backend = backend("web-1", "node-b")
        .replace(
            "labels: {app: web}",
            &format!("labels: {{app: web}}, annotations: {{{annotations}}}"),
        )
        .replace("image: c,", &format!("image: c,{container}"));
    apply(&mut sim, &backend);
    sim
}

fn outcome(sim: &mut Sim) -> Outcome {
    let connections = by_name(sim, 1);
    connections[0].outcome
}

const PROBE: &str = " readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1},";

fn is_ready(sim: &Sim) -> bool {
    let pod = sim.control().api().pod("default", "web-1");
    pod.unwrap().is_ready()
}

#[test]
fn dbg_90_who_listens_at_a_loopback_address_is_reached_by_its_own_pod_alone() {
    let listen = "switchboard.dev/listen: \"127.0.0.1:8080/TCP\"";
    let mut sim = cluster_of(listen, "");
    run_to(&mut sim, 8000);
    assert!(is_ready(&sim), "nobody asks");
    assert_eq!(outcome(&mut sim), Outcome::Refused);
    let own = Source::Pod(ObjectKey::new(Kind::Pod, "default", "web-1"));
    let mut from_inside = |address: [u8; 4]| {
        let request = ConnectRequest {
            from: own.clone(),
            to: Target {
                host: Host::Address(address.into()),
                port: 8080,
            },
            protocol: Protocol::TCP,
            count: 1,
            timeout: Duration::from_secs(3),
            payload: b"hello".to_vec(),
        };
        sim.connect(&request).unwrap()[0].outcome
    };
    assert_eq!(from_inside([127, 0, 0, 1]), Outcome::Connected);
    assert_eq!(from_inside([127, 0, 0, 2]), Outcome::Refused);
    let mut sim = cluster_of(listen, PROBE);
    run_to(&mut sim, 8000);
    assert!(!is_ready(&sim), "a probe comes from outside of the Pod");
}

/// Each loopback address has ports of its own, and a node's cache of names has others still.
#[test]
fn an_application_listens_at_one_port_of_several_addresses() {
    let listen = "switchboard.dev/listen: \"127.0.0.1:80, 127.0.0.3:80, 127.0.0.1:53/UDP\"";
    let mut config = config(7, ProxyMode::Nftables);
    config.node_local_dns = true;
    let mut sim = Sim::new(config).unwrap();
    let backend = backend("web-1", "node-b")
        .replace(
            "labels: {app: web}",
            &format!("labels: {{app: web}}, annotations: {{{listen}}}"),
        )
        .replace("spec:\n", "spec:\n  hostNetwork: true\n");
    apply(&mut sim, &backend);
    run_to(&mut sim, 8000);
    let node = Source::Node("node-b".to_owned());
    let mut ask = |address: [u8; 4], port, protocol| {
        let request = ConnectRequest {
            from: node.clone(),
            to: Target {
                host: Host::Address(address.into()),
                port,
            },
            protocol,
            count: 1,
            timeout: Duration::from_secs(3),
            payload: b"hello".to_vec(),
        };
        sim.connect(&request).unwrap()[0].outcome
    };
    for (address, expected) in [
        ([127, 0, 0, 1], Outcome::Connected),
        ([127, 0, 0, 2], Outcome::Refused),
        ([127, 0, 0, 3], Outcome::Connected),
    ] {
        assert_eq!(ask(address, 80, Protocol::TCP), expected, "{address:?}");
    }
    let names = ask([127, 0, 0, 1], 53, Protocol::UDP);
    assert_eq!(names, Outcome::Connected, "beside the cache");
    sim.delete(&ObjectKey::new(Kind::Pod, "default", "web-1"))
        .unwrap();
    run_to(&mut sim, 20_000);
    for address in [[127, 0, 0, 1], [127, 0, 0, 3]] {
        let request = ConnectRequest {
            from: node.clone(),
            to: Target {
                host: Host::Address(address.into()),
                port: 80,
            },
            protocol: Protocol::TCP,
            count: 1,
            timeout: Duration::from_secs(3),
            payload: Vec::new(),
        };
        assert_eq!(sim.connect(&request).unwrap()[0].outcome, Outcome::Refused);
    }
}

#[test]
fn a_slow_start_is_hidden_by_a_probe_alone() {
    let slow = "switchboard.dev/start-delay: 10s";
    let mut sim = cluster_of(slow, "");
    run_to(&mut sim, 8000);
    assert_eq!(
        outcome(&mut sim),
        Outcome::Refused,
        "ready, and does not listen yet"
    );
    run_to(&mut sim, 16_000);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
    let mut sim = cluster_of(slow, PROBE);
    run_to(&mut sim, 8000);
    assert!(!is_ready(&sim));
    run_to(&mut sim, 18_000);
    assert!(is_ready(&sim));
    assert_eq!(outcome(&mut sim), Outcome::Connected);
}

#[test]
fn hostile_applications_refuse_or_ignore() {
    for (manners, expected) in [
        ("refuse", Outcome::Refused),
        ("blackhole", Outcome::Timeout),
    ] {
        let mut sim = cluster_of(&format!("switchboard.dev/hostile: {manners}"), "");
        run_to(&mut sim, 8000);
        assert_eq!(outcome(&mut sim), expected, "{manners}");
    }
}

/// With rules that are a second old, a Pod that was deleted just now still gets connections.
#[test]
fn ep_73_who_drains_serves_until_it_is_killed() {
    for (on_term, expected) in [("close", Outcome::Refused), ("drain", Outcome::Connected)] {
        let mut sim = cluster_of(&format!("switchboard.dev/on-term: {on_term}"), "");
        run_to(&mut sim, 8000);
        let address = vip(&sim);
        let pod = ObjectKey::new(Kind::Pod, "default", "web-1");
        sim.delete(&pod).unwrap();
        run_to(&mut sim, 8006);
        let seen = connect(&mut sim, client(), Host::Address(address), Protocol::TCP, 1);
        assert_eq!(seen[0].outcome, expected, "{on_term}");
        // The only endpoint: while it is terminating, proxies use it (PROXY-8). Its grace period is 30 seconds.
        run_to(&mut sim, 20_000);
        let host = Host::Address(address);
        let later = connect(&mut sim, client(), host, Protocol::TCP, 1);
        assert_eq!(later[0].outcome, expected, "{on_term}");
    }
}

#[test]
fn what_an_annotation_does_not_mean_is_refused() {
    let mut sim = Sim::new(config(7, ProxyMode::Nftables)).unwrap();
    let backend = backend("web-1", "node-b").replace(
        "labels: {app: web}",
        "annotations: {switchboard.dev/on-term: explode, switchboard.dev/respond-after: never}",
    );
    let manifests = split(&File::new("test", &backend)).unwrap();
    let object = decode(&manifests[0]).unwrap().remove(0).object;
    let error = sim.write(WriteVerb::Apply, object).unwrap_err();
    let text = error.kubectl_text();
    for part in [
        "switchboard.dev/on-term",
        "close, drain",
        "switchboard.dev/respond-after",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
