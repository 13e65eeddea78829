//! Exchanges through rules: what a client of a Service sees, traces, probes and captures.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use base::Seed;
use common::{Lab, VIP, service};
use netfilter::{Packet, Ratio, RejectReason, SeededChooser};
use ruleset::xt::{RejectWith, XtTables};
use switchboard_plane::{
    DecisionAction, HopOutcome, LostReason, OutsideSpec, Place, PlaneEvent, ProbeAnswer,
    SocketError, tcp_syn,
};

const BACKENDS: [&str; 3] = ["10.244.1.3:80", "10.244.2.3:80", "10.244.3.3:80"];

fn everywhere(lab: &mut Lab, tables: &XtTables) {
    for node in 0..lab.nodes.len() {
        lab.set_tables(node, tables.clone());
    }
}

#[test]
fn cluster_ip_leads_to_every_endpoint() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &BACKENDS));
    let client = lab.host("pod-a2");
    let sockets: Vec<_> = (0..60)
        .map(|_| lab.connect(client, "10.96.0.40:80"))
        .collect();
    lab.run();
    for socket in sockets {
        lab.check_exchange(socket);
    }
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (_, local, peer) in lab.accepted() {
        assert_eq!(
            peer.ip().to_string(),
            "10.244.1.2",
            "a Pod's address is kept"
        );
        *seen.entry(local.to_string()).or_default() += 1;
    }
    assert_eq!(
        seen.keys().collect::<Vec<_>>(),
        BACKENDS.iter().collect::<Vec<_>>()
    );
    assert!(seen.values().all(|count| *count > 5), "{seen:?}");
    let [a, ..] = lab.nodes;
    let translated = |(node, action, rules): &(_, DecisionAction, usize)| {
        *node == a && matches!(action, DecisionAction::Translated { .. }) && *rules == 3
    };
    assert_eq!(
        lab.decisions()
            .iter()
            .filter(|decision| translated(decision))
            .count(),
        60
    );
    assert_eq!(lab.losses(), []);
}

#[test]
fn without_rules_nobody_answers() {
    let mut lab = Lab::new();
    let socket = lab.connect(lab.host("pod-a2"), "10.96.0.40:80");
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
    assert_eq!(lab.decisions()[0].1, DecisionAction::Untouched);
}

#[test]
fn service_without_endpoints_refuses_at_once() {
    for from in ["pod-a2", "node-a"] {
        let mut lab = Lab::new();
        everywhere(&mut lab, &service(VIP, &[]));
        let [a, ..] = lab.nodes;
        let host = match from {
            "node-a" => lab.plane.node_host(a),
            pod => lab.host(pod),
        };
        let socket = lab.connect(host, "10.96.0.40:80");
        lab.run_until(Duration::from_millis(1));
        assert_eq!(lab.error_of(socket), Some(SocketError::Refused), "{from}");
        let [(node, DecisionAction::Rejected(RejectReason::Rule { with, .. }), 1)] =
            lab.decisions()[..]
        else {
            panic!("{:?}", lab.decisions());
        };
        assert_eq!((node, with), (a, RejectWith::PortUnreachable));
    }
}

/// A Pod that reaches itself through a Service is masqueraded and sees its node as the client.
#[test]
fn hairpin_works() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &["10.244.1.2:80"]));
    let socket = lab.connect(lab.host("pod-a2"), "10.96.0.40:80");
    lab.run();
    lab.check_exchange(socket);
    let (_, local, peer) = lab.accepted()[0];
    assert_eq!(local.to_string(), "10.244.1.2:80");
    assert_eq!(peer.ip().to_string(), "192.168.1.1");
}

#[test]
fn processes_on_nodes_reach_services() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &["10.244.2.3:80"]));
    let [a, b, _] = lab.nodes;
    let sockets = [a, b].map(|node| {
        let host = lab.plane.node_host(node);
        lab.connect(host, "10.96.0.40:80")
    });
    lab.run();
    for socket in sockets {
        lab.check_exchange(socket);
    }
}

/// DBG-52: a ClusterIP is in no route of an outside host, but it is no security boundary either.
#[test]
fn cluster_ip_from_outside_needs_a_route() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &["10.244.2.3:80"]));
    let router = lab.plane.add_outside(OutsideSpec {
        name: "router".into(),
        addresses: vec!["203.0.113.1".parse().unwrap()],
        routes: vec![("10.96.0.0/12".parse().unwrap(), lab.nodes[0])],
    });
    let lost = lab.connect(lab.host("laptop"), "10.96.0.40:80");
    let routed = lab.connect(router, "10.96.0.40:80");
    lab.run();
    assert_eq!(lab.error_of(lost), Some(SocketError::TimedOut));
    lab.check_exchange(routed);
    assert_eq!(
        lab.accepted()[0].2.ip().to_string(),
        "192.168.1.1",
        "masqueraded"
    );
}

/// DBG-71: the rules still name a Pod that is gone.
#[test]
fn stale_endpoint_times_out() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &["10.244.2.3:80"]));
    lab.plane.remove_host(lab.host("pod-b3"));
    let socket = lab.connect(lab.host("pod-a2"), "10.96.0.40:80");
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
    assert!(
        lab.losses()
            .iter()
            .all(|reason| *reason == LostReason::NoSuchPod)
    );
}

#[test]
fn ipv6_services_work_the_same() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service("fd00:96::40", &["[fd00:244:2::3]:80"]));
    let socket = lab.connect(lab.host("pod-a2"), "[fd00:96::40]:80");
    lab.run();
    lab.check_exchange(socket);

    let mut lab = Lab::new();
    everywhere(&mut lab, &service("fd00:96::40", &[]));
    let socket = lab.connect(lab.host("pod-a2"), "[fd00:96::40]:80");
    lab.run_until(Duration::from_millis(1));
    assert_eq!(lab.error_of(socket), Some(SocketError::Refused));
}

fn syn(from: &str, to: &str) -> Packet {
    Packet::new(tcp_syn(from.parse().unwrap(), to.parse().unwrap()).unwrap())
}

/// Names and outcomes of a trace's hops.
fn outline(hops: &[switchboard_plane::TraceHop]) -> Vec<String> {
    let outcome = |outcome: &HopOutcome| match outcome {
        HopOutcome::Forwarded { interface } => format!("forwarded {interface}"),
        HopOutcome::Rejected(_) => "rejected".to_owned(),
        HopOutcome::Lost(reason) => format!("lost: {reason}"),
        other => format!("{other:?}").to_lowercase(),
    };
    hops.iter()
        .map(|hop| format!("{}: {}", hop.name, outcome(&hop.outcome)))
        .collect()
}

#[test]
fn trace_follows_request_and_reply() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &["10.244.3.3:80"]));
    let [a, _, c] = lab.nodes;
    let client = lab.host("pod-a2");
    let mut chooser = SeededChooser(Seed::new(1).split("trace"));
    let packet = syn("10.244.1.2:40000", "10.96.0.40:80");
    let trace = lab
        .plane
        .trace(client, packet, &mut lab.tables, &mut chooser);
    assert_eq!(
        outline(&trace.request),
        [
            "pod-a2: sent",
            "node-a: forwarded eth0",
            "node-c: forwarded vethb",
            "pod-c3: received",
        ]
    );
    assert_eq!(
        outline(&trace.reply),
        [
            "pod-c3: sent",
            "node-c: forwarded eth0",
            "node-a: forwarded veth4",
            "pod-a2: received"
        ]
    );
    assert!(!trace.request[1].events.is_empty());
    let back = trace.reply.last().unwrap();
    assert_eq!(
        back.tuple.unwrap().to_string(),
        "tcp 10.96.0.40:80 -> 10.244.1.2:40000"
    );
    assert_eq!(back.at.as_nanos(), 2_000_000);
    for node in [a, c] {
        assert!(
            lab.plane.node_state(node).is_empty(),
            "a trace changes nothing"
        );
    }
    assert_eq!(lab.plane.next_event_at(), None);
}

#[test]
fn trace_ends_where_the_packet_does() {
    let mut lab = Lab::new();
    let client = lab.host("pod-a2");
    let mut chooser = SeededChooser(Seed::new(1).split("trace"));
    let mut follow = |lab: &mut Lab, to| {
        let packet = syn("10.244.1.2:40000", to);
        lab.plane
            .trace(client, packet, &mut lab.tables, &mut chooser)
    };
    let lost = follow(&mut lab, "10.96.0.40:80");
    assert_eq!(
        lost.request.last().unwrap().outcome,
        HopOutcome::Lost(LostReason::NobodyThere)
    );
    assert_eq!(lost.request.last().unwrap().place, Place::World);
    assert_eq!(lost.reply, []);
    everywhere(&mut lab, &service(VIP, &[]));
    let rejected = follow(&mut lab, "10.96.0.40:80");
    assert_eq!(
        outline(&rejected.request),
        ["pod-a2: sent", "node-a: rejected"]
    );
    assert_eq!(outline(&rejected.reply), ["pod-a2: received"]);
    let process = follow(&mut lab, "192.168.1.1:80");
    assert_eq!(
        outline(&process.request),
        ["pod-a2: sent", "node-a: delivered", "node-a: received"]
    );
    assert_eq!(
        outline(&process.reply),
        [
            "node-a: sent",
            "node-a: forwarded veth4",
            "pod-a2: received"
        ]
    );
}

#[test]
fn probe_shows_every_endpoint() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &BACKENDS));
    let packet = syn("10.244.1.2:40000", "10.96.0.40:80");
    let [a, ..] = lab.nodes;
    let door = lab.plane.door_of(a, packet.tuple().unwrap().source());
    let outcomes = lab.plane.probe(a, &packet, &door, &mut lab.tables).unwrap();
    let third = Ratio::new(1, 3).unwrap();
    let seen: Vec<_> = outcomes
        .iter()
        .map(|(p, outcome)| (*p, outcome.action.clone()))
        .collect();
    let expected = BACKENDS.map(|to| {
        (
            third,
            DecisionAction::Translated {
                to: to.parse().unwrap(),
            },
        )
    });
    assert_eq!(seen, expected);
    let first = &outcomes[0].1;
    assert_eq!(
        first.tuple.unwrap().source().to_string(),
        "10.244.1.2",
        "not masqueraded"
    );
    assert_eq!(first.rules.len(), 3);
    assert!(lab.plane.node_state(a).is_empty());
}

/// PROXY-15: only the node that has translated a packet can translate its answer.
#[test]
fn probe_tells_whose_answers_get_back() {
    let mut lab = Lab::new();
    everywhere(&mut lab, &service(VIP, &BACKENDS));
    let [a, b, _] = lab.nodes;
    let packet = syn("10.244.1.2:40000", "10.96.0.40:80");
    let mut answers = |node| -> Vec<_> {
        let door = lab.plane.door_of(node, packet.tuple().unwrap().source());
        let outcomes = lab.plane.probe(node, &packet, &door, &mut lab.tables);
        let outcomes = outcomes.unwrap().into_iter();
        outcomes.map(|(_, outcome)| outcome.answer).collect()
    };
    let of = |index: usize| Some(ProbeAnswer::Unknown(BACKENDS[index].parse().unwrap()));
    let heard = Some(ProbeAnswer::Heard);
    assert_eq!(answers(a), [heard.clone(), heard.clone(), heard.clone()]);
    // Sent to another node than one's own, which only the answer of that node's Pod passes.
    assert_eq!(answers(b), [of(0), heard, of(2)]);
    assert!(lab.plane.node_state(b).is_empty());
}

fn captured_run(seed: u64) -> (BTreeMap<String, Vec<u8>>, Vec<PlaneEvent>) {
    let mut lab = Lab::seeded(seed);
    everywhere(&mut lab, &service(VIP, &BACKENDS));
    lab.plane.enable_capture();
    let from = ["pod-a2", "pod-b2", "pod-c2"].map(|name| lab.host(name));
    for index in 0..30 {
        lab.connect(from[index % 3], "10.96.0.40:80");
    }
    lab.run();
    (
        lab.plane.captures(),
        lab.log.into_iter().map(|(_, event)| event).collect(),
    )
}

#[test]
fn equal_seeds_give_equal_bytes() {
    let (captures, log) = captured_run(7);
    assert_eq!(captured_run(7), (captures.clone(), log));
    assert_ne!(captured_run(8).0, captures);
    let names: Vec<&str> = captures.keys().map(String::as_str).collect();
    assert!(names.contains(&"pod-a2-eth0.pcapng"), "{names:?}");
    assert!(names.contains(&"node-a-veth4.pcapng"), "{names:?}");
    assert!(names.contains(&"node-a-eth0.pcapng"), "{names:?}");
}
