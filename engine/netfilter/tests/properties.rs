//! What holds for every packet.

mod support;

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use ruleset::xt::{RejectWith, TableName, XtRule, XtTarget};
use ruleset::{Family, Protocol};
use smoltcp::wire::TcpControl;
use switchboard_netfilter::{Ingress, Packet, Tuple, Verdict};

use support::wire::{sctp, socket, tcp_with, transport, udp_with};
use support::{Walk, frame, service};

/// A Service of one protocol and family, whose answers come from one endpoint.
#[derive(Clone, Copy, Debug)]
struct Case {
    protocol: Protocol,
    vip: &'static str,
    endpoint: &'static str,
    local: &'static str,
}

fn cases() -> impl Strategy<Value = Case> {
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let families = [
        ("10.96.0.40", "10.244.2.11", "10.244.0.0/16"),
        ("fd00:10::40", "fd00:2::11", "fd00:1::/32"),
    ];
    (
        prop::sample::select(protocols.to_vec()),
        prop::sample::select(families.to_vec()),
    )
        .prop_map(|(protocol, (vip, endpoint, local))| Case {
            protocol,
            vip,
            endpoint,
            local,
        })
}

impl Case {
    fn node(self) -> Walk {
        let family = Family::of(self.vip.parse().unwrap());
        let builder = service(
            frame(family),
            self.vip,
            self.protocol,
            self.local,
            &[self.endpoint],
        );
        Walk::new(builder.build())
    }

    /// A Pod of this node, the endpoint itself, or somebody outside: not masqueraded, hairpin, masqueraded.
    fn client(self, who: u8, port: u16) -> SocketAddr {
        let address = match (self.vip.contains(':'), who % 3) {
            (false, 0) => "10.244.1.5",
            (false, 1) => "203.0.113.70",
            (true, 0) => "fd00:1::5",
            (true, 1) => "2001:db8::70",
            _ => self.endpoint,
        };
        SocketAddr::new(address.parse().unwrap(), port)
    }

    fn packet(self, from: SocketAddr, to: SocketAddr, answer: bool, payload: &[u8]) -> Packet {
        match self.protocol {
            Protocol::TCP => tcp_with(from, to, TcpControl::Syn, answer, payload),
            Protocol::UDP => udp_with(from, to, payload),
            _ => sctp(from, to, payload),
        }
    }
}

fn forwarded(verdict: Verdict) -> Packet {
    match verdict {
        Verdict::Forward { packet, .. } => packet,
        other => panic!("{other:?}"),
    }
}

/// Everything after the ports and the checksum.
fn payload(protocol: Protocol, packet: &Packet) -> &[u8] {
    let header = match protocol {
        Protocol::TCP => 20,
        Protocol::UDP => 8,
        _ => 12,
    };
    &transport(packet)[header..]
}

proptest! {
    /// An answer reaches whoever asked, from whom they asked, untouched but for its header: whatever was done to
    /// the question. (That checksums are right is checked by `Walk` on every packet.)
    #[test]
    fn every_translation_is_undone(case in cases(), who in any::<u8>(), port in 1_u16.., data in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut node = case.node();
        let client = case.client(who, port);
        let vip = SocketAddr::new(case.vip.parse::<IpAddr>().unwrap(), 80);
        let question = case.packet(client, vip, false, &data);
        let asked = forwarded(node.arrives(question));
        let tuple = asked.tuple().unwrap();
        prop_assert_eq!(tuple.destination_socket().to_string(), SocketAddr::new(case.endpoint.parse().unwrap(), 8080).to_string());
        prop_assert_eq!(payload(case.protocol, &asked), &data[..]);
        let answer = case.packet(tuple.destination_socket(), tuple.source_socket(), true, &data);
        let answered = forwarded(node.arrives(answer));
        prop_assert_eq!(answered.tuple().unwrap(), Tuple::new(case.protocol, vip, client));
        prop_assert_eq!(payload(case.protocol, &answered), &data[..]);
        prop_assert_eq!(node.state.len(), 1);
    }

    /// No two connections share an answer tuple, and the state stays findable both ways.
    #[test]
    fn answers_are_unambiguous(clients in prop::collection::vec((any::<u8>(), 1_u16..8, any::<bool>()), 1..40)) {
        let case = Case { protocol: Protocol::UDP, vip: "10.96.0.40", endpoint: "10.244.2.11", local: "10.244.0.0/16" };
        let mut node = case.node();
        for (who, port, direct) in clients {
            let to = if direct { "10.244.2.11:8080" } else { "10.96.0.40:80" };
            let question = case.packet(case.client(who % 2, port), socket(to), false, b"");
            node.arrives(question);
        }
        let mut replies: Vec<Tuple> = node.state.entries(node.now).map(|entry| *entry.reply()).collect();
        for entry in node.state.entries(node.now) {
            prop_assert_eq!(node.state.find(entry.original(), node.now).unwrap().0, entry);
            prop_assert_eq!(node.state.find(entry.reply(), node.now).unwrap().0, entry);
        }
        let count = replies.len();
        replies.sort();
        replies.dedup();
        prop_assert_eq!(replies.len(), count);
    }

    /// Bytes that no host would send: a verdict comes, never a panic, and the state survives what follows.
    #[test]
    fn hostile_bytes_never_panic(
        start in prop_oneof![Just(vec![0x45_u8]), Just(vec![0x60]), Just(vec![])],
        tail in prop::collection::vec(any::<u8>(), 0..120),
        local in any::<bool>(),
    ) {
        let bytes = [start, tail].concat();
        let mut node = Walk::new(everything());
        node.send(Packet::new(bytes), if local { Ingress::Local } else { Ingress::Interface("eth1") });
    }

    /// Real packets with some bytes overwritten (and the IP checksum put right, so that they get far).
    #[test]
    fn damaged_packets_never_panic(
        case in cases(),
        icmp in any::<bool>(),
        damage in prop::collection::vec((0_usize..100, any::<u8>()), 0..6),
        length in 20_usize..120,
    ) {
        let mut node = Walk::new(everything());
        let (client, vip) = (case.client(0, 40000), SocketAddr::new(case.vip.parse().unwrap(), 80));
        let question = case.packet(client, vip, false, b"question");
        let mut bytes = match node.arrives(question.clone()) {
            Verdict::Forward { packet, .. } if icmp => {
                support::wire::port_unreachable(case.endpoint, &packet).into_bytes()
            }
            _ => question.into_bytes(),
        };
        for (at, byte) in damage {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(length);
        if bytes.len() >= 20 && bytes[0] == 0x45 {
            smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
        }
        // Not through `Walk::send`: what was damaged stays damaged.
        let evaluation = switchboard_netfilter::eval(
            &node.tables,
            &node.state,
            &support::TestNode,
            Packet::new(bytes),
            Ingress::Interface("eth1"),
            node.now,
            &mut node.chooser,
            &mut switchboard_netfilter::Recorder::new(),
        );
        node.state.commit(evaluation.effects);
    }
}

/// Rules of every kind, both families.
fn everything() -> switchboard_netfilter::NodeTables {
    let families = [
        (Family::V4, "10.96.0.40", "10.244.0.0/16", "10.244.2.11"),
        (Family::V6, "fd00:10::40", "fd00:1::/32", "fd00:2::11"),
    ];
    let owners = families.map(|(family, vip, local, endpoint)| {
        let mut builder = service(frame(family), vip, Protocol::TCP, local, &[endpoint]);
        for protocol in [Protocol::UDP, Protocol::SCTP] {
            builder = service(builder, vip, protocol, local, &[]);
        }
        for with in [RejectWith::TcpReset, RejectWith::PortUnreachable] {
            let mut rule = XtRule::new(XtTarget::Reject(with));
            rule.protocol = Some((with == RejectWith::PortUnreachable, Protocol::TCP));
            builder = builder.rule(TableName::Filter, "INPUT", rule.clone());
            builder = builder.rule(TableName::Filter, "KUBE-SERVICES", rule);
        }
        std::sync::Arc::new(builder.into_inner())
    });
    switchboard_netfilter::NodeTables::new(&owners).unwrap()
}
