//! Any bytes as packets, one after the other, through nodes that have kube-proxy's tables, of iptables
//! and of nftables.
//!
//! A frame is one byte of control and one of length, then the packet. The IPv4 header's checksum is set right,
//! for hardly anything would get past it otherwise.
#![no_main]

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base::{Seed, SimTime};
use libfuzzer_sys::fuzz_target;
use netfilter::{
    DropReason, Evaluation, Hop, Ingress, InterfaceName, NoTrace, NodeState, NodeTables, Packet,
    Recorder, Routing, SeededChooser, Verdict, eval,
};
use ruleset::Family;
use ruleset::xt::parse;

struct Node;

impl Routing for Node {
    fn is_local(&self, address: IpAddr) -> bool {
        [
            IpAddr::from([192, 168, 1, 1]),
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        ]
        .contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        Some(Hop {
            interface: InterfaceName::literal("eth0"),
            source_address: match Family::of(destination) {
                Family::V4 => IpAddr::from([192, 168, 1, 1]),
                Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
            },
        })
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }
}

fn nft_tables() -> NodeTables {
    let text = include_str!("../seeds/nft_ruleset/08-etp-local-lb.nft");
    let tables = ruleset::nft::parse(text).expect("printed by nft");
    NodeTables::new([Arc::new(tables)]).expect("recorded tables load")
}

fn xt_tables() -> NodeTables {
    let texts = [
        (
            Family::V4,
            include_str!("../seeds/iptables_save/cluster-ip-ipv4.txt"),
        ),
        (
            Family::V6,
            include_str!("../seeds/iptables_save/cluster-ip-ipv6.txt"),
        ),
    ];
    let owners = texts.map(|(family, text)| Arc::new(parse(text, family).expect("printed by us")));
    NodeTables::new(&owners).expect("compiled tables load")
}

/// RFC 1071, over the header as its length field states it.
fn correct_checksum(packet: &mut [u8]) {
    let header = usize::from(packet.first().map_or(0, |first| first & 0x0f)) * 4;
    if packet.first().is_none_or(|first| first >> 4 != 4) || header < 20 || packet.len() < header {
        return;
    }
    packet[10..12].fill(0);
    let words = packet[..header].chunks_exact(2);
    let mut sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let folded = u16::try_from(sum).expect("folded to 16 bits");
    packet[10..12].copy_from_slice(&(!folded).to_be_bytes());
}

/// What leaves a node is a packet to the next one.
fn assert_well_formed(packet: &Packet) {
    let Evaluation { verdict, .. } = eval(
        &NodeTables::empty(),
        &NodeState::new(),
        &Node,
        packet.clone(),
        Ingress::Local,
        SimTime::ZERO,
        &mut SeededChooser(Seed::new(7).split("check")),
        &mut NoTrace,
    );
    assert!(
        !matches!(verdict, Verdict::Drop(DropReason::Malformed(_))),
        "{packet:?}: {verdict:?}"
    );
}

fuzz_target!(|bytes: &[u8]| {
    static XT: LazyLock<Both> = LazyLock::new(|| Both::of(xt_tables()));
    static NFT: LazyLock<Both> = LazyLock::new(|| Both::of(nft_tables()));
    play(&XT, bytes);
    play(&NFT, bytes);
});

/// Tables, and the same without any short cut.
struct Both {
    quick: NodeTables,
    plain: NodeTables,
}

impl Both {
    fn of(quick: NodeTables) -> Self {
        let plain = quick.clone().plain_scan();
        Self { quick, plain }
    }

    /// Evaluates a packet. The short way and all short cuts lead to what a plain scan that is watched comes to.
    fn evaluate(
        &self,
        state: &NodeState,
        packet: Packet,
        ingress: Ingress<'_>,
        now: SimTime,
        chooser: &mut SeededChooser,
    ) -> Evaluation {
        let (plain, mut same, again) = (&self.plain, chooser.clone(), packet.clone());
        let mut recorder = Recorder::new();
        let slow = eval(
            plain,
            state,
            &Node,
            again,
            ingress,
            now,
            &mut same,
            &mut recorder,
        );
        let quick = &self.quick;
        let quick = eval(
            quick,
            state,
            &Node,
            packet,
            ingress,
            now,
            chooser,
            &mut NoTrace,
        );
        assert_eq!(quick, slow, "{recorder:#?}");
        quick
    }
}

/// Sends all frames through a node with these tables.
fn play(tables: &Both, bytes: &[u8]) {
    let mut state = NodeState::new();
    let mut now = SimTime::ZERO;
    let mut chooser = SeededChooser(Seed::new(7).split("chooser"));
    let mut rest = bytes;
    while let [control, length, frame @ ..] = rest {
        let (frame, next) = frame.split_at(frame.len().min(usize::from(*length)));
        rest = next;
        let mut packet = frame.to_vec();
        correct_checksum(&mut packet);
        let ingress = if control & 1 == 0 {
            Ingress::Interface("eth1")
        } else {
            Ingress::Local
        };
        now = now + Duration::from_secs(u64::from(control >> 1));
        let packet = Packet::new(packet);
        let Evaluation {
            verdict, effects, ..
        } = tables.evaluate(&state, packet, ingress, now, &mut chooser);
        match &verdict {
            Verdict::Deliver(packet)
            | Verdict::Forward { packet, .. }
            | Verdict::Reject { reply: packet, .. } => assert_well_formed(packet),
            Verdict::Drop(_) | Verdict::Unknown(_) => {}
        }
        state.commit(effects);
    }
    state.expire(now);
}
