//! What the kernel checks when it loads a table.
//!
//! **Source of the semantics.** `nft_chain_validate` and the `.validate` of each expression in
//! `net/netfilter/nft_*.c`.

use ruleset::NatKind;
use ruleset::nft::{BaseChain, ChainKind, Hook};

use super::code::{Code, NftCode, Op};
use super::error::NftError;
use super::set_index::Data;
use crate::tables_error::TablesError;

/// `NFT_JUMP_STACK_SIZE`
pub(crate) const DEPTH_MAX: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Unseen,
    Open,
    /// So many jumps lead on from here, one in the other.
    Done(usize),
}

/// A walk over all that one base chain reaches.
struct Walk<'a> {
    code: &'a NftCode,
    base: BaseChain,
    marks: Vec<Mark>,
}

impl NftCode {
    /// Walks every chain that the kernel's hooks reach: there must be no circle and no more than sixteen jumps,
    /// one in the other; and every statement must work where it is called.
    pub(super) fn check(&self) -> Result<(), TablesError> {
        for (chain, code) in (0..).zip(&self.chains) {
            if let Some(base) = code.body.base {
                let marks = vec![Mark::Unseen; self.chains.len()];
                let mut walk = Walk {
                    code: self,
                    base,
                    marks,
                };
                walk.visit(chain, 0)?;
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// How many jumps lead on from a chain that so many lead to. It goes no deeper than they may.
    fn visit(&mut self, chain: u32, depth: usize) -> Result<usize, TablesError> {
        match self.marks[chain as usize] {
            Mark::Done(below) if depth + below <= DEPTH_MAX => return Ok(below),
            Mark::Open => return Err(self.error(chain, 0, self.circle(chain))),
            Mark::Done(_) | Mark::Unseen => {}
        }
        self.marks[chain as usize] = Mark::Open;
        let code = self.code;
        let mut below = 0;
        let mut rules = 0;
        for op in code.ops_of(chain) {
            if let Op::Rule { .. } = op {
                rules += 1;
            }
            let index = rules - 1;
            self.check_place(op)
                .map_err(|error| self.error(chain, index, error))?;
            for target in targets(code, op) {
                if depth >= DEPTH_MAX {
                    return Err(self.error(chain, index, NftError::TooDeep));
                }
                below = below.max(1 + self.visit(target, depth + 1)?);
            }
        }
        self.marks[chain as usize] = Mark::Done(below);
        Ok(below)
    }

    fn check_place(&self, op: &Op) -> Result<(), NftError> {
        let BaseChain { kind, hook, .. } = self.base;
        let is_nat = kind == ChainKind::Nat;
        let (works, statement, allowed) = match op {
            Op::Dnat(_) | Op::DnatAny { .. } | Op::DnatPick(_) => (
                is_nat && matches!(hook, Hook::Prerouting | Hook::Output),
                "dnat",
                "nat chains at prerouting and output",
            ),
            Op::Redirect { .. } => (
                is_nat && matches!(hook, Hook::Prerouting | Hook::Output),
                "redirect",
                "nat chains at prerouting and output",
            ),
            Op::Snat { .. } => (
                is_nat && matches!(hook, Hook::Postrouting | Hook::Input),
                "snat",
                "nat chains at postrouting and input",
            ),
            Op::Masquerade { .. } => (
                is_nat && hook == Hook::Postrouting,
                "masquerade",
                "nat chains at postrouting",
            ),
            Op::NatRange(range) => (
                is_nat
                    && match range.kind {
                        NatKind::Dnat(_) | NatKind::Redirect => {
                            matches!(hook, Hook::Prerouting | Hook::Output)
                        }
                        NatKind::Snat(_) => matches!(hook, Hook::Postrouting | Hook::Input),
                        NatKind::Masquerade => hook == Hook::Postrouting,
                    },
                "a translation",
                "nat chains at its hooks",
            ),
            Op::Reject(_) => (
                hook != Hook::Postrouting,
                "reject",
                "chains before postrouting",
            ),
            _ => return Ok(()),
        };
        if works {
            Ok(())
        } else {
            Err(NftError::Misplaced { statement, allowed })
        }
    }

    fn circle(&self, chain: u32) -> NftError {
        NftError::Loop(self.code.chains[chain as usize].name.clone())
    }

    fn error(&self, chain: u32, index: usize, error: NftError) -> TablesError {
        TablesError::Nft {
            table: self.code.key.clone(),
            chain: self.code.chains[chain as usize].name.clone(),
            index,
            error,
        }
    }
}

/// The chains that a statement may lead to.
fn targets<'c>(code: &'c NftCode, op: &Op) -> Box<dyn Iterator<Item = u32> + 'c> {
    let chain = |verdict: Code| match verdict {
        Code::Jump(chain) | Code::Goto(chain) => Some(chain),
        Code::Accept | Code::Drop | Code::Continue | Code::Return | Code::Unknown(_) => None,
    };
    match op {
        Op::Verdict(verdict) => Box::new(chain(*verdict).into_iter()),
        Op::VerdictMap(lookup) => match &code.sets[lookup.set as usize].data {
            Data::Verdicts(verdicts) => {
                Box::new(verdicts.iter().filter_map(move |lead| chain(lead.code)))
            }
            Data::None | Data::Values(..) => Box::new(std::iter::empty()),
        },
        _ => Box::new(std::iter::empty()),
    }
}
