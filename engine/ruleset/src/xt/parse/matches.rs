//! Extension matches: `-m NAME`, then its options, which may stand anywhere after it.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::recent::RecentDraft;
use super::rule::Opt;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::ipvs::{ServerKey, SetName};
use crate::verbatim::{Reading, Verbatim};
use crate::xt::words::{ADDRESS_TYPES, MULTIPORT_OPTIONS, PACKET_TYPES, SET_SIDES, value_of};
use crate::xt::{
    AddressType, Comment, IpRangeMatch, MultiportSide, PortRange, Probability, SetMatch, TcpFlags,
    XtMatch,
};
use crate::{AddressSpan, Family, Protocol};

/// The matches of a rule while their options are still coming.
pub(super) struct Drafts {
    family: Family,
    reading: Reading,
    drafts: Vec<Begun>,
}

struct Begun {
    /// How many words stand before it.
    position: usize,
    column: usize,
    draft: Draft,
}

/// A match that may lack options.
enum Draft {
    /// One option makes the match.
    One(One, Option<XtMatch>),
    Ports {
        protocol: Protocol,
        source: Option<PortRange>,
        destination: Option<PortRange>,
        flags: Option<(bool, TcpFlags, TcpFlags)>,
    },
    Statistic {
        is_random: Option<()>,
        probability: Option<Probability>,
    },
    AddrType {
        source: Option<(bool, AddressType)>,
        destination: Option<(bool, AddressType)>,
    },
    IpRange {
        source: Option<(bool, AddressSpan)>,
        destination: Option<(bool, AddressSpan)>,
    },
    Recent(RecentDraft),
    Ipvs {
        address: Option<IpAddr>,
        protocol: Option<Protocol>,
        port: Option<u16>,
    },
    /// Not understood, and complete.
    Kept(Verbatim),
}

/// Matches that one option makes.
#[derive(Clone, Copy)]
enum One {
    Comment,
    CtState,
    Mark,
    NfAcct,
    Multiport,
    IcmpType,
    ConnMark,
    PacketType,
    Set,
    BridgeIn,
}

impl Drafts {
    pub(super) const fn new(family: Family, reading: Reading) -> Self {
        Self {
            family,
            reading,
            drafts: Vec::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.drafts.len()
    }

    /// Says where the last match began.
    pub(super) fn begun_at(&mut self, position: usize) {
        if let Some(last) = self.drafts.last_mut() {
            last.position = position;
        }
    }

    /// Whether the last match holds when all of its options do, each by itself, and has what it needs: whatever
    /// other options it has then only narrow it.
    pub(super) fn ends_with_conjunction(&self) -> bool {
        let last = self.drafts.last().map(|begun| &begun.draft);
        matches!(
            last,
            Some(Draft::Ports { .. } | Draft::One(One::CtState, Some(_)))
        )
    }

    pub(super) fn pop(&mut self) {
        self.drafts.pop();
    }

    /// Appends a match that is not understood.
    pub(super) fn push_kept(&mut self, position: usize, text: Verbatim) {
        let column = text.place().column;
        self.drafts.push(Begun {
            position,
            column,
            draft: Draft::Kept(text),
        });
    }

    /// Reads `-m` or an option of a match that is loaded, if it is one.
    pub(super) fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        protocol: Option<(bool, Protocol)>,
    ) -> Result<bool, ParseError> {
        if matches!(option.name(), "-m" | "--match") {
            let name = option.plain_value(cursor)?;
            let draft = Draft::new(name, self.family, self.reading)?;
            self.push(name.column, draft);
            return Ok(true);
        }
        // An option belongs to the match of its kind that was loaded last.
        for begun in self.drafts.iter_mut().rev() {
            if begun.draft.option(option, cursor, self.family)? {
                return Ok(true);
            }
        }
        self.load_ports_for(option, cursor, protocol)
    }

    fn push(&mut self, column: usize, draft: Draft) {
        self.drafts.push(Begun {
            position: 0,
            column,
            draft,
        });
    }

    /// `-p tcp --dport 80` loads the `tcp` match by itself.
    fn load_ports_for(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        protocol: Option<(bool, Protocol)>,
    ) -> Result<bool, ParseError> {
        let Some((false, protocol)) = protocol.filter(|(_, protocol)| protocol.has_ports()) else {
            return Ok(false);
        };
        let is_loaded = |begun: &Begun| matches!(begun.draft, Draft::Ports { protocol: loaded, .. } if loaded == protocol);
        if self.drafts.iter().any(is_loaded) {
            return Ok(false);
        }
        let mut draft = Draft::ports(protocol);
        let is_taken = draft.option(option, cursor, self.family)?;
        if is_taken {
            self.push(option.token.column, draft);
        }
        Ok(is_taken)
    }

    /// The matches in order, all complete. What `otherwise` makes of one that is not, by its position, stands in
    /// for it; texts that follow each other become one.
    pub(super) fn finish(
        self,
        otherwise: impl Fn(usize, ParseError) -> Result<Verbatim, ParseError>,
    ) -> Result<SmallVec<[XtMatch; 2]>, ParseError> {
        let mut matches: SmallVec<[XtMatch; 2]> = SmallVec::new();
        for begun in self.drafts {
            let one = match begun.draft.finish(self.family) {
                Ok(one) => one,
                Err(kind) => XtMatch::Unknown(otherwise(begun.position, kind.at(begun.column))?),
            };
            match (matches.last_mut(), one) {
                (Some(XtMatch::Unknown(before)), XtMatch::Unknown(text)) => {
                    *before = before.followed_by(&text);
                }
                (_, one) => matches.push(one),
            }
        }
        Ok(matches)
    }
}

impl Draft {
    /// What is in a set, and which ports a bridge has, no dump of rules says.
    ///
    /// Deviation: the old `state` match is read as `conntrack --ctstate`, which is what the kernel makes of it;
    /// it prints so too.
    fn new(name: &Token, family: Family, reading: Reading) -> Result<Self, ParseError> {
        Ok(match name.text.as_str() {
            "comment" => Self::One(One::Comment, None),
            "tcp" => Self::ports(Protocol::TCP),
            "udp" => Self::ports(Protocol::UDP),
            "sctp" => Self::ports(Protocol::SCTP),
            "conntrack" | "state" => Self::One(One::CtState, None),
            "mark" => Self::One(One::Mark, None),
            "statistic" => Self::Statistic {
                is_random: None,
                probability: None,
            },
            "addrtype" => Self::AddrType {
                source: None,
                destination: None,
            },
            "nfacct" => Self::One(One::NfAcct, None),
            "multiport" => Self::One(One::Multiport, None),
            "icmp" if family == Family::V4 => Self::One(One::IcmpType, None),
            "icmp6" if family == Family::V6 => Self::One(One::IcmpType, None),
            "connmark" => Self::One(One::ConnMark, None),
            "iprange" => Self::IpRange {
                source: None,
                destination: None,
            },
            "pkttype" => Self::One(One::PacketType, None),
            "recent" => Self::Recent(RecentDraft::default()),
            "ipvs" if reading != Reading::Dump => Self::Ipvs {
                address: None,
                protocol: None,
                port: None,
            },
            "set" if reading != Reading::Dump => Self::One(One::Set, None),
            "physdev" if reading != Reading::Dump => Self::One(One::BridgeIn, None),
            _ => {
                return Err(ParseErrorKind::UnsupportedMatch {
                    name: name.text.clone(),
                }
                .at(name.column));
            }
        })
    }

    const fn ports(protocol: Protocol) -> Self {
        Self::Ports {
            protocol,
            source: None,
            destination: None,
            flags: None,
        }
    }

    /// Reads an option of this match, if it is one.
    fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<bool, ParseError> {
        match (self, option.name()) {
            (Self::One(one, slot), _) => match one.option(option, cursor, family)? {
                Some(value) => option.set(slot, value)?,
                None => return Ok(false),
            },
            (Self::Ports { source, .. }, "--sport" | "--source-port") => {
                let (negated, value) = option.negatable_value(cursor)?;
                option.set(source, values::port_range(value, negated)?)?;
            }
            (Self::Ports { destination, .. }, "--dport" | "--destination-port") => {
                let (negated, value) = option.negatable_value(cursor)?;
                option.set(destination, values::port_range(value, negated)?)?;
            }
            (
                Self::Ports {
                    protocol: Protocol::TCP,
                    flags,
                    ..
                },
                "--tcp-flags" | "--syn",
            ) => option.set(flags, tcp_flags(option, cursor)?)?,
            (Self::Statistic { is_random, .. }, "--mode") => {
                let mode = option.plain_value(cursor)?;
                if mode.text != "random" {
                    return Err(mode.bad_value("the mode `random`"));
                }
                option.set(is_random, ())?;
            }
            (Self::Statistic { probability, .. }, "--probability") => {
                let value = option.plain_value(cursor)?;
                option.set(probability, values::probability(value)?)?;
            }
            (Self::AddrType { source, .. }, "--src-type") => {
                option.set(source, address_type(option, cursor)?)?;
            }
            (Self::AddrType { destination, .. }, "--dst-type") => {
                option.set(destination, address_type(option, cursor)?)?;
            }
            (Self::IpRange { source, .. }, "--src-range") => {
                option.set(source, address_range(option, cursor, family)?)?;
            }
            (Self::IpRange { destination, .. }, "--dst-range") => {
                option.set(destination, address_range(option, cursor, family)?)?;
            }
            (Self::Ipvs { address, .. }, "--vaddr") => {
                let value = option.plain_value(cursor)?;
                let net = values::net(&value.text, value, family)?;
                let single = (net.prefix_len() == net.max_prefix_len()).then_some(net.addr());
                let single = single.ok_or_else(|| value.bad_value("one address"))?;
                option.set(address, single)?;
            }
            (Self::Ipvs { protocol, .. }, "--vproto") => {
                let value = option.plain_value(cursor)?;
                let read = Protocol::parse(&value.text).filter(|read| read.has_ports());
                let read = read.ok_or_else(|| value.bad_value("tcp, udp or sctp"))?;
                option.set(protocol, read)?;
            }
            (Self::Ipvs { port, .. }, "--vport") => {
                let value = option.plain_value(cursor)?;
                let read = value.text.parse().ok();
                let read = read.ok_or_else(|| value.bad_value("a port"))?;
                option.set(port, read)?;
            }
            (Self::Recent(draft), _) => return draft.option(option, cursor, family),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self, family: Family) -> Result<XtMatch, ParseErrorKind> {
        let lacks = |what, option| ParseErrorKind::Incomplete { what, option };
        Ok(match self {
            Self::One(one, value) => value.ok_or_else(|| one.lacks())?,
            Self::Ports {
                protocol,
                source,
                destination,
                flags: None,
            } => XtMatch::Ports {
                protocol,
                source,
                destination,
            },
            Self::Ports {
                source,
                destination,
                flags: Some((negated, mask, set)),
                ..
            } => XtMatch::TcpFlags {
                source,
                destination,
                negated,
                mask,
                set,
            },
            Self::Statistic {
                is_random,
                probability,
            } => {
                is_random.ok_or_else(|| lacks("match statistic", "--mode"))?;
                XtMatch::Random(
                    probability.ok_or_else(|| lacks("match statistic", "--probability"))?,
                )
            }
            Self::AddrType {
                source: None,
                destination: None,
            } => return Err(lacks("match addrtype", "--src-type or --dst-type")),
            Self::AddrType {
                source,
                destination,
            } => XtMatch::AddrType {
                source,
                destination,
            },
            Self::IpRange {
                source: None,
                destination: None,
            } => return Err(lacks("match iprange", "--src-range or --dst-range")),
            Self::IpRange {
                source,
                destination,
            } => XtMatch::IpRange(Box::new(IpRangeMatch {
                source,
                destination,
            })),
            Self::Ipvs {
                address,
                protocol,
                port,
            } => {
                let lack = lacks("match ipvs", "--vaddr, --vproto and --vport");
                let all = address.zip(protocol).zip(port);
                let ((address, protocol), port) = all.ok_or(lack)?;
                XtMatch::Ipvs(Box::new(ServerKey {
                    protocol,
                    address: SocketAddr::new(address, port),
                }))
            }
            Self::Recent(draft) => XtMatch::Recent(Box::new(draft.finish(family)?)),
            Self::Kept(text) => XtMatch::Unknown(text),
        })
    }
}

impl One {
    /// The match, if this is its option.
    fn option(
        self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<Option<XtMatch>, ParseError> {
        Ok(Some(match (self, option.name()) {
            (Self::Comment, "--comment") => XtMatch::Comment(comment(option.plain_value(cursor)?)?),
            (Self::CtState, "--ctstate" | "--state") => {
                let (negated, value) = option.negatable_value(cursor)?;
                let states = values::states(value)?;
                XtMatch::CtState { negated, states }
            }
            (Self::Mark, "--mark") => {
                let (negated, value, mask) = mark(option, cursor)?;
                XtMatch::Mark {
                    negated,
                    value,
                    mask,
                }
            }
            (Self::ConnMark, "--mark") => {
                let (negated, value, mask) = mark(option, cursor)?;
                XtMatch::ConnMark {
                    negated,
                    value,
                    mask,
                }
            }
            (Self::PacketType, "--pkt-type") => {
                let (negated, value) = option.negatable_value(cursor)?;
                let kind = value_of(PACKET_TYPES, &value.text);
                let kind = kind.ok_or_else(|| value.bad_value("a type of packet"))?;
                XtMatch::PacketType { negated, kind }
            }
            (Self::Set, "--match-set") => XtMatch::Set(Box::new(set_match(option, cursor)?)),
            (Self::BridgeIn, "--physdev-is-in") => XtMatch::BridgeIn {
                negated: option.negated,
            },
            (Self::NfAcct, "--nfacct-name") => {
                XtMatch::NfAcct(accounting_name(option.plain_value(cursor)?)?)
            }
            (Self::Multiport, name) => {
                let Some(side) = multiport_side(name) else {
                    return Ok(None);
                };
                let (negated, value) = option.negatable_value(cursor)?;
                let ports = values::multiport(value)?;
                XtMatch::Multiport {
                    negated,
                    side,
                    ports,
                }
            }
            (Self::IcmpType, "--icmp-type" | "--icmpv6-type") => {
                let (negated, value) = option.negatable_value(cursor)?;
                let (kind, code) = values::icmp_type(value, family)?;
                XtMatch::IcmpType {
                    negated,
                    kind,
                    code,
                }
            }
            _ => return Ok(None),
        }))
    }

    const fn lacks(self) -> ParseErrorKind {
        let (what, option) = match self {
            Self::Comment => ("match comment", "--comment"),
            Self::CtState => ("match conntrack", "--ctstate"),
            Self::Mark => ("match mark", "--mark"),
            Self::NfAcct => ("match nfacct", "--nfacct-name"),
            Self::Multiport => ("match multiport", "--dports"),
            Self::IcmpType => ("match icmp", "--icmp-type"),
            Self::ConnMark => ("match connmark", "--mark"),
            Self::PacketType => ("match pkttype", "--pkt-type"),
            Self::Set => ("match set", "--match-set"),
            Self::BridgeIn => ("match physdev", "--physdev-is-in"),
        };
        ParseErrorKind::Incomplete { what, option }
    }
}

/// `[!] --src-range first-last`
fn address_range(
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Result<(bool, AddressSpan), ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    Ok((negated, values::address_range(value, family)?))
}

/// `[!] --match-set NAME dst,dst,src`
fn set_match(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<SetMatch, ParseError> {
    let (negated, name) = option.negatable_value(cursor)?;
    let set = SetName::new(&name.text);
    let set = set.ok_or_else(|| name.bad_value("the name of a set, of at most 31 bytes"))?;
    let sides = cursor.value(option.name())?;
    let read = sides.text.split(',').map(|side| value_of(SET_SIDES, side));
    let read: Option<SmallVec<_>> = read.collect();
    let read = read.filter(|read| read.len() <= 3);
    let read = read.ok_or_else(|| sides.bad_value("up to three times src or dst"))?;
    Ok(SetMatch {
        negated,
        set,
        sides: read,
    })
}

/// `[!] --mark value[/mask]`
fn mark(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<(bool, u32, u32), ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    let (value, mask) = values::mark(value)?;
    Ok((negated, value, mask.unwrap_or(u32::MAX)))
}

fn multiport_side(option: &str) -> Option<MultiportSide> {
    match option {
        "--source-ports" => Some(MultiportSide::Source),
        "--destination-ports" => Some(MultiportSide::Destination),
        _ => value_of(MULTIPORT_OPTIONS, option),
    }
}

/// `[!] --tcp-flags MASK SET` or `[!] --syn`
fn tcp_flags(
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
) -> Result<(bool, TcpFlags, TcpFlags), ParseError> {
    if option.name() == "--syn" {
        return Ok((option.negated, TcpFlags::SYN_MASK, TcpFlags::SYN));
    }
    let (negated, mask) = option.negatable_value(cursor)?;
    let set = cursor.value(option.name())?;
    Ok((negated, values::tcp_flags(mask)?, values::tcp_flags(set)?))
}

/// A comment that is kept whole: [`Comment::new`] would mend what does not fit.
fn comment(token: &Token) -> Result<Comment, ParseError> {
    let comment = Comment::new(&token.text);
    if comment.as_str() == token.text {
        Ok(comment)
    } else {
        Err(token.bad_value("a comment of at most 255 bytes without control characters"))
    }
}

fn address_type(
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
) -> Result<(bool, AddressType), ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    let kind = value_of(ADDRESS_TYPES, &value.text)
        .ok_or_else(|| value.bad_value("one of LOCAL, UNICAST, BROADCAST, MULTICAST"))?;
    Ok((negated, kind))
}

/// The kernel keeps 31 bytes and a terminator (`NFACCT_NAME_MAX`).
fn accounting_name(token: &Token) -> Result<Box<str>, ParseError> {
    let name = &token.text;
    if name.is_empty() || name.len() > 31 || name.contains(char::is_control) {
        return Err(token.bad_value("an accounting object's name of at most 31 bytes"));
    }
    Ok(name.as_str().into())
}
