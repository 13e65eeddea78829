//! Where a map leads to a chain that does no more than choose an endpoint.
//!
//! **What.** [`Shortcut`] is what such a chain says, kept beside the map's element. **Why.** The chain of a Service in
//! kube-proxy's layout is one rule; a packet that nobody traces is spared looking it up. The answers are the same, and the
//! rule is counted.

use std::num::NonZeroU32;

use super::code::{Code, DataPlace, NftCode, Op};
use super::register::Register;

/// What an element of a map to verdicts leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lead {
    pub(crate) code: Code,
    pub(crate) shortcut: Option<Shortcut>,
}

impl From<Code> for Lead {
    fn from(code: Code) -> Self {
        let shortcut = None;
        Self { code, shortcut }
    }
}

/// One rule: `meta l4proto P dnat to numgen random mod N map { 0 : …, … }`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shortcut {
    pub(crate) protocol: u8,
    pub(crate) count: NonZeroU32,
    pub(crate) data: DataPlace,
}

impl NftCode {
    /// Finds the chains that can be spared.
    pub(super) fn take_shortcuts(&mut self) {
        let mut sets = std::mem::take(&mut self.sets);
        let leads = sets.iter_mut().flat_map(|set| set.data.leads_mut());
        for lead in leads {
            lead.shortcut = self.shortcut(lead.code);
        }
        self.sets = sets;
    }

    /// Has every rule read.
    pub(crate) fn drop_shortcuts(&mut self) {
        let leads = self.sets.iter_mut().flat_map(|set| set.data.leads_mut());
        leads.for_each(|lead| lead.shortcut = None);
    }

    fn shortcut(&self, code: Code) -> Option<Shortcut> {
        let Code::Goto(chain) = code else {
            return None;
        };
        let [
            Op::Rule { .. },
            Op::Compare(protocol),
            Op::DnatAny {
                count,
                start,
                width,
                ..
            },
        ] = self.ops_of(chain)
        else {
            return None;
        };
        let is_protocol = protocol.register == Register::L4Protocol
            && !protocol.negated
            && protocol.mask == u32::MAX;
        Some(Shortcut {
            protocol: u8::try_from(protocol.value).ok().filter(|_| is_protocol)?,
            count: NonZeroU32::new(*count)?,
            data: DataPlace {
                start: *start,
                width: *width,
            },
        })
    }
}
