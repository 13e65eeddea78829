//! What faults do to packets.

use control::{Fault, FaultId, Impairment, LinkEnd, PerMillion, Place};

use super::*;

fn begin(sim: &mut Sim, fault: Fault) -> FaultId {
    sim.fault(fault, None).unwrap()
}

fn pass(sim: &mut Sim, millis: u64) {
    let until = sim.now() + Duration::from_millis(millis);
    sim.advance_to(until);
}

fn node(name: &str) -> String {
    name.to_owned()
}

fn link(impairment: Impairment) -> Fault {
    Fault::Link {
        a: LinkEnd::Zone("zone-1".to_owned()),
        b: LinkEnd::Node(node("node-b")),
        impairment,
    }
}

/// The client's connections to the Service's own address, so that DNS has no part in it.
fn dial(sim: &mut Sim, count: u32) -> Vec<Connection> {
    let host = Host::Address(vip(sim));
    connect(sim, client(), host, Protocol::TCP, count)
}

fn check_all_served(sim: &mut Sim) {
    let connections = dial(sim, 40);
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    assert_eq!(backends(&connections).len(), 3);
}

/// Backends on the client's node answer, and nobody else.
fn check_only_the_near_one(sim: &mut Sim) {
    let connections = dial(sim, 40);
    assert_eq!(
        outcomes(&connections),
        [Outcome::Connected, Outcome::Timeout].into()
    );
    assert_eq!(backends(&connections), [node("pod/default/web-1")].into());
}

#[test]
fn a_cut_link_carries_nothing_and_others_do() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let cut = Impairment {
            cut: true,
            ..Impairment::default()
        };
        let fault = begin(&mut sim, link(cut));
        check_only_the_near_one(&mut sim);
        sim.heal(fault);
        check_all_served(&mut sim);
    }
}

#[test]
fn who_repeats_itself_to_nobody_is_nothing_to_wait_for() {
    let mut sim = cluster();
    let request = ConnectRequest {
        from: client(),
        to: Target {
            host: Host::Address(vip(&sim)),
            port: 80,
        },
        protocol: Protocol::TCP,
        count: 1,
        timeout: Duration::from_secs(3),
        payload: b"hello".to_vec(),
    };
    for id in ["a", "b", "c", "d"] {
        sim.open(id, &request).unwrap();
    }
    let cut = Impairment {
        cut: true,
        ..Impairment::default()
    };
    let fault = begin(&mut sim, link(cut));
    let send = |sim: &mut Sim, id| {
        let seen = sim.send(id, b"again", request.timeout).unwrap();
        seen.outcome
    };
    let silent = ["a", "b", "c", "d"].map(|id| send(&mut sim, id));
    assert!(silent.contains(&Outcome::Timeout), "{silent:?}");
    // What is on its way is lost at the cut.
    pass(&mut sim, 1);
    assert_eq!(sim.next_event_at(), None, "it would go on for minutes");
    sim.heal(fault);
    pass(&mut sim, 30_000);
    let heard = ["a", "b", "c", "d"].map(|id| send(&mut sim, id));
    assert_eq!(heard, [Outcome::Connected; 4]);
}

/// That of a Pod is cut, and of the next one of its name; those of its node are whole.
#[test]
fn a_pods_link_is_its_own() {
    let mut sim = cluster();
    let key = ObjectKey::new(Kind::Pod, "default", "web-1");
    let fault = Fault::PodLink {
        pods: vec![key.clone()],
        impairment: Impairment {
            cut: true,
            ..Impairment::default()
        },
    };
    let check_others = |sim: &mut Sim| {
        let connections = dial(sim, 40);
        let others = ["pod/default/web-2", "pod/default/web-3"].map(node);
        assert_eq!(backends(&connections), others.into());
        let both = [Outcome::Connected, Outcome::Timeout];
        assert_eq!(outcomes(&connections), both.into());
    };
    let cut = begin(&mut sim, fault);
    check_others(&mut sim);
    sim.delete(&key).unwrap();
    pass(&mut sim, 60_000);
    let connections = dial(&mut sim, 40);
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    apply(&mut sim, &backend("web-1", "node-a"));
    pass(&mut sim, 5_000);
    check_others(&mut sim);
    sim.heal(cut);
    check_all_served(&mut sim);
}

#[test]
fn who_has_no_link_is_told() {
    let mut sim = cluster();
    let host = backend("web-9", "node-a").replace("spec:", "spec:\n  hostNetwork: true");
    apply(&mut sim, &host);
    for name in ["web-9", "web-8"] {
        let fault = Fault::PodLink {
            pods: vec![ObjectKey::new(Kind::Pod, "default", name)],
            impairment: Impairment::default(),
        };
        let error = sim.fault(fault, None).unwrap_err().to_string();
        let said = match name {
            "web-9" => "there is no link between pod/default/web-9 and a node at this instant",
            _ => "there is no pod/default/web-8 at this instant",
        };
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn two_faults_of_a_link_add_up() {
    let mut sim = cluster();
    let delay = |millis| Impairment {
        delay: Duration::from_millis(millis),
        ..Impairment::default()
    };
    let far = |sim: &mut Sim| {
        let connections = dial(sim, 40);
        let far = connections.into_iter().filter_map(|one| one.latency).max();
        far.unwrap()
    };
    let before = far(&mut sim);
    let first = begin(&mut sim, link(delay(20)));
    let second = begin(&mut sim, link(delay(5)));
    assert_eq!(far(&mut sim), before + Duration::from_millis(50));
    sim.heal(first);
    assert_eq!(far(&mut sim), before + Duration::from_millis(10));
    sim.heal(second);
    assert_eq!(far(&mut sim), before);
}

#[test]
fn a_lossy_link_delivers_all_the_same() {
    let mut sim = cluster();
    let loss = Impairment {
        loss: PerMillion::new(100_000).unwrap(),
        ..Impairment::default()
    };
    begin(&mut sim, link(loss));
    let host = Host::Address(vip(&sim));
    let request = ConnectRequest {
        from: client(),
        to: Target { host, port: 80 },
        protocol: Protocol::TCP,
        count: 40,
        timeout: Duration::from_secs(60),
        payload: b"hello".to_vec(),
    };
    let connections = sim.connect(&request).unwrap();
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    let slow = connections
        .iter()
        .filter(|one| one.latency > Some(Duration::from_millis(500)));
    assert!(slow.count() > 0, "nothing was lost");
}

#[test]
fn a_node_without_power_answers_nobody_and_comes_back_without_its_past() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        check_all_served(&mut sim);
        let place = Place::Zone("zone-2".to_owned());
        let fault = begin(&mut sim, Fault::Down { place });
        let node_b = sim.nodes["node-b"];
        assert!(sim.plane.node_state(node_b).is_empty(), "conntrack is lost");
        check_only_the_near_one(&mut sim);
        let there = Source::Pod(ObjectKey::new(Kind::Pod, "default", "web-2"));
        let missing = sim.source_host(&there).unwrap_err().wanted;
        assert!(
            missing.contains("on node node-b, which has no power"),
            "{missing}"
        );
        sim.heal(fault);
        // It is not long enough for anybody to notice but those who tried; Pods take a second to start.
        pass(&mut sim, 10_000);
        check_all_served(&mut sim);
    }
}

#[test]
fn proxy_75_a_full_table_takes_no_new_connection() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let full = |max| Fault::ConntrackFull {
            node: node("node-a"),
            max,
        };
        let wide = begin(&mut sim, full(1_000));
        let narrow = begin(&mut sim, full(5));
        let connections = dial(&mut sim, 20);
        let lost = connections
            .iter()
            .filter(|one| one.outcome == Outcome::Timeout);
        assert!(lost.count() >= 10, "{mode}: the least of both counts");
        sim.heal(narrow);
        check_all_served(&mut sim);
        sim.heal(wide);
    }
}

/// DBG-2: the client waits for as long as its resolver tries.
#[test]
fn a_silent_dns_times_out() {
    let mut sim = cluster();
    let fault = begin(&mut sim, Fault::DnsDown);
    let request = ResolveRequest {
        from: client(),
        name: "web".to_owned(),
        record_types: vec!["A".to_owned()],
        protocol: Protocol::UDP,
    };
    let resolution = sim.resolve(&request).unwrap();
    assert_eq!(resolution.rcode, "TIMEOUT");
    let waited = resolution.finished.since(resolution.started);
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    check_all_served(&mut sim);
    sim.heal(fault);
    assert_eq!(sim.resolve(&request).unwrap().rcode, "NOERROR");
}

/// A backend goes while the node's proxy cannot follow: it is still chosen, and nobody is there.
fn check_stale(mode: ProxyMode, fault: Fault) {
    let mut sim = cluster_in(mode);
    let fault = begin(&mut sim, fault);
    let gone = ObjectKey::new(Kind::Pod, "default", "web-2");
    sim.delete(&gone).unwrap();
    pass(&mut sim, 40_000);
    let connections = dial(&mut sim, 40);
    let lost = connections
        .iter()
        .filter(|one| one.outcome != Outcome::Connected);
    assert!(lost.count() > 0, "{mode}: PROXY-68");
    sim.heal(fault);
    pass(&mut sim, 5_000);
    let connections = dial(&mut sim, 40);
    assert_eq!(outcomes(&connections), [Outcome::Connected].into());
    assert_eq!(backends(&connections).len(), 2);
}

#[test]
fn proxy_68_a_proxy_that_cannot_follow_leaves_stale_endpoints() {
    for mode in ProxyMode::ALL {
        check_stale(
            mode,
            Fault::ProxyCrash {
                node: node("node-a"),
            },
        );
        check_stale(
            mode,
            Fault::ProxyStall {
                node: node("node-a"),
            },
        );
        check_stale(
            mode,
            Fault::PartitionApi {
                node: node("node-a"),
            },
        );
        let late = Fault::WatchDelay {
            place: Place::Node(node("node-a")),
            by: Duration::from_secs(3600),
        };
        check_stale(mode, late);
    }
}

#[test]
fn rules_go_on_without_an_api_server() {
    let mut sim = cluster();
    let fault = begin(&mut sim, Fault::ApiDown);
    let gone = ObjectKey::new(Kind::Pod, "default", "web-2");
    assert!(sim.delete(&gone).is_err());
    assert!(sim.check_reachable().is_err());
    pass(&mut sim, 60_000);
    check_all_served(&mut sim);
    sim.heal(fault);
    sim.delete(&gone).unwrap();
}

/// What a client of node-a finds right after the restart of its proxy in another mode.
fn check_switch(from: ProxyMode, to: ProxyMode, meanwhile: Outcome) {
    let mut sim = cluster_in(from);
    let mut config = sim.proxy_config("node-a").unwrap();
    config.mode = to;
    sim.configure_proxy("node-a", config).unwrap();
    sim.restart_proxy("node-a").unwrap();
    let host = Host::Address(vip(&sim));
    let request = ConnectRequest {
        from: client(),
        to: Target { host, port: 80 },
        protocol: Protocol::TCP,
        count: 5,
        timeout: Duration::from_millis(500),
        payload: Vec::new(),
    };
    let connections = sim.connect(&request).unwrap();
    assert_eq!(outcomes(&connections), [meanwhile].into(), "{from} to {to}");
    pass(&mut sim, 3_000);
    check_all_served(&mut sim);
    let text = sim.rules("node-a").unwrap();
    let is_nft = text.contains("table ip kube-proxy");
    assert_eq!(is_nft, to != ProxyMode::Iptables, "{from} to {to}");
    assert_eq!(text.contains("KUBE-SERVICES"), to == ProxyMode::Iptables);
}

#[test]
fn between_kube_proxys_dialects_nothing_is_served_for_a_while() {
    check_switch(ProxyMode::Iptables, ProxyMode::Nftables, Outcome::Timeout);
    check_switch(ProxyMode::Nftables, ProxyMode::Iptables, Outcome::Timeout);
    check_switch(ProxyMode::Flat, ProxyMode::Nftables, Outcome::Connected);
    check_switch(ProxyMode::Iptables, ProxyMode::Flat, Outcome::Connected);
    check_switch(ProxyMode::Iptables, ProxyMode::Iptables, Outcome::Connected);
}

#[test]
fn two_runs_with_faults_are_equal_byte_for_byte() {
    let run = || {
        let mut sim = cluster();
        sim.enable_capture();
        let jitter = Impairment {
            jitter: Duration::from_millis(3),
            delay: Duration::from_millis(5),
            loss: PerMillion::new(50_000).unwrap(),
            duplicate: PerMillion::new(50_000).unwrap(),
            reorder: PerMillion::new(250_000).unwrap(),
            ..Impairment::default()
        };
        sim.fault(link(jitter), Some(Duration::from_secs(20)))
            .unwrap();
        let crash = Fault::ProxyCrash {
            node: node("node-b"),
        };
        sim.fault(crash, Some(Duration::from_secs(5))).unwrap();
        let connections: Vec<String> = by_name(&mut sim, 20)
            .iter()
            .map(|one| format!("{one:?}"))
            .collect();
        pass(&mut sim, 60_000);
        (connections, sim.happenings(), sim.captures())
    };
    assert_eq!(run(), run());
}
