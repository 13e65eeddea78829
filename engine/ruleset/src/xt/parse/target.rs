//! Targets: `-j NAME` or `-g CHAIN`, then its options.

use super::nat::{NatDraft, NatName};
use super::rule::{Opt, Site};
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::Family;
use crate::verbatim::Reading;
use crate::xt::words::{LOG_LEVEL, reject_words, value_of};
use crate::xt::{ChainName, Comment, ConnMarkAction, RejectWith, XtTarget};

/// Targets of iptables-extensions(8) that are not supported. A chain that the text declares may bear such a
/// name; otherwise `-j` means the extension.
const FOREIGN: [&str; 32] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNSECMARK",
    "DNPT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "MIRROR",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "QUEUE",
    "RATEEST",
    "SAME",
    "SECMARK",
    "SET",
    "SNPT",
    "SYNPROXY",
    "TARPIT",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TPROXY",
    "TRACE",
    "TTL",
    "ULOG",
];

/// A target that may lack options.
pub(super) struct TargetDraft {
    column: usize,
    kind: Kind,
}

enum Kind {
    /// Takes no options.
    Plain(XtTarget),
    Reject(Option<RejectWith>),
    Mark(Option<(u32, u32)>),
    Nat(NatDraft),
    /// Of what `CT` does, only `--notrack` is supported.
    Ct(Option<()>),
    ConnMark(ConnMarkDraft),
    Log {
        prefix: Option<Comment>,
        level: Option<u8>,
    },
}

impl TargetDraft {
    /// Reads the name after `-j` or `-g`.
    pub(super) fn new(
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        site: Site<'_>,
    ) -> Result<Self, ParseError> {
        let name = option.plain_value(cursor)?;
        let kind = if matches!(option.name(), "-g" | "--goto") {
            Kind::Plain(XtTarget::Goto(user_chain(name, site)?))
        } else {
            match name.text.as_str() {
                "ACCEPT" => Kind::Plain(XtTarget::Accept),
                "DROP" => Kind::Plain(XtTarget::Drop),
                "RETURN" => Kind::Plain(XtTarget::Return),
                "REJECT" => Kind::Reject(None),
                "MARK" => Kind::Mark(None),
                "DNAT" => Kind::Nat(NatDraft::new(NatName::Dnat)),
                "MASQUERADE" => Kind::Nat(NatDraft::new(NatName::Masquerade)),
                "SNAT" => Kind::Nat(NatDraft::new(NatName::Snat)),
                "REDIRECT" => Kind::Nat(NatDraft::new(NatName::Redirect)),
                "NOTRACK" => Kind::Plain(XtTarget::Notrack),
                "CT" => Kind::Ct(None),
                "CONNMARK" => Kind::ConnMark(ConnMarkDraft::default()),
                "LOG" => Kind::Log {
                    prefix: None,
                    level: None,
                },
                _ => Kind::Plain(XtTarget::Jump(user_chain(name, site)?)),
            }
        };
        Ok(Self {
            column: name.column,
            kind,
        })
    }

    /// Reads an option of the target.
    pub(super) fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<(), ParseError> {
        match (&mut self.kind, option.name()) {
            (Kind::Reject(slot), "--reject-with") => {
                let word = option.plain_value(cursor)?;
                let with = value_of(reject_words(family), &word.text)
                    .ok_or_else(|| word.bad_value("a supported way to reject in this family"))?;
                option.set(slot, with)
            }
            (
                Kind::Mark(slot),
                "--set-xmark" | "--set-mark" | "--or-mark" | "--and-mark" | "--xor-mark",
            ) => {
                let bits = mark_bits(option, cursor)?;
                option.set(slot, bits)
            }
            (Kind::Nat(draft), _) => draft.option(option, cursor, family),
            (Kind::Ct(slot), "--notrack") => {
                option.plain()?;
                option.set(slot, ())
            }
            (Kind::ConnMark(draft), _) => draft.option(option, cursor),
            (Kind::Log { prefix, .. }, "--log-prefix") => {
                let text = log_prefix(option.plain_value(cursor)?)?;
                option.set(prefix, text)
            }
            (Kind::Log { level, .. }, "--log-level") => {
                let token = option.plain_value(cursor)?;
                let read = token.text.parse().ok().filter(|level| *level < 8);
                option.set(
                    level,
                    read.ok_or_else(|| token.bad_value("a level from 0 to 7"))?,
                )
            }
            _ => Err(option.unknown()),
        }
    }

    /// The target, if it is complete. `REJECT` alone means port-unreachable.
    pub(super) fn finish(self) -> Result<XtTarget, ParseError> {
        let lacks = |what, option| ParseErrorKind::Incomplete { what, option }.at(self.column);
        Ok(match self.kind {
            Kind::Plain(target) => target,
            Kind::Reject(with) => XtTarget::Reject(with.unwrap_or(RejectWith::PortUnreachable)),
            Kind::Mark(bits) => {
                let (value, mask) = bits.ok_or_else(|| lacks("target MARK", "--set-xmark"))?;
                XtTarget::SetXmark { value, mask }
            }
            Kind::Nat(draft) => draft.finish().map_err(|kind| kind.at(self.column))?,
            Kind::Ct(notrack) => {
                notrack.ok_or_else(|| lacks("target CT", "--notrack"))?;
                XtTarget::Notrack
            }
            Kind::ConnMark(draft) => {
                let action = draft.finish();
                XtTarget::ConnMark(action.ok_or_else(|| lacks("target CONNMARK", "--set-xmark"))?)
            }
            Kind::Log { prefix, level } => XtTarget::Log {
                prefix: prefix.unwrap_or_else(|| Comment::new("")),
                level: level.unwrap_or(LOG_LEVEL),
            },
        })
    }
}

/// `CONNMARK` while its options are still coming.
#[derive(Default)]
struct ConnMarkDraft {
    action: Option<ConnMarkAction>,
    nf_mask: Option<u32>,
    ct_mask: Option<u32>,
}

impl ConnMarkDraft {
    fn option(&mut self, option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let all = u32::MAX;
        match option.name() {
            "--set-xmark" | "--set-mark" | "--or-mark" | "--and-mark" | "--xor-mark" => {
                let (value, mask) = mark_bits(option, cursor)?;
                option.set(&mut self.action, ConnMarkAction::Set { value, mask })
            }
            "--save-mark" => {
                option.plain()?;
                let (nf_mask, ct_mask) = (all, all);
                option.set(&mut self.action, ConnMarkAction::Save { nf_mask, ct_mask })
            }
            "--restore-mark" => {
                option.plain()?;
                let (nf_mask, ct_mask) = (all, all);
                option.set(
                    &mut self.action,
                    ConnMarkAction::Restore { nf_mask, ct_mask },
                )
            }
            "--nfmask" => option.set(&mut self.nf_mask, mask(option, cursor)?),
            "--ctmask" => option.set(&mut self.ct_mask, mask(option, cursor)?),
            "--mask" => {
                let both = mask(option, cursor)?;
                option.set(&mut self.nf_mask, both)?;
                option.set(&mut self.ct_mask, both)
            }
            _ => Err(option.unknown()),
        }
    }

    /// Nothing when no action was named, or masks with an action that takes none.
    fn finish(self) -> Option<ConnMarkAction> {
        let nf_mask = self.nf_mask.unwrap_or(u32::MAX);
        let ct_mask = self.ct_mask.unwrap_or(u32::MAX);
        let has_masks = self.nf_mask.is_some() || self.ct_mask.is_some();
        match self.action? {
            ConnMarkAction::Set { .. } if has_masks => None,
            set @ ConnMarkAction::Set { .. } => Some(set),
            ConnMarkAction::Save { .. } => Some(ConnMarkAction::Save { nf_mask, ct_mask }),
            ConnMarkAction::Restore { .. } => Some(ConnMarkAction::Restore { nf_mask, ct_mask }),
        }
    }
}

fn mask(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<u32, ParseError> {
    let token = option.plain_value(cursor)?;
    values::number(&token.text).ok_or_else(|| token.bad_value("a mask"))
}

/// What a line of the log starts with; the kernel keeps 29 bytes and a terminator.
fn log_prefix(token: &Token) -> Result<Comment, ParseError> {
    let prefix = Comment::new(&token.text);
    if prefix.as_str() == token.text && token.text.len() <= 29 {
        Ok(prefix)
    } else {
        Err(token.bad_value("a text of at most 29 bytes without control characters"))
    }
}

/// The name of a chain to go to. It need not be declared: a restore without flushing may go to a chain that
/// is on the node already. A dump holds all chains that there are.
fn user_chain(name: &Token, site: Site<'_>) -> Result<ChainName, ParseError> {
    let chain = values::chain_name(&name.text, name.column)?;
    if site.table.built_in_chains().contains(&chain.as_str()) {
        return Err(name.bad_value("a user-defined chain"));
    }
    let must_be_declared = site.reading != Reading::Strict || FOREIGN.contains(&chain.as_str());
    if must_be_declared && !(site.is_declared)(chain) {
        return Err(ParseErrorKind::UnsupportedTarget {
            name: name.text.clone(),
        }
        .at(name.column));
    }
    Ok(chain)
}

/// All forms of `MARK` in terms of the one the kernel knows: clear a mask's bits, then xor a value
/// (iptables-extensions(8), MARK).
fn mark_bits(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<(u32, u32), ParseError> {
    let token = option.plain_value(cursor)?;
    let (value, mask) = values::mark(token)?;
    match (option.name(), mask) {
        ("--set-xmark", mask) => Ok((value, mask.unwrap_or(u32::MAX))),
        ("--set-mark", mask) => Ok((value, mask.unwrap_or(u32::MAX) | value)),
        ("--or-mark", None) => Ok((value, value)),
        ("--and-mark", None) => Ok((0, !value)),
        ("--xor-mark", None) => Ok((value, 0)),
        _ => Err(token.bad_value("a number without a mask")),
    }
}
