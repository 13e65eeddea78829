//! Exchanges without rules: latencies, refusals, losses, and what is left behind.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use base::SimTime;
use common::Lab;
use ruleset::Protocol;
use switchboard_plane::{
    HostSpec, ListenError, LostReason, OutsideSpec, PlaneEvent, SendError, SocketError,
};

/// A connection stands after one round trip.
fn check_latency(from: &str, to: &str, one_way: Duration) {
    let mut lab = Lab::new();
    let socket = lab.connect(lab.host(from), to);
    lab.run();
    lab.check_exchange(socket);
    let connected = lab
        .log
        .iter()
        .find(|(_, event)| *event == PlaneEvent::Connected { socket });
    assert_eq!(
        connected.unwrap().0,
        SimTime::ZERO + one_way * 2,
        "{from} to {to}"
    );
}

#[test]
fn latencies_are_those_of_the_configuration() {
    check_latency("pod-a2", "10.244.1.3:80", Duration::from_micros(20));
    check_latency("pod-a2", "10.244.2.3:80", Duration::from_micros(200));
    check_latency("pod-a2", "10.244.3.3:80", Duration::from_millis(1));
    check_latency("pod-a2", "192.168.1.1:80", Duration::from_micros(20));
    check_latency("pod-a2", "192.168.1.2:80", Duration::from_micros(200));
    check_latency("laptop", "192.168.1.1:80", Duration::from_millis(1));
    check_latency("pod-a2", "127.0.0.1:80", Duration::ZERO);
    check_latency("pod-a2", "10.244.1.2:80", Duration::ZERO);
}

#[test]
fn ipv6_works_the_same() {
    check_latency("pod-a2", "[fd00:244:1::3]:80", Duration::from_micros(20));
    check_latency("pod-a2", "[fd00:244:3::3]:80", Duration::from_millis(1));
}

#[test]
fn processes_on_nodes_are_hosts() {
    let mut lab = Lab::new();
    let [a, ..] = lab.nodes;
    let host = lab.plane.node_host(a);
    let sockets = [
        "10.244.1.3:80",
        "192.168.1.2:80",
        "192.168.1.1:80",
        "127.0.0.1:80",
    ]
    .map(|to| lab.connect(host, to));
    lab.run();
    for socket in sockets {
        lab.check_exchange(socket);
    }
}

#[test]
fn large_transfers_arrive_whole() {
    let mut lab = Lab::new();
    let (client, to) = (lab.host("pod-a2"), "10.244.3.3:80".parse().unwrap());
    let socket = lab.plane.connect(client, to);
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    lab.plane.send(socket, &sent).unwrap();
    lab.plane.close(socket);
    assert_eq!(lab.plane.send(socket, b"more"), Err(SendError::Closed));
    let mut echoed = Vec::new();
    while lab.plane.next_event_at().is_some() {
        for event in lab.plane.step(&mut lab.tables) {
            match event {
                PlaneEvent::Data {
                    socket: at, bytes, ..
                } if at == socket => echoed.extend(bytes),
                PlaneEvent::Data { socket, bytes, .. } => lab.plane.send(socket, &bytes).unwrap(),
                PlaneEvent::PeerClosed { socket } => lab.plane.close(socket),
                _ => {}
            }
        }
    }
    assert!(echoed == sent, "{} of {} bytes", echoed.len(), sent.len());
    lab.check_nothing_left(client);
}

#[test]
fn closed_port_refuses() {
    let mut lab = Lab::new();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.2.3:81");
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::Refused));
    assert_eq!(lab.events_of(socket).len(), 1);
}

#[test]
fn nobody_there_times_out() {
    let mut lab = Lab::new();
    let pod = lab.host("pod-a2");
    let socket = lab.connect(pod, "10.96.0.1:80");
    lab.run_until(Duration::from_secs(100));
    assert_eq!(lab.events_of(socket), Vec::<&PlaneEvent>::new());
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
    // smoltcp's timer doubles up to 60 s: SYNs at 0, 1, 3, 7, 15, 31, 63 and 123 s.
    assert_eq!(lab.losses(), vec![LostReason::NobodyThere; 8]);
    lab.check_nothing_left(pod);
}

/// DBG-71.
#[test]
fn removed_pod_is_silent() {
    let mut lab = Lab::new();
    let gone = lab.host("pod-b3");
    let other = lab.host("pod-a3");
    let held = lab.plane.connect(other, "10.244.2.3:80".parse().unwrap());
    lab.run_until(Duration::from_secs(1));
    lab.plane.remove_host(gone);
    lab.plane.send(held, b"anybody?").unwrap();
    let sockets = ["pod-a2", "pod-b2"].map(|from| lab.connect(lab.host(from), "10.244.2.3:80"));
    lab.run();
    for socket in sockets.into_iter().chain([held]) {
        assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
    }
    assert!(
        lab.losses()
            .iter()
            .all(|reason| *reason == LostReason::NoSuchPod)
    );
    assert_eq!(lab.plane.host_by_name("pod-b3"), None);
    assert_eq!(
        lab.plane.listen(gone, Protocol::TCP, 80),
        Err(ListenError::NoSuchHost)
    );
    let stillborn = lab.connect(gone, "10.244.1.2:80");
    lab.run_until(Duration::from_secs(20_000));
    assert_eq!(lab.error_of(stillborn), Some(SocketError::Unreachable));
}

#[test]
fn packet_under_way_to_a_removed_pod_is_lost() {
    let mut lab = Lab::new();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.1.3:80");
    lab.run_until(Duration::from_micros(15));
    lab.plane.remove_host(lab.host("pod-a3"));
    lab.run_until(Duration::from_millis(1));
    assert_eq!(lab.losses(), [LostReason::HostGone]);
    lab.plane.abort(socket);
    lab.run();
}

#[test]
fn address_can_be_taken_over() {
    let mut lab = Lab::new();
    lab.plane.remove_host(lab.host("pod-b3"));
    let heir = lab.plane.add_pod(HostSpec {
        name: "pod-b3".into(),
        node: lab.nodes[1],
        addresses: vec!["10.244.2.3".parse().unwrap()],
    });
    lab.plane.listen(heir, Protocol::TCP, 80).unwrap();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.2.3:80");
    lab.run();
    lab.check_exchange(socket);
    assert_eq!(lab.accepted()[0].0, heir);
}

/// Every socket of a host that is gone is another one, and none of those that the host had.
#[test]
fn stillborn_sockets_are_distinct() {
    let mut lab = Lab::new();
    let (gone, server) = (lab.host("pod-b3"), "10.244.1.2:80");
    let mut sockets = vec![lab.connect(gone, server)];
    lab.run();
    lab.plane.remove_host(gone);
    for _ in 0..3 {
        sockets.push(lab.connect(gone, server));
        sockets.push(lab.plane.udp_bind(gone));
    }
    let before = lab.log.len();
    lab.run();
    let failed: Vec<_> = lab.log[before..]
        .iter()
        .map(|(_, event)| match event {
            PlaneEvent::Failed { socket, error } => (*socket, *error),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<_> = sockets[1..]
        .iter()
        .map(|socket| (*socket, SocketError::Unreachable))
        .collect();
    assert_eq!(failed, expected);
    assert_eq!(sockets.iter().collect::<BTreeSet<_>>().len(), 7);
}

/// Two hosts claim one address: the later has it, and whichever goes leaves it to the other.
#[test]
fn address_goes_back_to_the_earlier_claimant() {
    for (leaves, stays) in [("rival", "pod-b3"), ("pod-b3", "rival")] {
        let mut lab = Lab::new();
        let later = lab.plane.add_pod(HostSpec {
            name: "rival".into(),
            node: lab.nodes[1],
            addresses: vec!["10.244.2.3".parse().unwrap()],
        });
        lab.plane.listen(later, Protocol::TCP, 80).unwrap();
        let hosts = [leaves, stays].map(|name| lab.host(name));
        lab.plane.remove_host(hosts[0]);
        let socket = lab.connect(lab.host("pod-a2"), "10.244.2.3:80");
        lab.run();
        lab.check_exchange(socket);
        assert_eq!(lab.accepted()[0].0, hosts[1], "{leaves} leaves");
    }
}

/// Decisions and losses are told to those who ask; what applications notice is the same.
#[test]
fn unasked_nothing_is_told_of_decisions() {
    let run = |on: bool| {
        let mut lab = Lab::new();
        lab.plane.log_decisions(on);
        let sockets =
            ["10.244.2.3:80", "10.96.0.1:80"].map(|to| lab.connect(lab.host("pod-a2"), to));
        lab.run();
        lab.check_exchange(sockets[0]);
        let told = |event: &PlaneEvent| {
            matches!(event, PlaneEvent::Decision { .. } | PlaneEvent::Lost { .. })
        };
        let all = lab.log.len();
        lab.log.retain(|(_, event)| !told(event));
        (all - lab.log.len(), lab.log)
    };
    let ((loud, with), (quiet, without)) = (run(true), run(false));
    assert_eq!((loud > 0, quiet), (true, 0));
    assert_eq!(with, without);
}

/// PROXY-16, DBG-52.
#[test]
fn outside_hosts_reach_nodes_only() {
    for to in ["10.96.0.40:80", "10.244.1.2:80"] {
        let mut lab = Lab::new();
        let socket = lab.connect(lab.host("laptop"), to);
        lab.run_until(Duration::from_secs(5));
        assert!(lab.events_of(socket).is_empty(), "{to}");
        assert!(
            lab.losses()
                .iter()
                .all(|reason| *reason == LostReason::NobodyThere)
        );
    }
}

#[test]
fn outside_routes_lead_through_a_node() {
    let mut lab = Lab::new();
    let router = lab.plane.add_outside(OutsideSpec {
        name: "router".into(),
        addresses: vec!["203.0.113.1".parse().unwrap()],
        routes: vec![("10.244.0.0/16".parse().unwrap(), lab.nodes[0])],
    });
    let sockets = ["10.244.1.2:80", "10.244.3.2:80"].map(|to| lab.connect(router, to));
    lab.run();
    for socket in sockets {
        lab.check_exchange(socket);
    }
}

#[test]
fn udp_echoes_and_refuses() {
    let mut lab = Lab::new();
    let pod = lab.host("pod-a2");
    let server = "10.244.2.3:53".parse().unwrap();
    let [free, connected, refused] = [
        lab.plane.udp_bind(pod),
        lab.plane.udp_connect(pod, server),
        lab.plane.udp_connect(pod, "10.244.2.3:54".parse().unwrap()),
    ];
    lab.plane.send_to(free, server, b"one").unwrap();
    lab.plane.send(connected, b"two").unwrap();
    lab.plane.send(refused, b"three").unwrap();
    assert_eq!(lab.plane.send(free, b"four"), Err(SendError::Destination));
    let too_long = SendError::TooLong {
        bytes: 1473,
        most: 1472,
    };
    assert_eq!(lab.plane.send(connected, &[0; 1473]), Err(too_long));
    // An unconnected client would take the answer for a request, so only the first steps are run here.
    let mut heard = Vec::new();
    while lab.plane.next_event_at().is_some() {
        for event in lab.plane.step(&mut lab.tables) {
            match event {
                PlaneEvent::Data {
                    socket,
                    bytes,
                    from,
                } if socket.host() == pod => {
                    assert_eq!(from, Some(server));
                    heard.push((socket, bytes));
                }
                PlaneEvent::Data {
                    socket,
                    bytes,
                    from,
                } => {
                    lab.plane.send_to(socket, from.unwrap(), &bytes).unwrap();
                }
                PlaneEvent::Failed { socket, error } => {
                    assert_eq!((socket, error), (refused, SocketError::Refused));
                    heard.push((socket, Vec::new()));
                }
                _ => {}
            }
        }
    }
    heard.sort();
    assert_eq!(
        heard,
        [
            (free, b"one".to_vec()),
            (connected, b"two".to_vec()),
            (refused, Vec::new())
        ]
    );
    for socket in [free, connected, refused] {
        lab.plane.close(socket);
        assert_eq!(
            lab.plane.send_to(socket, server, b""),
            Err(SendError::Closed)
        );
    }
    lab.check_nothing_left(pod);
}

#[test]
fn impossible_destinations_fail_at_once() {
    let mut lab = Lab::new();
    let laptop = lab.host("laptop");
    for to in [
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "10.0.0.1:0",
        "[fd00::1]:80",
    ] {
        let socket = lab.connect(laptop, to);
        lab.run_until(Duration::ZERO);
        assert_eq!(lab.error_of(socket), Some(SocketError::Unreachable), "{to}");
        let udp = lab.plane.udp_bind(laptop);
        let sent = lab.plane.send_to(udp, to.parse().unwrap(), b"x");
        assert_eq!(sent, Err(SendError::Unreachable), "{to}");
    }
}

#[test]
fn listening_is_refused_by_name() {
    let mut lab = Lab::new();
    let pod = lab.host("pod-a2");
    let protocol = Protocol::TCP;
    let in_use = ListenError::InUse { protocol, port: 80 };
    assert_eq!(lab.plane.listen(pod, protocol, 80), Err(in_use));
    assert_eq!(
        lab.plane.listen(pod, protocol, 0),
        Err(ListenError::PortZero)
    );
    let protocol = Protocol::SCTP;
    assert_eq!(
        lab.plane.listen(pod, protocol, 80),
        Err(ListenError::Unsupported { protocol })
    );
    lab.plane.unlisten(pod, Protocol::TCP, 80);
    let socket = lab.connect(lab.host("pod-a3"), "10.244.1.2:80");
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::Refused));
}

#[test]
fn abort_resets_the_peer() {
    let mut lab = Lab::new();
    let socket = lab
        .plane
        .connect(lab.host("pod-a2"), "10.244.2.3:80".parse().unwrap());
    lab.run_until(Duration::from_millis(1));
    assert_eq!(
        lab.plane.local_address(socket).unwrap().to_string(),
        "10.244.1.2:32768"
    );
    lab.plane.abort(socket);
    lab.run();
    assert_eq!(lab.plane.local_address(socket), None);
    let server = lab.log.iter().find_map(|(_, event)| match event {
        PlaneEvent::Accepted { socket, .. } => Some(*socket),
        _ => None,
    });
    assert_eq!(lab.error_of(server.unwrap()), Some(SocketError::Reset));
    assert_eq!(lab.error_of(socket), None);
}

#[test]
fn nothing_is_left_behind() {
    let mut lab = Lab::new();
    let pods = ["pod-a2", "pod-b2", "pod-c2"].map(|name| lab.host(name));
    let mut sockets = Vec::new();
    for round in 0..10_u64 {
        for index in 0..100 {
            let to = ["10.244.1.3:80", "10.244.2.3:80", "10.244.3.3:80"][index % 3];
            sockets.push(lab.connect(pods[index % 2], to));
        }
        lab.run_until(Duration::from_secs(round + 1));
    }
    assert_eq!(sockets.len(), 1000);
    assert_eq!(lab.plane.next_event_at(), None);
    for socket in sockets {
        lab.check_exchange(socket);
    }
    for name in ["pod-a2", "pod-b2", "pod-c2", "pod-a3", "pod-b3", "pod-c3"] {
        lab.check_nothing_left(lab.host(name));
    }
}
