//! Containers and nodes that end, as clients see it.

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
