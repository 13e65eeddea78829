//! Extension matches.

use std::fmt::{self, Formatter, Write as _};
use std::ops::RangeInclusive;

use super::{Spelling, bang, quoted, saved_string};
use crate::ipvs::ServerKey;
use crate::xt::words::{
    ADDRESS_TYPES, CT_STATES, MULTIPORT_OPTIONS, PACKET_TYPES, SET_SIDES, TCP_FLAGS, word_of,
};
use crate::xt::{
    AddressSide, AddressType, CtStates, PortRange, Probability, RecentAction, RecentMatch,
    RecentWindow, TcpFlags, XtMatch,
};
use crate::{AddressSpan, Family};

/// ` -m NAME …`
pub(super) fn extension(
    f: &mut Formatter<'_>,
    one: &XtMatch,
    family: Family,
    spelling: Spelling,
) -> fmt::Result {
    match one {
        XtMatch::Comment(comment) => {
            f.write_str(" -m comment --comment ")?;
            match spelling {
                Spelling::Restore => quoted(f, comment.as_str()),
                Spelling::Save => saved_string(f, comment.as_str()),
            }
        }
        XtMatch::CtState { negated, states } => {
            write!(f, " -m conntrack{} --ctstate ", bang(*negated))?;
            state_names(f, *states)
        }
        XtMatch::Mark {
            negated,
            value,
            mask,
        } => {
            write!(f, " -m mark{} --mark ", bang(*negated))?;
            masked(f, *value, *mask)
        }
        XtMatch::Random(probability) => {
            f.write_str(" -m statistic --mode random --probability ")?;
            random(f, *probability, spelling)
        }
        XtMatch::AddrType {
            source,
            destination,
        } => {
            f.write_str(" -m addrtype")?;
            address_type(f, "--src-type", *source)?;
            address_type(f, "--dst-type", *destination)
        }
        XtMatch::NfAcct(name) => {
            // The second space is the real tool's.
            f.write_str(" -m nfacct --nfacct-name  ")?;
            saved_string(f, name)
        }
        XtMatch::Ports { .. } | XtMatch::TcpFlags { .. } | XtMatch::Multiport { .. } => {
            port_match(f, one)
        }
        XtMatch::IcmpType {
            negated,
            kind,
            code,
        } => icmp_type(f, *negated, *kind, *code, family),
        XtMatch::ConnMark {
            negated,
            value,
            mask,
        } => {
            write!(f, " -m connmark{} --mark ", bang(*negated))?;
            masked(f, *value, *mask)
        }
        XtMatch::Recent(recent) => recent_match(f, recent, spelling),
        XtMatch::IpRange(range) => {
            f.write_str(" -m iprange")?;
            address_range(f, "--src-range", range.source)?;
            address_range(f, "--dst-range", range.destination)
        }
        XtMatch::PacketType { negated, kind } => {
            let word = word_of(PACKET_TYPES, kind);
            write!(f, " -m pkttype{} --pkt-type {word}", bang(*negated))
        }
        XtMatch::Set(set) => {
            write!(f, " -m set{} --match-set {} ", bang(set.negated), set.set)?;
            for (place, side) in set.sides.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(f, "{comma}{}", word_of(SET_SIDES, side))?;
            }
            Ok(())
        }
        XtMatch::Ipvs(server) => virtual_server(f, server, spelling),
        XtMatch::BridgeIn { negated } => {
            write!(f, " -m physdev{} --physdev-is-in", bang(*negated))
        }
        XtMatch::Unknown(text) => write!(f, " {text}"),
    }
}

/// kube-proxy and the tool have the options in different orders, and the tool prints the protocol's number.
fn virtual_server(f: &mut Formatter<'_>, server: &ServerKey, spelling: Spelling) -> fmt::Result {
    let ServerKey { protocol, address } = server;
    let (ip, port) = (address.ip(), address.port());
    match spelling {
        Spelling::Restore => write!(
            f,
            " -m ipvs --vaddr {ip} --vproto {protocol} --vport {port}"
        ),
        Spelling::Save => {
            let number = protocol.0;
            write!(f, " -m ipvs --vproto {number} --vaddr {ip} --vport {port}")
        }
    }
}

/// The matches of transport headers.
fn port_match(f: &mut Formatter<'_>, one: &XtMatch) -> fmt::Result {
    match one {
        XtMatch::Ports {
            protocol,
            source,
            destination,
        } => {
            write!(f, " -m {protocol}")?;
            ports(f, "--sport", *source)?;
            ports(f, "--dport", *destination)
        }
        XtMatch::TcpFlags {
            source,
            destination,
            negated,
            mask,
            set,
        } => {
            f.write_str(" -m tcp")?;
            ports(f, "--sport", *source)?;
            ports(f, "--dport", *destination)?;
            write!(f, "{} --tcp-flags ", bang(*negated))?;
            flag_names(f, *mask)?;
            f.write_char(' ')?;
            flag_names(f, *set)
        }
        XtMatch::Multiport {
            negated,
            side,
            ports,
        } => {
            let option = word_of(MULTIPORT_OPTIONS, side);
            write!(f, " -m multiport{} {option} ", bang(*negated))?;
            separated(f, ports.iter(), port_span)
        }
        _ => unreachable!("only matches of ports are handed on"),
    }
}

/// kube-proxy prints ten decimals of 1/n, `iptables-save` eleven of what the kernel made of it
/// (PROXY-42). A probability that is no 1/n gets ten decimals of itself, which read back the same.
fn random(f: &mut Formatter<'_>, probability: Probability, spelling: Spelling) -> fmt::Result {
    let raw = u64::from(probability.raw());
    let one = u64::from(Probability::ONE);
    match (spelling, one_in_what(probability)) {
        (Spelling::Save, _) => decimal(f, raw, one, 11),
        (Spelling::Restore, Some(n)) => decimal(f, 1, u64::from(n), 10),
        (Spelling::Restore, None) => decimal(f, raw, one, 10),
    }
}

fn ports(f: &mut Formatter<'_>, option: &str, range: Option<PortRange>) -> fmt::Result {
    let Some(PortRange {
        first,
        last,
        negated,
    }) = range
    else {
        return Ok(());
    };
    write!(f, "{} {option} ", bang(negated))?;
    port_span(f, &(first..=last))
}

fn state_names(f: &mut Formatter<'_>, states: CtStates) -> fmt::Result {
    if states == CtStates::default() {
        // No tool takes an empty set; a word that is refused is better than an option that swallows the next.
        return f.write_str("NONE");
    }
    let names = CT_STATES
        .iter()
        .filter(|(state, _)| states.contains(*state));
    separated(f, names, |f, (_, word)| f.write_str(word))
}

fn address_type(
    f: &mut Formatter<'_>,
    option: &str,
    one: Option<(bool, AddressType)>,
) -> fmt::Result {
    match one {
        Some((negated, kind)) => {
            write!(
                f,
                "{} {option} {}",
                bang(negated),
                word_of(ADDRESS_TYPES, &kind)
            )
        }
        None => Ok(()),
    }
}

fn address_range(
    f: &mut Formatter<'_>,
    option: &str,
    range: Option<(bool, AddressSpan)>,
) -> fmt::Result {
    let Some((negated, span)) = range else {
        return Ok(());
    };
    let (first, last) = span.ends();
    write!(f, "{} {option} {first}-{last}", bang(negated))
}

/// `80` or `8000:8080`.
fn port_span(f: &mut Formatter<'_>, range: &RangeInclusive<u16>) -> fmt::Result {
    if range.start() == range.end() {
        write!(f, "{}", range.start())
    } else {
        write!(f, "{}:{}", range.start(), range.end())
    }
}

/// `value` alone when every bit counts.
fn masked(f: &mut Formatter<'_>, value: u32, mask: u32) -> fmt::Result {
    if mask == u32::MAX {
        write!(f, "{value:#x}")
    } else {
        write!(f, "{value:#x}/{mask:#x}")
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut one: impl FnMut(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        one(f, item)?;
    }
    Ok(())
}

fn flag_names(f: &mut Formatter<'_>, flags: TcpFlags) -> fmt::Result {
    if flags == TcpFlags::default() {
        return f.write_str("NONE");
    }
    let names = TCP_FLAGS.iter().filter(|(flag, _)| flags.0 & flag.0 != 0);
    separated(f, names, |f, (_, word)| f.write_str(word))
}

fn icmp_type(
    f: &mut Formatter<'_>,
    negated: bool,
    kind: u8,
    code: Option<u8>,
    family: Family,
) -> fmt::Result {
    let (module, option) = match family {
        Family::V4 => ("icmp", "--icmp-type"),
        Family::V6 => ("icmp6", "--icmpv6-type"),
    };
    write!(f, " -m {module}{} {option} ", bang(negated))?;
    match (kind, code) {
        (u8::MAX, None) if family == Family::V4 => f.write_str("any"),
        (kind, None) => write!(f, "{kind}"),
        (kind, Some(code)) => write!(f, "{kind}/{code}"),
    }
}

/// kube-proxy names the list first and leaves the defaults unsaid.
fn recent_match(f: &mut Formatter<'_>, recent: &RecentMatch, spelling: Spelling) -> fmt::Result {
    f.write_str(" -m recent")?;
    let name_and_side = |f: &mut Formatter<'_>| {
        f.write_str(" --name ")?;
        saved_string(f, &recent.name)?;
        let default = RecentMatch::source(recent.action, "", Family::of(recent.mask));
        let is_default = (recent.mask, recent.side) == (default.mask, default.side);
        if spelling == Spelling::Restore && is_default {
            return Ok(());
        }
        write!(f, " --mask {}", recent.mask)?;
        f.write_str(match recent.side {
            AddressSide::Source => " --rsource",
            AddressSide::Destination => " --rdest",
        })
    };
    if spelling == Spelling::Restore {
        name_and_side(f)?;
    }
    f.write_str(bang(recent.negated))?;
    match recent.action {
        RecentAction::Set => f.write_str(" --set")?,
        RecentAction::Remove => f.write_str(" --remove")?,
        RecentAction::Rcheck(window) => recent_window(f, "--rcheck", window)?,
        RecentAction::Update(window) => recent_window(f, "--update", window)?,
    }
    if spelling == Spelling::Save {
        name_and_side(f)?;
    }
    Ok(())
}

fn recent_window(f: &mut Formatter<'_>, option: &str, window: RecentWindow) -> fmt::Result {
    write!(f, " {option}")?;
    if let Some(seconds) = window.seconds {
        write!(f, " --seconds {seconds}")?;
    }
    if window.reap {
        f.write_str(" --reap")?;
    }
    if let Some(hits) = window.hit_count {
        write!(f, " --hitcount {hits}")?;
    }
    Ok(())
}

/// The `n` for which this is the kernel's number for 1/n, if there is one.
fn one_in_what(probability: Probability) -> Option<u32> {
    let raw = probability.raw();
    if raw == 0 {
        return None;
    }
    let n = (Probability::ONE + raw / 2) / raw;
    (Probability::one_in(n) == probability).then_some(n)
}

/// `numerator / denominator` (at most one) with a number of decimals, rounded half to even as `printf` does.
fn decimal(f: &mut Formatter<'_>, numerator: u64, denominator: u64, decimals: u32) -> fmt::Result {
    let unit = 10_u128.pow(decimals);
    let scaled = u128::from(numerator) * unit;
    let denominator = u128::from(denominator);
    let (mut quotient, rest) = (scaled / denominator, scaled % denominator);
    if rest * 2 > denominator || (rest * 2 == denominator && quotient % 2 == 1) {
        quotient += 1;
    }
    let width = decimals as usize;
    write!(f, "{}.{:0width$}", quotient / unit, quotient % unit)
}
