//! Taking a packet through one base chain of nftables.
//!
//! **Source of the semantics.** `nft_do_chain` in Linux `net/netfilter/nf_tables_core.c`; `nft_dynset.c`,
//! `nft_numgen.c`, `nft_nat.c`, `nft_reject.c`.

use base::SimTime;
use ruleset::Protocol;
use ruleset::nft::{BinaryOp, FibAddress, MetaKey, Reject, SetOp};
use ruleset::xt::NatTarget;

use super::code::{
    Code, Counter, DataPlace, Load, NftCode, Op, Pick, Place, SetLookup, SetUpdate, Target, Test,
};
use super::compile::{ct_width, meta_width};
use super::doubt::decides_nothing;
use super::field::{field_number, push_field};
use super::pattern::{address_type_number, padded, socket, state_bit};
use super::register::Register;
use super::set_index::{Dynamic, Found, FoundElement, KeyForm};
use crate::connection::Tracking;
use crate::elements::{DynamicElement, ElementChange, SetName};
use crate::eval::{Flight, Stop, obey};
use crate::packed::Packed;
use crate::state::{Change, CounterName};
use crate::{Chooser, Routing, TableVerdict, Tracer};

/// How evaluation goes on after a statement.
pub(super) enum Flow {
    /// With the next statement.
    Next,
    /// With the next rule: this one does not match.
    Break,
    /// As a rule that matched says.
    Turn(Code),
    Decided(TableVerdict),
    /// A doubt stays open.
    Open,
}

impl Flow {
    /// After a test; `None` when the packet lacks what is tested.
    pub(super) const fn after(passes: Option<bool>) -> Self {
        match passes {
            Some(true) => Self::Next,
            Some(false) | None => Self::Break,
        }
    }
}

/// What a set or map has for a key.
enum Hit {
    Stated(u32),
    Made(Option<Packed>),
}

impl<'a, R: Routing, C: Chooser, T: Tracer> Flight<'a, R, C, T> {
    /// Asks a base chain, and the chains it leads to.
    ///
    /// # Errors
    /// When the packet ends here.
    pub(crate) fn run_base_chain(
        &mut self,
        table: &'a NftCode,
        base: u32,
    ) -> Result<TableVerdict, Stop> {
        let state = self.tracking.state();
        self.registers.prepare(&self.datagram, self.mark, state);
        let mut depth = 0;
        let mut at = table.start_of(base);
        let mut next_rule = at.op;
        self.tell_entered(table, base);
        loop {
            let op = &table.ops[at.op as usize];
            at.op += 1;
            let flow = match op {
                Op::Rule { end } => {
                    next_rule = *end;
                    at.rules += 1;
                    self.rules_tested += 1;
                    continue;
                }
                Op::Compare(compare) => match self.registers.get(compare.register) {
                    Some(number) if compare.holds(number) => continue,
                    _ => Flow::Break,
                },
                Op::InSet(test) => match self.look_up(table, &test.lookup) {
                    Some(None) if self.assumes_part(&test.lookup) => {
                        self.missed_interface(table, at, test)
                    }
                    Some(found) if found.is_some() != test.negated => continue,
                    _ => Flow::Break,
                },
                Op::Verdict(code) => Flow::Turn(*code),
                Op::VerdictMap(lookup) => self.mapped_verdict(table, lookup, at),
                Op::DnatAny {
                    map,
                    count,
                    start,
                    width,
                } => {
                    let data = DataPlace {
                        start: *start,
                        width: *width,
                    };
                    self.choose(table, *map, *count, data)
                }
                Op::EndOfRule => {
                    self.tell_rule(table, at, true);
                    continue;
                }
                Op::EndOfChain => {
                    if depth == 0 {
                        return self.fall_off(table.chain_ref(base));
                    }
                    depth -= 1;
                    at = self.nft_callers[depth];
                    self.tell_returned(table, at.chain);
                    continue;
                }
                rare => self.run_rare(table, rare, at),
            };
            match flow {
                Flow::Next | Flow::Turn(Code::Continue) => continue,
                Flow::Break => {
                    self.tell_rule(table, at, false);
                    at.op = next_rule;
                    continue;
                }
                Flow::Turn(Code::Accept) => {
                    return self.decided(table, base, at, TableVerdict::Accept);
                }
                Flow::Turn(Code::Drop) => {
                    return self.decided(table, base, at, TableVerdict::Drop);
                }
                Flow::Decided(verdict) => return self.decided(table, base, at, verdict),
                Flow::Turn(Code::Unknown(number)) => {
                    let question = table.questions[number as usize].clone();
                    self.leave_open(table.rule_ref(at), question);
                    return self.left_open();
                }
                Flow::Open => return self.left_open(),
                Flow::Turn(Code::Return | Code::Jump(_) | Code::Goto(_)) => {}
            }
            self.tell_rule(table, at, true);
            match flow {
                Flow::Turn(Code::Jump(chain)) => {
                    self.nft_callers[depth] = Place {
                        op: next_rule,
                        ..at
                    };
                    depth += 1;
                    at = table.start_of(chain);
                    self.tell_entered(table, chain);
                }
                Flow::Turn(Code::Goto(chain)) => {
                    at = table.start_of(chain);
                    self.tell_entered(table, chain);
                }
                _ => at.op = table.chains[at.chain as usize].end,
            }
        }
    }

    /// Ends the walk as the present rule says.
    fn decided(
        &mut self,
        table: &'a NftCode,
        base: u32,
        at: Place,
        verdict: TableVerdict,
    ) -> Result<TableVerdict, Stop> {
        self.tell_rule(table, at, true);
        self.tracer.verdict(table.chain_ref(base), verdict);
        obey(verdict, table.rule_ref(at))
    }

    /// Ends the walk at a doubt.
    #[cold]
    fn left_open(&mut self) -> Result<TableVerdict, Stop> {
        let doubt = self.doubt.take();
        Err(Stop::Unknown(doubt.expect("the rule at hand left it open")))
    }

    fn tell_entered(&mut self, table: &NftCode, chain: u32) {
        if T::WATCHES {
            self.tracer.entered(table.chain_ref(chain));
        }
    }

    fn tell_returned(&mut self, table: &NftCode, chain: u32) {
        if T::WATCHES {
            self.tracer.returned(table.chain_ref(chain));
        }
    }

    fn tell_rule(&mut self, table: &NftCode, at: Place, matched: bool) {
        if T::WATCHES {
            self.tracer.rule(table.rule_ref(at), matched);
        }
    }

    fn mapped_verdict(&mut self, table: &'a NftCode, lookup: &'a SetLookup, at: Place) -> Flow {
        let element = match self.look_up(table, lookup) {
            Some(Some(Hit::Stated(element))) => element,
            Some(None) if self.assumes_part(lookup) => {
                return self.missed_verdict(table, at, lookup);
            }
            _ => return Flow::Break,
        };
        let Some(lead) = table.sets[lookup.set as usize].data.lead(element) else {
            return Flow::Break;
        };
        match &lead.shortcut {
            Some(shortcut) if !T::WATCHES && self.has_protocol(shortcut.protocol) => {
                self.rules_tested += 1;
                let element = self.chooser.numgen(shortcut.count.get());
                self.translated_to(table, shortcut.data, element)
            }
            _ => Flow::Turn(lead.code),
        }
    }

    fn has_protocol(&self, protocol: u8) -> bool {
        self.registers.get(Register::L4Protocol) == Some(protocol.into())
    }

    /// Draws an element of a map that has one for every number.
    fn choose(&mut self, table: &'a NftCode, map: u32, count: u32, data: DataPlace) -> Flow {
        let element = self.chooser.numgen(count);
        self.found(table, map, element);
        self.translated_to(table, data, element)
    }

    fn translated_to(&self, table: &'a NftCode, data: DataPlace, element: u32) -> Flow {
        let to = table.value_at(data, element).and_then(socket);
        to.map_or(Flow::Break, |to| Flow::Decided(TableVerdict::Dnat(to)))
    }

    /// A number is drawn only for packets that have elements: for others it makes no difference, and whoever explores
    /// every draw is spared those.
    fn pick(&mut self, table: &'a NftCode, pick: &'a Pick) -> Option<NatTarget> {
        let set = &table.sets[pick.lookup.set as usize];
        if set.dynamic.is_none() {
            let mut first = self.value(table, &pick.prefix)?;
            first.push_number(0, 4)?;
            set.find(&first)?;
        }
        self.looked_up(table, &pick.lookup)
    }

    fn run_rare(&mut self, table: &'a NftCode, op: &'a Op, at: Place) -> Flow {
        self.try_rare(table, op, at).unwrap_or(Flow::Break)
    }

    /// `None` when the packet lacks what the statement asks for.
    fn try_rare(&mut self, table: &'a NftCode, op: &'a Op, at: Place) -> Option<Flow> {
        Some(match op {
            Op::Random(probability) => Flow::after(Some(self.chooser.random(*probability))),
            Op::Interface(test) => self.interface(table, test, at),
            Op::UnknownMatch(number) => {
                if decides_nothing(table, at) {
                    return None;
                }
                self.asked(table, at, table.questions[*number as usize].clone(), true)
            }
            Op::Unknown(number) => {
                let question = table.questions[*number as usize].clone();
                self.leave_open(table.rule_ref(at), question);
                Flow::Open
            }
            Op::Test(test) => {
                let passes = self.passes(table, &test.left, &test.test)?;
                Flow::after(Some(passes != test.negated))
            }
            Op::SetMark(value) => {
                self.mark = self.number(table, value)?;
                self.registers.set(Register::Mark, self.mark);
                Flow::Next
            }
            Op::SetCtMark(value) => {
                let mark = self.number(table, value)?;
                self.set_connection_mark(mark);
                Flow::Next
            }
            Op::Dnat(to) => Flow::Decided(TableVerdict::Dnat(self.target(table, to)?)),
            Op::DnatPick(pick) => Flow::Decided(TableVerdict::Dnat(self.pick(table, pick)?)),
            Op::Snat { to, random } => Flow::Decided(TableVerdict::Snat {
                to: self.target(table, to)?,
                random_fully: *random,
            }),
            Op::Redirect { port } => Flow::Decided(TableVerdict::Redirect { port: *port }),
            Op::Masquerade { random } => Flow::Decided(TableVerdict::Masquerade {
                random_fully: *random,
            }),
            Op::NatRange(range) => Flow::Decided(self.translation(range)),
            Op::Reject(reject) => {
                self.concerns(*reject)?;
                Flow::Decided(TableVerdict::Reject(reject.with()))
            }
            Op::SetUpdate(update) => {
                self.update_set(table, update)?;
                Flow::Next
            }
            Op::Notrack => {
                self.exempt();
                let state = state_bit(self.tracking.state());
                self.registers.set(Register::CtState, state);
                Flow::Next
            }
            Op::Rule { .. }
            | Op::EndOfRule
            | Op::EndOfChain
            | Op::Compare(_)
            | Op::InSet(_)
            | Op::Verdict(_)
            | Op::VerdictMap(_)
            | Op::DnatAny { .. } => unreachable!("these are not rare"),
        })
    }

    fn passes(&mut self, table: &'a NftCode, left: &'a Load, test: &Test) -> Option<bool> {
        Some(match test {
            Test::Masked { mask, value } => self.number(table, left)? & mask == *value,
            Test::Between(first, last) => (first..=last).contains(&&self.number(table, left)?),
            Test::Pattern(pattern) => pattern.contains(&self.value(table, left)?),
        })
    }

    /// A value of at most four bytes; `None` when the packet has none.
    fn number(&mut self, table: &'a NftCode, load: &'a Load) -> Option<u32> {
        match load {
            Load::Register(register) => self.registers.get(*register),
            Load::Field(which) => field_number(&self.datagram, *which),
            Load::Meta(MetaKey::Pkttype) => Some(self.packet_type()),
            Load::Ct(key) => self.ct_number(*key),
            Load::Fib(address) => {
                let address = match address {
                    FibAddress::Saddr => self.datagram.headers.source,
                    FibAddress::Daddr => self.datagram.headers.destination,
                };
                Some(address_type_number(self.address_type(address)))
            }
            Load::Random { modulus, offset } => {
                Some(offset.wrapping_add(self.chooser.numgen(*modulus)))
            }
            Load::Inc(counter) => Some(self.count(table, counter)),
            Load::Binary { op, left, right } => {
                Some(combine(*op, self.number(table, left)?, *right))
            }
            Load::Literal(value) => value.to_u32(),
            Load::Meta(_) | Load::Concat(_) | Load::Lookup(_) => self.value(table, load)?.to_u32(),
        }
    }

    fn value(&mut self, table: &'a NftCode, load: &'a Load) -> Option<Packed> {
        let mut value = Packed::EMPTY;
        self.load(table, load, &mut value)?;
        Some(value)
    }

    /// Appends a value; `None` when the packet has none.
    fn load(&mut self, table: &'a NftCode, load: &'a Load, into: &mut Packed) -> Option<()> {
        match load {
            Load::Register(register) => {
                into.push_number(self.registers.get(*register)?, register.width())
            }
            Load::Field(which) => push_field(&self.datagram, *which, into),
            Load::Meta(key) => match self.meta_name(*key) {
                Some(name) => into.push(&padded(name)),
                None => into.push_number(self.number(table, load)?, meta_width(*key)),
            },
            Load::Ct(key) => into.push_number(self.ct_number(*key)?, ct_width(*key)),
            Load::Fib(_) | Load::Random { .. } | Load::Inc(_) => {
                let number = self.number(table, load)?;
                into.push_number(number, 4)
            }
            Load::Literal(value) => into.push(value.bytes()),
            Load::Concat(parts) => {
                for part in &**parts {
                    self.load(table, part, into)?;
                }
                Some(())
            }
            Load::Binary { op, left, right } => {
                let left = self.value(table, left)?;
                into.push_number(combine(*op, left.to_u32()?, *right), left.len())
            }
            Load::Lookup(lookup) => match self.look_up(table, lookup)?? {
                Hit::Stated(element) => into.push(table.value(lookup.set, element)?),
                Hit::Made(data) => into.push(data?.bytes()),
            },
        }
    }

    fn target(&mut self, table: &'a NftCode, target: &'a Target) -> Option<NatTarget> {
        match target {
            Target::Fixed(to) => Some(*to),
            Target::Lookup(lookup) => self.looked_up(table, lookup),
        }
    }

    fn looked_up(&mut self, table: &'a NftCode, lookup: &'a SetLookup) -> Option<NatTarget> {
        match self.look_up(table, lookup)?? {
            Hit::Stated(element) => socket(table.value(lookup.set, element)?),
            Hit::Made(data) => socket(data?.bytes()),
        }
    }

    /// Whether a way of rejecting concerns the packet: nft adds a test for it.
    fn concerns(&self, reject: Reject) -> Option<()> {
        let headers = &self.datagram.headers;
        let concerned = match reject {
            Reject::Default | Reject::Icmpx(_) => true,
            Reject::TcpReset => headers.protocol == Protocol::TCP,
            Reject::Icmp(family, _) => headers.family() == family,
        };
        concerned.then_some(())
    }

    /// Looks into what the ruleset states and what rules have made. `None` when the packet has no such key.
    #[inline]
    fn look_up(&mut self, table: &'a NftCode, lookup: &'a SetLookup) -> Option<Option<Hit>> {
        let set = &table.sets[lookup.set as usize];
        let stated = match (set.key_form(), &lookup.registers) {
            (KeyForm::Short, Some(parts)) => set.find_short(self.registers.short_key(parts)?),
            (KeyForm::Wide, Some(parts)) => set.find_wide(self.registers.wide_key(parts)?),
            _ => return self.look_up_packed(table, lookup),
        };
        Some(stated.map(|element| {
            self.found(table, lookup.set, element);
            Hit::Stated(element)
        }))
    }

    fn look_up_packed(&mut self, table: &'a NftCode, lookup: &'a SetLookup) -> Option<Option<Hit>> {
        let key = self.value(table, &lookup.key)?;
        let set = &table.sets[lookup.set as usize];
        if let Some(element) = set.find(&key) {
            self.found(table, lookup.set, element);
            return Some(Some(Hit::Stated(element)));
        }
        let made = set.dynamic.as_deref();
        let made = made.and_then(|dynamic| self.made_element(dynamic, &key));
        Some(made.map(|made| {
            let element = Found::Made(&key, made.data);
            self.tracer.element(FoundElement { set, element });
            Hit::Made(made.data)
        }))
    }

    /// Tells of an element that the ruleset states.
    fn found(&mut self, table: &'a NftCode, set: u32, element: u32) {
        let set = &table.sets[set as usize];
        let element = Found::Stated(element);
        self.tracer.element(FoundElement { set, element });
    }

    /// An element that this packet or one before has made.
    fn made_element(&self, set: &Dynamic, key: &Packed) -> Option<DynamicElement> {
        let pending = self
            .effects
            .changes
            .iter()
            .rev()
            .find_map(|change| match change {
                Change::Element(change) if change.key == *key && change.set == set.name => {
                    Some(change.element)
                }
                _ => None,
            });
        match pending {
            Some(changed) => changed,
            None => self.state.element(&set.name, key, self.now).copied(),
        }
    }

    /// Deviation: an element that the ruleset states neither expires nor can be deleted by a rule.
    fn update_set(&mut self, table: &'a NftCode, update: &'a SetUpdate) -> Option<()> {
        let key = self.value(table, &update.key)?;
        let set = &table.sets[update.set as usize];
        let is_stated = set.find(&key).is_some();
        let dynamic = set.dynamic.as_deref()?;
        let present = self.made_element(dynamic, &key);
        let element = match update.op {
            SetOp::Delete => {
                present?;
                None
            }
            _ if is_stated => return Some(()),
            SetOp::Add if present.is_some() => return Some(()),
            SetOp::Add | SetOp::Update => {
                let data = match (&present, &update.data) {
                    (Some(present), _) => present.data,
                    (None, Some(data)) => Some(self.value(table, data)?),
                    (None, None) => None,
                };
                if present.is_none() && self.is_full(dynamic, set.len()) {
                    return None;
                }
                let timeout = update.timeout.or(dynamic.timeout);
                let expires = timeout.map_or(SimTime::MAX, |timeout| self.now + timeout);
                Some(DynamicElement { expires, data })
            }
        };
        self.effects.changes.push(Change::Element(ElementChange {
            set: dynamic.name.clone(),
            key,
            element,
        }));
        Some(())
    }

    fn is_full(&self, set: &Dynamic, stated: usize) -> bool {
        set.size.is_some_and(|size| {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            // The expired ones are counted out only when that matters.
            stated + self.state.elements_len(&set.name) >= size
                && stated + self.state.elements(&set.name, self.now).count() >= size
        })
    }

    /// The next number of a counter. The first is its offset.
    fn count(&mut self, table: &NftCode, counter: &Counter) -> u32 {
        let name = CounterName {
            chain: SetName {
                table: table.key.clone(),
                set: table.chains[counter.chain as usize].name.clone(),
            },
            rule: counter.rule,
            ordinal: counter.ordinal,
        };
        let pending = self
            .effects
            .changes
            .iter()
            .rev()
            .find_map(|change| match change {
                Change::Counter(counted, next) if *counted == name => Some(*next),
                _ => None,
            });
        let number = pending.unwrap_or_else(|| self.state.counter(&name)) % counter.modulus;
        let next = (number + 1) % counter.modulus;
        self.effects.changes.push(Change::Counter(name, next));
        counter.offset.wrapping_add(number)
    }

    /// `ct mark set`, `CONNMARK`: without effect on a packet that has no connection.
    pub(crate) fn set_connection_mark(&mut self, mark: u32) {
        if let Tracking::Connection(connection) = &mut self.tracking {
            connection.set_mark(mark, &mut self.effects);
        }
    }
}

const fn combine(op: BinaryOp, left: u32, right: u32) -> u32 {
    match op {
        BinaryOp::And => left & right,
        BinaryOp::Or => left | right,
        BinaryOp::Xor => left ^ right,
    }
}
