//! First packets, every random choice explored.

use control::ProbeAnswer;

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

/// What a client sticks to is one state of many (PROXY-32): all are told.
#[test]
fn a_probe_of_a_client_that_sticks_tells_all_that_it_might_stick_to() {
    for mode in ProxyMode::ALL {
        let mut sim = cluster_in(mode);
        let sticky = SERVICE.replace("{selector", "{sessionAffinity: ClientIP, selector");
        apply(&mut sim, &sticky);
        run_to(&mut sim, 8000);
        assert_eq!(backends(&by_name(&mut sim, 20)).len(), 1, "{mode}");
        let request = ProbeRequest {
            node: None,
            from: ProbeSource::Source(client()),
            to: SocketAddr::new(vip(&sim), 80),
            protocol: Protocol::TCP,
        };
        assert_eq!(sim.probe(&request).unwrap().outcomes.len(), 3, "{mode}");
        assert_eq!(backends(&by_name(&mut sim, 20)).len(), 1, "{mode}");
    }
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

/// The way back is that of an answer, not of an error: no host knows whether anybody listens.
#[test]
fn an_sctp_association_is_traced_there_and_back() {
    let mut sim = cluster();
    let service = SERVICE
        .replace("name: web", "name: signal")
        .replace("port: 80", "protocol: SCTP, port: 3868");
    apply(&mut sim, &service);
    run_to(&mut sim, 8000);
    let to = Target {
        host: Host::Name("signal".to_owned()),
        port: 3868,
    };
    let trace = sim.trace(&client(), &to, Protocol::SCTP).unwrap();
    let last = trace.reply.last().unwrap();
    assert_eq!(
        (&*last.place, &*last.outcome),
        ("pod/default/client", "received")
    );
    let signal = sim.control().api().service("default", "signal").unwrap();
    let asked = SocketAddr::new(signal.addresses().next().unwrap(), 3868);
    let begin = format!("sctp {asked} ");
    assert!(last.packet.starts_with(&begin), "{}", last.packet);
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

/// An endpoint is what slices name, whether or not anybody is there.
#[test]
fn of_an_endpoint_without_anybody_no_answer_is_known() {
    let mut sim = cluster();
    apply(
        &mut sim,
        r#"
apiVersion: v1
kind: Service
metadata: {name: ghost}
spec: {clusterIP: 10.96.0.77, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ghost-1, labels: {kubernetes.io/service-name: ghost}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.250.0.9]}]
"#,
    );
    run_to(&mut sim, 8000);
    let web = SocketAddr::new(vip(&sim), 80);
    let mut answers = |to: SocketAddr| {
        let request = ProbeRequest {
            node: None,
            from: ProbeSource::Source(client()),
            to,
            protocol: Protocol::TCP,
        };
        sim.probe(&request).unwrap().answers
    };
    let ghost = answers("10.96.0.77:80".parse().unwrap());
    let endpoint = "10.250.0.9:8080".parse().unwrap();
    assert_eq!(ghost, [(endpoint, ProbeAnswer::Unknown)].into());
    let heard = answers(web).into_values().collect::<Vec<_>>();
    assert_eq!(heard, vec![ProbeAnswer::Heard; 3]);
}
