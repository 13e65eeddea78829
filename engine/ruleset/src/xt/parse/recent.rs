//! `-m recent`, whose options make one match together.

use std::net::IpAddr;
use std::num::NonZeroU32;

use super::rule::Opt;
use super::tokens::{Cursor, Token};
use super::{ParseError, ParseErrorKind};
use crate::Family;
use crate::xt::{AddressSide, RecentAction, RecentMatch, RecentWindow};

/// The match while its options are still coming.
#[derive(Default)]
pub(super) struct RecentDraft {
    action: Option<(bool, RecentAction)>,
    window: RecentWindow,
    reap: Option<()>,
    name: Option<Box<str>>,
    mask: Option<IpAddr>,
    side: Option<AddressSide>,
}

impl RecentDraft {
    /// Reads an option, if it is one of this match.
    pub(super) fn option(
        &mut self,
        option: Opt<'_>,
        cursor: &mut Cursor<'_>,
        family: Family,
    ) -> Result<bool, ParseError> {
        match option.name() {
            "--set" => option.set(&mut self.action, (option.negated, RecentAction::Set))?,
            "--remove" => option.set(&mut self.action, (option.negated, RecentAction::Remove))?,
            "--rcheck" => {
                let action = RecentAction::Rcheck(RecentWindow::default());
                option.set(&mut self.action, (option.negated, action))?;
            }
            "--update" => {
                let action = RecentAction::Update(RecentWindow::default());
                option.set(&mut self.action, (option.negated, action))?;
            }
            "--seconds" => {
                let seconds = count(option.plain_value(cursor)?)?;
                option.set(&mut self.window.seconds, seconds)?;
            }
            "--hitcount" => {
                let hits = count(option.plain_value(cursor)?)?;
                option.set(&mut self.window.hit_count, hits)?;
            }
            "--reap" => {
                option.plain()?;
                option.set(&mut self.reap, ())?;
            }
            "--name" => {
                let name = name(option.plain_value(cursor)?)?;
                option.set(&mut self.name, name)?;
            }
            "--mask" => {
                let mask = mask(option.plain_value(cursor)?, family)?;
                option.set(&mut self.mask, mask)?;
            }
            "--rsource" | "--rdest" => {
                option.plain()?;
                let side = match option.name() {
                    "--rsource" => AddressSide::Source,
                    _ => AddressSide::Destination,
                };
                option.set(&mut self.side, side)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The match, with the tool's defaults for what was not said (`libxt_recent.c`).
    pub(super) fn finish(mut self, family: Family) -> Result<RecentMatch, ParseErrorKind> {
        let lacks = |option| ParseErrorKind::Incomplete {
            what: "match recent",
            option,
        };
        let (negated, action) = self
            .action
            .ok_or_else(|| lacks("--set, --rcheck, --update or --remove"))?;
        if self.reap.is_some() && self.window.seconds.is_none() {
            return Err(lacks("--seconds with --reap"));
        }
        self.window.reap = self.reap.is_some();
        let has_window = self.window != RecentWindow::default();
        let action = match action {
            RecentAction::Rcheck(_) => RecentAction::Rcheck(self.window),
            RecentAction::Update(_) => RecentAction::Update(self.window),
            RecentAction::Set | RecentAction::Remove if has_window => {
                return Err(lacks("--rcheck or --update with its window"));
            }
            other => other,
        };
        let name = self.name.as_deref().unwrap_or("DEFAULT");
        let mut recent = RecentMatch::source(action, name, family);
        recent.negated = negated;
        recent.mask = self.mask.unwrap_or(recent.mask);
        recent.side = self.side.unwrap_or(recent.side);
        Ok(recent)
    }
}

fn count(token: &Token) -> Result<NonZeroU32, ParseError> {
    let read = token.text.parse();
    read.map_err(|_| token.bad_value("a number above zero"))
}

/// A list is a file of this name to the kernel.
fn name(token: &Token) -> Result<Box<str>, ParseError> {
    let is_bad = |c: char| c.is_control() || c == '/';
    if token.text.is_empty() || token.text.len() > 199 || token.text.contains(is_bad) {
        return Err(token.bad_value("the name of a list, of at most 199 bytes"));
    }
    Ok(token.text.as_str().into())
}

fn mask(token: &Token, family: Family) -> Result<IpAddr, ParseError> {
    let read = token.text.parse().ok();
    read.filter(|mask| Family::of(*mask) == family)
        .ok_or_else(|| token.bad_value("a mask of this family"))
}
