//! Extension matches: `-m NAME`, then its options, which may stand anywhere after it.

use smallvec::SmallVec;

use super::rule::Opt;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::Protocol;
use crate::xt::words::{ADDRESS_TYPES, value_of};
use crate::xt::{AddressType, Comment, CtStates, PortRange, Probability, XtMatch};

/// The matches of a rule while their options are still coming.
#[derive(Default)]
pub(super) struct Drafts(Vec<(usize, Draft)>);

/// A match that may lack options.
enum Draft {
    Comment(Option<Comment>),
    Ports {
        protocol: Protocol,
        source: Option<PortRange>,
        destination: Option<PortRange>,
    },
    CtState(Option<(bool, CtStates)>),
    Mark(Option<(bool, u32, u32)>),
    Statistic {
        is_random: Option<()>,
        probability: Option<Probability>,
    },
    AddrType {
        source: Option<(bool, AddressType)>,
        destination: Option<(bool, AddressType)>,
    },
    NfAcct(Option<Box<str>>),
}

impl Drafts {
    /// Reads `-m` or an option of a match that is loaded, if it is one.
    pub(super) fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        protocol: Option<(bool, Protocol)>,
    ) -> Result<bool, ParseError> {
        if matches!(option.name(), "-m" | "--match") {
            let name = option.plain_value(cursor)?;
            self.0.push((name.column, Draft::new(name)?));
            return Ok(true);
        }
        // An option belongs to the match of its kind that was loaded last.
        for (_, draft) in self.0.iter_mut().rev() {
            if draft.option(option, cursor)? {
                return Ok(true);
            }
        }
        self.load_ports_for(option, cursor, protocol)
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
        let is_loaded = |draft: &Draft| matches!(draft, Draft::Ports { protocol: loaded, .. } if *loaded == protocol);
        if self.0.iter().any(|(_, draft)| is_loaded(draft)) {
            return Ok(false);
        }
        let mut draft = Draft::ports(protocol);
        let is_taken = draft.option(option, cursor)?;
        if is_taken {
            self.0.push((option.token.column, draft));
        }
        Ok(is_taken)
    }

    /// The matches in order, all complete.
    pub(super) fn finish(self) -> Result<SmallVec<[XtMatch; 2]>, ParseError> {
        self.0
            .into_iter()
            .map(|(column, draft)| draft.finish().map_err(|kind| kind.at(column)))
            .collect()
    }
}

impl Draft {
    /// Deviation: the old `state` match is read as `conntrack --ctstate`, which is what the kernel makes of it;
    /// it prints so too.
    fn new(name: &Token) -> Result<Self, ParseError> {
        Ok(match name.text.as_str() {
            "comment" => Self::Comment(None),
            "tcp" => Self::ports(Protocol::TCP),
            "udp" => Self::ports(Protocol::UDP),
            "sctp" => Self::ports(Protocol::SCTP),
            "conntrack" | "state" => Self::CtState(None),
            "mark" => Self::Mark(None),
            "statistic" => Self::Statistic {
                is_random: None,
                probability: None,
            },
            "addrtype" => Self::AddrType {
                source: None,
                destination: None,
            },
            "nfacct" => Self::NfAcct(None),
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
        }
    }

    /// Reads an option of this match, if it is one.
    fn option(&mut self, option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<bool, ParseError> {
        match (self, option.name()) {
            (Self::Comment(slot), "--comment") => {
                let comment = comment(option.plain_value(cursor)?)?;
                option.set(slot, comment)?;
            }
            (Self::Ports { source, .. }, "--sport" | "--source-port") => {
                let (negated, value) = option.negatable_value(cursor)?;
                option.set(source, values::port_range(value, negated)?)?;
            }
            (Self::Ports { destination, .. }, "--dport" | "--destination-port") => {
                let (negated, value) = option.negatable_value(cursor)?;
                option.set(destination, values::port_range(value, negated)?)?;
            }
            (Self::CtState(slot), "--ctstate" | "--state") => {
                let (negated, value) = option.negatable_value(cursor)?;
                option.set(slot, (negated, values::states(value)?))?;
            }
            (Self::Mark(slot), "--mark") => {
                let (negated, value) = option.negatable_value(cursor)?;
                let (value, mask) = values::mark(value)?;
                option.set(slot, (negated, value, mask.unwrap_or(u32::MAX)))?;
            }
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
            (Self::NfAcct(slot), "--nfacct-name") => {
                let name = option.plain_value(cursor)?;
                option.set(slot, accounting_name(name)?)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(self) -> Result<XtMatch, ParseErrorKind> {
        let lacks = |what, option| ParseErrorKind::Incomplete { what, option };
        Ok(match self {
            Self::Comment(comment) => {
                XtMatch::Comment(comment.ok_or_else(|| lacks("match comment", "--comment"))?)
            }
            Self::Ports {
                protocol,
                source,
                destination,
            } => XtMatch::Ports {
                protocol,
                source,
                destination,
            },
            Self::CtState(state) => {
                let (negated, states) =
                    state.ok_or_else(|| lacks("match conntrack", "--ctstate"))?;
                XtMatch::CtState { negated, states }
            }
            Self::Mark(mark) => {
                let (negated, value, mask) = mark.ok_or_else(|| lacks("match mark", "--mark"))?;
                XtMatch::Mark {
                    negated,
                    value,
                    mask,
                }
            }
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
            Self::NfAcct(name) => {
                XtMatch::NfAcct(name.ok_or_else(|| lacks("match nfacct", "--nfacct-name"))?)
            }
        })
    }
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
