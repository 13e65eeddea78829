//! Values, read by the type that is due.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::ParseError;
use super::cursor::{Cursor, number};
use super::tokens::{Kind, Token};
use crate::nft::words::{
    ADDRESS_TYPES, CT_STATES, CT_STATUSES, DIRECTIONS, ICMP_TYPES, ICMPV6_TYPES, NF_PROTOS,
    PACKET_TYPES, TCP_FLAGS, Words, value_of,
};
use crate::nft::{
    CtKey, CtStates, CtStatus, DataType, Expr, Field, Ifname, Key, MetaKey, NatTarget, Scalar,
    TcpFlags,
};
use crate::{Family, Protocol};

/// The type of a value: those of sets, and those that only matches have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    Data(DataType),
    TcpFlags,
    CtStatus,
    Direction,
}

impl ValueType {
    /// Whether values are sets of flags.
    pub(super) const fn is_flags(self) -> bool {
        matches!(
            self,
            Self::TcpFlags | Self::CtStatus | Self::Data(DataType::CtState)
        )
    }

    /// A number of this type, for bit operations.
    pub(super) fn number(self, value: u32) -> Option<Scalar> {
        match self {
            Self::Data(DataType::Mark) => Some(Scalar::Mark(value)),
            Self::Data(DataType::Integer) => Some(Scalar::Number(value)),
            Self::TcpFlags => u8::try_from(value)
                .ok()
                .map(|v| Scalar::TcpFlags(TcpFlags(v))),
            Self::CtStatus => Some(Scalar::CtStatus(CtStatus(value))),
            _ => None,
        }
    }

    /// A word or number of this type as bits, for bit operations.
    pub(super) fn bits(self, token: Token<'_>) -> Result<u32, ParseError> {
        let named = match self {
            Self::TcpFlags => value_of(TCP_FLAGS, token.text).map(|flag| u32::from(flag.0)),
            Self::CtStatus => value_of(CT_STATUSES, token.text).map(|bit| bit.0),
            _ => None,
        };
        let read = || u32::try_from(number(token.text)?).ok();
        named
            .or_else(read)
            .ok_or_else(|| token.bad_value("a number of 32 bits or a flag"))
    }
}

/// The types of an expression's parts; empty for one that has no type of its own.
pub(super) fn types(expr: &Expr) -> Vec<ValueType> {
    let data = |one| vec![ValueType::Data(one)];
    match expr {
        Expr::Payload(field) => match field {
            Field::IpSaddr | Field::IpDaddr => data(DataType::Ipv4Addr),
            Field::Ip6Saddr | Field::Ip6Daddr => data(DataType::Ipv6Addr),
            Field::IpProtocol | Field::Ip6Nexthdr => data(DataType::InetProto),
            Field::IcmpType => data(DataType::IcmpType),
            Field::Icmpv6Type => data(DataType::Icmpv6Type),
            Field::TcpFlags => vec![ValueType::TcpFlags],
            _ => data(DataType::InetService),
        },
        Expr::Meta(key) => data(match key {
            MetaKey::L4proto => DataType::InetProto,
            MetaKey::Mark => DataType::Mark,
            MetaKey::Iifname | MetaKey::Oifname | MetaKey::Iif | MetaKey::Oif => DataType::Ifname,
            MetaKey::Nfproto => DataType::NfProto,
            MetaKey::Pkttype => DataType::PktType,
            MetaKey::Random => DataType::Integer,
        }),
        Expr::Ct(key) => match key {
            CtKey::State => data(DataType::CtState),
            CtKey::Status => vec![ValueType::CtStatus],
            CtKey::Mark => data(DataType::Mark),
            CtKey::Direction => vec![ValueType::Direction],
        },
        Expr::Fib(_) => data(DataType::FibAddrType),
        Expr::Numgen(_) => data(DataType::Integer),
        Expr::Binary { left, .. } => types(left),
        Expr::Concat(parts) => parts.iter().flat_map(types).collect(),
        Expr::Literal(_) | Expr::Lookup { .. } => Vec::new(),
    }
}

/// `10.96.0.1 . tcp . 443`
pub(super) fn key(cursor: &mut Cursor<'_>, types: &[ValueType]) -> Result<Key, ParseError> {
    let mut parts = Key::new();
    for (index, one) in types.iter().enumerate() {
        if index > 0 {
            cursor.expect(".")?;
        }
        parts.push(&scalar(cursor, *one)?);
    }
    Ok(parts)
}

/// One value.
pub(super) fn scalar(cursor: &mut Cursor<'_>, due: ValueType) -> Result<Scalar, ParseError> {
    if due.is_flags() {
        return flags(cursor, due, "|");
    }
    let token = cursor.next();
    let is_quotable = due == ValueType::Data(DataType::Ifname);
    if token.kind != Kind::Word && !(is_quotable && token.kind == Kind::Quoted) {
        return Err(token.unexpected("a value"));
    }
    if token.is("*") {
        return Err(token.unsupported("a catch-all element"));
    }
    match due {
        ValueType::Data(data) => data_scalar(token, data),
        ValueType::Direction => named(token, DIRECTIONS, Scalar::Direction, "original or reply"),
        ValueType::TcpFlags | ValueType::CtStatus => flags(cursor, due, "|"),
    }
}

fn data_scalar(token: Token<'_>, due: DataType) -> Result<Scalar, ParseError> {
    match due {
        DataType::Ipv4Addr => address(token, Family::V4),
        DataType::Ipv6Addr => address(token, Family::V6),
        DataType::InetProto => protocol(token),
        DataType::InetService => port(token),
        DataType::Mark => mark(token),
        DataType::Integer => number(token.text)
            .and_then(|number| u32::try_from(number).ok())
            .map(Scalar::Number)
            .ok_or_else(|| token.bad_value("a number of 32 bits")),
        DataType::Ifname => Ifname::new(token.text)
            .map(Scalar::Ifname)
            .ok_or_else(|| token.bad_value("the name of an interface")),
        DataType::NfProto => named(token, NF_PROTOS, Scalar::NfProto, "ipv4 or ipv6"),
        DataType::IcmpType => icmp_type(token, ICMP_TYPES, Scalar::IcmpType),
        DataType::Icmpv6Type => icmp_type(token, ICMPV6_TYPES, Scalar::Icmpv6Type),
        DataType::CtState => named(
            token,
            CT_STATES,
            |state| Scalar::CtState(CtStates::of(&[state])),
            "a connection state",
        ),
        DataType::FibAddrType => named(
            token,
            ADDRESS_TYPES,
            Scalar::AddressType,
            "one of local, unicast, broadcast, multicast",
        ),
        DataType::PktType => named(token, PACKET_TYPES, Scalar::PacketType, "a packet type"),
    }
}

/// Flags joined by `separator`; also by `,` where that is the separator of a list.
pub(super) fn flags(
    cursor: &mut Cursor<'_>,
    due: ValueType,
    separator: &str,
) -> Result<Scalar, ParseError> {
    let mut bits = 0;
    let mut states = Vec::new();
    loop {
        let token = cursor.word("a flag")?;
        match due {
            ValueType::Data(_) if number(token.text) == Some(0) => {}
            ValueType::Data(_) => states.push(
                value_of(CT_STATES, token.text)
                    .ok_or_else(|| token.bad_value("a connection state"))?,
            ),
            _ => bits |= due.bits(token)?,
        }
        if cursor.take(separator).is_none() {
            let none = token.bad_value("a set of flags");
            return match due {
                ValueType::Data(_) => Ok(Scalar::CtState(CtStates::of(&states))),
                _ => due.number(bits).ok_or(none),
            };
        }
    }
}

fn named<T: Copy>(
    token: Token<'_>,
    words: Words<T>,
    make: impl Fn(T) -> Scalar,
    expected: &'static str,
) -> Result<Scalar, ParseError> {
    value_of(words, token.text)
        .map(make)
        .ok_or_else(|| token.bad_value(expected))
}

fn icmp_type(
    token: Token<'_>,
    words: Words<u8>,
    make: impl Fn(u8) -> Scalar,
) -> Result<Scalar, ParseError> {
    value_of(words, token.text)
        .or_else(|| token.text.parse().ok())
        .map(make)
        .ok_or_else(|| token.bad_value("an ICMP type"))
}

fn protocol(token: Token<'_>) -> Result<Scalar, ParseError> {
    Protocol::parse(token.text)
        .map(Scalar::Proto)
        .ok_or_else(|| token.bad_value("an IP protocol"))
}

/// `10.0.0.1`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`.
fn address(token: Token<'_>, family: Family) -> Result<Scalar, ParseError> {
    let read_one = |text: &str| {
        let address: IpAddr = text.parse().ok()?;
        (Family::of(address) == family).then_some(address)
    };
    let read = || {
        if let Some((first, last)) = token.text.split_once('-') {
            let (first, last) = (read_one(first)?, read_one(last)?);
            let range = || Scalar::AddressRange(Box::new((first, last)));
            return (first <= last).then(range);
        }
        if token.text.contains('/') {
            let net: IpNet = token.text.parse().ok()?;
            return (Family::of(net.addr()) == family).then(|| Scalar::net(net));
        }
        read_one(token.text).map(Scalar::address)
    };
    read().ok_or_else(|| {
        token.bad_value(match family {
            Family::V4 => "an IPv4 address, network or range",
            Family::V6 => "an IPv6 address, network or range",
        })
    })
}

fn port(token: Token<'_>) -> Result<Scalar, ParseError> {
    let read = || match token.text.split_once('-') {
        None => token.text.parse().ok().map(Scalar::Port),
        Some((first, last)) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(Scalar::PortRange(first, last))
        }
    };
    read().ok_or_else(|| token.bad_value("a port or a range of ports, in numbers"))
}

fn mark(token: Token<'_>) -> Result<Scalar, ParseError> {
    let one = |text| u32::try_from(number(text)?).ok();
    let read = || match token.text.split_once('-') {
        None => one(token.text).map(Scalar::Mark),
        Some((first, last)) => {
            let (first, last) = (one(first)?, one(last)?);
            (first <= last).then_some(Scalar::MarkRange(first, last))
        }
    };
    read().ok_or_else(|| token.bad_value("a mark"))
}

/// `10.244.1.5`, `10.244.1.5:8080`, `[fd00::5]:8080`, `[fd00::5]` or `fd00::5`.
pub(super) fn nat_target(
    token: Token<'_>,
    family: Option<Family>,
) -> Result<NatTarget, ParseError> {
    let read = || {
        if let Ok(address) = token.text.parse::<SocketAddr>() {
            // A scope or a zero port is read by Rust but not by the tool.
            return (address.port() != 0).then(|| NatTarget::from(address));
        }
        let inside = token
            .text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'));
        let address = inside.unwrap_or(token.text).parse().ok()?;
        Some(NatTarget {
            address,
            port: None,
        })
    };
    read()
        .filter(|to| family.is_none_or(|family| Family::of(to.address) == family))
        .ok_or_else(|| token.bad_value("one address of this family, with or without a port"))
}

/// `1d2h3m4s500ms`, or seconds.
pub(super) fn time(cursor: &mut Cursor<'_>) -> Result<Duration, ParseError> {
    let token = cursor.word("a time")?;
    read_time(token.text).ok_or_else(|| token.bad_value("a time such as 1h30m or 10s"))
}

fn read_time(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut rest = text;
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, tail) = rest.split_at(digits);
        let unit_length = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let scale = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        let part = count.parse::<u64>().ok()?.checked_mul(scale)?;
        milliseconds = milliseconds.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_millis(milliseconds))
}
