//! How a node's rules tell its Pods from everybody else.

use control::{DetectLocal, ProbeAnswer, Unheard};

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

fn detections() -> [DetectLocal; 5] {
    [
        DetectLocal::ClusterCidr(None),
        DetectLocal::NodeCidr,
        DetectLocal::BridgeInterface("cbr0".to_owned()),
        DetectLocal::InterfaceNamePrefix("cali".to_owned()),
        DetectLocal::InterfaceNamePrefix("veth".to_owned()),
    ]
}

#[test]
fn proxy_21_pods_come_in_where_the_proxy_expects_them() {
    let detections = detections();
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

/// A Pod that reaches itself through a Service needs its link in hairpin mode, whatever a node's rules see.
#[test]
fn a_probe_tells_of_a_missing_hairpin_as_a_connection_does() {
    for (mode, hairpin) in ProxyMode::ALL
        .into_iter()
        .flat_map(|mode| [true, false].map(|hairpin| (mode, hairpin)))
    {
        for detect in detections() {
            let mut config = config(7, mode);
            config.network.hairpin = hairpin;
            config.proxy.detect_local = detect.clone();
            let mut sim = Sim::new(config).unwrap();
            apply(&mut sim, SERVICE);
            apply(&mut sim, &backend("web-1", "node-a"));
            run_to(&mut sim, 5000);
            let own = Source::Pod(ObjectKey::new(Kind::Pod, "default", "web-1"));
            let request = ProbeRequest {
                node: None,
                from: ProbeSource::Source(own.clone()),
                to: SocketAddr::new(vip(&sim), 80),
                protocol: Protocol::TCP,
            };
            let answers = sim.probe(&request).unwrap().answers;
            let host = Host::Address(vip(&sim));
            let seen = connect(&mut sim, own, host, Protocol::TCP, 1)[0].outcome;
            let answers: Vec<ProbeAnswer> = answers.into_values().collect();
            let context = format!("{mode} {detect:?} {answers:?}");
            match hairpin {
                true => {
                    assert_eq!(answers, [ProbeAnswer::Heard], "{context}");
                    assert_eq!(seen, Outcome::Connected, "{context}");
                }
                false => {
                    let is_lost = |answer: &ProbeAnswer| matches!(answer, ProbeAnswer::Unheard(Unheard::Lost(why)) if why.contains("hairpin"));
                    assert!(answers.len() == 1 && is_lost(&answers[0]), "{context}");
                    assert_eq!(seen, Outcome::Timeout, "{context}");
                }
            }
        }
    }
}

/// A proxy that is told to look for a bridge where the cluster began without one takes its Pods for strangers.
#[test]
fn the_network_stays_as_the_cluster_began_with_it() {
    let mut sim = cluster_that_detects(&DetectLocal::ClusterCidr(None), ProxyMode::Nftables);
    assert!(!hides(&mut sim, ProbeSource::Source(client())));
    let mut proxy = sim.proxy_config("node-a").unwrap();
    proxy.settings.detect_local = DetectLocal::BridgeInterface("cbr0".to_owned());
    sim.configure_proxy("node-a", proxy).unwrap();
    sim.restart_proxy("node-a").unwrap();
    run_to(&mut sim, 10_000);
    assert!(hides(&mut sim, ProbeSource::Source(client())));
}
