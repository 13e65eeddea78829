//! Taking a packet through the rules of one table of iptables.
//!
//! **Source of the semantics.** `ipt_do_table` in Linux `net/ipv4/netfilter/ip_tables.c`; iptables-extensions(8).

use ruleset::xt::{ConnMarkAction, XtTarget};

use super::Table;
use super::table::Chain;
use crate::connection::Tracking;
use crate::eval::{Flight, Stop, obey};
use crate::{Chooser, Question, Routing, RuleRef, TableVerdict, Tracer};

impl<'a, R: Routing, C: Chooser, T: Tracer> Flight<'a, R, C, T> {
    /// Asks a table, from its chain of this number on.
    ///
    /// # Errors
    /// When the packet ends here.
    pub(crate) fn run_table(
        &mut self,
        table: &'a Table,
        base: usize,
    ) -> Result<TableVerdict, Stop> {
        let found = self.traverse(table, base);
        if let Some(doubt) = self.doubt.take() {
            return Err(Stop::Unknown(doubt));
        }
        match found {
            Some((verdict, rule)) => {
                self.tracer.verdict(table.chain_ref(base), verdict);
                obey(verdict, rule)
            }
            None => self.fall_off(table.chain_ref(base)),
        }
    }

    /// The verdict and the rule that gives it; `None` when no rule does, or when one leaves it open.
    fn traverse(&mut self, table: &'a Table, base: usize) -> Option<(TableVerdict, RuleRef<'a>)> {
        self.callers.clear();
        let (mut at, mut index) = (base, 0);
        self.tracer.entered(table.chain_ref(at));
        loop {
            let chain = &table.chains[at];
            index = self.skip(table, at, index);
            let is_hit;
            (index, is_hit) = self.throw(chain, index);
            if let Some(rule) = chain.body.rules.get(index) {
                let reference = RuleRef {
                    chain: table.chain_ref(at),
                    index,
                };
                self.rules_tested += 1;
                let matched = is_hit || self.matches(rule, reference);
                self.tracer.rule(reference, matched);
                index += 1;
                if !matched {
                    continue;
                }
                if self.doubt.is_some() {
                    return None;
                }
                match &rule.target {
                    XtTarget::Jump(_) | XtTarget::Goto(_) => {
                        if let XtTarget::Jump(_) = rule.target {
                            self.callers.push((at, index));
                        }
                        (at, index) = (chain.targets[index - 1], 0);
                        self.tracer.entered(table.chain_ref(at));
                        continue;
                    }
                    XtTarget::Return => {}
                    XtTarget::Unknown(text) => {
                        self.leave_open(reference, Question::Text(text.clone()));
                        return None;
                    }
                    target => match self.act(target) {
                        Some(verdict) => return Some((verdict, reference)),
                        None => continue,
                    },
                }
            }
            // The end of a chain, or a return: back to the caller. A chain that was gone to has none of its own.
            (at, index) = self.callers.pop()?;
            self.tracer.returned(table.chain_ref(at));
        }
    }

    /// The next rule that may match. Those before it are counted as if they had been compared.
    fn skip(&mut self, table: &'a Table, at: usize, index: usize) -> usize {
        let Some(runs) = &table.chains[at].runs else {
            return index;
        };
        let next = runs.next(index, self.datagram.content.flow());
        if next > index {
            self.rules_tested += u64::try_from(next - index).expect("a chain fits memory");
            self.tracer.skipped(table.chain_ref(at), index..next);
        }
        next
    }

    /// The rule that dice choose among those from one on that do nothing but throw them, or else the next other rule; and
    /// whether it is chosen. Who watches sees every rule.
    fn throw(&mut self, chain: &Chain, from: usize) -> (usize, bool) {
        let mut index = from;
        let dice = chain.dice.as_ref().filter(|_| !T::WATCHES);
        for chance in dice.into_iter().flat_map(|dice| dice.from(from)) {
            if self.chooser.random(chance) {
                return (index, true);
            }
            self.rules_tested += 1;
            index += 1;
        }
        (index, false)
    }

    /// What a target does that leads to no other chain; `None` when the next rule follows.
    fn act(&mut self, target: &XtTarget) -> Option<TableVerdict> {
        match target {
            XtTarget::None
            | XtTarget::Log { .. }
            | XtTarget::Inert(_)
            | XtTarget::Unknown(_)
            | XtTarget::Return
            | XtTarget::Jump(_)
            | XtTarget::Goto(_) => None,
            XtTarget::SetXmark { value, mask } => {
                self.mark = (self.mark & !mask) ^ value;
                None
            }
            XtTarget::ConnMark(action) => {
                self.connection_mark(*action);
                None
            }
            XtTarget::Notrack => {
                self.exempt();
                None
            }
            XtTarget::NatRange(range) => Some(self.translation(range)),
            XtTarget::Accept => Some(TableVerdict::Accept),
            XtTarget::Drop => Some(TableVerdict::Drop),
            XtTarget::Reject(with) => Some(TableVerdict::Reject(*with)),
            XtTarget::Dnat { to } => Some(TableVerdict::Dnat(*to)),
            XtTarget::Redirect { port } => Some(TableVerdict::Redirect { port: *port }),
            XtTarget::Snat { to, random_fully } => Some(TableVerdict::Snat {
                to: *to,
                random_fully: *random_fully,
            }),
            XtTarget::Masquerade { random_fully } => Some(TableVerdict::Masquerade {
                random_fully: *random_fully,
            }),
        }
    }

    /// `connmark_tg_shift`: without effect on a packet that has no connection.
    fn connection_mark(&mut self, action: ConnMarkAction) {
        let Tracking::Connection(connection) = &self.tracking else {
            return;
        };
        let mark = connection.progress.mark;
        match action {
            ConnMarkAction::Set { value, mask } => {
                self.set_connection_mark((mark & !mask) ^ value);
            }
            ConnMarkAction::Save { nf_mask, ct_mask } => {
                self.set_connection_mark((mark & !ct_mask) ^ (self.mark & nf_mask));
            }
            ConnMarkAction::Restore { nf_mask, ct_mask } => {
                self.mark = (self.mark & !nf_mask) ^ (mark & ct_mask);
            }
        }
    }
}
