//! Words that stand for one value each, spelled in both directions from one table.

use super::{AddressSide, AddressType, CtState, MultiportSide, RejectWith, TcpFlags};
use crate::Family;
use crate::nft::PacketType;

/// A spelling table: each value with its word.
pub(crate) type Words<T> = &'static [(T, &'static str)];

/// `--ctstate`, in the order in which `iptables-save` lists them (`libxt_conntrack.c`, `print_state`).
pub(super) const CT_STATES: Words<CtState> = &[
    (CtState::Invalid, "INVALID"),
    (CtState::New, "NEW"),
    (CtState::Related, "RELATED"),
    (CtState::Established, "ESTABLISHED"),
    (CtState::Untracked, "UNTRACKED"),
    (CtState::Snat, "SNAT"),
    (CtState::Dnat, "DNAT"),
];

/// `--src-type` and `--dst-type`.
pub(super) const ADDRESS_TYPES: Words<AddressType> = &[
    (AddressType::Local, "LOCAL"),
    (AddressType::Unicast, "UNICAST"),
    (AddressType::Broadcast, "BROADCAST"),
    (AddressType::Multicast, "MULTICAST"),
];

/// `--pkt-type`.
pub(super) const PACKET_TYPES: Words<PacketType> = &[
    (PacketType::Host, "unicast"),
    (PacketType::Broadcast, "broadcast"),
    (PacketType::Multicast, "multicast"),
    (PacketType::Other, "otherhost"),
    (PacketType::Host, "host"),
];

/// `multiport`'s options.
pub(super) const MULTIPORT_OPTIONS: Words<MultiportSide> = &[
    (MultiportSide::Source, "--sports"),
    (MultiportSide::Destination, "--dports"),
    (MultiportSide::Either, "--ports"),
];

/// Sides of a packet, as `--match-set` names them.
pub(super) const SET_SIDES: Words<AddressSide> = &[
    (AddressSide::Source, "src"),
    (AddressSide::Destination, "dst"),
];

/// `--tcp-flags`, in the order in which `iptables-save` lists them (`libxt_tcp.c`, `tcp_flag_names`).
pub(super) const TCP_FLAGS: Words<TcpFlags> = &[
    (TcpFlags::FIN, "FIN"),
    (TcpFlags::SYN, "SYN"),
    (TcpFlags::RST, "RST"),
    (TcpFlags::PSH, "PSH"),
    (TcpFlags::ACK, "ACK"),
    (TcpFlags::URG, "URG"),
];

/// Types of `--icmp-type` that have a name, with every code they have.
pub(super) const ICMP_TYPES: Words<u8> = &[
    (0, "echo-reply"),
    (3, "destination-unreachable"),
    (5, "redirect"),
    (8, "echo-request"),
    (11, "time-exceeded"),
    (12, "parameter-problem"),
    (u8::MAX, "any"),
];

/// Types of `--icmpv6-type` that have a name, with every code they have.
pub(super) const ICMPV6_TYPES: Words<u8> = &[
    (1, "destination-unreachable"),
    (2, "packet-too-big"),
    (3, "time-exceeded"),
    (4, "parameter-problem"),
    (128, "echo-request"),
    (129, "echo-reply"),
    (133, "router-solicitation"),
    (134, "router-advertisement"),
    (135, "neighbour-solicitation"),
    (136, "neighbour-advertisement"),
    (137, "redirect"),
];

/// The level of `LOG` that goes without saying: `warning`.
pub(super) const LOG_LEVEL: u8 = 4;

/// `--reject-with`, whose words are a family's own.
pub(super) const fn reject_words(family: Family) -> Words<RejectWith> {
    match family {
        Family::V4 => &[
            (RejectWith::PortUnreachable, "icmp-port-unreachable"),
            (RejectWith::HostUnreachable, "icmp-host-unreachable"),
            (RejectWith::NetUnreachable, "icmp-net-unreachable"),
            (RejectWith::AdminProhibited, "icmp-admin-prohibited"),
            (RejectWith::HostProhibited, "icmp-host-prohibited"),
            (RejectWith::NetProhibited, "icmp-net-prohibited"),
            (RejectWith::ProtoUnreachable, "icmp-proto-unreachable"),
            (RejectWith::TcpReset, "tcp-reset"),
        ],
        Family::V6 => &[
            (RejectWith::PortUnreachable, "icmp6-port-unreachable"),
            (RejectWith::HostUnreachable, "icmp6-addr-unreachable"),
            (RejectWith::NetUnreachable, "icmp6-no-route"),
            (RejectWith::AdminProhibited, "icmp6-adm-prohibited"),
            (RejectWith::TcpReset, "tcp-reset"),
            (RejectWith::PortUnreachable, "port-unreach"),
            (RejectWith::HostUnreachable, "addr-unreach"),
            (RejectWith::NetUnreachable, "no-route"),
            (RejectWith::AdminProhibited, "adm-prohibited"),
            (RejectWith::HostProhibited, "icmp6-adm-prohibited"),
            (RejectWith::NetProhibited, "icmp6-adm-prohibited"),
            (RejectWith::ProtoUnreachable, "icmp6-port-unreachable"),
        ],
    }
}

/// Targets that let the next rule follow and change nothing that a rule can ask for.
///
/// Deviation: what they change in a packet (its class of service, the sizes of its segments) is
/// not shown in its further way.
pub(crate) const INERT_TARGETS: [&str; 19] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNSECMARK",
    "DSCP",
    "ECN",
    "IDLETIMER",
    "LED",
    "LOG",
    "NFLOG",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "ULOG",
];

/// The word of a value.
pub(crate) fn word_of<T: PartialEq>(words: Words<T>, value: &T) -> &'static str {
    words
        .iter()
        .find(|(candidate, _)| candidate == value)
        .expect("every value has a word")
        .1
}

/// The value of a word, in any case, as the tools take it.
pub(crate) fn value_of<T: Copy>(words: Words<T>, word: &str) -> Option<T> {
    words
        .iter()
        .find(|(_, candidate)| candidate.eq_ignore_ascii_case(word))
        .map(|(value, _)| *value)
}
