//! Packets that no rule looks at take a short way, which gives what the long one gives.

mod support;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{Seed, SimTime};
use proptest::prelude::*;
use ruleset::ipvs::{IpvsTables, SetName, parse_servers, parse_sets};
use ruleset::xt::{Comment, CtState, NatTarget, TableName, XtMatch, XtRule, XtTables, XtTarget};
use ruleset::{Family, Protocol};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, TcpControl, UdpPacket};
use switchboard_netfilter::{
    Advance, Direction, Entry, Hop, Ingress, NoTrace, NodeState, NodeTables, Packet, Recorder,
    Routing, SeededChooser, TcpFlags, Tuple, Verdict, eval, way_back,
};

use support::wire::{ack, bare, echo, echo_v6, sctp, syn, syn_ack, tcp_with, udp_with};
use support::{NODE, TestNode, ct_state, frame, ip, nat_frame, net, service, with};

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
        TestNode
            .route(destination)
            .filter(|_| destination != ip(NOWHERE))
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }

    fn assumes_arrival(&self) -> bool {
        self.long_ways.set(self.long_ways.get() + 1);
        false
    }
}

/// No way of the node leads there.
const NOWHERE: &str = "2001:db8:dead::1";

/// Who is in a case, by family: VIP, Pods here, endpoint, client, the node, somebody without a route, then addresses that
/// packets hardly ever have.
const ENDS: [[&str; 10]; 2] = [
    [
        "10.96.0.40",
        "10.244.1.5",
        "10.244.2.11",
        "203.0.113.70",
        NODE,
        "198.51.100.7",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ],
    [
        "fd00:10::40",
        "fd00:1::5",
        "fd00:2::11",
        "2001:db8::70",
        "fd00::1",
        NOWHERE,
        "::1",
        "::",
        "ff02::1",
        "ff0e::1",
    ],
];

/// GRE: its flows have no ports.
const BARE: Protocol = Protocol(47);

/// How many rules [`rule`] knows.
const RULES: usize = 15;

/// A rule that may be there beside those of a Service.
fn rule(family: Family, number: usize) -> (TableName, &'static str, XtRule) {
    use TableName::{Filter, Mangle, Nat, Raw};
    let comment = || XtMatch::Comment(Comment::new("looks at nothing"));
    let on = |state, target| with(target, vec![comment(), ct_state(&[state])]);
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
        11 => (Filter, "INPUT", on(CtState::Established, XtTarget::Drop)),
        // Every source is another, with another port or another number of an echo.
        12 => {
            let random_fully = true;
            let masquerade = XtTarget::Masquerade { random_fully };
            (Nat, "POSTROUTING", XtRule::new(masquerade))
        }
        // What has no ports goes to the endpoint, too.
        13 => (Nat, "PREROUTING", everything_to_endpoint(family)),
        _ => (Filter, "FORWARD", XtRule::new(XtTarget::Drop)),
    }
}

fn everything_to_endpoint(family: Family) -> XtRule {
    let [vip, _, endpoint, ..] = ENDS[family as usize];
    let to = NatTarget {
        address: ip(endpoint),
        port: None,
    };
    let mut rule = XtRule::new(XtTarget::Dnat { to });
    rule.destination = net(&format!("{vip}/{}", family.address_bits()), false);
    rule
}

/// What a node has beside the rules of [`rule`].
#[derive(Clone, Copy, Debug)]
enum Proxy {
    /// Rules that translate.
    Nat,
    /// All that kube-proxy writes.
    Whole,
    /// Virtual servers.
    Virtual,
}

fn tables(proxy: Proxy, family: Family, protocol: Protocol, rules: &[usize]) -> NodeTables {
    let [vip, _, endpoint, ..] = ENDS[family as usize];
    let local = match family {
        Family::V4 => "10.244.0.0/16",
        Family::V6 => "fd00:1::/32",
    };
    let with_service = |builder| service(builder, vip, protocol, local, &[endpoint]);
    let builder = match proxy {
        Proxy::Nat => with_service(nat_frame(family)),
        Proxy::Whole => with_service(frame(family)),
        Proxy::Virtual => frame(family),
    };
    let rules = rules.iter().map(|number| rule(family, *number));
    let builder = rules.fold(builder, |builder, (table, chain, rule)| {
        builder.rule(table, chain, rule)
    });
    match proxy {
        Proxy::Nat | Proxy::Whole => builder.build(),
        Proxy::Virtual => virtual_servers(family, builder.into_inner()),
    }
}

fn virtual_servers(family: Family, rules: XtTables) -> NodeTables {
    let [vip, _, endpoint, ..] = ENDS[family as usize];
    let [server, real] = [(vip, 80), (endpoint, 8080)]
        .map(|(address, port)| SocketAddr::new(ip(address), port).to_string());
    let servers = ["-t", "-u"]
        .map(|kind| format!("-A {kind} {server} -s rr\n-a {kind} {server} -r {real} -m -w 1\n"));
    let kind = match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    };
    let sets = format!("create IPS hash:ip family {kind}\nadd IPS {vip}\n");
    NodeTables::new(&[Arc::new(IpvsTables {
        family,
        servers: parse_servers(&servers.concat()).unwrap(),
        sets: parse_sets(&sets, family).unwrap(),
        rules: Arc::new(rules),
        bound: SetName::new("IPS").unwrap(),
    })])
    .unwrap()
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
    /// Whether the node itself makes it.
    is_own: bool,
    /// Whether it is UDP without a checksum.
    is_unsummed: bool,
    /// Bytes that are sent after its end.
    padding: usize,
    /// Whether it meets the other proxy, which leaves what is remembered.
    meets_other: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = || prop_oneof![4 => 0..6_usize, 1 => 6..10_usize];
    let way = (
        prop_oneof![
            1 => Just(None),
            4 => (0..4_usize, any::<bool>()).prop_map(Some),
        ],
        end(),
        end(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    let look = (
        prop_oneof![3 => Just(1_usize), 2 => Just(2), 2 => Just(0), 1 => 3..6_usize],
        prop_oneof![8 => Just(64_u8), 1 => 0..3_u8],
        prop_oneof![8 => 0..4_u64, 1 => 100..200_u64],
        prop::bool::weighted(0.2),
        prop_oneof![4 => Just(0_usize), 1 => 1..9_usize],
    );
    let step = (way, look).prop_map(|(way, look)| {
        let (known, from, to, is_own, meets_other) = way;
        let (flags, ttl, after, is_unsummed, padding) = look;
        Step {
            known,
            from,
            to,
            flags,
            ttl,
            after,
            is_own,
            is_unsummed,
            padding,
            meets_other,
        }
    });
    prop::collection::vec(step, 1..40)
}

impl Step {
    fn tuple(self, family: Family, protocol: Protocol, state: &NodeState, now: SimTime) -> Tuple {
        let known = self.known.and_then(|(number, answers)| {
            let entry = state.entries(now).nth(number)?;
            Some(if answers {
                *entry.reply()
            } else {
                *entry.original()
            })
        });
        let end = |number: usize, port| SocketAddr::new(ip(ENDS[family as usize][number]), port);
        known.unwrap_or_else(|| {
            let (from, to) = (end(self.from, 40_000), end(self.to, 80));
            match protocol {
                Protocol::ICMP => Tuple::echo(from.ip(), to.ip(), 7, false),
                _ => Tuple::new(protocol, from, to),
            }
        })
    }

    fn packet(self, tuple: &Tuple) -> Packet {
        let (from, to) = (tuple.source_socket(), tuple.destination_socket());
        let packet = match tuple.protocol() {
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
            Protocol::UDP if self.is_unsummed => without_checksum(udp_with(from, to, b"data")),
            Protocol::UDP => udp_with(from, to, b"data"),
            Protocol::SCTP => sctp(from, to, b"data"),
            BARE => bare(from.ip(), to.ip(), BARE.0, b"data"),
            _ => {
                let id = tuple.echo_id().expect("nothing else is sent");
                match (from.ip(), to.ip()) {
                    (IpAddr::V6(from), IpAddr::V6(to)) => {
                        echo_v6(from, to, id, tuple.is_echo_reply())
                    }
                    (from, to) => {
                        let [from, to] = [from, to].map(|end| end.to_string());
                        echo(&from, &to, id, tuple.is_echo_reply())
                    }
                }
            }
        };
        let mut bytes = with_ttl(packet, self.ttl).into_bytes();
        bytes.extend(vec![0xaa; self.padding]);
        Packet::new(bytes)
    }
}

fn without_checksum(packet: Packet) -> Packet {
    let mut bytes = packet.into_bytes();
    let header = if bytes[0] >> 4 == 4 { 20 } else { 40 };
    UdpPacket::new_unchecked(&mut bytes[header..]).set_checksum(0);
    Packet::new(bytes)
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
        protocol in prop::sample::select(vec![
            Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, BARE,
        ]),
        proxy in prop::sample::select(vec![Proxy::Nat, Proxy::Whole, Proxy::Virtual]),
        other in prop::sample::select(vec![Proxy::Nat, Proxy::Whole, Proxy::Virtual]),
        rules in prop::collection::vec(0..RULES, 0..3),
        steps in steps(),
    ) {
        let both = [proxy, other].map(|proxy| tables(proxy, family, protocol, &rules));
        let mut state = NodeState::new();
        let mut now = SimTime::ZERO;
        for step in steps {
            now += Duration::from_secs(step.after);
            let packet = step.packet(&step.tuple(family, protocol, &state, now));
            let tables = &both[usize::from(step.meets_other)];
            let ingress = if step.is_own { Ingress::Local } else { Ingress::Interface("eth1") };
            let known: Vec<Entry> = state.entries(now).cloned().collect();
            for entry in known {
                check_foresight(tables, &state, &entry, now)?;
            }
            let chooser = || SeededChooser(Seed::new(7).split("chooser"));
            let node = Observed::default();
            let short = eval(tables, &state, &node, packet.clone(), ingress, now, &mut chooser(), &mut NoTrace);
            // Whoever watches has it go the long way.
            let mut recorder = Recorder::new();
            let long = eval(tables, &state, &node, packet, ingress, now, &mut chooser(), &mut recorder);
            prop_assert_eq!(&short, &long);
            state.commit(short.effects);
        }
    }
}

/// What is foreseen of the rest of a connection is what becomes of its packets.
fn check_foresight(
    tables: &NodeTables,
    state: &NodeState,
    entry: &Entry,
    now: SimTime,
) -> Result<(), TestCaseError> {
    use Direction::{Original, Reply};
    use TcpControl::{Fin, None as Plain, Syn};
    let Some(back) = way_back(tables, state, &Observed::default(), entry.reply(), now) else {
        return Ok(());
    };
    prop_assert_eq!(back.opened.at, entry.started_at());
    let rest = [
        (Reply, Syn, TcpFlags::SynAck),
        (Original, Plain, TcpFlags::Ack),
        (Reply, Fin, TcpFlags::Fin),
        (Original, Fin, TcpFlags::Fin),
        (Reply, Plain, TcpFlags::Ack),
    ];
    let mut chooser = SeededChooser(Seed::new(7).split("foresight"));
    let (mut sent, mut foreseen) = (state.clone(), state.clone());
    let mut passings = Vec::new();
    for (number, (direction, control, flags)) in (1..).zip(rest) {
        let after = Duration::from_millis(number);
        passings.push((after, direction, flags));
        let tuple = match direction {
            Original => entry.original(),
            Reply => entry.reply(),
        };
        let (from, to) = (tuple.source_socket(), tuple.destination_socket());
        let packet = tcp_with(from, to, control, true, b"");
        let evaluation = eval(
            tables,
            &sent,
            &Observed::default(),
            packet,
            Ingress::Interface("eth1"),
            now + after,
            &mut chooser,
            &mut Recorder::new(),
        );
        let Verdict::Forward { packet, interface } = &evaluation.verdict else {
            return Err(TestCaseError::fail(format!("{:?}", evaluation.verdict)));
        };
        if direction == Reply {
            prop_assert_eq!(packet.tuple(), Some(back.onward));
            prop_assert_eq!(*interface, back.interface);
        }
        sent.commit(evaluation.effects);
    }
    let advance = Advance::by(passings).expect("each passes");
    foreseen.advance(&back.opened, &advance, now);
    let entries = |state: &NodeState| state.entries(now).cloned().collect::<Vec<_>>();
    prop_assert_eq!(entries(&foreseen), entries(&sent));
    Ok(())
}

/// What is no answer, or what ends without one, is not foreseen.
#[test]
fn only_what_passes_is_foreseen() {
    use Direction::{Original, Reply};
    let at = Duration::from_millis(1);
    let by = |packets: &[(Direction, TcpFlags)]| {
        Advance::by(packets.iter().map(|(way, flags)| (at, *way, *flags)))
    };
    let syn_ack = (Reply, TcpFlags::SynAck);
    assert!(by(&[syn_ack]).is_some());
    for packets in [
        &[][..],
        &[(Original, TcpFlags::Syn), syn_ack],
        &[(Reply, TcpFlags::Rst)],
        &[syn_ack, (Original, TcpFlags::None)],
    ] {
        assert_eq!(by(packets), None, "{packets:?}");
    }
}

/// How many of a connection's packets that arrive take the long way, of SYN, SYN-ACK, ACK and ACK of data. What a
/// sender sends that is on the node itself does not arrive.
fn long_ways(tables: &NodeTables, from: &str, is_own: bool) -> usize {
    const VIP: &str = "10.96.0.40:80";
    const ENDPOINT: &str = "10.244.2.11:8080";
    let (mut state, node) = (NodeState::new(), Observed::default());
    let mut chooser = SeededChooser(Seed::new(7).split("chooser"));
    for number in 0..4 {
        let now = SimTime::ZERO;
        let known = state.entries(now).next();
        // It may be masqueraded, or not have come through at all.
        let back = known.map(|entry| entry.reply().destination_socket().to_string());
        let back = back.as_deref().unwrap_or(from);
        let packet = match number {
            0 => syn(from, VIP),
            1 => syn_ack(ENDPOINT, back),
            2 => ack(from, VIP),
            _ => ack(ENDPOINT, back),
        };
        let ingress = match is_own && number % 2 == 0 {
            true => Ingress::Local,
            false => Ingress::Interface("eth1"),
        };
        let evaluation = eval(
            tables,
            &state,
            &node,
            packet,
            ingress,
            now,
            &mut chooser,
            &mut NoTrace,
        );
        state.commit(evaluation.effects);
    }
    node.long_ways.get()
}

/// Counts them in a Pod's connection, and in what the node itself begins, also from its loopback address.
fn check_long_ways(proxy: Proxy, rules: &[usize], through: usize, to_node: usize) {
    let tables = tables(proxy, Family::V4, Protocol::TCP, rules);
    let node = format!("{NODE}:40000");
    for (from, is_own, expected) in [
        ("10.244.1.5:40000", false, through),
        (&node, true, to_node),
        ("127.0.0.1:40000", true, to_node),
    ] {
        let found = long_ways(&tables, from, is_own);
        assert_eq!(found, expected, "from {from}, {proxy:?} with {rules:?}");
    }
}

#[test]
fn only_what_rules_look_at_takes_the_long_way() {
    use Proxy::{Nat, Virtual, Whole};
    check_long_ways(Nat, &[], 1, 0);
    check_long_ways(Nat, &[0, 1, 2, 9], 1, 0);
    check_long_ways(Nat, &[3], 4, 0);
    check_long_ways(Nat, &[6], 4, 0);
    // What is asked of packets that are for the node itself.
    check_long_ways(Nat, &[8], 1, 0);
    check_long_ways(Nat, &[11], 1, 2);
    // A mark that another rule asks for.
    check_long_ways(Nat, &[5, 9], 4, 2);
    // kube-proxy's rules accept what is established, after some comparing.
    check_long_ways(Whole, &[], 1, 0);
    check_long_ways(Whole, &[3], 1, 0);
    check_long_ways(Whole, &[5], 4, 2);
    // Virtual servers look at every packet.
    check_long_ways(Virtual, &[], 4, 2);
}
