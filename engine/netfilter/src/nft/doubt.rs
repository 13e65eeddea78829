//! What a chain of nftables asks and a dump does not answer.

use std::collections::BTreeSet;

use ruleset::nft::{Ifname, Key, Scalar};

use super::code::{InterfaceTest, NftCode, Op, Place, SetLookup, SetTest};
use super::run::Flow;
use crate::eval::Flight;
use crate::{Chooser, InterfaceSide, Question, Routing, Tracer};

/// Whether nothing but the end of the rule comes next.
pub(super) fn decides_nothing(table: &NftCode, at: Place) -> bool {
    matches!(table.ops.get(at.op as usize), Some(Op::EndOfRule))
}

impl<'a, R: Routing, C: Chooser, T: Tracer> Flight<'a, R, C, T> {
    pub(super) fn interface(
        &mut self,
        table: &'a NftCode,
        test: &'a InterfaceTest,
        at: Place,
    ) -> Flow {
        let name = match test.side {
            InterfaceSide::In => self.in_interface,
            InterfaceSide::Out => self.out_interface(),
        };
        let matched = test.name.matches(name);
        if matched || !self.assumes(test.side) || self.routing.places(&test.name) {
            return Flow::after(Some(matched != test.negated));
        }
        if decides_nothing(table, at) {
            return Flow::Break;
        }
        let question = Question::Interface {
            side: test.side,
            name: Some(test.name.clone()),
        };
        self.asked(table, at, question, !test.negated)
    }

    /// Goes on if the answer is the one that is due.
    pub(super) fn asked(
        &mut self,
        table: &'a NftCode,
        at: Place,
        question: Question,
        due: bool,
    ) -> Flow {
        match self.ask(table.rule_ref(at), question) {
            Some(answer) => Flow::after(Some(answer == due)),
            None => Flow::Open,
        }
    }

    /// Whether an interface that is only assumed is part of a key.
    #[inline]
    pub(super) fn assumes_part(&self, lookup: &SetLookup) -> bool {
        (self.assumes_arrival || self.assumes_way)
            && lookup
                .key
                .interface_side()
                .is_some_and(|side| self.assumes(side))
    }

    /// Goes on after a look into a set that the assumed interface is not in.
    pub(super) fn missed_interface(
        &mut self,
        table: &'a NftCode,
        at: Place,
        test: &'a SetTest,
    ) -> Flow {
        match self.interface_question(table, &test.lookup) {
            Some(question) if !decides_nothing(table, at) => {
                self.asked(table, at, question, !test.negated)
            }
            _ => Flow::after(Some(test.negated)),
        }
    }

    /// Goes on after a look into a map that the assumed interface is not in.
    pub(super) fn missed_verdict(
        &mut self,
        table: &'a NftCode,
        at: Place,
        lookup: &'a SetLookup,
    ) -> Flow {
        match self.interface_question(table, lookup) {
            Some(question) => {
                self.leave_open(table.rule_ref(at), question);
                Flow::Open
            }
            None => Flow::Break,
        }
    }

    const fn assumes(&self, side: InterfaceSide) -> bool {
        match side {
            InterfaceSide::In => self.assumes_arrival,
            InterfaceSide::Out => self.assumes_way,
        }
    }

    /// What to ask when a set is about other interfaces than the assumed one; `None` when it is known which packets
    /// go by all of these.
    fn interface_question(&self, table: &NftCode, lookup: &SetLookup) -> Option<Question> {
        let side = lookup.key.interface_side()?;
        let keys = table.sets[lookup.set as usize].origin.source.keys();
        let parts = keys.into_iter().flat_map(Key::parts);
        let names = parts.filter_map(|part| match part {
            Scalar::Ifname(name) => Some(name),
            _ => None,
        });
        let names: BTreeSet<Ifname> = names.filter(|name| !self.routing.places(name)).collect();
        let name = names.first().filter(|_| names.len() == 1).cloned();
        (!names.is_empty()).then_some(Question::Interface { side, name })
    }
}
