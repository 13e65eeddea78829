//! First packets, every random choice explored.

use super::*;

#[test]
fn a_probe_is_of_a_new_connection_however_many_there_are() {
    let mut sim = cluster();
    by_name(&mut sim, 3000);
    let request = ProbeRequest {
        node: None,
        from: ProbeSource::Source(client()),
        to: SocketAddr::new(vip(&sim), 80),
        protocol: Protocol::TCP,
    };
    assert_eq!(sim.probe(&request).unwrap().outcomes.len(), 3);
    let gre = ProbeRequest {
        protocol: Protocol(47),
        ..request
    };
    let error = sim.probe(&gre).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no first packet of protocol 47 at this instant; what exists: tcp, udp, sctp"
    );
}

/// An association begins with a packet like any other, though no simulated host could answer it.
#[test]
fn an_sctp_service_is_probed() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let service = SERVICE
            .replace("name: web", "name: signal")
            .replace("port: 80", "protocol: SCTP, port: 3868");
        apply(&mut sim, &service);
        run_to(&mut sim, 8000);
        let signal = sim.control().api().service("default", "signal").unwrap();
        let address = signal.addresses().next().unwrap();
        let request = ProbeRequest {
            node: None,
            from: ProbeSource::Source(client()),
            to: SocketAddr::new(address, 3868),
            protocol: Protocol::SCTP,
        };
        let outcomes = sim.probe(&request).unwrap().outcomes;
        assert_eq!(outcomes.len(), 3, "{mode}");
        for (_, outcome) in outcomes {
            let ProbeOutcome::Endpoint { to, snat } = outcome else {
                panic!("{mode}: {outcome:?}");
            };
            assert_eq!((to.port(), snat), (8080, false), "{mode}");
        }
    }
}

/// PROXY-25: the node's own connections are masqueraded, whatever address that gives them.
#[test]
fn a_node_that_hides_itself_is_hidden() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let node = IpAddr::from([192, 168, 1, 1]);
        let request = ProbeRequest {
            node: Some("node-a".to_owned()),
            from: ProbeSource::Address(node),
            to: SocketAddr::new(vip(&sim), 80),
            protocol: Protocol::TCP,
        };
        let outcomes = sim.probe(&request).unwrap().outcomes;
        let hidden =
            |outcome: &ProbeOutcome| matches!(outcome, ProbeOutcome::Endpoint { snat: true, .. });
        assert!(
            outcomes.iter().all(|(_, outcome)| hidden(outcome)),
            "{mode}: {outcomes:?}"
        );
    }
}

#[test]
fn a_name_is_looked_up_as_its_source_would() {
    let mut sim = cluster();
    by_name(&mut sim, 3000);
    assert_eq!(sim.address_of(&client(), "web"), Ok(vip(&sim)));
    let full = sim.address_of(&client(), "web.default.svc.cluster.local.");
    assert_eq!(full, Ok(vip(&sim)));
    let why = sim.address_of(&client(), "shop").unwrap_err();
    assert!(why.starts_with("shop has no address: "), "{why}");
    assert!(why.contains("NXDOMAIN"), "{why}");
}
