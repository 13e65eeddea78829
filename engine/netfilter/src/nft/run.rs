//! Taking a packet through one base chain of nftables.
//!
//! **Source of the semantics.** `nft_do_chain` in Linux `net/netfilter/nf_tables_core.c`; `nft_dynset.c`,
//! `nft_numgen.c`, `nft_nat.c`, `nft_reject.c`.

use base::SimTime;
use ruleset::Protocol;
use ruleset::nft::{BinaryOp, CtKey, FibAddress, Reject, SetOp};
use ruleset::xt::NatTarget;

use super::code::{Code, Counter, Load, NftCode, Op, SetUpdate, Target, Test};
use super::compile::{ct_width, meta_width};
use super::field::{field_number, push_field};
use super::pattern::{address_type_number, padded, socket, state_bit};
use super::set_index::{Dynamic, Found, FoundElement};
use crate::connection::Tracking;
use crate::elements::{DynamicElement, ElementChange, SetName};
use crate::eval::{Flight, Stop, obey};
use crate::packed::Packed;
use crate::state::{Change, CounterName};
use crate::{Chooser, Routing, RuleRef, TableVerdict, Tracer};

/// How a rule ends.
enum End {
    /// A match failed: the rule did nothing more.
    Break,
    /// All statements were run.
    Through,
    Verdict(Code),
    Decided(TableVerdict),
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
        base: usize,
    ) -> Result<TableVerdict, Stop> {
        let mut depth = 0;
        let mut at = base;
        let mut rules = table.rules_of(base);
        self.tracer.entered(table.chain_ref(base));
        loop {
            let mut next = None;
            if let Some(number) = rules.next() {
                self.rules_tested += 1;
                let end = self.run_rule(table, table.ops_of(number));
                let rule = RuleRef {
                    chain: table.chain_ref(at),
                    index: number - table.rules_of(at).start,
                };
                self.tracer.rule(rule, !matches!(end, End::Break));
                let verdict = match end {
                    End::Break | End::Through | End::Verdict(Code::Continue) => continue,
                    End::Verdict(Code::Accept) => Some(TableVerdict::Accept),
                    End::Verdict(Code::Drop) => Some(TableVerdict::Drop),
                    End::Decided(verdict) => Some(verdict),
                    End::Verdict(Code::Return) => None,
                    End::Verdict(Code::Jump(chain)) => {
                        self.nft_callers[depth] = (at, rules.start);
                        depth += 1;
                        next = Some(chain as usize);
                        None
                    }
                    End::Verdict(Code::Goto(chain)) => {
                        next = Some(chain as usize);
                        None
                    }
                };
                if let Some(verdict) = verdict {
                    self.tracer.verdict(table.chain_ref(base), verdict);
                    return obey(verdict, rule);
                }
            }
            if let Some(chain) = next {
                (at, rules) = (chain, table.rules_of(chain));
                self.tracer.entered(table.chain_ref(at));
                continue;
            }
            // The end of a chain, or a return: back to the caller, or to the policy.
            if depth == 0 {
                return self.fall_off(table.chain_ref(base));
            }
            depth -= 1;
            let (caller, resumed) = self.nft_callers[depth];
            (at, rules) = (caller, resumed..table.rules_of(caller).end);
            self.tracer.returned(table.chain_ref(at));
        }
    }

    fn run_rule(&mut self, table: &'a NftCode, ops: &'a [Op]) -> End {
        for op in ops {
            match self.run(table, op) {
                Some(End::Through | End::Verdict(Code::Continue)) => {}
                Some(end) => return end,
                None => return End::Break,
            }
        }
        End::Through
    }

    /// `None` ends the rule without a match.
    fn run(&mut self, table: &'a NftCode, op: &'a Op) -> Option<End> {
        Some(match op {
            Op::Test {
                left,
                test,
                negated,
            } => {
                if self.passes(table, left, test)? == *negated {
                    return None;
                }
                End::Through
            }
            Op::Verdict(code) => End::Verdict(*code),
            Op::VerdictMap { key, map } => {
                let Hit::Stated(element) = self.look_up(table, key, *map)?? else {
                    return None;
                };
                End::Verdict(table.sets[*map as usize].data.verdict(element)?)
            }
            Op::SetMark(value) => {
                self.mark = self.number(table, value)?;
                End::Through
            }
            Op::SetCtMark(value) => {
                let mark = self.number(table, value)?;
                self.set_connection_mark(mark);
                End::Through
            }
            Op::Dnat(to) => End::Decided(TableVerdict::Dnat(self.target(table, to)?)),
            Op::Snat { to, random } => End::Decided(TableVerdict::Snat {
                to: self.target(table, to)?,
                random_fully: *random,
            }),
            Op::Redirect { port } => End::Decided(TableVerdict::Redirect { port: *port }),
            Op::Masquerade { random } => End::Decided(TableVerdict::Masquerade {
                random_fully: *random,
            }),
            Op::Reject(reject) => {
                self.concerns(*reject)?;
                End::Decided(TableVerdict::Reject(reject.with()))
            }
            Op::SetUpdate(update) => {
                self.update_set(table, update)?;
                End::Through
            }
            Op::Notrack => {
                self.exempt();
                End::Through
            }
        })
    }

    fn passes(&mut self, table: &'a NftCode, left: &'a Load, test: &Test) -> Option<bool> {
        Some(match test {
            Test::Number(number) => self.number(table, left)? == *number,
            Test::Masked { mask, value } => self.number(table, left)? & mask == *value,
            Test::Between(first, last) => (first..=last).contains(&&self.number(table, left)?),
            Test::AnyFlag(flags) => self.number(table, left)? & flags != 0,
            Test::Pattern(pattern) => pattern.contains(&self.value(table, left)?),
            Test::Set(set) => self.look_up(table, left, *set)?.is_some(),
        })
    }

    /// A value of at most four bytes; `None` when the packet has none. What most rules ask for comes first, and is
    /// inlined.
    #[inline]
    fn number(&mut self, table: &'a NftCode, load: &'a Load) -> Option<u32> {
        match load {
            Load::Field(which) => field_number(&self.datagram, *which),
            Load::Meta(key) => self.meta_number(*key),
            Load::Ct(CtKey::State) => Some(state_bit(self.tracking.state())),
            _ => self.rare_number(table, load),
        }
    }

    fn rare_number(&mut self, table: &'a NftCode, load: &'a Load) -> Option<u32> {
        match load {
            Load::Field(_) | Load::Meta(_) => None,
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
            Load::Concat(_) | Load::Lookup { .. } => self.value(table, load)?.to_u32(),
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
            Load::Field(which) => push_field(&self.datagram, *which, into),
            Load::Meta(key) => match self.meta_name(*key) {
                Some(name) => into.push(&padded(name)),
                None => into.push_number(self.meta_number(*key)?, meta_width(*key)),
            },
            Load::Ct(key) => into.push_number(self.ct_number(*key)?, ct_width(*key)),
            Load::Fib(_) | Load::Random { .. } | Load::Inc(_) => {
                let number = self.number(table, load)?;
                into.push_number(number, 4)
            }
            Load::Literal(value) => into.push(value.bytes()),
            Load::Concat(parts) => {
                for part in &**parts {
                    self.load(table, &part.load, into)?;
                }
                Some(())
            }
            Load::Binary { op, left, right } => {
                let left = self.value(table, left)?;
                into.push_number(combine(*op, left.to_u32()?, *right), left.len())
            }
            Load::Lookup { key, map } => match self.look_up(table, key, *map)?? {
                Hit::Stated(element) => into.push(table.sets[*map as usize].data.value(element)?),
                Hit::Made(data) => into.push(data?.bytes()),
            },
        }
    }

    fn target(&mut self, table: &'a NftCode, target: &'a Target) -> Option<NatTarget> {
        match target {
            Target::Fixed(to) => Some(**to),
            Target::Lookup { key, map } => match self.look_up(table, key, *map)?? {
                Hit::Stated(element) => socket(table.sets[*map as usize].data.value(element)?),
                Hit::Made(data) => socket(data?.bytes()),
            },
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

    /// `None` when the packet has no such key.
    fn look_up(&mut self, table: &'a NftCode, load: &'a Load, number: u32) -> Option<Option<Hit>> {
        let set = &table.sets[number as usize];
        if !set.takes_numbers() {
            let mut key = Packed::EMPTY;
            self.load(table, load, &mut key)?;
            return Some(self.look_up_key(table, &key, number));
        }
        let key = self.short_key(table, load)?;
        Some(set.find_number(key).map(|number| {
            let element = Found::Stated(number);
            self.tracer.element(FoundElement { set, element });
            Hit::Stated(number)
        }))
    }

    /// A key whose parts are of at most four bytes each, one after the other.
    fn short_key(&mut self, table: &'a NftCode, load: &'a Load) -> Option<u128> {
        match load {
            Load::Concat(parts) => parts.iter().try_fold(0, |key, part| {
                let number = self.number(table, &part.load)?;
                Some(key << (8 * part.width) | u128::from(number))
            }),
            _ => self.number(table, load).map(u128::from),
        }
    }

    /// Looks into what the ruleset states and what rules have made.
    fn look_up_key(&mut self, table: &'a NftCode, key: &Packed, number: u32) -> Option<Hit> {
        let set = &table.sets[number as usize];
        if let Some(number) = set.find(key) {
            let element = Found::Stated(number);
            self.tracer.element(FoundElement { set, element });
            return Some(Hit::Stated(number));
        }
        let made = self.made_element(set.dynamic.as_deref()?, key)?;
        let element = Found::Made(key, made.data);
        self.tracer.element(FoundElement { set, element });
        Some(Hit::Made(made.data))
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
