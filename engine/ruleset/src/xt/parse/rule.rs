//! One rule: its header, and the options of matches and targets handed on.

use super::matches::Drafts;
use super::target::TargetDraft;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind, values};
use crate::xt::{AddressMatch, ChainName, InterfaceMatch, TableName, XtRule, XtTarget};
use crate::{Family, Protocol};

/// An option as it stands in the text.
#[derive(Clone, Copy)]
pub(super) struct Opt<'a> {
    pub(super) token: &'a Token,
    pub(super) negated: bool,
}

impl Opt<'_> {
    pub(super) fn name(&self) -> &str {
        &self.token.text
    }

    pub(super) fn unknown(&self) -> ParseError {
        ParseErrorKind::UnknownOption {
            option: self.name().to_owned(),
        }
        .at(self.token.column)
    }

    /// Refuses a `!` before an option that has no opposite.
    pub(super) fn plain(&self) -> Result<(), ParseError> {
        if self.negated {
            Err(ParseErrorKind::MisplacedNegation.at(self.token.column))
        } else {
            Ok(())
        }
    }

    /// Stores a value that may be given once only.
    pub(super) fn set<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), ParseError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(ParseErrorKind::DuplicateOption {
                option: self.name().to_owned(),
            }
            .at(self.token.column)),
        }
    }

    /// The option's value, and whether it is negated: `! --opt value`, or the older `--opt ! value`.
    pub(super) fn negatable_value<'c>(
        &self,
        cursor: &mut Cursor<'c>,
    ) -> Result<(bool, &'c Token), ParseError> {
        let inner = cursor.take_bang();
        if let (Some(bang), true) = (inner, self.negated) {
            return Err(ParseErrorKind::MisplacedNegation.at(bang.column));
        }
        let value = cursor.value(self.name())?;
        Ok((self.negated || inner.is_some(), value))
    }

    /// The option's value, which cannot be negated.
    pub(super) fn plain_value<'c>(&self, cursor: &mut Cursor<'c>) -> Result<&'c Token, ParseError> {
        self.plain()?;
        cursor.value(self.name())
    }
}

/// Reads what follows `-A CHAIN`.
pub(super) fn parse(
    cursor: &mut Cursor<'_>,
    table: TableName,
    family: Family,
    is_declared: &dyn Fn(ChainName) -> bool,
) -> Result<XtRule, ParseError> {
    let mut rule = XtRule::new(XtTarget::None);
    let mut drafts = Drafts::new(family);
    let mut target = None;
    loop {
        let bang = cursor.take_bang();
        let Some(token) = cursor.next() else {
            match bang {
                Some(bang) => return Err(ParseErrorKind::MisplacedNegation.at(bang.column)),
                None => break,
            }
        };
        let option = Opt {
            token,
            negated: bang.is_some(),
        };
        if token.quoted {
            return Err(option.unknown());
        }
        if header(&mut rule, option, cursor, family)?
            || drafts.option(option, cursor, rule.protocol)?
        {
            continue;
        }
        match token.text.as_str() {
            "-j" | "--jump" | "-g" | "--goto" => {
                let draft = TargetDraft::new(option, cursor, table, is_declared)?;
                option.set(&mut target, draft)?;
            }
            _ => target
                .as_mut()
                .ok_or_else(|| option.unknown())?
                .option(option, cursor, family)?,
        }
    }
    rule.matches = drafts.finish()?;
    if let Some(target) = target {
        rule.target = target.finish()?;
    }
    Ok(rule)
}

/// Reads an option of the header, if it is one.
fn header(
    rule: &mut XtRule,
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Result<bool, ParseError> {
    match option.name() {
        "-s" | "--source" | "--src" => {
            let address = address(option, cursor, family)?;
            option.set(&mut rule.source, address)?;
        }
        "-d" | "--destination" | "--dst" => {
            let address = address(option, cursor, family)?;
            option.set(&mut rule.destination, address)?;
        }
        "-i" | "--in-interface" => {
            let interface = interface(option, cursor)?;
            option.set(&mut rule.in_interface, interface)?;
        }
        "-o" | "--out-interface" => {
            let interface = interface(option, cursor)?;
            option.set(&mut rule.out_interface, interface)?;
        }
        "-p" | "--protocol" | "--proto" => protocol(rule, option, cursor)?,
        "-c" | "--set-counters" => {
            for _ in 0..2 {
                let count = option.plain_value(cursor)?;
                count
                    .text
                    .parse::<u64>()
                    .map_err(|_| count.bad_value("a counter"))?;
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn address(
    option: Opt<'_>,
    cursor: &mut Cursor<'_>,
    family: Family,
) -> Result<AddressMatch, ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    Ok(AddressMatch {
        negated,
        net: values::net(value, family)?,
    })
}

fn interface(option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<InterfaceMatch, ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    Ok(InterfaceMatch {
        negated,
        name: values::interface(value)?,
    })
}

/// `-p all` and `-p 0` match everything, so they leave nothing behind; their opposites are refused, as the
/// tool does.
fn protocol(rule: &mut XtRule, option: Opt<'_>, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
    let (negated, value) = option.negatable_value(cursor)?;
    let is_all = value.text.eq_ignore_ascii_case("all");
    match Protocol::parse(&value.text) {
        Some(Protocol(0)) if !negated => Ok(()),
        None if is_all && !negated => Ok(()),
        Some(protocol) if protocol != Protocol(0) => {
            option.set(&mut rule.protocol, (negated, protocol))
        }
        _ => Err(value.bad_value("a protocol that rules can be about")),
    }
}
