//! How a node's rules tell its Pods from everybody else.

use control::DetectLocal;

use super::*;

fn cluster_that_detects(detect: &DetectLocal, mode: ProxyMode) -> Sim {
    let mut config = config(7, mode);
    config.proxy.detect_local = detect.clone();
    let mut sim = Sim::new(config).unwrap();
    apply(&mut sim, CLIENT);
    apply(&mut sim, SERVICE);
    apply(&mut sim, &backend("web-2", "node-b"));
    run_to(&mut sim, 5000);
    sim
}

/// Whether the rules of the client's node hide who asks.
fn hides(sim: &mut Sim, from: ProbeSource) -> bool {
    let request = ProbeRequest {
        node: Some("node-a".to_owned()),
        from,
        to: SocketAddr::new(vip(sim), 80),
        protocol: Protocol::TCP,
    };
    let probe = sim.probe(&request).unwrap();
    let [(_, ProbeOutcome::Endpoint { snat, .. })] = probe.outcomes[..] else {
        panic!("{:?}", probe.outcomes);
    };
    snat
}

#[test]
fn proxy_21_pods_come_in_where_the_proxy_expects_them() {
    let detections = [
        DetectLocal::ClusterCidr(None),
        DetectLocal::NodeCidr,
        DetectLocal::BridgeInterface("cbr0".to_owned()),
        DetectLocal::InterfaceNamePrefix("cali".to_owned()),
        DetectLocal::InterfaceNamePrefix("veth".to_owned()),
    ];
    for (mode, detect) in ProxyMode::ALL
        .into_iter()
        .flat_map(|mode| detections.iter().map(move |detect| (mode, detect)))
    {
        let mut sim = cluster_that_detects(detect, mode);
        let host = Host::Address(vip(&sim));
        let own = sim.control().api().pod("default", "client").unwrap();
        let own = own.addresses()[0];
        let seen = connect(&mut sim, client(), host, Protocol::TCP, 1);
        let seen = seen[0].peer_seen.map(|peer| peer.ip());
        assert_eq!(seen, Some(own), "{mode} {detect:?}");
        let pod = ProbeSource::Source(client());
        assert!(!hides(&mut sim, pod), "{mode} {detect:?}");
        let there = ProbeSource::Address([10, 244, 1, 200].into());
        assert!(!hides(&mut sim, there), "{mode} {detect:?}");
        let stranger = ProbeSource::Address([203, 0, 113, 70].into());
        assert!(hides(&mut sim, stranger), "{mode} {detect:?}");
    }
}
