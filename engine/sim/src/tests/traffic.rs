//! Connections that are held, traffic in the background, and why some of it fails.

use control::{Fault, Place, Rate, Reuse, Sender, TrafficFailure, TrafficReport, TrafficRequest};

use super::*;

const CLIENTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: clients}
spec:
  replicas: 2
  selector: {matchLabels: {app: clients}}
  template:
    metadata: {labels: {app: clients}}
    spec: {containers: [{name: c, image: c}]}
";

fn request(sim: &Sim, protocol: Protocol) -> ConnectRequest {
    ConnectRequest {
        from: client(),
        to: Target {
            host: Host::Address(vip(sim)),
            port: 80,
        },
        protocol,
        count: 1,
        timeout: Duration::from_secs(3),
        payload: b"hello".to_vec(),
    }
}

fn traffic(sim: &Sim, rate: &str, reuse: Reuse) -> TrafficRequest {
    let dial = request(sim, Protocol::TCP);
    TrafficRequest {
        id: "load".to_owned(),
        from: vec![Sender::One(dial.from)],
        to: dial.to,
        protocol: dial.protocol,
        rate: rate.parse::<Rate>().unwrap(),
        span: None,
        reuse,
        timeout: dial.timeout,
        payload: dial.payload,
    }
}

fn pod(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Pod, "default", name)
}

fn delete_backend(sim: &mut Sim, seen: &Connection) {
    let name = seen.backend.as_ref().unwrap().name.clone();
    let name = name.strip_prefix("pod/default/").unwrap();
    sim.delete(&pod(name)).unwrap();
}

fn send(sim: &mut Sim, id: &str) -> Connection {
    sim.send(id, b"again", Duration::from_secs(3)).unwrap()
}

/// A backend that goes on until it is killed, a grace period of five seconds after its deletion.
fn draining(mode: ProxyMode) -> Sim {
    let mut sim = cluster_in(mode);
    for name in ["web-1", "web-2", "web-3"] {
        sim.delete(&pod(name)).unwrap();
    }
    run_to(&mut sim, 40_000);
    let drain = backend("drain", "node-b")
        .replace(
            "labels:",
            "annotations: {switchboard.dev/on-term: drain}, labels:",
        )
        .replace("spec:\n", "spec:\n  terminationGracePeriodSeconds: 5\n");
    apply(&mut sim, &drain);
    run_to(&mut sim, 45_000);
    sim
}

#[test]
fn a_held_connection_keeps_its_backend() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let dial = request(&sim, Protocol::TCP);
        let opened = sim.open("c1", &dial).unwrap();
        assert_eq!(opened.outcome, Outcome::Connected, "{mode}");
        assert!(!opened.decisions.is_empty());
        for _ in 0..5 {
            let sent = send(&mut sim, "c1");
            assert_eq!(sent.outcome, Outcome::Connected);
            assert_eq!(
                (&sent.backend, sent.peer_seen),
                (&opened.backend, opened.peer_seen)
            );
            assert!(sent.latency.unwrap() > Duration::ZERO);
            let told = &sent.decisions[0].meaning;
            assert!(
                told.starts_with("connection tracking keeps to what was decided"),
                "{told}"
            );
        }
        assert_eq!(sim.close("c1").unwrap(), None);
        assert!(sim.send("c1", b"", Duration::from_secs(1)).is_err());
        run_to(&mut sim, 8000);
        let backend = sim.fleet.host(&pod("web-1")).unwrap();
        assert_eq!(sim.plane.socket_count(backend), 1, "the UDP port alone");
        assert!(
            sim.clients
                .on(sim.source_host(&client()).unwrap())
                .is_empty()
        );
    }
}

/// What it answers on a connection for one request is as it was before there were others.
#[test]
fn a_connection_for_one_request_is_closed_by_the_server() {
    let mut sim = cluster();
    sim.enable_capture();
    let seen = by_name(&mut sim, 1);
    assert_eq!(seen[0].outcome, Outcome::Connected);
    let dial = request(&sim, Protocol::TCP);
    sim.open("c1", &dial).unwrap();
    let bytes: Vec<u8> = sim.captures().into_values().flatten().collect();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(b"keep-alive\nhello\n"));
}

#[test]
fn sigterm_ends_held_connections_unless_the_application_drains() {
    let mut sim = cluster();
    let dial = request(&sim, Protocol::TCP);
    let opened = sim.open("c1", &dial).unwrap();
    delete_backend(&mut sim, &opened);
    run_to(&mut sim, 5500);
    assert_eq!(send(&mut sim, "c1").outcome, Outcome::Reset);
    assert_eq!(sim.close("c1").unwrap(), Some(Outcome::Reset));

    let mut sim = draining(ProxyMode::Nftables);
    let dial = request(&sim, Protocol::TCP);
    let opened = sim.open("c1", &dial).unwrap();
    assert_eq!(opened.backend.as_ref().unwrap().name, "pod/default/drain");
    delete_backend(&mut sim, &opened);
    run_to(&mut sim, 47_000);
    assert_eq!(
        send(&mut sim, "c1").outcome,
        Outcome::Connected,
        "it drains"
    );
    run_to(&mut sim, 60_000);
    assert_eq!(
        send(&mut sim, "c1").outcome,
        Outcome::Reset,
        "it was killed"
    );
}

#[test]
fn an_answer_may_take_a_while() {
    let mut sim = cluster_in(ProxyMode::Nftables);
    for name in ["web-1", "web-2", "web-3"] {
        sim.delete(&pod(name)).unwrap();
    }
    let slow = backend("slow", "node-b").replace(
        "labels:",
        "annotations: {switchboard.dev/respond-after: 2s}, labels:",
    );
    apply(&mut sim, &slow);
    run_to(&mut sim, 45_000);
    for protocol in [Protocol::TCP, Protocol::UDP] {
        if protocol == Protocol::UDP {
            let udp = SERVICE.replace("port: 80", "protocol: UDP, port: 80");
            apply(&mut sim, &udp.replace("name: web", "name: udp"));
            run_to(&mut sim, 60_000);
        }
        let name = if protocol == Protocol::UDP {
            "udp"
        } else {
            "web"
        };
        let mut dial = request(&sim, protocol);
        dial.to.host = Host::Name(name.to_owned());
        let seen = sim.connect(&dial).unwrap().remove(0);
        assert_eq!(seen.outcome, Outcome::Connected, "{protocol}");
        let took = seen.finished.since(seen.started);
        assert!((2000..2100).contains(&took.as_millis()), "{took:?}");
        dial.timeout = Duration::from_secs(1);
        assert_eq!(sim.connect(&dial).unwrap()[0].outcome, Outcome::Timeout);
    }
    // The answer to a request that was given up is not taken for that to the next one.
    let mut dial = request(&sim, Protocol::TCP);
    dial.timeout = Duration::from_secs(1);
    let opened = sim.open("c1", &dial).unwrap();
    assert_eq!(opened.outcome, Outcome::Timeout);
    let sent = send(&mut sim, "c1");
    assert_eq!(sent.outcome, Outcome::Connected);
    assert!(sent.latency.unwrap() >= Duration::from_secs(2));
}

/// PROXY-73: a connected UDP socket goes where conntrack has it, until the proxy cleans up.
#[test]
fn a_udp_socket_keeps_its_port_and_so_its_backend() {
    let mut sim = cluster();
    let udp = SERVICE.replace("port: 80", "protocol: UDP, port: 80");
    apply(&mut sim, &udp.replace("name: web", "name: udp"));
    run_to(&mut sim, 8000);
    let mut dial = request(&sim, Protocol::UDP);
    dial.to.host = Host::Name("udp".to_owned());
    let opened = sim.open("u", &dial).unwrap();
    let first = send(&mut sim, "u");
    assert_eq!(
        (first.backend, first.peer_seen),
        (opened.backend.clone(), opened.peer_seen)
    );
    delete_backend(&mut sim, &opened);
    run_to(&mut sim, 20_000);
    let after = send(&mut sim, "u");
    assert_eq!(after.outcome, Outcome::Connected, "the entry is gone");
    assert_ne!(after.backend, opened.backend);
    assert_eq!(
        after.peer_seen.unwrap().port(),
        opened.peer_seen.unwrap().port()
    );
}

fn run_load(sim: &mut Sim, request: &TrafficRequest, until: u64) -> TrafficReport {
    sim.start_traffic(request).unwrap();
    run_to(sim, until);
    sim.stop_traffic(&request.id).unwrap()
}

#[test]
fn traffic_keeps_its_rate_and_counts_everything() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let load = traffic(&sim, "100/s", Reuse::None);
        let report = run_load(&mut sim, &load, 7000);
        // From 5 s to 7 s, both included.
        assert_eq!(report.new.total(), 201, "{mode}");
        assert_eq!((report.new.failed(), report.established.total()), (0, 0));
        assert_eq!(report.new.by(|fate| fate.backend.clone()).len(), 3);
        let zones = report
            .new
            .by(|fate| Some((&*fate.from_zone, fate.to_zone.as_deref()?)));
        assert_eq!(zones.values().sum::<u64>(), 201);
        assert!(zones.keys().all(|(from, _)| *from == "zone-1"));
        assert_eq!(report.new.latency.len(), 201);
        assert!(report.failures.is_empty());
        run_to(&mut sim, 8000);
        assert_eq!(sim.next_event_at(), None, "nothing is left over");
    }
}

#[test]
fn traffic_ends_by_itself_and_may_be_kept_alive() {
    let mut sim = cluster();
    let mut load = traffic(&sim, "50/s", Reuse::Keepalive);
    load.span = Some(Duration::from_secs(1));
    let report = run_load(&mut sim, &load, 9000);
    assert_eq!(report.new.total() + report.established.total(), 50);
    assert_eq!(report.new.total(), 1, "one connection serves one client");
    assert_eq!(report.all().failed(), 0);
    assert_eq!(report.ended.since(report.started), Duration::from_secs(1));
    assert!(sim.stop_traffic("load").is_err(), "it is over");
}

#[test]
fn the_ready_pods_of_a_workload_send_in_turn_as_they_come_and_go() {
    let mut sim = cluster();
    apply(&mut sim, CLIENTS);
    let mut load = traffic(&sim, "10/s", Reuse::None);
    let workload = ObjectKey::new(Kind::Deployment, "default", "clients");
    load.from = vec![
        Sender::PodsOf(workload.clone()),
        Sender::PodsOf(workload.clone()),
    ];
    sim.start_traffic(&load).unwrap();
    run_to(&mut sim, 5900);
    run_to(&mut sim, 10_000);
    let two = serde_json::json!({"spec": {"replicas": 0}});
    sim.patch(&workload, two.as_object().unwrap()).unwrap();
    run_to(&mut sim, 20_000);
    let report = sim.stop_traffic("load").unwrap();
    assert_eq!(report.all().failed(), 0, "{:?}", report.failures);
    // Nobody until the Pods run, nor after they are gone.
    assert!(report.nobody > 90, "{}", report.nobody);
    assert!(report.new.total() > 20, "{}", report.new.total());
    assert_eq!(report.new.total() + report.nobody + report.abandoned, 151);
}

#[test]
fn dbg_41_a_failure_is_told_with_what_the_rules_did_not_know_yet() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let load = traffic(&sim, "200/s", Reuse::None);
        sim.start_traffic(&load).unwrap();
        run_to(&mut sim, 6000);
        sim.delete(&pod("web-2")).unwrap();
        run_to(&mut sim, 12_000);
        let report = sim.stop_traffic("load").unwrap();
        let all = report.all();
        assert!(
            all.failed() > 0 && all.failed() == all.count(Outcome::Refused),
            "{mode}"
        );
        assert!(report.failures.len() <= TrafficReport::FAILURES_MAX);
        let last = report.failures.last().unwrap();
        for part in [
            "node-a's rules still had 10.244.2.",
            "removed from the EndpointSlice",
            "before: nobody listened there any more; the sync that took it out of node-a's rules ended",
        ] {
            assert!(last.why.contains(part), "{mode}: {}", last.why);
        }
    }
}

#[test]
fn proxy_14_a_refusal_by_rule_is_told_as_one() {
    let mut sim = cluster();
    let lonely = SERVICE
        .replace("app: web", "app: nobody")
        .replace("name: web", "name: lonely");
    apply(&mut sim, &lonely);
    run_to(&mut sim, 8000);
    let service = sim.control().api().service("default", "lonely").unwrap();
    let address = service.addresses().next().unwrap();
    let mut load = traffic(&sim, "10/s", Reuse::None);
    load.to.host = Host::Address(address);
    let report = run_load(&mut sim, &load, 9000);
    assert_eq!(report.new.count(Outcome::Refused), 11);
    let why = &report.failures[0].why;
    assert!(why.starts_with("node-a's rules refuse it: "), "{why}");
    let mut load = traffic(&sim, "10/s", Reuse::None);
    load.to.host = Host::Name("nobody".to_owned());
    let report = run_load(&mut sim, &load, 10_000);
    assert_eq!(
        report.failures[0].why,
        "its name was not resolved: NXDOMAIN"
    );
    assert!(report.dns_queries >= 40);
}

#[test]
fn what_no_rule_concerned_is_told_as_such() {
    let mut sim = cluster();
    run_to(&mut sim, 5000);
    let mut load = traffic(&sim, "10/s", Reuse::None);
    let backend = sim.control().api().pod("default", "web-1").unwrap();
    load.to.host = Host::Address(backend.addresses()[0]);
    let report = run_load(&mut sim, &load, 6000);
    let why = &report.failures[0].why;
    assert!(
        why.starts_with("no rule of node-a had translated the first packet to 10.244."),
        "{why}"
    );
    assert!(why.ends_with(": it was refused"), "{why}");
    let mut load = traffic(&sim, "10/s", Reuse::None);
    load.from = vec![Sender::One(Source::Outside("laptop".to_owned()))];
    let report = run_load(&mut sim, &load, 12_000);
    let why = &report.failures[0].why;
    let to = vip(&sim);
    assert_eq!(
        *why,
        format!("it came to no node: nobody on its way has {to}")
    );
}

/// Why requests of the laptop's failed, of a second of them.
fn story_of_laptop(sim: &mut Sim, to: IpAddr, port: u16) -> String {
    let mut load = traffic(sim, "5/s", Reuse::None);
    load.from = vec![Sender::One(Source::Outside("laptop".to_owned()))];
    load.to = Target {
        host: Host::Address(to),
        port,
    };
    load.timeout = Duration::from_millis(500);
    let until = sim.control().now() + Duration::from_secs(1);
    sim.start_traffic(&load).unwrap();
    sim.advance_to(until);
    let report = sim.stop_traffic(&load.id).unwrap();
    assert_eq!(report.new.failed(), report.new.total());
    report.failures[0].why.clone()
}

#[test]
fn what_a_nodes_rules_refuse_to_the_outside_is_told_as_theirs() {
    let node_a = IpAddr::from([192, 168, 1, 1]);
    for mode in ProxyMode::ALL {
        let mut config = config(7, mode);
        config.load_balancer_pool = vec!["198.18.0.0/28".parse().unwrap()];
        let mut sim = Sim::new(config).unwrap();
        apply(&mut sim, SERVICE);
        apply(&mut sim, &backend("web-1", "node-a"));
        let exposed = SERVICE
            .replace("app: web", "app: nobody")
            .replace("name: web", "name: lonely")
            .replace("spec: {", "spec: {type: NodePort, ")
            .replace("port: 80,", "port: 80, nodePort: 30080,");
        apply(&mut sim, &exposed);
        let guarded = SERVICE.replace("name: web", "name: guarded").replace(
            "spec: {",
            "spec: {type: LoadBalancer, loadBalancerSourceRanges: [198.51.100.0/24], ",
        );
        apply(&mut sim, &guarded);
        run_to(&mut sim, 8000);
        let why = story_of_laptop(&mut sim, node_a, 30080);
        assert!(
            why.starts_with("node-a's rules refuse it: "),
            "{mode}: {why}"
        );
        let service = sim.control().api().service("default", "guarded").unwrap();
        let vip = service.status.load_balancer.ingress[0].ip.parse().unwrap();
        let why = story_of_laptop(&mut sim, vip, 80);
        assert!(why.contains("'s rules drop it: "), "{mode}: {why}");
    }
}

#[test]
fn what_is_lost_on_its_way_from_the_outside_is_told_with_the_place() {
    let mut sim = cluster();
    let node_b = IpAddr::from([192, 168, 1, 2]);
    let place = Place::Node("node-b".to_owned());
    sim.fault(Fault::Down { place }, None).unwrap();
    let why = story_of_laptop(&mut sim, node_b, 30080);
    assert_eq!(why, "it was lost at node-b: the node is down");
}

#[test]
fn who_asks_an_endpoint_itself_is_not_told_of_rules() {
    let mut sim = cluster();
    let backend = sim.control().api().pod("default", "web-2").unwrap();
    let to = SocketAddr::new(backend.addresses()[0], 8080);
    let mut load = traffic(&sim, "50/s", Reuse::None);
    load.to = Target {
        host: Host::Address(to.ip()),
        port: to.port(),
    };
    sim.start_traffic(&load).unwrap();
    run_to(&mut sim, 5500);
    sim.delete(&pod("web-2")).unwrap();
    run_to(&mut sim, 7000);
    let report = sim.stop_traffic(&load.id).unwrap();
    let refused = |failure: &&TrafficFailure| failure.outcome == Outcome::Refused;
    let why = &report.failures.iter().find(refused).unwrap().why;
    let begin = format!(
        "no rule of node-a had translated the first packet to {to}: it was refused; {to} left the EndpointSlice "
    );
    assert!(why.starts_with(&begin) && why.ends_with(" before"), "{why}");
}

/// What clients learnt from DNS is no rule's doing.
#[test]
fn who_asks_a_headless_service_is_not_told_of_rules() {
    let mut sim = cluster();
    let headless = SERVICE
        .replace("web", "late")
        .replace("spec: {", "spec: {clusterIP: None, ");
    let late = backend("late-1", "node-b").replace(
        "labels: {app: web}",
        "labels: {app: late}, annotations: {switchboard.dev/start-delay: 60s}",
    );
    apply(&mut sim, &headless);
    apply(&mut sim, &late);
    run_to(&mut sim, 9000);
    let mut load = traffic(&sim, "5/s", Reuse::None);
    load.to = Target {
        host: Host::Name("late".to_owned()),
        port: 8080,
    };
    let report = run_load(&mut sim, &load, 10_000);
    let why = &report.failures[0].why;
    let begin = "no rule of node-a had translated the first packet to 10.244.2.";
    assert!(
        why.starts_with(begin) && why.ends_with(":8080: it was refused"),
        "{why}"
    );
}

#[test]
fn two_runs_with_traffic_are_equal() {
    let run = || {
        let mut sim = cluster();
        let load = traffic(&sim, "100/s", Reuse::Keepalive);
        sim.start_traffic(&load).unwrap();
        run_to(&mut sim, 6000);
        sim.delete(&pod("web-1")).unwrap();
        by_name(&mut sim, 5);
        run_to(&mut sim, 12_000);
        format!(
            "{:?} {:?}",
            sim.stop_traffic("load").unwrap(),
            sim.figures()
        )
    };
    assert_eq!(run(), run());
}

#[test]
fn syncs_and_rules_are_counted() {
    let sim = cluster();
    let figures = sim.figures();
    let syncs = &figures.syncs;
    assert!(syncs.full + syncs.partial >= 4, "{syncs:?}");
    assert!(syncs.time > Duration::ZERO && syncs.programming.len() >= 4);
    let least = syncs.programming.percentile(1).unwrap();
    assert!(
        least > Duration::from_millis(5),
        "a watch takes as long: {least:?}"
    );
}
