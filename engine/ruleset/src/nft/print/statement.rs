//! Statements.

use std::fmt::{self, Display, Formatter, Write};

use super::expr::{write_expr, write_flags, write_key, write_map_ref, write_scalar, write_set_ref};
use super::{Place, Time, bracketed};
use crate::nat::write_spans;
use crate::nft::words::{ICMP_UNREACHABLE, ICMPV6_UNREACHABLE, ICMPX_UNREACHABLE, word_of};
use crate::nft::{
    BinaryOp, CtKey, CtStatus, Expr, Field, MapRef, MatchOp, NatFlags, NatTarget, NatTo, NftFamily,
    Reject, Right, Scalar, SetOp, Statement, TcpFlags, Verdict,
};
use crate::{AddressSpan, Family, NatKind, NatRange};

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Continue => f.write_str("continue"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

pub(super) fn write_statement(
    out: &mut impl Write,
    statement: &Statement,
    place: Place<'_>,
) -> fmt::Result {
    match statement {
        Statement::Match { left, op, right } => write_match(out, left, *op, right),
        Statement::Verdict(verdict) => write!(out, "{verdict}"),
        Statement::VerdictMap { key, map } => {
            write_expr(out, key)?;
            out.write_str(" vmap ")?;
            write_map_ref(out, map, |out, verdict| write!(out, "{verdict}"))
        }
        Statement::SetMark(expr) => {
            out.write_str("meta mark set ")?;
            write_expr(out, expr)
        }
        Statement::SetCtMark(expr) => {
            out.write_str("ct mark set ")?;
            write_expr(out, expr)
        }
        Statement::Dnat { to, flags } => write_nat(out, "dnat", to, *flags, place),
        Statement::Snat { to, flags } => write_nat(out, "snat", to, *flags, place),
        Statement::Redirect { port, flags } => {
            out.write_str("redirect")?;
            if let Some(port) = port {
                write!(out, " to :{port}")?;
            }
            write_nat_flags(out, *flags)
        }
        Statement::Masquerade(flags) => {
            out.write_str("masquerade")?;
            write_nat_flags(out, *flags)
        }
        Statement::NatRange(range) => write_nat_range(out, range, place),
        Statement::Reject(reject) => write_reject(out, *reject),
        Statement::SetUpdate {
            op,
            set,
            key,
            timeout,
            data,
        } => {
            let word = match op {
                SetOp::Add => "add",
                SetOp::Update => "update",
                SetOp::Delete => "delete",
            };
            write!(out, "{word} @{set} {{ ")?;
            write_expr(out, key)?;
            if let Some(timeout) = timeout {
                write!(out, " timeout {}", Time(*timeout))?;
            }
            if let Some(data) = data {
                out.write_str(" : ")?;
                write_expr(out, data)?;
            }
            out.write_str(" }")
        }
        Statement::Notrack => out.write_str("notrack"),
        Statement::Counter { packets, bytes } => {
            write!(out, "counter packets {packets} bytes {bytes}")
        }
        Statement::Log { prefix: None } => out.write_str("log"),
        Statement::Log {
            prefix: Some(prefix),
        } => write!(out, "log prefix \"{}\"", prefix.as_str()),
        Statement::Inert(text) | Statement::UnknownMatch(text) | Statement::Unknown(text) => {
            write_kept(out, text.text())
        }
    }
}

/// A backslash at the end of a line would join it to the next.
fn write_kept(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_str(text)?;
    match text.ends_with('\\') {
        true => out.write_char(' '),
        false => Ok(()),
    }
}

/// Equality goes without a sign, but where that would read as a test of flags.
fn write_match(out: &mut impl Write, left: &Expr, op: MatchOp, right: &Right) -> fmt::Result {
    if let (
        Expr::Binary {
            op: BinaryOp::And,
            left,
            right: mask,
        },
        Right::Value(value),
    ) = (left, right)
        && let Some(mask) = flags_of(left, *mask)
    {
        return write_masked_flags(out, left, op, &mask, value);
    }
    write_expr(out, left)?;
    let is_flags = |value: &Scalar| {
        matches!(
            value,
            Scalar::TcpFlags(_) | Scalar::CtState(_) | Scalar::CtStatus(_)
        )
    };
    let is_explicit = matches!(left, Expr::Binary { .. })
        || matches!(right, Right::Value(value) if is_flags(value));
    out.write_str(match op {
        MatchOp::Eq if is_explicit => " == ",
        MatchOp::Eq | MatchOp::AnyFlag => " ",
        other => sign(other),
    })?;
    match right {
        Right::Set(set) => write_set_ref(out, set),
        Right::Value(value) if op == MatchOp::AnyFlag => write_flags(out, value, ","),
        Right::Value(value) => write_scalar(out, value),
    }
}

const fn sign(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Eq => " == ",
        MatchOp::Ne => " != ",
        MatchOp::Lt => " < ",
        MatchOp::Gt => " > ",
        MatchOp::Le => " <= ",
        MatchOp::Ge => " >= ",
        MatchOp::AnyFlag => " ",
    }
}

/// The mask of a test such as `tcp flags & (syn | ack)`, which is written in words.
fn flags_of(left: &Expr, mask: u32) -> Option<Scalar> {
    match left {
        Expr::Payload(Field::TcpFlags) => {
            Some(Scalar::TcpFlags(TcpFlags(u8::try_from(mask).ok()?)))
        }
        Expr::Ct(CtKey::Status) => Some(Scalar::CtStatus(CtStatus(mask))),
        _ => None,
    }
}

/// `tcp flags syn / fin,syn,rst,ack`, `tcp flags ! syn,ack` or `tcp flags & syn == syn`.
fn write_masked_flags(
    out: &mut impl Write,
    left: &Expr,
    op: MatchOp,
    mask: &Scalar,
    value: &Scalar,
) -> fmt::Result {
    let bits = |flags: &Scalar| match flags {
        Scalar::TcpFlags(flags) => u32::from(flags.0),
        Scalar::CtStatus(status) => status.0,
        _ => 0,
    };
    write_expr(out, left)?;
    if op == MatchOp::Eq && bits(value) == 0 {
        out.write_str(" ! ")?;
        return write_flags(out, mask, ",");
    }
    if bits(mask).is_power_of_two() {
        out.write_str(" & ")?;
        write_flags(out, mask, ",")?;
        out.write_str(sign(op))?;
        return write_flags(out, value, ",");
    }
    out.write_str(if op == MatchOp::Eq { " " } else { sign(op) })?;
    write_flags(out, value, ",")?;
    out.write_str(" / ")?;
    write_flags(out, mask, ",")
}

/// The family is said where it is not plain: in a table of both, and before an address with a port from a map.
fn write_nat(
    out: &mut impl Write,
    word: &str,
    to: &NatTo,
    flags: NatFlags,
    place: Place<'_>,
) -> fmt::Result {
    let (of, is_pair) = match to {
        NatTo::Fixed(target) => (Family::of(target.address), false),
        NatTo::Lookup { family, map, .. } => match map {
            MapRef::Named(name) => (*family, place.has_pairs(name)),
            MapRef::Anonymous(entries) => (
                *family,
                entries
                    .first()
                    .is_some_and(|(_, data)| data.only().is_none()),
            ),
        },
    };
    out.write_str(word)?;
    if is_pair || place.family == NftFamily::Inet {
        write!(out, " {}", NftFamily::from(of))?;
    }
    out.write_str(" to ")?;
    match to {
        NatTo::Fixed(NatTarget {
            address,
            port: None,
        }) => write!(out, "{address}")?,
        NatTo::Fixed(NatTarget {
            address,
            port: Some(port),
        }) => write!(out, "{}:{port}", bracketed(*address))?,
        NatTo::Lookup { key, map, .. } => {
            write_expr(out, key)?;
            out.write_str(" map ")?;
            write_map_ref(out, map, |out, data| write_key(out, data))?;
        }
    }
    write_nat_flags(out, flags)
}

fn write_nat_range(out: &mut impl Write, range: &NatRange, place: Place<'_>) -> fmt::Result {
    let addresses = range.kind.addresses();
    out.write_str(match range.kind {
        NatKind::Dnat(_) => "dnat",
        NatKind::Snat(_) => "snat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    })?;
    if let Some((first, _)) = addresses.map(AddressSpan::ends)
        && place.family == NftFamily::Inet
    {
        write!(out, " {}", NftFamily::from(Family::of(first)))?;
    }
    if addresses.is_some() || range.ports.is_some() {
        out.write_str(" to ")?;
        write_spans(out, addresses, range.ports)?;
    }
    let flags = NatFlags {
        random: range.random,
        fully_random: range.random_fully,
        persistent: range.persistent,
    };
    write_nat_flags(out, flags)
}

fn write_nat_flags(out: &mut impl Write, flags: NatFlags) -> fmt::Result {
    let words = [
        (flags.random, "random"),
        (flags.fully_random, "fully-random"),
        (flags.persistent, "persistent"),
    ];
    let mut separator = ' ';
    for (_, word) in words.into_iter().filter(|(is_set, _)| *is_set) {
        write!(out, "{separator}{word}")?;
        separator = ',';
    }
    Ok(())
}

fn write_reject(out: &mut impl Write, reject: Reject) -> fmt::Result {
    match reject {
        Reject::Default => out.write_str("reject"),
        Reject::TcpReset => out.write_str("reject with tcp reset"),
        Reject::Icmp(Family::V4, with) => {
            write!(out, "reject with icmp {}", word_of(ICMP_UNREACHABLE, &with))
        }
        Reject::Icmp(Family::V6, with) => {
            write!(
                out,
                "reject with icmpv6 {}",
                word_of(ICMPV6_UNREACHABLE, &with)
            )
        }
        Reject::Icmpx(with) => {
            write!(
                out,
                "reject with icmpx {}",
                word_of(ICMPX_UNREACHABLE, &with)
            )
        }
    }
}
