//! Words that stand for one value each, spelled in both directions from one table.

use super::{AddressType, CtState, RejectWith};
use crate::Family;

/// A spelling table: each value with its word.
pub(super) type Words<T> = &'static [(T, &'static str)];

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

/// `--reject-with`, whose words are a family's own.
pub(super) const fn reject_words(family: Family) -> Words<RejectWith> {
    match family {
        Family::V4 => &[
            (RejectWith::PortUnreachable, "icmp-port-unreachable"),
            (RejectWith::HostUnreachable, "icmp-host-unreachable"),
            (RejectWith::NetUnreachable, "icmp-net-unreachable"),
            (RejectWith::AdminProhibited, "icmp-admin-prohibited"),
            (RejectWith::TcpReset, "tcp-reset"),
        ],
        Family::V6 => &[
            (RejectWith::PortUnreachable, "icmp6-port-unreachable"),
            (RejectWith::HostUnreachable, "icmp6-addr-unreachable"),
            (RejectWith::NetUnreachable, "icmp6-no-route"),
            (RejectWith::AdminProhibited, "icmp6-adm-prohibited"),
            (RejectWith::TcpReset, "tcp-reset"),
        ],
    }
}

/// The word of a value.
pub(super) fn word_of<T: PartialEq>(words: Words<T>, value: &T) -> &'static str {
    words
        .iter()
        .find(|(candidate, _)| candidate == value)
        .expect("every value has a word")
        .1
}

/// The value of a word, in any case, as the tools take it.
pub(super) fn value_of<T: Copy>(words: Words<T>, word: &str) -> Option<T> {
    words
        .iter()
        .find(|(_, candidate)| candidate.eq_ignore_ascii_case(word))
        .map(|(value, _)| *value)
}
