//! Targets.

use std::fmt::{self, Formatter};

use super::{Spelling, saved_string};
use crate::nat::write_spans;
use crate::xt::words::{LOG_LEVEL, reject_words, word_of};
use crate::xt::{ConnMarkAction, XtTarget};
use crate::{Family, NatKind, NatRange};

/// ` -j NAME …` or ` -g CHAIN`
pub(super) fn target(
    f: &mut Formatter<'_>,
    target: &XtTarget,
    family: Family,
    spelling: Spelling,
) -> fmt::Result {
    match target {
        XtTarget::None => Ok(()),
        XtTarget::Accept => f.write_str(" -j ACCEPT"),
        XtTarget::Drop => f.write_str(" -j DROP"),
        XtTarget::Return => f.write_str(" -j RETURN"),
        XtTarget::Jump(chain) => write!(f, " -j {chain}"),
        XtTarget::Goto(chain) => write!(f, " -g {chain}"),
        XtTarget::Reject(with) => {
            let word = word_of(reject_words(family), with);
            write!(f, " -j REJECT --reject-with {word}")
        }
        XtTarget::SetXmark { value, mask } => {
            f.write_str(" -j MARK")?;
            match (spelling, *mask) {
                (Spelling::Restore, 0) => write!(f, " --xor-mark {value:#x}"),
                (Spelling::Restore, mask) if mask == *value => {
                    write!(f, " --or-mark {value:#x}")
                }
                _ => write!(f, " --set-xmark {value:#x}/{mask:#x}"),
            }
        }
        XtTarget::Dnat { to } => write!(f, " -j DNAT --to-destination {to}"),
        XtTarget::Masquerade { random_fully } => {
            f.write_str(" -j MASQUERADE")?;
            f.write_str(fully(*random_fully))
        }
        XtTarget::Snat { to, random_fully } => {
            write!(f, " -j SNAT --to-source {to}")?;
            f.write_str(fully(*random_fully))
        }
        XtTarget::Redirect { port: None } => f.write_str(" -j REDIRECT"),
        XtTarget::Redirect { port: Some(port) } => write!(f, " -j REDIRECT --to-ports {port}"),
        XtTarget::NatRange(range) => nat_range(f, range),
        XtTarget::Notrack => f.write_str(" -j CT --notrack"),
        XtTarget::ConnMark(action) => connmark(f, *action),
        XtTarget::Log { prefix, level } => {
            f.write_str(" -j LOG")?;
            if !prefix.as_str().is_empty() {
                f.write_str(" --log-prefix ")?;
                saved_string(f, prefix.as_str())?;
            }
            if *level != LOG_LEVEL {
                write!(f, " --log-level {level}")?;
            }
            Ok(())
        }
        XtTarget::Inert(text) | XtTarget::Unknown(text) => write!(f, " {text}"),
    }
}

fn nat_range(f: &mut Formatter<'_>, range: &NatRange) -> fmt::Result {
    let NatRange {
        kind,
        random,
        random_fully,
        persistent,
        ports,
    } = *range;
    match kind {
        NatKind::Dnat(addresses) => {
            f.write_str(" -j DNAT --to-destination ")?;
            write_spans(f, addresses, ports)?;
        }
        NatKind::Snat(addresses) => {
            f.write_str(" -j SNAT --to-source ")?;
            write_spans(f, Some(addresses), ports)?;
        }
        NatKind::Masquerade => f.write_str(" -j MASQUERADE")?,
        NatKind::Redirect => f.write_str(" -j REDIRECT")?,
    }
    if let (NatKind::Masquerade | NatKind::Redirect, Some(ports)) = (kind, ports) {
        write!(f, " --to-ports {ports}")?;
    }
    let words = [
        (random, " --random"),
        (random_fully, " --random-fully"),
        (persistent, " --persistent"),
    ];
    for (_, word) in words.into_iter().filter(|(is_set, _)| *is_set) {
        f.write_str(word)?;
    }
    Ok(())
}

const fn fully(random_fully: bool) -> &'static str {
    if random_fully { " --random-fully" } else { "" }
}

fn connmark(f: &mut Formatter<'_>, action: ConnMarkAction) -> fmt::Result {
    f.write_str(" -j CONNMARK ")?;
    match action {
        ConnMarkAction::Set { value, mask } => write!(f, "--set-xmark {value:#x}/{mask:#x}"),
        ConnMarkAction::Save { nf_mask, ct_mask } => {
            write!(f, "--save-mark --nfmask {nf_mask:#x} --ctmask {ct_mask:#x}")
        }
        ConnMarkAction::Restore { nf_mask, ct_mask } => {
            write!(
                f,
                "--restore-mark --nfmask {nf_mask:#x} --ctmask {ct_mask:#x}"
            )
        }
    }
}
