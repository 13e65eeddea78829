//! Words that stand for one value each, spelled in both directions from one table.
//!
//! Source: the `symbol_table`s of `src/ct.c`, `src/fib.c`, `src/meta.c`, `src/proto.c`, `src/rule.c` of nftables
//! 1.0.6, in the order in which `nft list` prints sets of flags.

pub(super) use crate::xt::words::{Words, value_of, word_of};

use super::{
    AddressType, ChainKind, CtKey, CtState, CtStatus, DataType, Direction, Field, Hook, MetaKey,
    PacketType, TcpFlags, Unreachable,
};
use crate::Family;

pub(super) const DATA_TYPES: Words<DataType> = &[
    (DataType::Ipv4Addr, "ipv4_addr"),
    (DataType::Ipv6Addr, "ipv6_addr"),
    (DataType::InetProto, "inet_proto"),
    (DataType::InetService, "inet_service"),
    (DataType::Mark, "mark"),
    (DataType::Ifname, "ifname"),
    (DataType::NfProto, "nf_proto"),
    (DataType::IcmpType, "icmp_type"),
    (DataType::Icmpv6Type, "icmpv6_type"),
    (DataType::CtState, "ct_state"),
    (DataType::FibAddrType, "fib_addrtype"),
    (DataType::PktType, "pkt_type"),
    (DataType::Integer, "integer"),
];

/// Expressions of each type, for `typeof`. A number that is drawn has no other name for its type; how many there are
/// is of no consequence there.
pub(super) const TYPE_SAMPLES: Words<DataType> = &[
    (DataType::Ipv4Addr, "ip daddr"),
    (DataType::Ipv6Addr, "ip6 daddr"),
    (DataType::InetProto, "meta l4proto"),
    (DataType::InetService, "th dport"),
    (DataType::Mark, "meta mark"),
    (DataType::Ifname, "meta iifname"),
    (DataType::NfProto, "meta nfproto"),
    (DataType::IcmpType, "icmp type"),
    (DataType::Icmpv6Type, "icmpv6 type"),
    (DataType::CtState, "ct state"),
    (DataType::FibAddrType, "fib daddr type"),
    (DataType::PktType, "meta pkttype"),
    (DataType::Integer, "numgen random mod 65536"),
];

pub(super) const FIELDS: Words<Field> = &[
    (Field::IpSaddr, "ip saddr"),
    (Field::IpDaddr, "ip daddr"),
    (Field::IpProtocol, "ip protocol"),
    (Field::Ip6Saddr, "ip6 saddr"),
    (Field::Ip6Daddr, "ip6 daddr"),
    (Field::Ip6Nexthdr, "ip6 nexthdr"),
    (Field::ThSport, "th sport"),
    (Field::ThDport, "th dport"),
    (Field::TcpSport, "tcp sport"),
    (Field::TcpDport, "tcp dport"),
    (Field::TcpFlags, "tcp flags"),
    (Field::UdpSport, "udp sport"),
    (Field::UdpDport, "udp dport"),
    (Field::SctpSport, "sctp sport"),
    (Field::SctpDport, "sctp dport"),
    (Field::IcmpType, "icmp type"),
    (Field::Icmpv6Type, "icmpv6 type"),
];

pub(super) const META_KEYS: Words<MetaKey> = &[
    (MetaKey::L4proto, "meta l4proto"),
    (MetaKey::Mark, "meta mark"),
    (MetaKey::Iifname, "iifname"),
    (MetaKey::Oifname, "oifname"),
    (MetaKey::Iif, "iif"),
    (MetaKey::Oif, "oif"),
    (MetaKey::Nfproto, "meta nfproto"),
    (MetaKey::Pkttype, "meta pkttype"),
    (MetaKey::Random, "meta random"),
];

pub(super) const CT_KEYS: Words<CtKey> = &[
    (CtKey::State, "ct state"),
    (CtKey::Status, "ct status"),
    (CtKey::Mark, "ct mark"),
    (CtKey::Direction, "ct direction"),
];

pub(super) const CT_STATES: Words<CtState> = &[
    (CtState::Invalid, "invalid"),
    (CtState::Established, "established"),
    (CtState::Related, "related"),
    (CtState::New, "new"),
    (CtState::Untracked, "untracked"),
];

pub(super) const CT_STATUSES: Words<CtStatus> = &[
    (CtStatus::EXPECTED, "expected"),
    (CtStatus::SEEN_REPLY, "seen-reply"),
    (CtStatus::ASSURED, "assured"),
    (CtStatus::CONFIRMED, "confirmed"),
    (CtStatus::SNAT, "snat"),
    (CtStatus::DNAT, "dnat"),
    (CtStatus::DYING, "dying"),
];

pub(super) const TCP_FLAGS: Words<TcpFlags> = &[
    (TcpFlags::FIN, "fin"),
    (TcpFlags::SYN, "syn"),
    (TcpFlags::RST, "rst"),
    (TcpFlags::PSH, "psh"),
    (TcpFlags::ACK, "ack"),
    (TcpFlags::URG, "urg"),
];

pub(super) const DIRECTIONS: Words<Direction> = &[
    (Direction::Original, "original"),
    (Direction::Reply, "reply"),
];

pub(super) const ADDRESS_TYPES: Words<AddressType> = &[
    (AddressType::Local, "local"),
    (AddressType::Unicast, "unicast"),
    (AddressType::Broadcast, "broadcast"),
    (AddressType::Multicast, "multicast"),
];

pub(super) const PACKET_TYPES: Words<PacketType> = &[
    (PacketType::Host, "host"),
    (PacketType::Broadcast, "broadcast"),
    (PacketType::Multicast, "multicast"),
    (PacketType::Other, "other"),
    (PacketType::Host, "unicast"),
];

pub(super) const NF_PROTOS: Words<Family> = &[(Family::V4, "ipv4"), (Family::V6, "ipv6")];

pub(super) const HOOKS: Words<Hook> = &[
    (Hook::Prerouting, "prerouting"),
    (Hook::Input, "input"),
    (Hook::Forward, "forward"),
    (Hook::Output, "output"),
    (Hook::Postrouting, "postrouting"),
];

pub(super) const CHAIN_KINDS: Words<ChainKind> = &[
    (ChainKind::Filter, "filter"),
    (ChainKind::Nat, "nat"),
    (ChainKind::Route, "route"),
];

/// Priorities that have a name. `dstnat` is one in prerouting and output only, `srcnat` in postrouting and input
/// only; before 1.0.9 nft knows them in prerouting and postrouting only.
pub(super) const PRIORITIES: Words<i32> = &[
    (-300, "raw"),
    (-150, "mangle"),
    (-100, "dstnat"),
    (0, "filter"),
    (50, "security"),
    (100, "srcnat"),
];

/// Whether some nft takes a priority by name at a hook.
pub(super) const fn priority_fits(priority: i32, hook: Hook) -> bool {
    match priority {
        -100 => matches!(hook, Hook::Prerouting | Hook::Output),
        100 => matches!(hook, Hook::Postrouting | Hook::Input),
        _ => true,
    }
}

/// Whether every nft takes a priority by name at a hook.
pub(super) const fn priority_has_name(priority: i32, hook: Hook) -> bool {
    match priority {
        -100 => matches!(hook, Hook::Prerouting),
        100 => matches!(hook, Hook::Postrouting),
        _ => true,
    }
}

pub(super) const ICMP_UNREACHABLE: Words<Unreachable> = &[
    (Unreachable::Net, "net-unreachable"),
    (Unreachable::Host, "host-unreachable"),
    (Unreachable::Port, "port-unreachable"),
    (Unreachable::AdminProhibited, "admin-prohibited"),
    (Unreachable::HostProhibited, "host-prohibited"),
    (Unreachable::NetProhibited, "net-prohibited"),
    (Unreachable::Protocol, "prot-unreachable"),
];

pub(super) const ICMPV6_UNREACHABLE: Words<Unreachable> = &[
    (Unreachable::Net, "no-route"),
    (Unreachable::Host, "addr-unreachable"),
    (Unreachable::Port, "port-unreachable"),
    (Unreachable::AdminProhibited, "admin-prohibited"),
    (Unreachable::HostProhibited, "admin-prohibited"),
    (Unreachable::NetProhibited, "admin-prohibited"),
    (Unreachable::Protocol, "port-unreachable"),
];

pub(super) const ICMPX_UNREACHABLE: Words<Unreachable> = &[
    (Unreachable::Net, "no-route"),
    (Unreachable::Host, "host-unreachable"),
    (Unreachable::Port, "port-unreachable"),
    (Unreachable::AdminProhibited, "admin-prohibited"),
    (Unreachable::HostProhibited, "admin-prohibited"),
    (Unreachable::NetProhibited, "admin-prohibited"),
    (Unreachable::Protocol, "port-unreachable"),
];

pub(super) const ICMP_TYPES: Words<u8> = &[
    (0, "echo-reply"),
    (3, "destination-unreachable"),
    (4, "source-quench"),
    (5, "redirect"),
    (8, "echo-request"),
    (9, "router-advertisement"),
    (10, "router-solicitation"),
    (11, "time-exceeded"),
    (12, "parameter-problem"),
    (13, "timestamp-request"),
    (14, "timestamp-reply"),
    (15, "info-request"),
    (16, "info-reply"),
    (17, "address-mask-request"),
    (18, "address-mask-reply"),
];

pub(super) const ICMPV6_TYPES: Words<u8> = &[
    (1, "destination-unreachable"),
    (2, "packet-too-big"),
    (3, "time-exceeded"),
    (4, "parameter-problem"),
    (128, "echo-request"),
    (129, "echo-reply"),
    (130, "mld-listener-query"),
    (131, "mld-listener-report"),
    (132, "mld-listener-done"),
    (133, "nd-router-solicit"),
    (134, "nd-router-advert"),
    (135, "nd-neighbor-solicit"),
    (136, "nd-neighbor-advert"),
    (137, "nd-redirect"),
    (138, "router-renumbering"),
    (141, "ind-neighbor-solicit"),
    (142, "ind-neighbor-advert"),
    (143, "mld2-listener-report"),
    (132, "mld-listener-reduction"),
];
