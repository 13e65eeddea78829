//! Containers and nodes that end, as clients see it.

use control::{Fault, Place, Rate, Reuse, Sender, TrafficRequest};

use super::*;

fn crash(sim: &mut Sim, name: &str) {
    let pod = ObjectKey::new(Kind::Pod, "default", name);
    sim.control.crash_pod(&pod);
}

/// One backend behind the Service.
fn one_backend(annotations: &str) -> Sim {
    let mut sim = Sim::new(config(7, ProxyMode::Nftables)).unwrap();
    apply(&mut sim, CLIENT);
    apply(&mut sim, SERVICE);
    let labels = format!("labels: {{app: web}}, annotations: {{{annotations}}}");
    let web = backend("web-1", "node-b").replace("labels: {app: web}", &labels);
    apply(&mut sim, &web);
    run_to(&mut sim, 5000);
    sim
}

fn request(sim: &Sim, from: Source) -> ConnectRequest {
    ConnectRequest {
        from,
        to: Target {
            host: Host::Address(vip(sim)),
            port: 80,
        },
        protocol: Protocol::TCP,
        count: 1,
        timeout: Duration::from_secs(3),
        payload: b"hello".to_vec(),
    }
}

/// A connection that is held from somewhere, and ten requests a second from there.
fn begin(sim: &mut Sim, from: Source) {
    let request = request(sim, from.clone());
    sim.open("held", &request).unwrap();
    let traffic = TrafficRequest {
        id: "load".to_owned(),
        from: vec![Sender::One(from)],
        to: request.to,
        protocol: request.protocol,
        rate: "10/s".parse::<Rate>().unwrap(),
        span: None,
        reuse: Reuse::Keepalive,
        timeout: request.timeout,
        payload: request.payload,
    };
    sim.start_traffic(&traffic).unwrap();
}

/// Whoever sent for it went with its node; what is told of that comes when the traffic is over.
#[test]
fn traffic_may_end_before_it_is_told_that_its_clients_are_gone() {
    let mut sim = cluster();
    let nobody = Host::Address([10, 244, 1, 250].into());
    for (id, from) in [
        ("lost", Source::Node("node-b".to_owned())),
        ("left", client()),
    ] {
        let mut request = request(&sim, from.clone());
        request.to.host = nobody.clone();
        let traffic = TrafficRequest {
            id: id.to_owned(),
            from: vec![Sender::One(from)],
            to: request.to,
            protocol: request.protocol,
            rate: "10/s".parse::<Rate>().unwrap(),
            span: None,
            reuse: Reuse::None,
            timeout: request.timeout,
            payload: request.payload,
        };
        sim.start_traffic(&traffic).unwrap();
    }
    let now = sim.now();
    sim.advance_to(now + Duration::from_millis(500));
    let place = Place::Node("node-b".to_owned());
    sim.fault(Fault::Down { place }, None).unwrap();
    let lost = sim.stop_traffic("lost").unwrap();
    assert!(lost.abandoned >= 5, "{}", lost.abandoned);
    let left = sim.stop_traffic("left").unwrap();
    assert!(left.all().count(Outcome::Timeout) >= 5);
}

/// Nothing of what began stands, and nobody sends.
fn check_over(sim: &mut Sim, from: &Source, why: &str) {
    let now = sim.now();
    sim.advance_to(now + Duration::from_millis(500));
    let missing = sim.source_host(from).unwrap_err();
    assert!(missing.wanted.contains(why), "{}", missing.wanted);
    assert!(!missing.existing.contains(&from.to_string()));
    let sent = sim.send("held", b"again", Duration::from_secs(1)).unwrap();
    assert_eq!(sent.outcome, Outcome::Reset);
    assert_eq!(sim.close("held").unwrap(), Some(Outcome::Reset));
    let report = sim.stop_traffic("load").unwrap();
    assert!(report.nobody >= 4, "{}", report.nobody);
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[test]
fn a_client_whose_container_crashes_has_no_connections_and_makes_none() {
    let mut sim = one_backend("");
    begin(&mut sim, client());
    run_to(&mut sim, 6000);
    crash(&mut sim, "client");
    check_over(&mut sim, &client(), "its containers have crashed");
    run_to(&mut sim, 20_000);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
}

#[test]
fn a_client_that_is_removed_has_no_connections() {
    let mut sim = one_backend("");
    begin(&mut sim, client());
    run_to(&mut sim, 6000);
    sim.delete(&ObjectKey::new(Kind::Pod, "default", "client"))
        .unwrap();
    run_to(&mut sim, 45_000);
    check_over(&mut sim, &client(), "pod");
}

#[test]
fn a_node_without_power_has_no_connections_and_makes_none() {
    let mut sim = one_backend("");
    let node = Source::Node("node-a".to_owned());
    begin(&mut sim, node.clone());
    run_to(&mut sim, 6000);
    let place = Place::Node("node-a".to_owned());
    let fault = sim.fault(Fault::Down { place }, None).unwrap();
    check_over(&mut sim, &node, "node/node-a with power");
    sim.heal(fault);
    run_to(&mut sim, 20_000);
    let request = request(&sim, node);
    assert_eq!(
        sim.connect(&request).unwrap()[0].outcome,
        Outcome::Connected
    );
}

fn outcome(sim: &mut Sim) -> Outcome {
    let host = Host::Address(vip(sim));
    connect(sim, client(), host, Protocol::TCP, 1)[0].outcome
}

#[test]
fn a_container_that_has_crashed_refuses_until_it_is_back() {
    let mut sim = one_backend("");
    assert_eq!(outcome(&mut sim), Outcome::Connected);
    crash(&mut sim, "web-1");
    // The rules are as they were: the host is there, and nobody listens.
    run_to(&mut sim, 5006);
    assert_eq!(outcome(&mut sim), Outcome::Refused);
    run_to(&mut sim, 9000);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
}

#[test]
fn a_container_that_starts_slowly_starts_as_slowly_again() {
    let mut sim = one_backend("switchboard.dev/start-delay: 3s");
    run_to(&mut sim, 8000);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
    crash(&mut sim, "web-1");
    run_to(&mut sim, 10_500);
    assert_eq!(outcome(&mut sim), Outcome::Refused);
    run_to(&mut sim, 14_000);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
}

#[test]
fn a_node_that_boots_serves_again_at_other_addresses() {
    let mut sim = one_backend("");
    let address = |sim: &Sim| {
        sim.control()
            .api()
            .pod("default", "web-1")
            .unwrap()
            .status
            .pod_ip
            .clone()
    };
    let before = address(&sim);
    sim.control.set_node_down("node-b", true);
    run_to(&mut sim, 70_000);
    assert_ne!(outcome(&mut sim), Outcome::Connected);
    sim.control.set_node_down("node-b", false);
    run_to(&mut sim, 90_000);
    assert_ne!(address(&sim), before);
    assert_eq!(outcome(&mut sim), Outcome::Connected);
}
