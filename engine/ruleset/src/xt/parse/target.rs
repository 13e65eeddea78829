//! Targets: `-j NAME` or `-g CHAIN`, then its options.

use super::rule::Opt;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::Family;
use crate::xt::words::{reject_words, value_of};
use crate::xt::{ChainName, NatTarget, RejectWith, TableName, XtTarget};

/// Targets of iptables-extensions(8) that are not supported. A chain that the text declares may bear such a
/// name; otherwise `-j` means the extension.
const FOREIGN: [&str; 38] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CLUSTERIP",
    "CONNMARK",
    "CONNSECMARK",
    "CT",
    "DNPT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "MIRROR",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "QUEUE",
    "RATEEST",
    "REDIRECT",
    "SAME",
    "SECMARK",
    "SET",
    "SNAT",
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
    Dnat(Option<NatTarget>),
    Masquerade {
        random_fully: Option<()>,
    },
}

impl TargetDraft {
    /// Reads the name after `-j` or `-g`.
    pub(super) fn new(
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        table: TableName,
        is_declared: &dyn Fn(ChainName) -> bool,
    ) -> Result<Self, ParseError> {
        let name = option.plain_value(cursor)?;
        let kind = if matches!(option.name(), "-g" | "--goto") {
            Kind::Plain(XtTarget::Goto(user_chain(name, table, is_declared)?))
        } else {
            match name.text.as_str() {
                "ACCEPT" => Kind::Plain(XtTarget::Accept),
                "DROP" => Kind::Plain(XtTarget::Drop),
                "RETURN" => Kind::Plain(XtTarget::Return),
                "REJECT" => Kind::Reject(None),
                "MARK" => Kind::Mark(None),
                "DNAT" => Kind::Dnat(None),
                "MASQUERADE" => Kind::Masquerade { random_fully: None },
                _ => Kind::Plain(XtTarget::Jump(user_chain(name, table, is_declared)?)),
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
            (Kind::Dnat(slot), "--to-destination") => {
                let to = values::nat_target(option.plain_value(cursor)?, family)?;
                option.set(slot, to)
            }
            (Kind::Masquerade { random_fully }, "--random-fully") => {
                option.plain()?;
                option.set(random_fully, ())
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
            Kind::Dnat(to) => XtTarget::Dnat {
                to: to.ok_or_else(|| lacks("target DNAT", "--to-destination"))?,
            },
            Kind::Masquerade { random_fully } => XtTarget::Masquerade {
                random_fully: random_fully.is_some(),
            },
        })
    }
}

/// The name of a chain to go to. It need not be declared: a restore without flushing may go to a chain that
/// is on the node already.
fn user_chain(
    name: &Token,
    table: TableName,
    is_declared: &dyn Fn(ChainName) -> bool,
) -> Result<ChainName, ParseError> {
    let chain = values::chain_name(&name.text, name.column)?;
    if table.built_in_chains().contains(&chain.as_str()) {
        return Err(name.bad_value("a user-defined chain"));
    }
    if FOREIGN.contains(&chain.as_str()) && !is_declared(chain) {
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
