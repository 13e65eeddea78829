//! Targets that translate.

use super::rule::Opt;
use super::tokens::Cursor;
use super::{ParseError, ParseErrorKind};
use crate::nat::Spans;
use crate::xt::XtTarget;
use crate::{Family, NatKind, NatRange, PortSpan};

/// Which of the four targets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NatName {
    Dnat,
    Snat,
    Masquerade,
    Redirect,
}

/// A target that translates, while its options are still coming.
pub(super) struct NatDraft {
    name: NatName,
    to: Option<Spans>,
    ports: Option<PortSpan>,
    random: Option<()>,
    random_fully: Option<()>,
    persistent: Option<()>,
}

impl NatDraft {
    pub(super) const fn new(name: NatName) -> Self {
        Self {
            name,
            to: None,
            ports: None,
            random: None,
            random_fully: None,
            persistent: None,
        }
    }

    pub(super) fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<(), ParseError> {
        let slot = match (self.name, option.name()) {
            (NatName::Dnat, "--to-destination") | (NatName::Snat, "--to-source") => {
                let token = option.plain_value(cursor)?;
                let is_snat = self.name == NatName::Snat;
                let read = Spans::parse(&token.text).filter(|spans| match spans.addresses {
                    Some(addresses) => Family::of(addresses.ends().0) == family,
                    None => !is_snat,
                });
                let expected =
                    "one address of this family, with or without a port, or a range of these";
                let read = read.ok_or_else(|| token.bad_value(expected))?;
                return option.set(&mut self.to, read);
            }
            (NatName::Masquerade | NatName::Redirect, "--to-ports") => {
                let token = option.plain_value(cursor)?;
                let read = PortSpan::parse(&token.text);
                let read = read.ok_or_else(|| token.bad_value("a port or a range of ports"))?;
                return option.set(&mut self.ports, read);
            }
            (_, "--random") => &mut self.random,
            (NatName::Snat | NatName::Masquerade, "--random-fully") => &mut self.random_fully,
            (NatName::Snat | NatName::Dnat, "--persistent") => &mut self.persistent,
            _ => return Err(option.unknown()),
        };
        option.plain()?;
        option.set(slot, ())
    }

    /// The target, in the plainest form that says it all.
    pub(super) fn finish(self) -> Result<XtTarget, ParseErrorKind> {
        let lacks = |what, option| ParseErrorKind::Incomplete { what, option };
        let random = self.random.is_some();
        let random_fully = self.random_fully.is_some();
        let persistent = self.persistent.is_some();
        let single = self.to.as_ref().and_then(Spans::single);
        let is_plain = !random && !persistent;
        let range = |kind, ports| {
            Ok(XtTarget::NatRange(Box::new(NatRange {
                kind,
                random,
                random_fully,
                persistent,
                ports,
            })))
        };
        match (self.name, self.to) {
            (NatName::Dnat, None) => Err(lacks("target DNAT", "--to-destination")),
            (NatName::Dnat, Some(to)) => match single {
                Some(to) if is_plain => Ok(XtTarget::Dnat { to }),
                _ => range(NatKind::Dnat(to.addresses), to.ports),
            },
            (NatName::Snat, to) => match (single, to) {
                (Some(to), _) if is_plain => Ok(XtTarget::Snat { to, random_fully }),
                (
                    _,
                    Some(Spans {
                        addresses: Some(addresses),
                        ports,
                    }),
                ) => range(NatKind::Snat(addresses), ports),
                _ => Err(lacks("target SNAT", "--to-source")),
            },
            (NatName::Masquerade, _) => match self.ports {
                None if is_plain => Ok(XtTarget::Masquerade { random_fully }),
                ports => range(NatKind::Masquerade, ports),
            },
            (NatName::Redirect, _) => match self.ports.map(PortSpan::single) {
                None if is_plain => Ok(XtTarget::Redirect { port: None }),
                Some(Some(port)) if is_plain => Ok(XtTarget::Redirect { port: Some(port) }),
                _ => range(NatKind::Redirect, self.ports),
            },
        }
    }
}
