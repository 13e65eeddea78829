//! Connections through tables in the shape kube-proxy gives them (proxy.md, section 6).

mod support;

use std::sync::Arc;
use std::time::Duration;

use ruleset::xt::{AddressType, RejectWith, TableName, XtMatch, XtRule, XtTarget};
use ruleset::{Family, Protocol};
use smoltcp::wire::Ipv4Packet;
use smoltcp::wire::{TcpControl, TcpPacket, TcpSeqNumber};
use switchboard_netfilter::{
    DropReason, Ingress, NoTrace, NodeState, NodeTables, Packet, Ratio, RejectReason, Verdict,
    eval, explore,
};

use support::wire::{ack, echo, port_unreachable, syn, syn_ack, tcp, transport, ttl, udp};
use support::{
    CLIENT, ENDPOINTS, NODE, TestNode, VIP, Walk, frame, jump, refusing, service, shown, to_port,
    web, web_builder, with,
};

#[test]
fn translates_to_an_endpoint_and_back() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let (request, interface) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&request), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    assert_eq!(interface, "eth0");
    assert_eq!(ttl(&request), 63);
    let (answer, interface) = node.forwards(syn_ack("10.244.2.11:8080", "10.244.1.5:40000"));
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
    assert_eq!(interface, "pod-10.244.1.5");
    node.forwards(ack("10.244.1.5:40000", "10.96.0.40:80"));
    node.forwards(ack("10.244.2.11:8080", "10.244.1.5:40000"));
    assert_eq!(
        node.listing(),
        [
            "tcp      6 86400 ESTABLISHED src=10.244.1.5 dst=10.96.0.40 sport=40000 dport=80 \
          src=10.244.2.11 dst=10.244.1.5 sport=8080 dport=40000 [ASSURED] mark=0 use=1"
        ]
    );
}

/// PROXY-72
#[test]
fn a_rule_change_affects_new_connections_only() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    node.tables = web(&ENDPOINTS[2..]);
    let (again, _) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&again), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    let (other, _) = node.forwards(syn("10.244.1.5:40001", "10.96.0.40:80"));
    assert_eq!(shown(&other), "tcp 10.244.1.5:40001 -> 10.244.3.12:8080");
}

#[test]
fn a_probe_changes_nothing() {
    let mut node = Walk::new(web(&ENDPOINTS));
    let probe = node.probe(
        syn("10.244.1.5:40000", "10.96.0.40:80"),
        Ingress::Interface("eth1"),
    );
    assert!(probe.effects.created().is_some());
    assert!(node.state.is_empty());
}

/// PROXY-42: every endpoint has the same chance.
#[test]
fn exploration_gives_each_endpoint_its_share() {
    let tables = web(&ENDPOINTS);
    let outcomes = explore(|chooser| {
        let verdict = eval(
            &tables,
            &NodeState::new(),
            &TestNode,
            syn("10.244.1.5:40000", "10.96.0.40:80"),
            Ingress::Interface("eth1"),
            base::SimTime::ZERO,
            chooser,
            &mut NoTrace,
        )
        .verdict;
        match verdict {
            Verdict::Forward { packet, .. } => packet.tuple().unwrap().destination().to_string(),
            other => panic!("{other:?}"),
        }
    });
    let third = Ratio::new(1, 3).unwrap();
    let expected = ENDPOINTS.map(|endpoint| (third, endpoint.to_owned()));
    assert_eq!(outcomes.unwrap(), expected);
}

/// PROXY-23: the Pod is its own endpoint; it sees the node's address, and its own answer comes back.
#[test]
fn hairpin_is_masqueraded() {
    let mut node = Walk::new(web(&[CLIENT]));
    let (request, interface) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    let tuple = request.tuple().unwrap();
    assert_eq!(interface, "pod-10.244.1.5");
    assert_eq!(tuple.source().to_string(), NODE);
    assert_eq!(tuple.destination_socket().to_string(), "10.244.1.5:8080");
    let back = syn_ack("10.244.1.5:8080", &tuple.source_socket().to_string());
    let (answer, _) = node.forwards(back);
    assert_eq!(shown(&answer), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
}

/// PROXY-20: sources outside the cluster are masqueraded, Pods are not.
#[test]
fn outside_sources_are_masqueraded() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let (request, _) = node.forwards(syn("203.0.113.70:40000", "10.96.0.40:80"));
    assert_eq!(request.tuple().unwrap().source().to_string(), NODE);
}

#[test]
fn node_processes_reach_services_through_the_output_hook() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let request = node.send(syn("192.168.1.1:40000", "10.96.0.40:80"), Ingress::Local);
    let Verdict::Forward { packet, .. } = request else {
        panic!("{request:?}")
    };
    let tuple = packet.tuple().unwrap();
    assert_eq!(tuple.destination_socket().to_string(), "10.244.2.11:8080");
    assert_eq!(ttl(&packet), 64, "the node itself made it");
    let back = syn_ack("10.244.2.11:8080", &tuple.source_socket().to_string());
    let answer = node.arrives(back);
    let Verdict::Deliver(packet) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(shown(&packet), "tcp 10.96.0.40:80 -> 192.168.1.1:40000");
}

/// The route to the VIP leads away; the translated packet goes to the Pod here.
#[test]
fn what_the_node_sends_is_routed_again_after_translation() {
    let mut node = Walk::new(web(&ENDPOINTS[..1]));
    let verdict = node.send(syn("192.168.1.1:40000", "10.96.0.40:80"), Ingress::Local);
    let Verdict::Forward { interface, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(interface.as_str(), "pod-10.244.1.10");
}

/// An endpoint in the host network, reached from the node itself: both ways over loopback.
#[test]
fn node_processes_reach_endpoints_on_the_node() {
    let mut node = Walk::new(web(&[NODE]));
    let request = node.send(syn("192.168.1.1:40000", "10.96.0.40:80"), Ingress::Local);
    let Verdict::Deliver(packet) = request else {
        panic!("{request:?}")
    };
    let tuple = packet.tuple().unwrap();
    assert_eq!(tuple.destination_socket().to_string(), "192.168.1.1:8080");
    let back = syn_ack("192.168.1.1:8080", &tuple.source_socket().to_string());
    let answer = node.send(back, Ingress::Local);
    let Verdict::Deliver(packet) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(shown(&packet), "tcp 10.96.0.40:80 -> 192.168.1.1:40000");
    assert_eq!(node.state.len(), 1);
}

/// PROXY-14, DBG-67: no endpoints.
#[test]
fn reject_tells_the_client_about_its_own_packet() {
    let mut node = Walk::new(refusing(RejectWith::PortUnreachable));
    let question = syn("10.244.1.5:40000", "10.96.0.40:80");
    let verdict = node.arrives(question.clone());
    let Verdict::Reject {
        reply,
        reason: RejectReason::Rule { place, with },
    } = verdict
    else {
        panic!("{verdict:?}")
    };
    assert_eq!(place.to_string(), "filter/KUBE-SERVICES rule 1");
    assert_eq!(with, RejectWith::PortUnreachable);
    assert_eq!(&transport(&reply)[..2], [3, 3]);
    assert_eq!(
        &transport(&reply)[8..],
        one_hop_on(&question),
        "quoted whole"
    );
    assert_eq!(&reply.bytes()[12..16], [192, 168, 1, 1]);
    assert_eq!(&reply.bytes()[16..20], [10, 244, 1, 5]);
    assert!(node.state.is_empty(), "a refused connection is not entered");
}

/// An IPv4 packet as a node forwards it: Linux takes the hop off before the forward hook.
fn one_hop_on(packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.bytes().to_vec();
    let mut header = Ipv4Packet::new_unchecked(&mut bytes);
    header.set_hop_limit(header.hop_limit() - 1);
    header.fill_checksum();
    bytes
}

#[test]
fn reject_of_a_translated_packet_quotes_what_the_client_sent() {
    let reject = to_port(
        "10.244.2.11",
        Protocol::TCP,
        8080,
        XtTarget::Reject(RejectWith::AdminProhibited),
    );
    let tables = web_builder(Protocol::TCP, &ENDPOINTS[1..2]).rule(
        TableName::Filter,
        "KUBE-SERVICES",
        reject,
    );
    let mut node = Walk::new(tables.build());
    let question = syn("10.244.1.5:40000", "10.96.0.40:80");
    let verdict = node.arrives(question.clone());
    let Verdict::Reject { reply, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(&transport(&reply)[..2], [3, 13]);
    assert_eq!(&transport(&reply)[8..], one_hop_on(&question));
    assert_eq!(
        &reply.bytes()[12..16],
        [10, 96, 0, 40],
        "from whom the client called"
    );
}

#[test]
fn reject_with_reset_answers_the_segment() {
    let mut node = Walk::new(refusing(RejectWith::TcpReset));
    let verdict = node.arrives(syn("10.244.1.5:40000", "10.96.0.40:80"));
    let Verdict::Reject { reply, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(shown(&reply), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
    let segment = TcpPacket::new_checked(transport(&reply)).unwrap();
    assert!(segment.rst() && segment.ack());
    assert_eq!(segment.ack_number(), TcpSeqNumber(1001));

    let verdict = node.arrives(ack("10.244.1.5:40001", "10.96.0.40:80"));
    let Verdict::Reject { reply, .. } = verdict else {
        panic!("{verdict:?}")
    };
    let segment = TcpPacket::new_checked(transport(&reply)).unwrap();
    assert!(segment.rst() && !segment.ack());
    assert_eq!(segment.seq_number(), TcpSeqNumber(2000));
}

/// An endpoint's own ICMP error is translated like its answers would be, the quoted packet included.
#[test]
fn an_endpoints_error_reaches_the_client_as_the_services() {
    let tables = web_builder(Protocol::UDP, &ENDPOINTS[1..2]).build();
    let mut node = Walk::new(tables);
    let question = udp("10.244.1.5:40000", "10.96.0.40:80");
    let (asked, _) = node.forwards(question.clone());
    let (error, interface) = node.forwards(port_unreachable("10.244.2.11", &asked));
    assert_eq!(interface, "pod-10.244.1.5");
    assert_eq!(error.quoted_tuple(), question.tuple());
    assert_eq!(&error.bytes()[12..16], [10, 96, 0, 40]);
    assert_eq!(
        node.listing()[0].split("src").next(),
        Some("udp      17 30 "),
        "an error is no answer"
    );
}

#[test]
fn an_error_through_a_masquerade_finds_the_client() {
    let mut node = Walk::new(web_builder(Protocol::UDP, &ENDPOINTS[1..2]).build());
    let question = udp("203.0.113.70:40000", "10.96.0.40:80");
    let (asked, _) = node.forwards(question.clone());
    assert_eq!(asked.tuple().unwrap().source().to_string(), NODE);
    let (error, _) = node.forwards(port_unreachable("10.244.2.11", &asked));
    assert_eq!(error.quoted_tuple(), question.tuple());
    assert_eq!(&error.bytes()[16..20], [203, 0, 113, 70]);
}

/// `nf_conntrack_inet_error`: an error goes to whom it concerns, or is INVALID.
#[test]
fn an_error_to_somebody_else_is_invalid() {
    let mut node = Walk::new(web_builder(Protocol::UDP, &ENDPOINTS[1..2]).build());
    let (asked, _) = node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    let mut bytes = port_unreachable("10.244.2.11", &asked).into_bytes();
    bytes[16..20].copy_from_slice(&[10, 244, 1, 6]);
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
    let verdict = node.arrives(Packet::new(bytes));
    assert_eq!(dropped_by(verdict), "filter/KUBE-FORWARD rule 1");
}

/// An error about a packet that nobody sent is INVALID, which KUBE-FORWARD drops (PROXY-34).
#[test]
fn an_error_about_nothing_is_invalid() {
    let mut node = Walk::new(web(&ENDPOINTS));
    let forged = port_unreachable("10.244.2.11", &udp("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(
        dropped_by(node.arrives(forged)),
        "filter/KUBE-FORWARD rule 1"
    );
}

/// PROXY-34
#[test]
fn packets_of_no_connection_are_invalid() {
    for stray in [
        syn_ack("10.244.2.11:8080", "10.244.1.5:40000"),
        tcp(
            "10.244.2.11:8080",
            "10.244.1.5:40000",
            TcpControl::Fin,
            true,
        ),
        tcp(
            "10.244.2.11:8080",
            "10.244.1.5:40000",
            TcpControl::Rst,
            false,
        ),
        echo("10.244.2.11", "10.244.1.5", 7, true),
    ] {
        let mut node = Walk::new(web(&ENDPOINTS));
        assert_eq!(
            dropped_by(node.arrives(stray)),
            "filter/KUBE-FORWARD rule 1"
        );
        assert!(node.state.is_empty());
    }
}

/// Take any one rule that the connection needs away, and the packet goes somewhere else.
#[test]
fn every_rule_is_needed() {
    let needed = [
        (TableName::Nat, "PREROUTING", 0),
        (TableName::Nat, "KUBE-SERVICES", 0),
        (TableName::Nat, "KUBE-SVC-WEB", 1),
        (TableName::Nat, "KUBE-SEP-0", 1),
    ];
    for (table, chain, index) in needed {
        let mut tables = web_builder(Protocol::TCP, &ENDPOINTS[1..2]).into_inner();
        let name = ruleset::xt::ChainName::new(chain).unwrap();
        let chains = &mut tables.tables.get_mut(&table).unwrap().chains;
        let body = chains.get_mut(&name).unwrap();
        std::sync::Arc::make_mut(body).rules.remove(index);
        let mut node = Walk::new(NodeTables::new([Arc::new(tables)]).unwrap());
        let (packet, _) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
        assert_eq!(
            shown(&packet),
            "tcp 10.244.1.5:40000 -> 10.96.0.40:80",
            "without {table}/{chain} rule {}",
            index + 1
        );
    }
}

/// DBG-69: a port that the Service does not have.
#[test]
fn an_undefined_port_leaves_untouched() {
    let mut node = Walk::new(web(&ENDPOINTS));
    let (packet, interface) = node.forwards(syn("10.244.1.5:40000", "10.96.0.40:81"));
    assert_eq!(shown(&packet), "tcp 10.244.1.5:40000 -> 10.96.0.40:81");
    assert_eq!(interface, "eth0");
}

/// PROXY-36: node ports are for the node's own addresses.
#[test]
fn node_ports_match_local_addresses_only() {
    let local = XtMatch::AddrType {
        source: None,
        destination: Some((false, AddressType::Local)),
    };
    let mut node_port = to_port(NODE, Protocol::TCP, 30080, jump("KUBE-SVC-WEB"));
    node_port.destination = None;
    let tables = web_builder(Protocol::TCP, &ENDPOINTS[1..2])
        .rule(
            TableName::Nat,
            "KUBE-SERVICES",
            with(jump("KUBE-NODEPORTS"), vec![local]),
        )
        .rule(TableName::Nat, "KUBE-NODEPORTS", node_port);
    let mut node = Walk::new(tables.build());
    let (packet, _) = node.forwards(syn("10.244.1.5:40000", "192.168.1.1:30080"));
    assert_eq!(shown(&packet), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    let (packet, _) = node.forwards(syn("10.244.1.5:40001", "192.168.1.2:30080"));
    assert_eq!(shown(&packet), "tcp 10.244.1.5:40001 -> 192.168.1.2:30080");
}

#[test]
fn ipv6_is_translated_too() {
    let builder = service(
        frame(Family::V6),
        "fd00:10::40",
        Protocol::TCP,
        "fd00:1::/32",
        &["fd00:2::11"],
    );
    let mut node = Walk::new(builder.build());
    let (request, _) = node.forwards(syn("[fd00:1::5]:40000", "[fd00:10::40]:80"));
    assert_eq!(
        shown(&request),
        "tcp [fd00:1::5]:40000 -> [fd00:2::11]:8080"
    );
    let error = port_unreachable("fd00:2::11", &request);
    let (error, _) = node.forwards(error);
    assert_eq!(
        error.quoted_tuple().unwrap().to_string(),
        "tcp [fd00:1::5]:40000 -> [fd00:10::40]:80"
    );
    let (answer, _) = node.forwards(syn_ack("[fd00:2::11]:8080", "[fd00:1::5]:40000"));
    assert_eq!(shown(&answer), "tcp [fd00:10::40]:80 -> [fd00:1::5]:40000");
}

#[test]
fn ipv6_reject_quotes_what_the_client_sent() {
    let reject = to_port(
        "fd00:10::40",
        Protocol::UDP,
        80,
        XtTarget::Reject(RejectWith::PortUnreachable),
    );
    let tables = frame(Family::V6).rule(TableName::Filter, "KUBE-SERVICES", reject);
    let mut node = Walk::new(tables.build());
    let question = udp("[fd00:1::5]:40000", "[fd00:10::40]:80");
    let verdict = node.arrives(question.clone());
    let Verdict::Reject { reply, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(&transport(&reply)[..2], [1, 4]);
    assert_eq!(reply.quoted_tuple(), question.tuple());
}

/// PROXY-17: no rule of iptables mode is about ICMP.
#[test]
fn ping_to_a_cluster_ip_leaves_untouched() {
    let mut node = Walk::new(web(&ENDPOINTS));
    let request = echo(CLIENT, VIP, 7, false);
    let (packet, _) = node.forwards(request.clone());
    assert_eq!(packet.tuple(), request.tuple());
}

/// A jump back to the caller, a goto past it, and the policy of the chain that the kernel called.
#[test]
fn chains_return_to_whom_they_must() {
    use TableName::Filter;
    let goto = |chain| XtTarget::Goto(ruleset::xt::ChainName::new(chain).unwrap());
    let tables = support::TablesBuilder::new(Family::V4)
        .rule(Filter, "FORWARD", XtRule::new(jump("A")))
        .rule(Filter, "FORWARD", XtRule::new(XtTarget::Drop))
        .rule(Filter, "A", XtRule::new(goto("B")))
        .rule(Filter, "A", XtRule::new(XtTarget::Accept))
        .rule(Filter, "B", XtRule::new(XtTarget::None));
    let mut node = Walk::new(tables.build());
    let dropped = dropped_by(node.arrives(syn("10.244.1.5:40000", "10.244.2.11:80")));
    assert_eq!(
        dropped, "filter/FORWARD rule 2",
        "the goto skips the rest of A"
    );
}

#[test]
fn policies_decide_last() {
    let mut tables = support::TablesBuilder::new(Family::V4)
        .rule(TableName::Filter, "FORWARD", XtRule::new(XtTarget::Return))
        .rule(TableName::Filter, "FORWARD", XtRule::new(XtTarget::Accept))
        .into_inner();
    let chains = &mut tables.tables.get_mut(&TableName::Filter).unwrap().chains;
    let name = *chains.keys().next().unwrap();
    let forward = chains.get_mut(&name).unwrap();
    std::sync::Arc::make_mut(forward).policy = Some(ruleset::xt::Policy::Drop);
    let mut node = Walk::new(NodeTables::new([Arc::new(tables)]).unwrap());
    let verdict = node.arrives(syn("10.244.1.5:40000", "10.244.2.11:80"));
    let Verdict::Drop(reason) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        reason.to_string(),
        "dropped by the policy of filter/FORWARD"
    );
}

#[test]
fn ttl_runs_out() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let mut bytes = syn("10.244.1.5:40000", "10.96.0.40:80").into_bytes();
    bytes[8] = 1;
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
    let question = Packet::new(bytes);
    let verdict = node.arrives(question.clone());
    let Verdict::Reject {
        reply,
        reason: RejectReason::TtlExpired,
    } = verdict
    else {
        panic!("{verdict:?}")
    };
    assert_eq!(&transport(&reply)[..2], [11, 0]);
    assert_eq!(&transport(&reply)[8..], question.bytes());
}

#[test]
fn impossible_and_unroutable_packets_are_dropped() {
    let mut node = Walk::new(NodeTables::empty());
    for (source, destination, reason) in [
        ("10.244.1.5:1", "198.51.100.1:1", DropReason::NoRoute),
        ("127.0.0.1:1", "10.244.1.5:1", DropReason::Martian),
        ("192.168.1.1:1", "10.244.1.5:1", DropReason::Martian),
        ("224.0.0.1:1", "10.244.1.5:1", DropReason::Martian),
        ("10.244.1.5:1", "127.0.0.1:1", DropReason::Martian),
        ("10.244.1.5:1", "255.255.255.255:1", DropReason::Martian),
    ] {
        let verdict = node.arrives(udp(source, destination));
        assert_eq!(verdict, Verdict::Drop(reason), "{source} {destination}");
    }
}

/// PROXY-75
#[test]
fn udp_flows_are_forgotten() {
    let mut node = Walk::new(web_builder(Protocol::UDP, &ENDPOINTS[1..2]).build());
    node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    node.tables = web_builder(Protocol::UDP, &ENDPOINTS[2..]).build();
    node.now += Duration::from_secs(29);
    let (kept, _) = node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&kept), "udp 10.244.1.5:40000 -> 10.244.2.11:8080");
    node.now += Duration::from_secs(30);
    assert!(node.listing().is_empty());
    let (moved, _) = node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&moved), "udp 10.244.1.5:40000 -> 10.244.3.12:8080");
    assert_eq!(node.state.len(), 1);
    node.now += Duration::from_secs(30);
    assert_eq!(node.state.expire(node.now), 1);
    assert!(node.state.is_empty());
}

#[test]
fn udp_streams_live_longer() {
    let mut node = Walk::new(NodeTables::empty());
    node.forwards(udp("10.244.1.5:40000", "10.244.2.11:53"));
    node.forwards(udp("10.244.2.11:53", "10.244.1.5:40000"));
    assert!(
        node.listing()[0].starts_with("udp      17 30 "),
        "{:?}",
        node.listing()
    );
    node.now += Duration::from_secs(3);
    node.forwards(udp("10.244.1.5:40000", "10.244.2.11:53"));
    assert!(node.listing()[0].contains("[ASSURED]"));
    assert!(
        node.listing()[0].starts_with("udp      17 120 "),
        "{:?}",
        node.listing()
    );
}

/// PROXY-73: what a proxy's clean-up does.
#[test]
fn deleted_entries_meet_the_rules_again() {
    let mut node = Walk::new(web_builder(Protocol::UDP, &ENDPOINTS[1..2]).build());
    node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    node.tables = web_builder(Protocol::UDP, &ENDPOINTS[2..]).build();
    let stale = node
        .state
        .delete(|entry| entry.reply().source().to_string() == ENDPOINTS[1]);
    assert_eq!(stale, 1);
    let (moved, _) = node.forwards(udp("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&moved), "udp 10.244.1.5:40000 -> 10.244.3.12:8080");
}

/// The client tries again from the same port after a reset: a new connection, decided anew.
#[test]
fn a_refused_connection_is_forgotten() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    node.forwards(syn("10.244.1.5:40000", "10.96.0.40:80"));
    let reset = tcp(
        "10.244.2.11:8080",
        "10.244.1.5:40000",
        TcpControl::Rst,
        true,
    );
    let (reset, _) = node.forwards(reset);
    assert_eq!(shown(&reset), "tcp 10.96.0.40:80 -> 10.244.1.5:40000");
    assert!(node.state.is_empty());
}

#[test]
fn a_closed_connection_can_be_opened_again() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let (client, vip) = ("10.244.1.5:40000", "10.96.0.40:80");
    let endpoint = "10.244.2.11:8080";
    node.forwards(syn(client, vip));
    node.forwards(syn_ack(endpoint, client));
    node.forwards(ack(client, vip));
    node.forwards(tcp(client, vip, TcpControl::Fin, true));
    node.forwards(tcp(endpoint, client, TcpControl::Fin, true));
    node.forwards(ack(client, vip));
    assert!(
        node.listing()[0].contains(" 120 TIME_WAIT "),
        "{:?}",
        node.listing()
    );
    let closed = node.state.clone();
    let (again, _) = node.forwards(syn(client, vip));
    assert_eq!(
        shown(&again),
        "tcp 10.244.1.5:40000 -> 10.244.2.11:8080",
        "the old connection's port is free again"
    );
    node.state = closed;
    node.tables = web(&ENDPOINTS[2..]);
    let (elsewhere, _) = node.forwards(syn(client, vip));
    assert_eq!(
        shown(&elsewhere),
        "tcp 10.244.1.5:40000 -> 10.244.3.12:8080"
    );
    assert_eq!(node.state.len(), 1);
}

fn dropped_by(verdict: Verdict) -> String {
    match verdict {
        Verdict::Drop(DropReason::Rule(place)) => place.to_string(),
        other => panic!("not dropped by a rule: {other:?}"),
    }
}
