//! Expressions and values.

use std::fmt::{self, Write};

use crate::nft::words::{
    ADDRESS_TYPES, CT_KEYS, CT_STATES, CT_STATUSES, DIRECTIONS, FIELDS, ICMP_TYPES, ICMPV6_TYPES,
    META_KEYS, NF_PROTOS, PACKET_TYPES, TCP_FLAGS, word_of,
};
use crate::nft::{
    BinaryOp, Expr, Fib, FibAddress, Key, MapRef, Numgen, NumgenMode, Scalar, SetRef,
};

pub(super) fn write_expr(out: &mut impl Write, expr: &Expr) -> fmt::Result {
    match expr {
        Expr::Payload(field) => out.write_str(word_of(FIELDS, field)),
        Expr::Meta(key) => out.write_str(word_of(META_KEYS, key)),
        Expr::Ct(key) => out.write_str(word_of(CT_KEYS, key)),
        Expr::Fib(Fib { address }) => out.write_str(match address {
            FibAddress::Saddr => "fib saddr type",
            FibAddress::Daddr => "fib daddr type",
        }),
        Expr::Numgen(numgen) => write_numgen(out, *numgen),
        Expr::Literal(scalar) => write_scalar(out, scalar),
        Expr::Concat(parts) => {
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.write_str(" . ")?;
                }
                write_expr(out, part)?;
            }
            Ok(())
        }
        Expr::Binary { op, left, right } => write_binary(out, *op, left, *right),
        Expr::Lookup { key, map } => {
            write_expr(out, key)?;
            out.write_str(" map ")?;
            write_map_ref(out, map, |out, data| write_key(out, data))
        }
    }
}

pub(super) fn write_map_ref<W: Write, V>(
    out: &mut W,
    map: &MapRef<V>,
    write_value: impl Fn(&mut W, &V) -> fmt::Result,
) -> fmt::Result {
    match map {
        MapRef::Named(name) => write!(out, "@{name}"),
        MapRef::Anonymous(entries) => {
            out.write_str("{")?;
            for (index, (key, value)) in entries.iter().enumerate() {
                out.write_str(if index > 0 { ", " } else { " " })?;
                write_key(out, key)?;
                out.write_str(" : ")?;
                write_value(out, value)?;
            }
            out.write_str(" }")
        }
    }
}

pub(super) fn write_set_ref(out: &mut impl Write, set: &SetRef) -> fmt::Result {
    match set {
        SetRef::Named(name) => write!(out, "@{name}"),
        SetRef::Anonymous(keys) => {
            out.write_str("{")?;
            for (index, key) in keys.iter().enumerate() {
                out.write_str(if index > 0 { ", " } else { " " })?;
                write_key(out, key)?;
            }
            out.write_str(" }")
        }
    }
}

pub(super) fn write_key(out: &mut impl Write, key: &Key) -> fmt::Result {
    for (index, part) in key.parts().enumerate() {
        if index > 0 {
            out.write_str(" . ")?;
        }
        write_scalar(out, &part)?;
    }
    Ok(())
}

pub(super) fn write_scalar(out: &mut impl Write, scalar: &Scalar) -> fmt::Result {
    match scalar {
        Scalar::V4(address) => write!(out, "{address}"),
        Scalar::V6(address) => write!(out, "{address}"),
        Scalar::Net(net) => write!(out, "{net}"),
        Scalar::AddressRange(range) => write!(out, "{}-{}", range.0, range.1),
        Scalar::Proto(protocol) => write!(out, "{protocol}"),
        Scalar::Port(port) => write!(out, "{port}"),
        Scalar::PortRange(first, last) => write!(out, "{first}-{last}"),
        Scalar::Mark(mark) => write!(out, "{mark:#010x}"),
        Scalar::MarkRange(first, last) => write!(out, "{first:#010x}-{last:#010x}"),
        Scalar::Number(number) => write!(out, "{number}"),
        Scalar::Ifname(name) => write!(out, "\"{}\"", name.as_str()),
        Scalar::NfProto(family) => out.write_str(word_of(NF_PROTOS, family)),
        Scalar::IcmpType(kind) => write_named(out, ICMP_TYPES, *kind),
        Scalar::Icmpv6Type(kind) => write_named(out, ICMPV6_TYPES, *kind),
        Scalar::TcpFlags(_) | Scalar::CtState(_) | Scalar::CtStatus(_) => {
            write_flags(out, scalar, " | ")
        }
        Scalar::Direction(direction) => out.write_str(word_of(DIRECTIONS, direction)),
        Scalar::AddressType(kind) => out.write_str(word_of(ADDRESS_TYPES, kind)),
        Scalar::PacketType(kind) => out.write_str(word_of(PACKET_TYPES, kind)),
    }
}

/// The words of a set of flags; nothing in it is `0x0`. Other values are written as they are.
pub(super) fn write_flags(out: &mut impl Write, flags: &Scalar, separator: &str) -> fmt::Result {
    match flags {
        Scalar::TcpFlags(flags) => {
            let words = TCP_FLAGS.iter().filter(|(flag, _)| flags.0 & flag.0 != 0);
            write_words(out, words.map(|(_, word)| *word), separator)
        }
        Scalar::CtState(states) => {
            let words = CT_STATES
                .iter()
                .filter(|(state, _)| states.contains(*state));
            write_words(out, words.map(|(_, word)| *word), separator)
        }
        Scalar::CtStatus(status) => {
            let words = CT_STATUSES
                .iter()
                .filter(|(bit, _)| status.intersects(*bit));
            write_words(out, words.map(|(_, word)| *word), separator)
        }
        other => write_scalar(out, other),
    }
}

fn write_words<'a>(
    out: &mut impl Write,
    words: impl Iterator<Item = &'a str>,
    separator: &str,
) -> fmt::Result {
    let mut is_empty = true;
    for word in words {
        if !is_empty {
            out.write_str(separator)?;
        }
        out.write_str(word)?;
        is_empty = false;
    }
    if is_empty {
        out.write_str("0x0")
    } else {
        Ok(())
    }
}

fn write_named(out: &mut impl Write, words: &[(u8, &str)], value: u8) -> fmt::Result {
    match words.iter().find(|(named, _)| *named == value) {
        Some((_, word)) => out.write_str(word),
        None => write!(out, "{value}"),
    }
}

fn write_numgen(out: &mut impl Write, numgen: Numgen) -> fmt::Result {
    let mode = match numgen.mode {
        NumgenMode::Random => "random",
        NumgenMode::Inc => "inc",
    };
    write!(out, "numgen {mode} mod {}", numgen.modulus)?;
    if numgen.offset > 0 {
        write!(out, " offset {}", numgen.offset)?;
    }
    Ok(())
}

fn write_binary(out: &mut impl Write, op: BinaryOp, left: &Expr, right: u32) -> fmt::Result {
    let needs_parentheses =
        matches!(left, Expr::Binary { op: inner, .. } if strength(*inner) < strength(op));
    if needs_parentheses {
        out.write_char('(')?;
        write_expr(out, left)?;
        out.write_char(')')?;
    } else {
        write_expr(out, left)?;
    }
    let symbol = match op {
        BinaryOp::And => '&',
        BinaryOp::Or => '|',
        BinaryOp::Xor => '^',
    };
    write!(out, " {symbol} {right:#010x}")
}

/// `&` binds more tightly than `^`, and that more than `|`.
const fn strength(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 0,
        BinaryOp::Xor => 1,
        BinaryOp::And => 2,
    }
}
