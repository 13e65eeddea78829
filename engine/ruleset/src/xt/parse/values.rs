//! Values of options.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::tokens::Token;
use super::{ParseError, ParseErrorKind};
use crate::xt::words::{CT_STATES, ICMP_TYPES, ICMPV6_TYPES, TCP_FLAGS, value_of};
use crate::xt::{ChainName, CtStates, PortRange, Probability, TcpFlags};
use crate::{AddressSpan, Family, service};

pub(super) fn chain_name(text: &str, column: usize) -> Result<ChainName, ParseError> {
    ChainName::new(text).map_err(|error| ParseErrorKind::from(error).at(column))
}

/// `[packets:bytes]`
pub(super) fn counters(token: &Token) -> Result<(), ParseError> {
    let is_pair = || {
        let inside = token.text.strip_prefix('[')?.strip_suffix(']')?;
        let (packets, bytes) = inside.split_once(':')?;
        packets.parse::<u64>().ok()?;
        bytes.parse::<u64>().ok()
    };
    is_pair()
        .map(|_| ())
        .ok_or_else(|| token.bad_value("a pair of counters such as [0:0]"))
}

/// `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `10.1.2.3` or an IPv6 form of these; host bits are cut off. IPv4 addresses
/// before a `/` may lack their last numbers, as in `0/0`. `text` is part of the token.
pub(super) fn net(text: &str, token: &Token, family: Family) -> Result<IpNet, ParseError> {
    let read = || {
        let (address, length) = match text.split_once('/') {
            None => (text.parse().ok()?, family.address_bits()),
            Some((address, mask)) => (network_address(address, family)?, prefix_length(mask)?),
        };
        let net = IpNet::new(address, length).ok()?;
        (Family::of(address) == family).then(|| net.trunc())
    };
    read().ok_or_else(|| {
        token.bad_value(match family {
            Family::V4 => "an IPv4 address or network",
            Family::V6 => "an IPv6 address or network",
        })
    })
}

fn network_address(text: &str, family: Family) -> Option<IpAddr> {
    let missing = 3_usize.checked_sub(text.matches('.').count());
    match missing {
        Some(missing) if family == Family::V4 => {
            format!("{text}{}", ".0".repeat(missing)).parse().ok()
        }
        _ => text.parse().ok(),
    }
}

fn prefix_length(text: &str) -> Option<u8> {
    match text.parse::<IpAddr>() {
        Ok(mask) => ipnet::ip_mask_to_prefix(mask).ok(),
        Err(_) => text.parse().ok(),
    }
}

/// `80` or `ssh`
fn port(text: &str) -> Option<u16> {
    text.parse().ok().or_else(|| service::port(text))
}

/// `80`, `8000:8080`, `:80`, `8000:`
pub(super) fn port_range(token: &Token, negated: bool) -> Result<PortRange, ParseError> {
    let read = || {
        let (first, last) = match token.text.split_once(':') {
            None => {
                let port = port(&token.text)?;
                (port, port)
            }
            Some((first, last)) => (
                if first.is_empty() { 0 } else { port(first)? },
                if last.is_empty() {
                    u16::MAX
                } else {
                    port(last)?
                },
            ),
        };
        (first <= last).then_some(PortRange {
            first,
            last,
            negated,
        })
    };
    read().ok_or_else(|| token.bad_value("a port or a range such as 8000:8080"))
}

/// `80,443,8000:8080`; the kernel holds 15 ports, a range counts twice (`XT_MULTI_PORTS`).
pub(super) fn multiport(token: &Token) -> Result<Box<[RangeInclusive<u16>]>, ParseError> {
    let read_one = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        (first <= last).then_some(first..=last)
    };
    let read: Option<Box<[_]>> = token.text.split(',').map(read_one).collect();
    let places = |ports: &[RangeInclusive<u16>]| -> usize {
        let places = |range: &RangeInclusive<u16>| 1 + usize::from(range.start() != range.end());
        ports.iter().map(places).sum()
    };
    read.filter(|ports| places(ports) <= 15)
        .ok_or_else(|| token.bad_value("a list of at most 15 ports such as 80,8000:8080"))
}

/// `8`, `3/4`, `echo-request` or `any`.
pub(super) fn icmp_type(token: &Token, family: Family) -> Result<(u8, Option<u8>), ParseError> {
    let words = match family {
        Family::V4 => ICMP_TYPES,
        Family::V6 => ICMPV6_TYPES,
    };
    let read = || {
        if let Some(kind) = value_of(words, &token.text) {
            return Some((kind, None));
        }
        match token.text.split_once('/') {
            None => Some((token.text.parse().ok()?, None)),
            Some((kind, code)) => Some((kind.parse().ok()?, Some(code.parse().ok()?))),
        }
    };
    read().ok_or_else(|| token.bad_value("an ICMP type of this family, in numbers"))
}

/// `SYN,ACK`, `ALL` or `NONE`.
pub(super) fn tcp_flags(token: &Token) -> Result<TcpFlags, ParseError> {
    let flags = token.text.split(',').map(|word| match word {
        "ALL" => Some(TcpFlags::ALL),
        "NONE" => Some(TcpFlags::default()),
        _ => value_of(TCP_FLAGS, word),
    });
    let read: Option<Vec<_>> = flags.collect();
    let bits = read.map(|flags| flags.iter().fold(0, |bits, flag| bits | flag.0));
    bits.map(TcpFlags)
        .ok_or_else(|| token.bad_value("a list of TCP flags such as SYN,ACK"))
}

/// A 32-bit number, decimal or hexadecimal.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// `value` or `value/mask`.
pub(super) fn mark(token: &Token) -> Result<(u32, Option<u32>), ParseError> {
    let read = || match token.text.split_once('/') {
        None => Some((number(&token.text)?, None)),
        Some((value, mask)) => Some((number(value)?, Some(number(mask)?))),
    };
    read().ok_or_else(|| token.bad_value("a mark such as 0x4000/0x4000"))
}

pub(super) fn states(token: &Token) -> Result<CtStates, ParseError> {
    let states: Option<Vec<_>> = token
        .text
        .split(',')
        .map(|word| value_of(CT_STATES, word))
        .collect();
    states
        .map(|states| CtStates::of(&states))
        .ok_or_else(|| token.bad_value("a list of connection states such as RELATED,ESTABLISHED"))
}

/// A decimal from 0 to 1, rounded to the kernel's share of 2³¹ as `libxt_statistic` does.
pub(super) fn probability(token: &Token) -> Result<Probability, ParseError> {
    let read = || {
        let (whole, fraction) = token.text.split_once('.').unwrap_or((&token.text, ""));
        let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
        let digits = fraction.len();
        if whole.len() != 1 || !is_number(whole) || !is_number(fraction) || digits > 18 {
            return None;
        }
        let unit = 10_u128.pow(u32::try_from(digits).ok()?);
        let scaled = format!("{whole}{fraction}").parse::<u128>().ok()?;
        let raw = (scaled * u128::from(Probability::ONE) * 2 + unit) / (unit * 2);
        Probability::from_raw(u32::try_from(raw).ok()?)
    };
    read().ok_or_else(|| token.bad_value("a probability from 0 to 1"))
}

/// `10.0.0.1-10.0.0.9`
pub(super) fn address_range(token: &Token, family: Family) -> Result<AddressSpan, ParseError> {
    let read = || {
        let (first, last) = token
            .text
            .split_once('-')
            .unwrap_or((&token.text, &token.text));
        AddressSpan::new(first.parse().ok()?, last.parse().ok()?)
    };
    read()
        .filter(|span| Family::of(span.ends().0) == family)
        .ok_or_else(|| token.bad_value("a range of addresses of this family"))
}

/// An interface's name: at most 15 bytes, no blanks and no `/` (`xtables_parse_interface`).
pub(super) fn interface(token: &Token) -> Result<Box<str>, ParseError> {
    let name = &token.text;
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if name.is_empty() || name.len() > 15 || name.contains(is_bad) {
        return Err(token.bad_value("an interface name of at most 15 bytes"));
    }
    Ok(name.as_str().into())
}
