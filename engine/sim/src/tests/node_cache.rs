//! The DNS cache on each node.

use control::{CacheFigures, Fault, NODE_LOCAL_DNS, Place, Resolution};

use super::*;

fn cluster_with_caches() -> Sim {
    let config = ClusterConfig {
        node_local_dns: true,
        ..config(7, ProxyMode::Iptables)
    };
    let mut sim = Sim::new(config).unwrap();
    apply(&mut sim, CLIENT);
    apply(&mut sim, SERVICE);
    apply(&mut sim, &backend("web-2", "node-b"));
    run_to(&mut sim, 5000);
    sim
}

fn look_up(sim: &mut Sim, from: &str, protocol: Protocol) -> Resolution {
    let request = ResolveRequest {
        from: Source::Pod(ObjectKey::new(Kind::Pod, "default", from)),
        name: "web".to_owned(),
        record_types: vec!["A".to_owned()],
        protocol,
    };
    sim.resolve(&request).unwrap()
}

fn ask(sim: &mut Sim, from: &str, protocol: Protocol) -> Resolution {
    let seen = look_up(sim, from, protocol);
    assert_eq!(seen.rcode, "NOERROR", "{seen:?}");
    assert_eq!(seen.answers[0].data, vip(sim).to_string());
    assert_eq!(seen.attempts[0].server.ip(), NODE_LOCAL_DNS);
    seen
}

fn check_figures(sim: &Sim, hits: u64, misses: u64) {
    let expected = CacheFigures { hits, misses };
    assert_eq!(sim.figures().dns_cache, Some(expected));
}

/// How often a node has asked cluster DNS over TCP, as far as it remembers.
fn asked_of_dns(sim: &Sim, node: &str) -> usize {
    let of_dns = |entry: &&netfilter::Entry| {
        let to = entry.original().destination_socket();
        to == "10.96.0.10:53".parse().unwrap() && entry.original().protocol() == Protocol::TCP
    };
    sim.connections(node).unwrap().filter(of_dns).count()
}

#[test]
fn who_asks_again_is_answered_from_memory() {
    let mut sim = cluster_with_caches();
    let first = ask(&mut sim, "client", Protocol::UDP);
    check_figures(&sim, 0, 1);
    assert_eq!(asked_of_dns(&sim, "node-a"), 1);
    let later = sim.now() + Duration::from_secs(8);
    sim.advance_to(later);
    let again = ask(&mut sim, "client", Protocol::UDP);
    check_figures(&sim, 1, 1);
    assert_eq!(asked_of_dns(&sim, "node-a"), 1);
    let took = |seen: &Resolution| seen.finished.since(seen.started);
    assert!(
        took(&again) < took(&first),
        "{:?} {:?}",
        took(&again),
        took(&first)
    );
    assert_eq!(
        (first.answers[0].ttl, again.answers[0].ttl),
        (30, 22),
        "what is left of its time"
    );
    ask(&mut sim, "client", Protocol::TCP);
    check_figures(&sim, 2, 1);
}

#[test]
fn each_node_has_a_memory_of_its_own() {
    let mut sim = cluster_with_caches();
    ask(&mut sim, "client", Protocol::TCP);
    ask(&mut sim, "web-2", Protocol::UDP);
    check_figures(&sim, 0, 2);
    assert_eq!(asked_of_dns(&sim, "node-b"), 1);
    let node = Source::Node("node-b".to_owned());
    let request = ResolveRequest {
        from: node,
        name: "web.default.svc.cluster.local.".to_owned(),
        record_types: vec!["A".to_owned()],
        protocol: Protocol::UDP,
    };
    let seen = sim.resolve(&request).unwrap();
    assert_eq!(seen.attempts[0].server.ip(), IpAddr::from([10, 96, 0, 10]));
    check_figures(&sim, 0, 2);
}

#[test]
fn a_node_that_lost_its_power_remembers_nothing() {
    let mut sim = cluster_with_caches();
    ask(&mut sim, "web-2", Protocol::UDP);
    let place = Place::Node("node-b".to_owned());
    let fault = sim.fault(Fault::Down { place }, None).unwrap();
    run_to(&mut sim, 7000);
    sim.heal(fault).expect("it goes on");
    run_to(&mut sim, 12_000);
    ask(&mut sim, "web-2", Protocol::UDP);
    check_figures(&sim, 0, 2);
}

/// What could not be had is not remembered.
#[test]
fn once_cluster_dns_is_back_it_is_asked_again_at_once() {
    let mut sim = cluster_with_caches();
    let silence = sim.fault(Fault::DnsDown, None).unwrap();
    assert_eq!(look_up(&mut sim, "client", Protocol::UDP).rcode, "TIMEOUT");
    sim.heal(silence);
    ask(&mut sim, "client", Protocol::UDP);
}

/// A connection that is silent for too long, or refused, is followed by another one.
#[test]
fn a_short_failure_of_cluster_dns_is_outlasted() {
    let mut sim = cluster_with_caches();
    let lasts = Some(Duration::from_secs(3));
    sim.fault(Fault::DnsDown, lasts).unwrap();
    let seen = ask(&mut sim, "client", Protocol::UDP);
    let took = seen.finished.since(seen.started);
    assert_eq!((seen.attempts.len(), took.as_secs()), (1, 4), "{took:?}");

    let mut sim = cluster_with_caches();
    let pods = ["coredns-1", "coredns-2"];
    let pods = pods.map(|name| ObjectKey::new(Kind::Pod, "kube-system", name));
    let unready = Fault::PodUnready { pods: pods.into() };
    let fault = sim.fault(unready, None).unwrap();
    let later = sim.now() + Duration::from_secs(60);
    sim.advance_to(later);
    sim.heal(fault);
    let mut seen = (0..10).map(|_| look_up(&mut sim, "client", Protocol::TCP));
    let found = seen.find(|one| one.rcode != "TIMEOUT").unwrap();
    assert_eq!(found.rcode, "NOERROR", "{found:?}");
    let last = found.attempts.last().unwrap();
    let took = last.known.since(last.sent);
    assert!(took > Duration::from_millis(50), "refused first: {took:?}");
}

#[test]
fn without_the_setting_there_is_none() {
    let mut sim = cluster();
    assert_eq!(sim.figures().dns_cache, None);
    let seen = by_name(&mut sim, 1);
    let server = seen[0].resolution.as_ref().unwrap().attempts[0].server;
    assert_eq!(server.ip(), IpAddr::from([10, 96, 0, 10]));
    let at = SocketAddr::new(NODE_LOCAL_DNS, 53);
    let lost = sim.connect(&ConnectRequest {
        from: client(),
        to: Target {
            host: Host::Address(at.ip()),
            port: at.port(),
        },
        protocol: Protocol::TCP,
        count: 1,
        timeout: Duration::from_secs(1),
        payload: Vec::new(),
    });
    assert_eq!(lost.unwrap()[0].outcome, Outcome::Timeout);
}
