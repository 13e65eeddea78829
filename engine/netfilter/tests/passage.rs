//! Packets that no rule looks at take a short way, which gives what the long one gives.

mod support;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::{Seed, SimTime};
use proptest::prelude::*;
use ruleset::xt::{CtState, TableName, XtMatch, XtRule, XtTarget};
use ruleset::{Family, Protocol};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpControl};
use switchboard_netfilter::{
    Hop, Ingress, NoTrace, NodeState, NodeTables, Packet, Recorder, Routing, SeededChooser, Tuple,
    eval,
};

use support::wire::{ack, echo, sctp, syn, syn_ack, tcp_with, udp_with};
use support::{TablesBuilder, TestNode, ct_state, frame, nat_frame, service, with};

/// The node, which notices what only the long way asks.
#[derive(Default)]
struct Observed {
    long_ways: Cell<usize>,
}

impl Routing for Observed {
    fn is_local(&self, address: IpAddr) -> bool {
        TestNode.is_local(address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        TestNode.route(destination)
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }

    fn assumes_arrival(&self) -> bool {
        self.long_ways.set(self.long_ways.get() + 1);
        false
    }
}

/// Who is in a case, by family: VIP, Pods here, endpoint, then clients and other destinations.
const ENDS: [[&str; 6]; 2] = [
    [
        "10.96.0.40",
        "10.244.1.5",
        "10.244.2.11",
        "203.0.113.70",
        "192.168.1.1",
        "198.51.100.7",
    ],
    [
        "fd00:10::40",
        "fd00:1::5",
        "fd00:2::11",
        "2001:db8::70",
        "fd00::1",
        "::1",
    ],
];

/// A rule that may be there beside those of a Service.
fn rule(number: usize) -> (TableName, &'static str, XtRule) {
    use TableName::{Filter, Mangle, Raw};
    let on = |state, target| with(target, vec![ct_state(&[state])]);
    let mark = XtTarget::SetXmark { value: 1, mask: 1 };
    let marked = |negated| XtMatch::Mark {
        negated,
        value: 1,
        mask: 1,
    };
    match number {
        0 => (Filter, "FORWARD", on(CtState::New, XtTarget::None)),
        1 => (Filter, "FORWARD", on(CtState::Invalid, XtTarget::Drop)),
        2 => (Filter, "INPUT", on(CtState::New, XtTarget::Accept)),
        3 => (Filter, "FORWARD", on(CtState::Established, XtTarget::Drop)),
        4 => (Raw, "PREROUTING", on(CtState::New, XtTarget::Notrack)),
        5 => (Mangle, "PREROUTING", on(CtState::Established, mark)),
        6 => (Filter, "FORWARD", with(XtTarget::Drop, vec![marked(true)])),
        7 => (Raw, "PREROUTING", on(CtState::Invalid, XtTarget::Notrack)),
        8 => (Filter, "INPUT", on(CtState::Established, XtTarget::Accept)),
        9 => (Filter, "FORWARD", with(XtTarget::Drop, vec![marked(false)])),
        10 => (
            Filter,
            "FORWARD",
            on(CtState::Established, XtTarget::Return),
        ),
        _ => (Filter, "FORWARD", XtRule::new(XtTarget::Drop)),
    }
}

fn tables(
    frame: fn(Family) -> TablesBuilder,
    family: Family,
    protocol: Protocol,
    rules: &[usize],
) -> NodeTables {
    let [vip, _, endpoint, ..] = ENDS[family as usize];
    let local = match family {
        Family::V4 => "10.244.0.0/16",
        Family::V6 => "fd00:1::/32",
    };
    let builder = service(frame(family), vip, protocol, local, &[endpoint]);
    let rules = rules.iter().map(|number| rule(*number));
    let builder = rules.fold(builder, |builder, (table, chain, rule)| {
        builder.rule(table, chain, rule)
    });
    builder.build()
}

/// A packet: of a connection that is there, as far as there is one, or from somebody to somebody.
#[derive(Clone, Copy, Debug)]
struct Step {
    known: Option<(usize, bool)>,
    from: usize,
    to: usize,
    flags: usize,
    ttl: u8,
    after: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop_oneof![
            1 => Just(None),
            4 => (0..4_usize, any::<bool>()).prop_map(Some),
        ],
        0..6_usize,
        0..6_usize,
        prop_oneof![3 => Just(1_usize), 2 => Just(2), 2 => Just(0), 1 => 3..6_usize],
        prop_oneof![8 => Just(64_u8), 1 => 0..3_u8],
        prop_oneof![8 => 0..4_u64, 1 => 100..200_u64],
    );
    let step = step.prop_map(|(known, from, to, flags, ttl, after)| Step {
        known,
        from,
        to,
        flags,
        ttl,
        after,
    });
    prop::collection::vec(step, 1..40)
}

impl Step {
    fn packet(self, family: Family, protocol: Protocol, state: &NodeState, now: SimTime) -> Packet {
        let known = self.known.and_then(|(number, answers)| {
            let entry = state.entries(now).nth(number)?;
            Some(if answers {
                *entry.reply()
            } else {
                *entry.original()
            })
        });
        let end = |number: usize, port| {
            let address = ENDS[family as usize][number].parse().unwrap();
            SocketAddr::new(address, port)
        };
        let fresh = || Tuple::new(protocol, end(self.from, 40_000), end(self.to, 80));
        let tuple = known.unwrap_or_else(fresh);
        let (from, to) = (tuple.source_socket(), tuple.destination_socket());
        let packet = match protocol {
            Protocol::TCP => {
                let (control, ack) = [
                    (TcpControl::Syn, false),
                    (TcpControl::None, true),
                    (TcpControl::Syn, true),
                    (TcpControl::Fin, true),
                    (TcpControl::Rst, false),
                    (TcpControl::None, false),
                ][self.flags];
                tcp_with(from, to, control, ack, b"data")
            }
            Protocol::UDP => udp_with(from, to, b"data"),
            Protocol::SCTP => sctp(from, to, b"data"),
            _ => {
                let [source, destination] = [from, to].map(|end| end.ip().to_string());
                let id = tuple.echo_id().unwrap_or(7);
                echo(&source, &destination, id, tuple.is_echo_reply())
            }
        };
        with_ttl(packet, self.ttl)
    }
}

fn with_ttl(packet: Packet, ttl: u8) -> Packet {
    let mut bytes = packet.into_bytes();
    if bytes[0] >> 4 == 4 {
        let mut header = Ipv4Packet::new_unchecked(&mut bytes);
        header.set_hop_limit(ttl);
        header.fill_checksum();
    } else {
        Ipv6Packet::new_unchecked(&mut bytes).set_hop_limit(ttl);
    }
    Packet::new(bytes)
}

proptest! {
    #[test]
    fn both_ways_lead_to_the_same(
        family in prop::sample::select(Family::ALL.to_vec()),
        protocol in prop::sample::select(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP]),
        is_full in any::<bool>(),
        rules in prop::collection::vec(0..12_usize, 0..3),
        steps in steps(),
    ) {
        let frame = if is_full { frame } else { nat_frame };
        let tables = tables(frame, family, protocol, &rules);
        let mut state = NodeState::new();
        let mut now = SimTime::ZERO;
        for step in steps {
            now += Duration::from_secs(step.after);
            let packet = step.packet(family, protocol, &state, now);
            let chooser = || SeededChooser(Seed::new(7).split("chooser"));
            let (ingress, node) = (Ingress::Interface("eth1"), Observed::default());
            let short = eval(&tables, &state, &node, packet.clone(), ingress, now, &mut chooser(), &mut NoTrace);
            // Whoever watches has it go the long way.
            let mut recorder = Recorder::new();
            let long = eval(&tables, &state, &node, packet, ingress, now, &mut chooser(), &mut recorder);
            prop_assert_eq!(&short, &long);
            state.commit(short.effects);
        }
    }
}

/// How many of a connection's packets take the long way: SYN, SYN-ACK, ACK, ACK.
fn check_long_ways(frame: fn(Family) -> TablesBuilder, rules: &[usize], expected: usize) {
    let tables = tables(frame, Family::V4, Protocol::TCP, rules);
    let (mut state, node) = (NodeState::new(), Observed::default());
    let mut chooser = SeededChooser(Seed::new(7).split("chooser"));
    let (client, vip, endpoint) = ("10.244.1.5:40000", "10.96.0.40:80", "10.244.2.11:8080");
    for packet in [
        syn(client, vip),
        syn_ack(endpoint, client),
        ack(client, vip),
        ack(endpoint, client),
    ] {
        let ingress = Ingress::Interface("eth1");
        let evaluation = eval(
            &tables,
            &state,
            &node,
            packet,
            ingress,
            SimTime::ZERO,
            &mut chooser,
            &mut NoTrace,
        );
        state.commit(evaluation.effects);
    }
    assert_eq!(node.long_ways.get(), expected);
}

#[test]
fn only_what_rules_look_at_takes_the_long_way() {
    check_long_ways(nat_frame, &[], 1);
    check_long_ways(nat_frame, &[0, 1, 2, 9], 1);
    check_long_ways(nat_frame, &[3], 4);
    check_long_ways(nat_frame, &[6], 4);
    // What is asked of packets that are for the node itself.
    check_long_ways(nat_frame, &[8], 1);
    // A mark that another rule asks for.
    check_long_ways(nat_frame, &[5, 9], 4);
    // kube-proxy's rules accept what is established, after some comparing.
    check_long_ways(frame, &[], 1);
    check_long_ways(frame, &[3], 1);
    check_long_ways(frame, &[5], 4);
}
