//! Links that are slow, lossy, narrow or cut, nodes that stand still, and hosts whose processes die.

mod common;

use std::time::Duration;

use base::{Seed, SimTime};
use common::{Lab, VIP, service};
use netfilter::{DropReason, Packet, SeededChooser};
use switchboard_plane::{
    HopOutcome, Impairment, LinkError, LostReason, PlaneConfig, PlaneEvent, Share, SocketError,
    tcp_syn,
};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn cut() -> Impairment {
    Impairment {
        cut: true,
        ..Impairment::default()
    }
}

fn share(millionths: u32) -> Share {
    Share::per_million(millionths).unwrap()
}

/// How long a handshake takes, when a link is 10 ms longer than usual.
fn check_delay([a, b]: [&str; 2], from: &str, to: &str, expected: Duration) {
    let mut lab = Lab::new();
    let impairment = Impairment {
        delay: millis(10),
        ..Impairment::default()
    };
    lab.impair(a, b, impairment).unwrap();
    let socket = lab.connect(lab.host(from), to);
    lab.run();
    lab.check_exchange(socket);
    let connected = PlaneEvent::Connected { socket };
    let at = lab.log.iter().find(|(_, event)| *event == connected);
    assert_eq!(at.unwrap().0, SimTime::ZERO + expected, "{a} to {b}");
}

#[test]
fn delays_add_to_the_links_that_are_taken() {
    let usual = [
        Duration::from_micros(40),
        Duration::from_micros(400),
        millis(2),
    ];
    let [node, zone, world] = usual.map(|usual| usual + millis(20));
    let (near, far) = ("10.244.2.3:80", "10.244.3.3:80");
    // A link that is not taken changes nothing.
    check_delay(["node-a", "node-b"], "pod-a2", far, usual[2]);
    check_delay(["node-a", "node-c"], "pod-a2", far, world);
    check_delay(["node-c", "node-a"], "pod-a2", far, world);
    check_delay(["zone-1", "zone-2"], "pod-a2", far, world);
    check_delay(["zone-1", "zone-1"], "pod-a2", far, usual[2]);
    check_delay(["zone-1", "zone-1"], "pod-a2", near, zone);
    check_delay(["zone-1", "node-b"], "pod-a2", near, zone);
    check_delay(["pod-a2", "node-a"], "pod-a2", "10.244.1.3:80", node);
    check_delay(["pod-a3", "node-a"], "pod-a2", "10.244.1.3:80", node);
    check_delay(
        ["pod-a4", "node-a"],
        "pod-a2",
        "10.244.1.3:80",
        Duration::from_micros(40),
    );
    let outside = "192.168.1.1:80";
    check_delay(["laptop", "node-a"], "laptop", outside, world);
    check_delay(["laptop", "zone-1"], "laptop", outside, world);
    // Within a node there is no link to another.
    let inside = Duration::from_micros(40);
    check_delay(["zone-1", "zone-1"], "pod-a2", "10.244.1.3:80", inside);
    check_delay(["zone-1", "zone-1"], "pod-a2", "192.168.1.1:80", inside);
}

/// Two impairments of one way add up.
#[test]
fn a_packet_meets_every_impairment_of_its_way() {
    let mut lab = Lab::new();
    for (a, b) in [
        ("node-a", "node-c"),
        ("zone-1", "zone-2"),
        ("pod-a2", "node-a"),
    ] {
        let impairment = Impairment {
            delay: millis(10),
            ..Impairment::default()
        };
        lab.impair(a, b, impairment).unwrap();
    }
    let socket = lab.connect(lab.host("pod-a2"), "10.244.3.3:80");
    lab.run_until(Duration::from_micros(61_999));
    assert!(lab.events_of(socket).is_empty());
    lab.run_until(millis(62));
    assert_eq!(lab.events_of(socket).len(), 1);
}

#[test]
fn a_cut_link_loses_everything_until_it_is_mended() {
    let mut lab = Lab::new();
    lab.impair("zone-1", "zone-2", cut()).unwrap();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.3.3:80");
    let near = lab.connect(lab.host("pod-a2"), "10.244.2.3:80");
    lab.run_until(millis(3500));
    lab.check_exchange(near);
    assert!(lab.events_of(socket).is_empty());
    assert_eq!(lab.losses(), vec![LostReason::LinkCut; 3]);
    lab.mend("zone-2", "zone-1");
    lab.run();
    lab.check_exchange(socket);
}

/// Packets under way keep their way.
#[test]
fn a_cut_strikes_later_packets_only() {
    let mut lab = Lab::new();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.3.3:80");
    lab.run_until(Duration::from_micros(500));
    lab.impair("node-a", "node-c", cut()).unwrap();
    lab.run_until(millis(1));
    let server = lab.host("pod-c3");
    assert_eq!(lab.plane.socket_count(server), 2, "the SYN got through");
    lab.plane.abort(socket);
    lab.run();
    assert!(lab.losses().contains(&LostReason::LinkCut));
}

#[test]
fn total_loss_is_no_cut_but_loses_as_much() {
    let mut lab = Lab::new();
    let impairment = Impairment {
        loss: Share::ALL,
        ..Impairment::default()
    };
    lab.impair("node-a", "node-b", impairment).unwrap();
    let socket = lab.connect(lab.host("pod-a2"), "10.244.2.3:80");
    lab.run();
    assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
    assert_eq!(lab.losses(), vec![LostReason::LostOnLink; 8]);
}

/// Sends datagrams of 1000 bytes, of 1028 with their headers, one after the other; when do they arrive?
fn datagrams(impairment: Impairment, count: usize, gap: Duration) -> Vec<SimTime> {
    let mut lab = Lab::new();
    lab.impair("node-a", "node-b", impairment).unwrap();
    let socket = lab
        .plane
        .udp_connect(lab.host("pod-a2"), "10.244.2.3:53".parse().unwrap());
    for number in 0..count {
        lab.run_until(gap * u32::try_from(number).unwrap());
        lab.plane.send(socket, &[7; 1000]).unwrap();
    }
    lab.run();
    lab.datagrams_at(lab.host("pod-b3"))
}

#[test]
fn shares_are_what_they_say() {
    let loss = Impairment {
        loss: share(300_000),
        ..Impairment::default()
    };
    let arrived = datagrams(loss, 1000, Duration::ZERO).len();
    assert!((650..750).contains(&arrived), "{arrived}");
    let duplicate = Impairment {
        duplicate: share(300_000),
        ..Impairment::default()
    };
    let arrived = datagrams(duplicate, 1000, Duration::ZERO).len();
    assert!((1250..1350).contains(&arrived), "{arrived}");
    let reorder = Impairment {
        delay: millis(5),
        reorder: share(100_000),
        ..Impairment::default()
    };
    let arrived = datagrams(reorder, 1000, Duration::ZERO);
    let early = arrived.iter().filter(|at| **at < SimTime::ZERO + millis(5));
    let early = early.count();
    assert!((70..130).contains(&early), "{early}");
}

#[test]
fn jitter_stays_in_its_bounds_and_reaches_them() {
    let impairment = Impairment {
        delay: millis(10),
        jitter: millis(3),
        ..Impairment::default()
    };
    let arrived = datagrams(impairment, 1000, Duration::ZERO);
    let usual = SimTime::ZERO + Duration::from_micros(200);
    let (first, last) = (arrived[0], arrived[arrived.len() - 1]);
    assert_eq!(arrived.len(), 1000);
    assert!((usual + millis(7)..usual + Duration::from_micros(7_100)).contains(&first));
    assert!((usual + Duration::from_micros(12_900)..=usual + millis(13)).contains(&last));
}

/// 1028 bytes at 8.224 Mbit/s take one millisecond.
#[test]
fn a_slow_link_sends_one_packet_after_the_other() {
    let impairment = || Impairment {
        rate: Some(8_224_000),
        ..Impairment::default()
    };
    let arrived = datagrams(impairment(), 5, Duration::ZERO);
    let usual = SimTime::ZERO + Duration::from_micros(200);
    assert_eq!(
        arrived,
        (1..6).map(|n| usual + millis(n)).collect::<Vec<_>>()
    );
    // Slower than the link, they do not wait for each other.
    let arrived = datagrams(impairment(), 3, millis(2));
    let expected = (0..3).map(|n| usual + millis(2 * n + 1));
    assert_eq!(arrived, expected.collect::<Vec<_>>());
    let arrived = datagrams(impairment(), 1500, Duration::ZERO);
    assert_eq!(arrived.len(), 1000, "as many wait, and no more");
}

#[test]
fn links_that_do_not_exist_are_refused() {
    let mut lab = Lab::new();
    let mut check = |a: &str, b: &str, expected| {
        assert_eq!(lab.impair(a, b, cut()), Err(expected), "{a} to {b}");
    };
    check("node-a", "node-a", LinkError::OneEnd);
    check("laptop", "laptop", LinkError::OneEnd);
    check("zone-1", "zone-9", LinkError::NoSuchZone);
    check("pod-a2", "node-b", LinkError::NotItsNode);
    check("pod-a2", "zone-1", LinkError::NotItsNode);
    check("pod-a2", "pod-a3", LinkError::NotItsNode);
    assert_eq!(Share::per_million(1_000_001), None);
}

/// Sends 100,000 bytes over a link that is narrower than the hosts think; they arrive all the same.
fn check_narrow(to: &str, tables: &[&str], [a, b]: [&str; 2]) {
    let mut lab = Lab::new();
    if !tables.is_empty() {
        let vip = to.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
        for node in 0..3 {
            lab.set_tables(node, service(vip, tables));
        }
    }
    let impairment = Impairment {
        mtu: Some(1300),
        ..Impairment::default()
    };
    lab.impair(a, b, impairment).unwrap();
    let socket = lab.hold("pod-a2", to);
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    lab.plane.send(socket, &sent).unwrap();
    lab.plane.close(socket);
    lab.run();
    let echoed = lab.received(socket);
    assert!(echoed == sent, "{to}: {} bytes", echoed.len());
    assert_eq!(lab.losses(), [], "{to}: whoever could not send said so");
}

/// RFC 1191 and 8201, with the quoted packet translated back where a Service is between.
#[test]
fn tcp_fits_its_segments_to_the_path() {
    let across = ["node-a", "node-c"];
    check_narrow("10.244.3.3:80", &[], across);
    check_narrow("[fd00:244:3::3]:80", &[], across);
    check_narrow("10.96.0.40:80", &["10.244.3.3:80"], across);
    check_narrow("[fd00:96::40]:80", &["[fd00:244:3::3]:80"], across);
    check_narrow("10.96.0.40:80", &["10.244.3.3:80"], ["pod-c3", "node-c"]);
    check_narrow("10.96.0.40:80", &["10.244.3.3:80"], ["pod-a2", "node-a"]);
}

/// What a router says of the path limits later datagrams, for ten minutes (`mtu_expires`).
#[test]
fn datagrams_hear_of_the_path_too() {
    let mut lab = Lab::new();
    let impairment = Impairment {
        mtu: Some(1300),
        ..Impairment::default()
    };
    lab.impair("node-a", "node-b", impairment).unwrap();
    // Other links that are not as they should be, or were so, change nothing.
    for link in [["node-a", "node-c"], ["node-b", "node-c"]] {
        lab.impair(link[0], link[1], Impairment::default()).unwrap();
    }
    lab.mend("node-a", "node-c");
    let pod = lab.host("pod-a2");
    let socket = lab.plane.udp_connect(pod, "10.244.2.3:53".parse().unwrap());
    lab.plane.send(socket, &[0; 1273]).unwrap();
    lab.run_until(millis(1));
    assert_eq!(lab.datagrams_at(lab.host("pod-b3")), []);
    let refused = lab.plane.send(socket, &[0; 1273]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "message too long: 1273 bytes, at most 1272"
    );
    lab.plane.send(socket, &[0; 1272]).unwrap();
    lab.run_until(millis(2));
    assert_eq!(lab.datagrams_at(lab.host("pod-b3")).len(), 1);
    lab.mend("node-a", "node-b");
    lab.run_until(Duration::from_secs(601));
    lab.plane.send(socket, &[0; 1273]).unwrap();
    lab.run_until(Duration::from_secs(602));
    assert_eq!(lab.datagrams_at(lab.host("pod-b3")).len(), 2);
}

#[test]
fn a_stopped_node_is_silent_and_goes_on_where_it_stopped() {
    let mut lab = Lab::new();
    let b = lab.nodes[1];
    let held = lab.hold("pod-a2", "10.244.2.3:80");
    lab.plane.send(held, b"hello").unwrap();
    lab.run_until(millis(100));
    lab.plane.set_node_up(b, false);
    assert!(!lab.plane.is_node_up(b));
    let to_it = lab.connect(lab.host("pod-a2"), "192.168.1.2:80");
    let within = lab.connect(lab.host("pod-b2"), "10.244.2.3:80");
    lab.plane.send(held, b"more").unwrap();
    lab.run_until(Duration::from_secs(10));
    for socket in [to_it, within] {
        assert!(lab.events_of(socket).is_empty());
    }
    let stopped = |reason: &LostReason| *reason == LostReason::NodeStopped;
    assert!(lab.losses().len() > 4 && lab.losses().iter().all(stopped));
    lab.plane.set_node_up(b, true);
    lab.run_until(Duration::from_secs(40));
    lab.check_exchange(to_it);
    lab.check_exchange(within);
    assert_eq!(lab.received(held), b"hellomore");
}

/// What is asked of a stopped node's sockets waits, and what they were waiting for is over by then.
#[test]
fn timers_of_a_stopped_node_stand_still() {
    let mut lab = Lab::new();
    let b = lab.nodes[1];
    lab.plane.set_node_up(b, false);
    let socket = lab.connect(lab.host("pod-b2"), "10.96.0.1:80");
    lab.run();
    assert_eq!(lab.losses(), [], "it never sends");
    assert!(lab.events_of(socket).is_empty());
    lab.plane.set_node_up(b, true);
    lab.run_until(Duration::from_secs(10_001));
    assert_eq!(lab.error_of(socket), Some(SocketError::TimedOut));
}

/// PROXY-75: connections that stand go on, new ones are dropped.
#[test]
fn a_full_conntrack_table_drops_new_connections() {
    let mut lab = Lab::new();
    let a = lab.nodes[0];
    let held: Vec<_> = (0..3)
        .map(|_| lab.hold("pod-a2", "10.244.2.3:80"))
        .collect();
    lab.run_until(millis(100));
    lab.plane.limit_conntrack(a, Some(3));
    let refused = lab.connect(lab.host("pod-a3"), "10.244.2.3:80");
    lab.plane.send(held[0], b"goes on").unwrap();
    lab.run_until(Duration::from_secs(2));
    assert!(lab.events_of(refused).is_empty());
    assert_eq!(lab.received(held[0]), b"goes on");
    let full = LostReason::Dropped(DropReason::ConntrackFull);
    assert_eq!(lab.losses(), vec![full; 2]);
    lab.plane.limit_conntrack(a, None);
    lab.run_until(Duration::from_secs(4));
    lab.check_exchange(refused);
}

/// Entries past their time make room, wherever they lie in the table.
#[test]
fn a_full_table_forgets_what_is_over() {
    let mut lab = Lab::new();
    let a = lab.nodes[0];
    lab.plane.limit_conntrack(a, Some(100));
    for _ in 0..100 {
        lab.connect(lab.host("pod-a2"), "10.244.2.3:80");
    }
    lab.run_until(millis(100));
    assert_eq!(lab.plane.node_state(a).len(), 100);
    lab.run_until(Duration::from_secs(500));
    let late: Vec<_> = (0..100)
        .map(|_| lab.connect(lab.host("pod-a3"), "10.244.2.3:80"))
        .collect();
    lab.run();
    assert_eq!(lab.losses(), []);
    for socket in late {
        lab.check_exchange(socket);
    }
}

/// The kernel of a container whose processes were killed closes their connections, and resets whoever still sends.
#[test]
fn processes_that_die_leave_their_kernel() {
    let mut lab = Lab::new();
    for node in 0..3 {
        lab.set_tables(node, service(VIP, &["10.244.2.3:80"]));
    }
    let server = lab.host("pod-b3");
    let [talks, later, never] =
        ["pod-a2", "pod-a3", "pod-a4"].map(|name| lab.hold(name, "10.96.0.40:80"));
    lab.run_until(millis(100));
    lab.plane.reset_host(server);
    assert_eq!(lab.plane.socket_count(server), 3, "the kernel ends them");
    let before = lab.log.len();
    // On its way before the FIN arrives.
    lab.plane.send(talks, b"still there?").unwrap();
    let refused = lab.connect(lab.host("pod-a2"), "10.96.0.40:80");
    lab.run_until(millis(200));
    assert_eq!(lab.error_of(talks), Some(SocketError::Reset));
    assert_eq!(lab.error_of(refused), Some(SocketError::Refused));
    let ends = |event: &PlaneEvent| matches!(event, PlaneEvent::PeerClosed { .. });
    for socket in [later, never] {
        assert!(ends(lab.events_of(socket)[1]), "it reads the end");
    }
    lab.plane.send(later, b"and now?").unwrap();
    lab.plane.close(never);
    lab.run();
    assert_eq!(lab.error_of(later), Some(SocketError::Reset));
    assert_eq!(lab.error_of(never), None);
    let told = |event: &PlaneEvent| match event {
        PlaneEvent::Data { socket, .. }
        | PlaneEvent::Closed { socket }
        | PlaneEvent::PeerClosed { socket }
        | PlaneEvent::Failed { socket, .. } => socket.host() == server,
        _ => false,
    };
    assert!(!lab.log[before..].iter().any(|(_, event)| told(event)));
    assert_eq!(lab.plane.socket_count(server), 0);
}

/// A Pod that reaches itself through a Service needs its link in hairpin mode.
#[test]
fn without_hairpin_mode_a_pod_does_not_reach_itself() {
    for hairpin in [true, false] {
        let mut lab = Lab::configured(PlaneConfig {
            hairpin,
            ..PlaneConfig::with_seed(Seed::new(7))
        });
        lab.set_tables(0, service(VIP, &["10.244.1.2:80"]));
        let [itself, other] =
            ["pod-a2", "pod-a3"].map(|name| lab.connect(lab.host(name), "10.96.0.40:80"));
        lab.run();
        lab.check_exchange(other);
        if hairpin {
            lab.check_exchange(itself);
        } else {
            assert_eq!(lab.error_of(itself), Some(SocketError::TimedOut));
            assert_eq!(lab.losses(), vec![LostReason::NoHairpin; 8]);
        }
    }
}

/// A node that does nothing costs nothing: no timer runs, and the clock goes on in one step.
#[test]
fn idle_hosts_plan_nothing() {
    let mut lab = Lab::new();
    let held: Vec<_> = ["pod-a2", "pod-b2", "pod-c2"]
        .into_iter()
        .map(|from| lab.hold(from, "10.244.2.3:80"))
        .collect();
    lab.run_until(millis(100));
    assert_eq!(lab.plane.next_event_at(), None, "connections that rest");
    lab.plane
        .advance_clock(SimTime::ZERO + Duration::from_secs(3600));
    assert_eq!(lab.plane.now(), SimTime::ZERO + Duration::from_secs(3600));
    for socket in held {
        lab.plane.close(socket);
    }
    lab.run();
}

/// A trace meets what is certain: a longer link, a cut, a stopped node.
#[test]
fn traces_see_what_is_wrong_with_links() {
    let mut lab = Lab::new();
    let client = lab.host("pod-a2");
    let mut chooser = SeededChooser(Seed::new(1).split("trace"));
    let mut follow = |lab: &mut Lab| {
        let ends = ["10.244.1.2:40000", "10.244.3.3:80"].map(|end| end.parse().unwrap());
        let packet = Packet::new(tcp_syn(ends[0], ends[1]).unwrap());
        let tables = &mut lab.tables;
        let trace = lab.plane.trace(client, packet, tables, &mut chooser);
        let end = trace.request.last().unwrap();
        (end.outcome.clone(), end.at)
    };
    let slow = Impairment {
        delay: millis(10),
        loss: share(500_000),
        ..Impairment::default()
    };
    lab.impair("node-a", "zone-2", slow).unwrap();
    let arrived = SimTime::ZERO + millis(11);
    assert_eq!(follow(&mut lab), (HopOutcome::Received, arrived));
    lab.impair("node-a", "zone-2", cut()).unwrap();
    let lost = HopOutcome::Lost(LostReason::LinkCut);
    assert_eq!(follow(&mut lab).0, lost);
    lab.mend("node-a", "zone-2");
    lab.plane.set_node_up(lab.nodes[2], false);
    let lost = HopOutcome::Lost(LostReason::NodeStopped);
    assert_eq!(follow(&mut lab).0, lost);
}
