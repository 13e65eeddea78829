//! Echoes: who answers, over how many nodes, and who says that a request came to nothing.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Lab, VIP, reject_pings, service, service_over};
use netfilter::Packet;
use ruleset::Protocol;
use switchboard_plane::{
    DecisionAction, EchoError, HostId, Impairment, LostReason, PingSpec, PlaneEvent, SendError,
    sctp_init,
};

/// What comes of a ping: who answers and the time to live that is left, or who complains and why.
fn ping(lab: &mut Lab, from: HostId, ping: PingSpec) -> String {
    let socket = lab.plane.ping(from, ping).unwrap();
    lab.run();
    let heard = match lab.events_of(socket)[..] {
        [] => "no answer".to_owned(),
        [PlaneEvent::Echoed { from, ttl, .. }] => format!("{from} ttl {ttl}"),
        [PlaneEvent::EchoFailed { from, error, .. }] => format!("{from}: {error}"),
        ref other => panic!("{other:?}"),
    };
    lab.plane.close(socket);
    lab.check_nothing_left(from);
    heard
}

fn check(from: &str, to: &str, ttl: u8, expected: &str) {
    let mut lab = Lab::new();
    lab.plane.remove_host(lab.host("pod-b4"));
    let host = match lab.plane.node_by_name(from) {
        Some(node) => lab.plane.node_host(node),
        None => lab.host(from),
    };
    let to: IpAddr = to.parse().unwrap();
    let spec = PingSpec {
        ttl,
        ..PingSpec::to(to)
    };
    assert_eq!(ping(&mut lab, host, spec), expected, "{from} to {to}");
}

#[test]
fn echoes_are_answered_and_hops_counted() {
    check("pod-a2", "10.244.1.3", 64, "10.244.1.3 ttl 63");
    check("pod-a2", "10.244.2.3", 64, "10.244.2.3 ttl 62");
    check("pod-a2", "10.244.1.2", 64, "10.244.1.2 ttl 64");
    check("pod-a2", "127.0.0.1", 64, "127.0.0.1 ttl 64");
    check("pod-a2", "192.168.1.1", 64, "192.168.1.1 ttl 64");
    check("pod-a2", "192.168.1.3", 64, "192.168.1.3 ttl 63");
    check("node-a", "10.244.2.3", 64, "10.244.2.3 ttl 63");
    check("node-a", "192.168.1.2", 64, "192.168.1.2 ttl 64");
    check("pod-a2", "fd00:244:1::3", 64, "fd00:244:1::3 ttl 63");
    check("pod-a2", "fd00:244:3::3", 64, "fd00:244:3::3 ttl 62");
    check("pod-a2", "fd00:192::1", 64, "fd00:192::1 ttl 64");
}

#[test]
fn nodes_on_the_way_say_that_time_is_up() {
    let exceeded = |who: &str| format!("{who}: time to live exceeded");
    check("pod-a2", "10.244.2.3", 1, &exceeded("192.168.1.1"));
    check("pod-a2", "10.244.2.3", 2, &exceeded("192.168.1.2"));
    check("pod-a2", "10.244.2.3", 3, "10.244.2.3 ttl 62");
    check("pod-a2", "fd00:244:2::3", 1, &exceeded("fd00:192::1"));
    check("pod-a2", "fd00:244:2::3", 2, &exceeded("fd00:192::2"));
    check("pod-a2", "192.168.1.1", 1, "192.168.1.1 ttl 64");
    check("node-a", "10.244.2.3", 1, &exceeded("192.168.1.2"));
}

#[test]
fn nobody_answers_for_who_is_not_there() {
    check("pod-a2", "10.244.2.4", 64, "no answer");
    check("pod-a2", "10.96.0.40", 64, "no answer");
    check("pod-a2", "203.0.113.9", 64, "no answer");
}

/// PROXY-17, DBG-12: with iptables no rule matches a ping to a ClusterIP and nobody has the address; nftables rejects it.
#[test]
fn a_cluster_ip_answers_no_ping() {
    let silence = service(VIP, &["10.244.2.3:80"]);
    let refused = |node: &str| format!("{node}: destination port unreachable");
    let v6 = "fd00:96::40";
    let cases = [
        (VIP, silence, "no answer".to_owned()),
        (VIP, reject_pings(VIP), refused("192.168.1.1")),
        (v6, reject_pings(v6), refused("fd00:192::1")),
    ];
    for (vip, tables, expected) in cases {
        for from in ["pod-a2", "node-a"] {
            let mut lab = Lab::new();
            lab.set_tables(0, tables.clone());
            let host = match from {
                "node-a" => lab.plane.node_host(lab.nodes[0]),
                pod => lab.host(pod),
            };
            let heard = ping(&mut lab, host, PingSpec::to(vip.parse().unwrap()));
            assert_eq!(heard, expected, "{from} to {vip}");
        }
    }
}

#[test]
fn narrow_and_cut_links_are_noticed() {
    let mut lab = Lab::new();
    let narrow = Impairment {
        mtu: Some(1300),
        ..Impairment::default()
    };
    lab.impair("node-a", "node-b", narrow).unwrap();
    let pod = lab.host("pod-a2");
    let with_payload = |payload_len| PingSpec {
        payload_len,
        ..PingSpec::to("10.244.2.3".parse().unwrap())
    };
    assert_eq!(ping(&mut lab, pod, with_payload(1272)), "10.244.2.3 ttl 62");
    let heard = ping_after(&mut lab, pod, with_payload(1273));
    assert_eq!(heard, "192.168.1.1: message too long");
    let too_long = SendError::TooLong {
        bytes: 1473,
        most: 1472,
    };
    assert_eq!(lab.plane.ping(pod, with_payload(1473)), Err(too_long));
    let v6 = PingSpec::to("fd00::1".parse().unwrap());
    let laptop = lab.host("laptop");
    assert_eq!(lab.plane.ping(laptop, v6), Err(SendError::Unreachable));
    let group = PingSpec::to("224.0.0.1".parse().unwrap());
    assert_eq!(lab.plane.ping(pod, group), Err(SendError::Unreachable));
}

/// Another ping in a network where time has passed already.
fn ping_after(lab: &mut Lab, from: HostId, ping: PingSpec) -> String {
    let socket = lab.plane.ping(from, ping).unwrap();
    lab.run_until(Duration::from_secs(20_000));
    match lab.events_of(socket)[..] {
        [PlaneEvent::EchoFailed { from, error, .. }] => format!("{from}: {error}"),
        ref other => panic!("{other:?}"),
    }
}

/// Many pings at once, answered twice each: every one is told once.
#[test]
fn every_ping_hears_its_own_answer_once() {
    let mut lab = Lab::new();
    let twice = Impairment {
        duplicate: switchboard_plane::Share::ALL,
        ..Impairment::default()
    };
    lab.impair("node-a", "node-b", twice).unwrap();
    let pod = lab.host("pod-a2");
    let sockets: Vec<_> = ["10.244.2.2", "10.244.2.3", "10.244.9.9"]
        .into_iter()
        .map(|to| {
            let spec = PingSpec::to(to.parse().unwrap());
            (to, lab.plane.ping(pod, spec).unwrap())
        })
        .collect();
    lab.run();
    for (to, socket) in sockets {
        match lab.events_of(socket)[..] {
            [PlaneEvent::Echoed { from, .. }] => assert_eq!(from.to_string(), to),
            [] => assert_eq!(to, "10.244.9.9"),
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!(lab.losses(), [LostReason::NobodyThere]);
    assert_eq!(EchoError::Prohibited.to_string(), "packet filtered");
}

/// Hosts do not speak SCTP, but its packets pass the rules like any others, and the host's refusal comes back.
#[test]
fn sctp_passes_the_rules_as_packets() {
    let mut lab = Lab::new();
    for node in 0..3 {
        let tables = service_over(Protocol::SCTP, VIP, &["10.244.3.3:3868"]);
        lab.set_tables(node, tables);
    }
    let ends = ["10.244.1.2:40000", "10.96.0.40:80"].map(|end| end.parse().unwrap());
    let init = Packet::new(sctp_init(ends[0], ends[1]).unwrap());
    let client = lab.host("pod-a2");
    lab.plane.enable_capture();
    lab.plane.send_packet(client, init);
    lab.run();
    let to = "10.244.3.3:3868".parse().unwrap();
    let translated = DecisionAction::Translated { to };
    assert_eq!(lab.decisions()[0].1, translated);
    assert_eq!(lab.losses(), []);
    let captured = &lab.plane.captures()["pod-a2-eth0.pcapng"];
    // The answer quotes the packet with the address that the client knows.
    let quoted = [10, 244, 1, 2, 10, 96, 0, 40];
    let count = captured.windows(8).filter(|bytes| *bytes == quoted).count();
    assert_eq!(count, 2, "sent, and quoted");
}
