//! Who comes first at one instant: the control plane, then packets, then applications.

use control::{Rate, Reuse, Sender, TrafficRequest};

use super::*;

/// Has a packet of the client arrive at its node at an instant. What leads to it is due just before.
fn send_for(sim: &mut Sim, at: SimTime) {
    let first_hop = sim.control().config().network.same_node / 2;
    let before = SimTime::ZERO + (at.since(SimTime::ZERO) - first_hop);
    sim.run_to(before);
    connect_to_service(sim);
    assert_eq!(sim.plane.next_event_at(), Some(before));
}

fn connect_to_service(sim: &mut Sim) {
    let host = sim.find_host(&client()).unwrap();
    sim.plane.connect(host, SocketAddr::new(vip(sim), 80));
}

#[test]
fn the_control_plane_comes_before_packets() {
    let mut sim = cluster();
    let at = sim.control.next_event_at().unwrap();
    send_for(&mut sim, at);
    assert!(sim.advance(at));
    assert_eq!(sim.control.next_event_at(), Some(at));
    while sim.control.next_event_at() == Some(at) {
        assert_eq!(sim.plane.next_event_at(), Some(at), "it waits");
        assert!(sim.advance(at));
    }
    assert_eq!(sim.plane.next_event_at(), Some(at), "it has waited");
    assert!(sim.advance(at));
    assert!(sim.plane.next_event_at().unwrap() > at, "it has arrived");
}

#[test]
fn packets_come_before_applications() {
    let mut sim = cluster();
    let host = Host::Address(vip(&sim));
    let traffic = TrafficRequest {
        id: "load".to_owned(),
        from: vec![Sender::One(client())],
        to: Target { host, port: 80 },
        protocol: Protocol::TCP,
        rate: "10/s".parse::<Rate>().unwrap(),
        span: None,
        reuse: Reuse::Keepalive,
        timeout: Duration::from_secs(3),
        payload: b"hello".to_vec(),
    };
    sim.start_traffic(&traffic).unwrap();
    run_to(&mut sim, 5050);
    // Packets that are on their way before, and such that begin then.
    for begins_then in [false, true] {
        let at = sim.traffic.next_at().unwrap();
        if begins_then {
            sim.plane.advance_clock(at);
            connect_to_service(&mut sim);
            assert_eq!(sim.plane.next_event_at(), Some(at));
        } else {
            send_for(&mut sim, at);
        }
        assert!(sim.advance(at));
        assert!(sim.plane.next_event_at().unwrap() > at, "they have come");
        assert_eq!(sim.traffic.next_at(), Some(at), "it has waited");
        assert!(sim.advance(at));
        assert!(sim.traffic.next_at().unwrap() > at, "it has sent");
        sim.run_to(at + Duration::from_millis(50));
    }
}

#[test]
fn what_is_due_at_the_last_instant_happens() {
    let mut sim = cluster();
    let at = sim.now() + Duration::from_millis(1);
    assert!(sim.control.next_event_at().unwrap() > at);
    send_for(&mut sim, at);
    let before = SimTime::from_nanos(at.as_nanos() - 1);
    assert!(sim.advance(before));
    assert_eq!(sim.plane.next_event_at(), Some(at));
    assert!(!sim.advance(before));
    assert!(sim.advance(at));
    assert!(sim.plane.next_event_at().unwrap() > at);
    assert!(!sim.advance(at));
}
