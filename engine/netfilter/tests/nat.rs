//! Translation of sources: masquerade, and unique answers for every connection.

mod support;

use std::collections::BTreeSet;

use ruleset::xt::{ChainName, NatTarget, TableName, XtRule, XtTarget};
use ruleset::{Family, Protocol};
use smoltcp::wire::{Icmpv4Packet, TcpControl};
use switchboard_netfilter::{
    ChainPlace, Chooser, DropReason, Hook, Ingress, InterfaceName, NodeState, NodeTables, Packet,
    Recorder, RouteDecision, TableVerdict, TraceEvent, Verdict, eval,
};

use support::wire::{self, ack, echo, syn, syn_ack, tcp, transport, udp};
use support::{
    ENDPOINTS, NODE, TablesBuilder, TestNode, Walk, ip, shown, to_port, web, web_builder,
};

/// Masquerades whatever leaves.
fn masquerading(random_fully: bool) -> NodeTables {
    TablesBuilder::new(Family::V4)
        .rule(
            TableName::Nat,
            "POSTROUTING",
            XtRule::new(XtTarget::Masquerade { random_fully }),
        )
        .build()
}

#[test]
fn masquerade_keeps_the_port_while_it_is_free() {
    let mut node = Walk::new(masquerading(false));
    let server = "203.0.113.9:80";
    let (first, _) = node.forwards(syn("10.244.1.5:40000", server));
    assert_eq!(shown(&first), "tcp 192.168.1.1:40000 -> 203.0.113.9:80");
    let (second, _) = node.forwards(syn("10.244.1.6:40000", server));
    let second = second.tuple().unwrap();
    assert_eq!(second.source(), ip(NODE));
    assert_ne!(second.source_port(), Some(40000));
    let (elsewhere, _) = node.forwards(syn("10.244.1.6:40000", "203.0.113.10:80"));
    assert_eq!(
        shown(&elsewhere),
        "tcp 192.168.1.1:40000 -> 203.0.113.10:80"
    );
    let (answer, _) = node.forwards(syn_ack(server, &second.source_socket().to_string()));
    assert_eq!(shown(&answer), "tcp 203.0.113.9:80 -> 10.244.1.6:40000");
}

/// A chooser that always starts at the same port: collisions must be walked around.
struct Stubborn;

impl Chooser for Stubborn {
    fn random(&mut self, _probability: ruleset::xt::Probability) -> bool {
        false
    }

    fn numgen(&mut self, _modulus: u32) -> u32 {
        0
    }

    fn port(&mut self, range: std::ops::RangeInclusive<u16>) -> u16 {
        *range.end()
    }
}

#[test]
fn random_ports_do_not_collide() {
    let tables = masquerading(true);
    let mut state = NodeState::new();
    let mut ports = BTreeSet::new();
    for client in 1..=200 {
        let evaluation = eval(
            &tables,
            &state,
            &TestNode,
            syn(&format!("10.244.1.{client}:40000"), "203.0.113.9:80"),
            Ingress::Interface("eth1"),
            base::SimTime::ZERO,
            &mut Stubborn,
            &mut switchboard_netfilter::NoTrace,
        );
        state.commit(evaluation.effects);
        let Verdict::Forward { packet, .. } = evaluation.verdict else {
            panic!("{:?}", evaluation.verdict)
        };
        let port = packet.tuple().unwrap().source_port().unwrap();
        assert!(port >= 1024);
        assert!(ports.insert(port), "{port} twice");
    }
    assert_eq!(
        ports.first(),
        Some(&1024),
        "past the end it goes on at the start"
    );
}

/// `nf_nat_l4proto_unique_tuple`: privileged ports stay privileged.
#[test]
fn low_ports_stay_low() {
    let mut node = Walk::new(masquerading(true));
    for (from, range) in [(80, 1..=511), (900, 600..=1023), (1024, 1024..=65535)] {
        let (packet, _) = node.forwards(syn(&format!("10.244.1.5:{from}"), "203.0.113.9:80"));
        let port = packet.tuple().unwrap().source_port().unwrap();
        assert!(range.contains(&port), "{from} became {port}");
    }
}

#[test]
fn no_port_left_is_a_named_reason() {
    let mut node = Walk::new(masquerading(true));
    for _ in 1..=511 {
        let client = format!("10.244.1.5:{}", node.state.len() + 1);
        node.forwards(udp(&client, "203.0.113.9:53"));
    }
    let verdict = node.arrives(udp("10.244.1.6:1", "203.0.113.9:53"));
    assert_eq!(verdict, Verdict::Drop(DropReason::PortsExhausted));
}

/// Two clients reach one endpoint through different VIPs from one address and port: the second gets another port
/// although no rule asks for it.
#[test]
fn clashing_answers_get_another_port() {
    let to = NatTarget {
        address: ip(ENDPOINTS[1]),
        port: Some(8080),
    };
    let tables =
        ["10.96.0.40", "10.96.0.41"]
            .iter()
            .fold(TablesBuilder::new(Family::V4), |tables, vip| {
                let rule = to_port(vip, Protocol::TCP, 80, XtTarget::Dnat { to });
                tables.rule(TableName::Nat, "PREROUTING", rule)
            });
    let mut node = Walk::new(tables.build());
    let client = "10.244.1.5:40000";
    let (first, _) = node.forwards(syn(client, "10.96.0.40:80"));
    let (second, _) = node.forwards(syn(client, "10.96.0.41:80"));
    let (first, second) = (first.tuple().unwrap(), second.tuple().unwrap());
    assert_eq!(first.source_socket().to_string(), client);
    assert_eq!(second.source(), first.source());
    assert_ne!(second.source_port(), first.source_port());
    let back = syn_ack("10.244.2.11:8080", &second.source_socket().to_string());
    let (answer, _) = node.forwards(back);
    assert_eq!(shown(&answer), "tcp 10.96.0.41:80 -> 10.244.1.5:40000");
}

#[test]
fn echoes_are_masqueraded_by_their_identifier() {
    let mut node = Walk::new(masquerading(false));
    let (first, _) = node.forwards(echo("10.244.1.5", "203.0.113.9", 7, false));
    let (second, _) = node.forwards(echo("10.244.1.6", "203.0.113.9", 7, false));
    let id = |packet: &Packet| Icmpv4Packet::new_unchecked(transport(packet)).echo_ident();
    assert_eq!(id(&first), 7);
    assert_ne!(id(&second), 7);
    let (answer, _) = node.forwards(echo("203.0.113.9", NODE, id(&second), true));
    assert_eq!(id(&answer), 7);
    assert_eq!(answer.tuple().unwrap().destination(), ip("10.244.1.6"));
    assert!(node.listing()[0].starts_with(
        "icmp     1 30 src=10.244.1.5 dst=203.0.113.9 type=8 code=0 id=7 [UNREPLIED] "
    ));
}

/// A router on the way stays who it is: only the side that was translated is translated back.
#[test]
fn errors_keep_their_sender() {
    let mut node = Walk::new(masquerading(false));
    let question = udp("10.244.1.5:40000", "203.0.113.9:53");
    let (asked, _) = node.forwards(question.clone());
    let (error, _) = node.forwards(wire::port_unreachable("203.0.113.254", &asked));
    assert_eq!(error.bytes()[12..16], [203, 0, 113, 254]);
    assert_eq!(error.bytes()[16..20], [10, 244, 1, 5]);
    assert_eq!(error.quoted_tuple(), question.tuple());
}

#[test]
fn sctp_checksums_follow_the_ports() {
    let tables = web_builder(Protocol::SCTP, &ENDPOINTS[1..2]).build();
    let mut node = Walk::new(tables);
    let client = wire::socket("10.244.1.5:40000");
    let init = wire::sctp(client, wire::socket("10.96.0.40:80"), b"INIT");
    let (request, _) = node.forwards(init);
    assert_eq!(shown(&request), "sctp 10.244.1.5:40000 -> 10.244.2.11:8080");
}

/// RFC 792 asks an error to quote eight bytes, which end before SCTP's checksum: whatever the quoted header says
/// of the length, the quote is translated as far as it goes.
#[test]
fn quoted_sctp_may_end_before_its_checksum() {
    for (quoted_len, stated_len) in [(8, 8), (8, 16), (10, 10), (11, 11), (12, 12), (16, 16)] {
        let tables = web_builder(Protocol::SCTP, &ENDPOINTS[1..2]).build();
        let mut node = Walk::new(tables);
        let client = wire::socket("10.244.1.5:40000");
        let init = wire::sctp(client, wire::socket("10.96.0.40:80"), b"INIT");
        let (request, _) = node.forwards(init.clone());
        let quote = wire::cut(&request, quoted_len, stated_len);
        let (error, _) = node.forwards(wire::port_unreachable("10.244.2.11", &quote));
        assert_eq!(error.quoted_tuple(), init.tuple(), "{quoted_len} bytes");
    }
}

/// A middle packet without an entry starts a connection, as `nf_conntrack_tcp_loose=1` has it: after a restart of
/// the node the client's packets go to whatever endpoint the rules choose now.
#[test]
fn connections_are_picked_up_in_their_middle() {
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let (packet, _) = node.forwards(ack("10.244.1.5:40000", "10.96.0.40:80"));
    assert_eq!(shown(&packet), "tcp 10.244.1.5:40000 -> 10.244.2.11:8080");
    let fin = tcp("10.244.1.5:40001", "10.96.0.40:80", TcpControl::Fin, true);
    assert!(matches!(
        node.arrives(fin),
        Verdict::Drop(DropReason::Rule(_))
    ));
}

#[test]
fn a_trace_tells_the_whole_story() {
    let mut recorder = Recorder::matched_only();
    let mut node = Walk::new(web(&ENDPOINTS[1..2]));
    let evaluation = eval(
        &node.tables,
        &node.state,
        &TestNode,
        syn("203.0.113.70:40000", "10.96.0.40:80"),
        Ingress::Interface("eth0"),
        node.now,
        &mut node.chooser,
        &mut recorder,
    );
    assert!(evaluation.effects.created().is_some());
    let hooks: Vec<Hook> = recorder
        .events()
        .iter()
        .filter_map(|event| match event {
            TraceEvent::Hook(hook) => Some(*hook),
            _ => None,
        })
        .collect();
    assert_eq!(hooks, [Hook::Prerouting, Hook::Forward, Hook::Postrouting]);
    let rules: Vec<String> = recorder
        .matched_rules()
        .map(|rule| rule.place().to_string())
        .collect();
    assert_eq!(
        rules,
        [
            "nat/PREROUTING rule 1",
            "nat/KUBE-SERVICES rule 1",
            "nat/KUBE-SVC-WEB rule 1",
            "nat/KUBE-MARK-MASQ rule 1",
            "nat/KUBE-SVC-WEB rule 2",
            "nat/KUBE-SEP-0 rule 2",
            "filter/FORWARD rule 1",
            "filter/KUBE-FORWARD rule 2",
            "nat/POSTROUTING rule 1",
            "nat/KUBE-POSTROUTING rule 2",
            "nat/KUBE-POSTROUTING rule 3",
        ]
    );
    let routed = TraceEvent::Routed(RouteDecision::Out(InterfaceName::literal("eth0")));
    assert!(recorder.events().contains(&routed));
    let masqueraded = TraceEvent::Verdict {
        base: ChainPlace::Xt {
            table: TableName::Nat,
            chain: ChainName::literal("POSTROUTING"),
        },
        verdict: TableVerdict::Masquerade { random_fully: true },
    };
    assert!(recorder.events().contains(&masqueraded));
    let translations = recorder
        .into_events()
        .into_iter()
        .filter(|event| matches!(event, TraceEvent::Translated { .. }))
        .count();
    assert_eq!(translations, 2, "destination, then source");
}
