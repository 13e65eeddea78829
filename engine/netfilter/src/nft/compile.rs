//! From a table as its owner wrote it to one that packets can meet.

use std::sync::Arc;

use ruleset::nft::{
    BinaryOp, CtKey, DataType, Expr, Field, Ident, Key, MapRef, MatchOp, MetaKey, NatFlags, NatTo,
    NftChain, NftMap, NftSet, NftTable, NumgenMode, Right, Scalar, SetOrMap, SetRef, Statement,
    TableKey, Value, Verdict,
};
use ruleset::xt::Probability;
use ruleset::{Family, Protocol};

use super::code::{
    ChainCode, Code, Compare, Counter, DataPlace, InterfaceTest, KeyPart, Load, Names, NftCode, Op,
    Pick, SetLookup, SetTest, SetUpdate, Target, Test, ValueTest, side_of,
};
use super::error::NftError;
use super::pattern::{IFNAME, Pattern, pack, pack_part};
use super::register::Register;
use super::set_index::{Data, Keys, SetIndex, SetSource, dynamic, pack_data, width};
use super::shortcut::Lead;
use crate::Question;
use crate::elements::SetName;
use crate::packed::Packed;
use crate::tables_error::TablesError;

impl NftCode {
    /// Resolves and indexes a table, and checks it as the kernel does when it loads one.
    ///
    /// Of a dump's rules, those that cannot be resolved are questions to the packets that reach them.
    pub(crate) fn build(
        key: &TableKey,
        table: &NftTable,
        is_dump: bool,
    ) -> Result<Self, TablesError> {
        let chains = table.chains.iter().map(|(name, _)| name.clone());
        let sets = table.sets.iter().map(|(name, _)| name.clone());
        let mut compiler = Compiler {
            key,
            table,
            chains: chains.zip(0..).collect(),
            names: sets.zip(0..).collect(),
            sets: Vec::with_capacity(table.sets.len()),
            data: Vec::new(),
            changed: vec![false; table.sets.len()],
            place: (0, 0),
            counters: 0,
            ops: Vec::new(),
            starts: Vec::with_capacity(table.chains.len()),
            is_dump,
            questions: Vec::new(),
        };
        for (name, set) in table.sets.iter() {
            let index = compiler
                .set_index(name, set)
                .map_err(|error| TablesError::NftSet {
                    table: key.clone(),
                    set: name.clone(),
                    error,
                })?;
            compiler.sets.push(index);
        }
        let mut chains = Vec::with_capacity(table.chains.len());
        for (name, body) in table.chains.iter() {
            chains.push(compiler.chain(name, body)?);
            compiler.place.0 += 1;
        }
        for (set, is_changed) in compiler.sets.iter_mut().zip(&compiler.changed) {
            if !is_changed {
                set.dynamic = None;
            }
        }
        let mut code = Self {
            key: key.clone(),
            comment: table.comment.clone(),
            chains,
            ops: compiler.ops,
            starts: compiler.starts,
            sets: compiler.sets,
            data: compiler.data,
            chain_numbers: compiler.chains,
            set_numbers: compiler.names,
            questions: compiler.questions,
        };
        code.check()?;
        code.take_shortcuts();
        Ok(code)
    }
}

struct Compiler<'t> {
    key: &'t TableKey,
    table: &'t NftTable,
    chains: Names,
    /// Sets and maps.
    names: Names,
    sets: Vec<SetIndex>,
    data: Vec<u8>,
    /// Whether a rule changes a set with a name.
    changed: Vec<bool>,
    /// The chain and the rule at hand, and how many counters it has so far.
    place: (u32, usize),
    counters: usize,
    ops: Vec<Op>,
    starts: Vec<u32>,
    is_dump: bool,
    questions: Vec<Question>,
}

impl Compiler<'_> {
    fn set_index(&mut self, name: &Ident, set: &SetOrMap) -> Result<SetIndex, NftError> {
        match set {
            SetOrMap::Set(set) => self.set(name, set),
            SetOrMap::Map(map) => self.map(name, map),
        }
    }

    fn set(&self, name: &Ident, set: &Arc<NftSet>) -> Result<SetIndex, NftError> {
        let keys = Keys::of(set.elements.keys(), checked_width(&set.key)?)?;
        let dynamic = dynamic(self.set_name(name), &set.options);
        let source = SetSource::Set(name.clone(), Arc::clone(set));
        Ok(SetIndex::new(source, keys, Data::None, dynamic))
    }

    fn map(&mut self, name: &Ident, map: &Arc<NftMap>) -> Result<SetIndex, NftError> {
        let keys = Keys::of(map.elements.keys(), checked_width(&map.key)?)?;
        let values = map.elements.values().map(|one| &one.value);
        let data = match &map.data {
            None => {
                let mut verdicts = Vec::with_capacity(map.elements.len());
                for value in values {
                    verdicts.push(match value {
                        Value::Verdict(verdict) => self.mapped(verdict)?,
                        Value::Data(_) => return Err(WANTS_VERDICTS),
                    });
                }
                Data::Verdicts(verdicts.into_iter().map(Lead::from).collect())
            }
            Some(types) => {
                let data_width = checked_width(types)?;
                let values = values.map(|value| match value {
                    Value::Data(value) => pack_data(value, data_width),
                    Value::Verdict(_) => Err(WANTS_DATA),
                });
                self.values(&values.collect::<Result<Vec<_>, _>>()?, data_width)
            }
        };
        let dynamic = dynamic(self.set_name(name), &map.options);
        let source = SetSource::Map(name.clone(), Arc::clone(map));
        Ok(SetIndex::new(source, keys, data, dynamic))
    }

    fn set_name(&self, set: &Ident) -> SetName {
        SetName {
            table: self.key.clone(),
            set: set.clone(),
        }
    }

    fn chain(&mut self, name: &Ident, body: &Arc<NftChain>) -> Result<ChainCode, TablesError> {
        self.starts.push(self.next_op());
        for (index, rule) in body.rules.iter().enumerate() {
            self.place.1 = index;
            self.counters = 0;
            let begin = self.ops.len();
            self.ops.push(Op::Rule { end: 0 });
            let mut known = Vec::new();
            for statement in &rule.statements {
                self.implied(statement, &mut known);
                let op = match self.statement(statement) {
                    Err(error) if self.is_dump => self.unresolved(statement, error),
                    op => op.map_err(|error| TablesError::Nft {
                        table: self.key.clone(),
                        chain: name.clone(),
                        index,
                        error,
                    })?,
                };
                self.ops.extend(op);
            }
            // Most packets are turned away by a number; a set is looked into for the others.
            self.ops[begin + 1..]
                .chunk_by_mut(|one, next| one.is_test() && next.is_test())
                .for_each(|tests| tests.sort_by_key(|test| matches!(test, Op::InSet(_))));
            if !self.ops[begin..].last().is_some_and(Op::ends_rule) {
                self.ops.push(Op::EndOfRule);
            }
            self.ops[begin] = Op::Rule {
                end: self.next_op(),
            };
        }
        let end = self.next_op();
        self.ops.push(Op::EndOfChain);
        Ok(ChainCode {
            end,
            name: name.clone(),
            body: Arc::clone(body),
        })
    }

    fn next_op(&self) -> u32 {
        u32::try_from(self.ops.len()).expect("statements are counted in 32 bits")
    }

    fn question(&mut self, question: Question) -> u32 {
        self.questions.push(question);
        u32::try_from(self.questions.len() - 1).expect("questions are counted in 32 bits")
    }

    /// What stands for a statement of a dump that cannot be resolved. A set that is not known may be filled without
    /// an effect on the packet.
    fn unresolved(&mut self, statement: &Statement, error: NftError) -> Option<Op> {
        let question = Question::Unresolved(error);
        match statement {
            Statement::SetUpdate { .. } => None,
            Statement::Match { .. } => Some(Op::UnknownMatch(self.question(question))),
            _ => Some(Op::Unknown(self.question(question))),
        }
    }

    /// A verdict in a map.
    fn mapped(&mut self, verdict: &Verdict) -> Result<Code, NftError> {
        match self.verdict(verdict) {
            Err(error) if self.is_dump => {
                Ok(Code::Unknown(self.question(Question::Unresolved(error))))
            }
            code => code,
        }
    }

    /// Tests for the protocols of the ports that a statement reads, as nft adds them. Known are those that an earlier
    /// statement of the rule has tested for.
    fn implied(&mut self, statement: &Statement, known: &mut Vec<Protocol>) {
        for protocol in statement.implied_protocols() {
            if !known.contains(&protocol) {
                known.push(protocol);
                self.ops.push(Op::Compare(Compare {
                    register: Register::L4Protocol,
                    negated: false,
                    mask: u32::MAX,
                    value: protocol.0.into(),
                }));
            }
        }
        known.extend(statement.tested_protocol());
    }

    /// `None` for a statement without an effect on packets.
    fn statement(&mut self, statement: &Statement) -> Result<Option<Op>, NftError> {
        Ok(Some(match statement {
            Statement::Match { left, op, right } => self.test(left, *op, right)?,
            Statement::Verdict(verdict) => Op::Verdict(self.verdict(verdict)?),
            Statement::VerdictMap { key, map } => {
                let (key, key_width) = self.load(key)?;
                let map = self.verdict_map(map, key_width)?;
                Op::VerdictMap(Box::new(lookup(map, key)))
            }
            Statement::SetMark(value) => Op::SetMark(Box::new(self.load_of(value, 4)?)),
            Statement::SetCtMark(value) => Op::SetCtMark(Box::new(self.load_of(value, 4)?)),
            Statement::Dnat { to, .. } => {
                let target = self.target(to)?;
                match self.choice(&target) {
                    Some(choice) => choice,
                    None => Op::Dnat(Box::new(target)),
                }
            }
            Statement::Snat { to, flags } => Op::Snat {
                to: Box::new(self.target(to)?),
                random: is_random(*flags),
            },
            Statement::Redirect { port, .. } => Op::Redirect { port: *port },
            Statement::Masquerade(flags) => Op::Masquerade {
                random: is_random(*flags),
            },
            Statement::NatRange(range) => {
                let addresses = range.kind.addresses();
                if addresses.is_some_and(|span| !self.key.family.sees(Family::of(span.ends().0))) {
                    return Err(NftError::OtherFamily);
                }
                Op::NatRange(Box::new(*range))
            }
            Statement::Reject(reject) => Op::Reject(*reject),
            Statement::SetUpdate {
                op,
                set,
                key,
                timeout,
                data,
            } => {
                let set = *self
                    .names
                    .get(set)
                    .ok_or_else(|| NftError::MissingSet(set.clone()))?;
                self.changed[set as usize] = true;
                let (key_width, data_width) = self.widths(set);
                let data = match (data, data_width) {
                    (Some(data), Some(data_width)) => Some(self.load_of(data, data_width)?),
                    (None, None) => None,
                    (None, Some(_)) => return Err(NftError::NoData),
                    (Some(_), None) => return Err(NftError::Data),
                };
                Op::SetUpdate(Box::new(SetUpdate {
                    op: *op,
                    set,
                    key: self.load_of(key, key_width)?,
                    timeout: *timeout,
                    data,
                }))
            }
            Statement::Notrack => Op::Notrack,
            Statement::UnknownMatch(text) => {
                Op::UnknownMatch(self.question(Question::Text(text.clone())))
            }
            Statement::Unknown(text) => Op::Unknown(self.question(Question::Text(text.clone()))),
            Statement::Counter { .. } | Statement::Log { .. } | Statement::Inert(_) => {
                return Ok(None);
            }
        }))
    }

    fn test(&mut self, left: &Expr, op: MatchOp, right: &Right) -> Result<Op, NftError> {
        if let (Expr::Meta(key), Right::Value(Scalar::Ifname(name))) = (left, right)
            && let Some(side) = side_of(*key)
            && matches!(op, MatchOp::Eq | MatchOp::Ne)
        {
            return Ok(Op::Interface(Box::new(InterfaceTest {
                side,
                name: name.clone(),
                negated: op == MatchOp::Ne,
            })));
        }
        if let Some(probability) = random(left, op, right) {
            return Ok(Op::Random(probability));
        }
        let (left, wanted) = self.load(left)?;
        let pattern = match right {
            Right::Value(value) => {
                let pattern = Pattern::of_part(value)?;
                same_width(pattern.len(), wanted)?;
                pattern
            }
            Right::Set(set) => {
                let set = self.set_ref(set, wanted)?;
                return Ok(Op::InSet(Box::new(SetTest {
                    lookup: lookup(set, left),
                    negated: op == MatchOp::Ne,
                })));
            }
        };
        let number = || {
            let single = pattern.single().ok_or(NftError::Range)?;
            single.to_u32().ok_or(NftError::Width {
                found: wanted,
                wanted: 4,
            })
        };
        let (test, negated) = match op {
            MatchOp::Lt => (Test::Between(number()?, u32::MAX), true),
            MatchOp::Ge => (Test::Between(number()?, u32::MAX), false),
            MatchOp::Gt => (Test::Between(0, number()?), true),
            MatchOp::Le => (Test::Between(0, number()?), false),
            MatchOp::AnyFlag => {
                let none = Test::Masked {
                    mask: number()?,
                    value: 0,
                };
                (none, true)
            }
            MatchOp::Eq | MatchOp::Ne => (pattern.into_test(), op == MatchOp::Ne),
        };
        Ok(match (left, test) {
            (Load::Register(register), Test::Masked { mask, value }) => Op::Compare(Compare {
                register,
                negated,
                mask,
                value,
            }),
            (left, test) => Op::Test(Box::new(ValueTest {
                left,
                test,
                negated,
            })),
        })
    }

    fn verdict(&self, verdict: &Verdict) -> Result<Code, NftError> {
        let chain = |name: &Ident| {
            let missing = || NftError::MissingChain(name.clone());
            let number = *self.chains.get(name).ok_or_else(missing)?;
            let is_base = self
                .table
                .chain(name)
                .is_some_and(|body| body.base.is_some());
            if is_base {
                return Err(NftError::BaseChain(name.clone()));
            }
            Ok(number)
        };
        Ok(match verdict {
            Verdict::Accept => Code::Accept,
            Verdict::Drop => Code::Drop,
            Verdict::Continue => Code::Continue,
            Verdict::Return => Code::Return,
            Verdict::Jump(name) => Code::Jump(chain(name)?),
            Verdict::Goto(name) => Code::Goto(chain(name)?),
        })
    }

    fn target(&mut self, to: &NatTo) -> Result<Target, NftError> {
        let family = match to {
            NatTo::Fixed(to) => Family::of(to.address),
            NatTo::Lookup { family, .. } => *family,
        };
        if !self.key.family.sees(family) {
            return Err(NftError::OtherFamily);
        }
        let NatTo::Lookup { key, map, .. } = to else {
            let NatTo::Fixed(to) = to else {
                unreachable!("there are two kinds of target");
            };
            return Ok(Target::Fixed(*to));
        };
        let (key, key_width) = self.load(key)?;
        let (map, found) = self.data_map(map, key_width)?;
        let address = usize::from(family.address_bits() / 8);
        if found != address && found != address + 2 {
            return Err(NftError::Width {
                found,
                wanted: address + 2,
            });
        }
        Ok(Target::Lookup(lookup(map, key)))
    }

    /// What a lookup comes to that draws a number for which the map is sure to have an element.
    fn choice(&self, target: &Target) -> Option<Op> {
        let Target::Lookup(lookup) = target else {
            return None;
        };
        let SetLookup { set, key, .. } = lookup;
        let map = &self.sets[*set as usize];
        match key {
            Load::Random { modulus, offset: 0 } => {
                let is_sure = map.dense_len().is_some_and(|len| *modulus <= len);
                let DataPlace { start, width } = map.data.place().filter(|_| is_sure)?;
                Some(Op::DnatAny {
                    map: *set,
                    count: *modulus,
                    start,
                    width,
                })
            }
            Load::Concat(parts) => {
                let (last, before) = parts.split_last()?;
                let Load::Random { modulus, offset: 0 } = last else {
                    return None;
                };
                map.has_all_numbers(*modulus).then(|| {
                    Op::DnatPick(Box::new(Pick {
                        prefix: Load::Concat(before.into()),
                        lookup: lookup.clone(),
                    }))
                })
            }
            _ => None,
        }
    }

    /// Data of a map, of `width` bytes each, among those of the whole table.
    fn values(&mut self, values: &[Packed], width: usize) -> Data {
        let start = u32::try_from(self.data.len()).expect("data are counted in 32 bits");
        let bytes = values.iter().flat_map(Packed::bytes);
        self.data.extend(bytes);
        Data::Values(DataPlace {
            start,
            width: u8::try_from(width).expect("at most 64 bytes"),
        })
    }

    fn load_of(&mut self, expr: &Expr, wanted: usize) -> Result<Load, NftError> {
        let (load, found) = self.load(expr)?;
        same_width(found, wanted)?;
        Ok(load)
    }

    /// Where an expression's value comes from, and how many bytes it has.
    fn load(&mut self, expr: &Expr) -> Result<(Load, usize), NftError> {
        Ok(match expr {
            Expr::Payload(Field::IpSaddr) => register(Register::Ipv4Source),
            Expr::Payload(Field::IpDaddr) => register(Register::Ipv4Destination),
            Expr::Payload(Field::ThSport) => register(Register::SourcePort),
            Expr::Payload(Field::ThDport) => register(Register::DestinationPort),
            // What it implies stands before the statement.
            Expr::Payload(field) => match field.as_port() {
                Some((_, of_any)) => self.load(&Expr::Payload(of_any))?,
                None => (Load::Field(*field), field_width(*field)),
            },
            Expr::Meta(MetaKey::L4proto) => register(Register::L4Protocol),
            Expr::Meta(MetaKey::Nfproto) => register(Register::Family),
            Expr::Meta(MetaKey::Mark) => register(Register::Mark),
            Expr::Meta(MetaKey::Random) => return Err(NftError::Random),
            Expr::Meta(key) => (Load::Meta(*key), meta_width(*key)),
            Expr::Ct(CtKey::State) => register(Register::CtState),
            Expr::Ct(key) => (Load::Ct(*key), ct_width(*key)),
            Expr::Fib(fib) => (Load::Fib(fib.address), 4),
            Expr::Numgen(numgen) if numgen.modulus == 0 => return Err(NftError::NoModulus),
            Expr::Numgen(numgen) => {
                let (modulus, offset) = (numgen.modulus, numgen.offset);
                let load = match numgen.mode {
                    NumgenMode::Random => Load::Random { modulus, offset },
                    NumgenMode::Inc => {
                        self.counters += 1;
                        Load::Inc(Box::new(Counter {
                            modulus,
                            offset,
                            chain: self.place.0,
                            rule: self.place.1,
                            ordinal: self.counters - 1,
                        }))
                    }
                };
                (load, 4)
            }
            Expr::Literal(value) => {
                let packed = pack_part(value)?;
                (Load::Literal(Box::new(packed)), packed.len())
            }
            Expr::Concat(parts) => self.concat(parts)?,
            Expr::Binary { op, left, right } => {
                let (left, found) = self.load(left)?;
                if found > 4 {
                    return Err(NftError::Width { found, wanted: 4 });
                }
                let load = Load::Binary {
                    op: *op,
                    left: Box::new(left),
                    right: *right,
                };
                (load, found)
            }
            Expr::Lookup { key, map } => {
                let (key, key_width) = self.load(key)?;
                let (map, data_width) = self.data_map(map, key_width)?;
                (Load::Lookup(Box::new(lookup(map, key))), data_width)
            }
        })
    }

    fn concat(&mut self, parts: &[Expr]) -> Result<(Load, usize), NftError> {
        let mut loads = Vec::with_capacity(parts.len());
        let mut total = 0;
        for part in parts {
            let (load, width) = self.load(part)?;
            loads.push(load);
            total += width;
        }
        if total > Packed::MAX {
            return Err(NftError::TooLong);
        }
        Ok((Load::Concat(loads.into()), total))
    }

    fn set_ref(&mut self, set: &SetRef, wanted: usize) -> Result<u32, NftError> {
        match set {
            SetRef::Named(name) => {
                let missing = || NftError::MissingSet(name.clone());
                let index = *self.names.get(name).ok_or_else(missing)?;
                same_width(wanted, self.widths(index).0)?;
                Ok(index)
            }
            SetRef::Anonymous(keys) => {
                let index = Keys::of(keys.iter(), wanted)?;
                let stated = keys.iter().map(|key| (key.clone(), None));
                Ok(self.anonymous(stated.collect(), index, Data::None))
            }
        }
    }

    fn verdict_map(&mut self, map: &MapRef<Verdict>, wanted: usize) -> Result<u32, NftError> {
        match map {
            MapRef::Named(name) => {
                let (index, data_width) = self.named_map(name, wanted)?;
                match data_width {
                    None => Ok(index),
                    Some(_) => Err(WANTS_VERDICTS),
                }
            }
            MapRef::Anonymous(entries) => {
                let keys = Keys::of(entries.iter().map(|(key, _)| key), wanted)?;
                let verdicts = entries
                    .iter()
                    .map(|(_, verdict)| self.mapped(verdict).map(Lead::from));
                let data = Data::Verdicts(verdicts.collect::<Result<_, _>>()?);
                let stated = entries.iter().map(|(key, verdict)| {
                    let value = Value::Verdict(verdict.clone());
                    (key.clone(), Some(value))
                });
                Ok(self.anonymous(stated.collect(), keys, data))
            }
        }
    }

    /// A map to data, and the width of these.
    fn data_map(&mut self, map: &MapRef<Key>, wanted: usize) -> Result<(u32, usize), NftError> {
        match map {
            MapRef::Named(name) => {
                let (index, data_width) = self.named_map(name, wanted)?;
                Ok((index, data_width.ok_or(WANTS_DATA)?))
            }
            MapRef::Anonymous(entries) => {
                let keys = Keys::of(entries.iter().map(|(key, _)| key), wanted)?;
                let first = entries.first().map(|(_, value)| pack(value)).transpose()?;
                let data_width = first.map_or(0, |first| first.len());
                let values = entries
                    .iter()
                    .map(|(_, value)| pack_data(value, data_width));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                let stated = entries.iter().map(|(key, value)| {
                    let value = Value::Data(value.clone());
                    (key.clone(), Some(value))
                });
                let data = self.values(&values, data_width);
                let index = self.anonymous(stated.collect(), keys, data);
                Ok((index, data_width))
            }
        }
    }

    fn named_map(&self, name: &Ident, wanted: usize) -> Result<(u32, Option<usize>), NftError> {
        let missing = || NftError::MissingMap(name.clone());
        if self.table.map(name).is_none() {
            return Err(missing());
        }
        let index = *self.names.get(name).ok_or_else(missing)?;
        let (key_width, data_width) = self.widths(index);
        same_width(wanted, key_width)?;
        Ok((index, data_width))
    }

    fn anonymous(&mut self, stated: Box<[(Key, Option<Value>)]>, keys: Keys, data: Data) -> u32 {
        let source = SetSource::Anonymous(stated);
        self.sets.push(SetIndex::new(source, keys, data, None));
        u32::try_from(self.sets.len() - 1).expect("sets are counted in 32 bits")
    }

    /// Of keys and data.
    fn widths(&self, set: u32) -> (usize, Option<usize>) {
        let index = &self.sets[set as usize];
        let data_width = index.data.place().map(|place| place.width.into());
        (index.origin.width, data_width)
    }
}

/// What `-m statistic` of iptables is in nftables: `meta random & 0x7fffffff < N`.
fn random(left: &Expr, op: MatchOp, right: &Right) -> Option<Probability> {
    let Expr::Binary {
        op: BinaryOp::And,
        left,
        right: mask,
    } = left
    else {
        return None;
    };
    match (&**left, op, right) {
        (Expr::Meta(MetaKey::Random), MatchOp::Lt, Right::Value(Scalar::Number(below)))
            if *mask == Probability::ONE - 1 =>
        {
            Probability::from_raw(*below)
        }
        _ => None,
    }
}

/// Where a number comes from, and how many bytes it has.
const fn register(register: Register) -> (Load, usize) {
    (Load::Register(register), register.width())
}

/// A look into a set, the quick way prepared if there is one.
fn lookup(set: u32, key: Load) -> SetLookup {
    let part = |load: &Load| match load {
        Load::Register(register) => Some(KeyPart {
            register: *register,
            bits: u8::try_from(8 * register.width()).expect("at most four bytes"),
        }),
        _ => None,
    };
    let parts: Option<Box<[KeyPart]>> = match &key {
        Load::Concat(parts) => parts.iter().map(part).collect(),
        single => part(single).map(|part| [part].into()),
    };
    SetLookup {
        set,
        key,
        registers: parts,
    }
}

const fn is_random(flags: NatFlags) -> bool {
    flags.random || flags.fully_random
}

const fn same_width(found: usize, wanted: usize) -> Result<(), NftError> {
    if found == wanted {
        Ok(())
    } else {
        Err(NftError::Width { found, wanted })
    }
}

const WANTS_VERDICTS: NftError = NftError::WrongData {
    found: "data",
    wanted: "verdicts",
};
const WANTS_DATA: NftError = NftError::WrongData {
    found: "verdicts",
    wanted: "data",
};

fn checked_width(types: &[DataType]) -> Result<usize, NftError> {
    let bytes = width(types);
    if bytes > Packed::MAX {
        return Err(NftError::TooLong);
    }
    Ok(bytes)
}

pub(super) const fn field_width(field: Field) -> usize {
    match field {
        Field::IpSaddr | Field::IpDaddr => 4,
        Field::Ip6Saddr | Field::Ip6Daddr => 16,
        Field::IpProtocol
        | Field::Ip6Nexthdr
        | Field::TcpFlags
        | Field::IcmpType
        | Field::Icmpv6Type => 1,
        Field::ThSport
        | Field::ThDport
        | Field::TcpSport
        | Field::TcpDport
        | Field::UdpSport
        | Field::UdpDport
        | Field::SctpSport
        | Field::SctpDport => 2,
    }
}

pub(super) const fn meta_width(key: MetaKey) -> usize {
    match key {
        MetaKey::L4proto | MetaKey::Nfproto | MetaKey::Pkttype => 1,
        MetaKey::Mark | MetaKey::Random => 4,
        MetaKey::Iifname | MetaKey::Oifname | MetaKey::Iif | MetaKey::Oif => IFNAME,
    }
}

pub(super) const fn ct_width(key: CtKey) -> usize {
    match key {
        CtKey::State | CtKey::Status | CtKey::Mark => 4,
        CtKey::Direction => 1,
    }
}
