//! Expressions: what a statement computes from a packet.

use super::{Ident, Key, Scalar};

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Bytes of the packet. A packet that lacks the header ends the rule without a match.
    Payload(Field),
    /// About the packet.
    Meta(MetaKey),
    /// About its connection. A packet without one ends the rule, but for [`CtKey::State`].
    Ct(CtKey),
    /// `fib saddr|daddr type`
    Fib(Fib),
    /// `numgen random|inc mod N [offset M]`
    Numgen(Numgen),
    /// A value as written.
    Literal(Scalar),
    /// `a . b . c`; its parts are not concatenations.
    Concat(Vec<Expr>),
    /// `left op right` on a mark or on flags.
    Binary {
        /// The operation.
        op: BinaryOp,
        /// Mostly a mark.
        left: Box<Expr>,
        /// The constant.
        right: u32,
    },
    /// `key map …`: a miss ends the rule without a match.
    Lookup {
        /// What is looked up.
        key: Box<Expr>,
        /// Where.
        map: MapRef<Key>,
    },
}

/// A field of a header.
///
/// A field of a particular protocol (`tcp dport`) carries a test for that protocol with it, as nft adds one;
/// `th` fields do not test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `ip saddr`
    IpSaddr,
    /// `ip daddr`
    IpDaddr,
    /// `ip protocol`
    IpProtocol,
    /// `ip6 saddr`
    Ip6Saddr,
    /// `ip6 daddr`
    Ip6Daddr,
    /// `ip6 nexthdr`
    Ip6Nexthdr,
    /// `th sport`: of any protocol that has ports.
    ThSport,
    /// `th dport`: of any protocol that has ports.
    ThDport,
    /// `tcp sport`
    TcpSport,
    /// `tcp dport`
    TcpDport,
    /// `tcp flags`
    TcpFlags,
    /// `udp sport`
    UdpSport,
    /// `udp dport`
    UdpDport,
    /// `sctp sport`
    SctpSport,
    /// `sctp dport`
    SctpDport,
    /// `icmp type`
    IcmpType,
    /// `icmpv6 type`
    Icmpv6Type,
}

/// What `meta` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetaKey {
    /// `meta l4proto`
    L4proto,
    /// `meta mark`
    Mark,
    /// `iifname`
    Iifname,
    /// `oifname`
    Oifname,
    /// `iif`: the interface itself, which rules name and the kernel numbers.
    Iif,
    /// `oif`
    Oif,
    /// `meta nfproto`
    Nfproto,
    /// `meta pkttype`
    Pkttype,
    /// `meta random`: 32 random bits, anew for each rule.
    Random,
}

/// What `ct` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CtKey {
    /// `ct state`
    State,
    /// `ct status`
    Status,
    /// `ct mark`
    Mark,
    /// `ct direction`
    Direction,
}

/// `fib saddr type` or `fib daddr type`: what the address is to the node, by its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fib {
    /// Whose.
    pub address: FibAddress,
}

/// The address that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FibAddress {
    /// The source.
    Saddr,
    /// The destination.
    Daddr,
}

/// A number from a generator: `offset` plus something below `modulus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Numgen {
    /// How it is made.
    pub mode: NumgenMode,
    /// At least one.
    pub modulus: u32,
    /// Mostly zero.
    pub offset: u32,
}

impl Numgen {
    /// `numgen random mod modulus`
    #[must_use]
    pub const fn random(modulus: u32) -> Self {
        Self {
            mode: NumgenMode::Random,
            modulus,
            offset: 0,
        }
    }
}

/// How numbers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumgenMode {
    /// Each with the same chance.
    Random,
    /// In turn, from a counter of the rule.
    Inc,
}

/// An operation on bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryOp {
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
}

/// A set, by name or in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRef {
    /// `@name`
    Named(Ident),
    /// `{ a, b }`
    Anonymous(Vec<Key>),
}

/// A map, by name or in place. `V` is a [`Verdict`](super::Verdict) for `vmap`, a [`Key`] for `map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRef<V> {
    /// `@name`
    Named(Ident),
    /// `{ a : x, b : y }`
    Anonymous(Vec<(Key, V)>),
}
