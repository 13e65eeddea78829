//! What a table is while packets meet it.

use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::nft::{
    BinaryOp, Comment, CtKey, CtState, FibAddress, Field, Ident, Ifname, MetaKey, NftChain,
    NftTable, Policy, Reject, SetOp, SetOrMap, TableKey,
};
use ruleset::xt::Probability;
use ruleset::{NatRange, NatTarget};

use super::pattern::{Pattern, state_bit};
use super::register::Register;
use super::set_index::{SetIndex, SetSource};
use crate::hook::Idle;
use crate::packed::Packed;
use crate::{ChainRef, InterfaceSide, Question, RuleRef};

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct NftCode {
    pub(crate) key: TableKey,
    pub(crate) comment: Option<Comment>,
    /// In order of creation.
    pub(crate) chains: Vec<ChainCode>,
    /// Where the statements of each chain begin. (By themselves, they stay in a processor's cache.)
    pub(crate) starts: Vec<u32>,
    /// Of all chains, one after the other.
    pub(crate) ops: Vec<Op>,
    /// Those with a name in order of creation, then those that stand in rules.
    pub(crate) sets: Vec<SetIndex>,
    /// What maps lead to that do not lead to verdicts.
    pub(crate) data: Vec<u8>,
    pub(crate) chain_numbers: Names,
    pub(crate) set_numbers: Names,
    /// Why something is not known, by number.
    pub(crate) questions: Vec<Question>,
}

/// Where the chain or set of a name is.
pub(crate) type Names = HashMap<Ident, u32, FixedState>;

/// One chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainCode {
    /// Where its [`Op::EndOfChain`] is.
    pub(crate) end: u32,
    pub(crate) name: Ident,
    pub(crate) body: Arc<NftChain>,
}

/// How far a packet has come in a chain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) chain: u32,
    /// How many of its rules have begun.
    pub(crate) rules: u32,
    /// The next statement, among all of the table.
    pub(crate) op: u32,
}

/// A verdict; chains by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Accept,
    Drop,
    Continue,
    Return,
    Jump(u32),
    Goto(u32),
    /// Not known, for the reason of this number.
    Unknown(u32),
}

/// A statement, or where a rule or a chain begins or ends; sets by number. Those without an effect on packets are left
/// out. It is kept small, with what is rare or stands in few rules in boxes: every Service's chain has some, and fits a
/// line of a processor's cache.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A rule begins; `end` is where what follows it begins.
    Rule {
        end: u32,
    },
    /// All of a rule's statements have run. Left out after a verdict, and after [`Self::DnatAny`].
    EndOfRule,
    EndOfChain,
    /// The most common test: of some bits of a number that most packets have.
    Compare(Compare),
    Test(Box<ValueTest>),
    InSet(Box<SetTest>),
    Verdict(Code),
    VerdictMap(Box<SetLookup>),
    SetMark(Box<Load>),
    SetCtMark(Box<Load>),
    /// `dnat to numgen random mod N map { 0 : …, 1 : …, … }`, when every number has its element: what kube-proxy's
    /// Services are made of.
    DnatAny {
        map: u32,
        /// How many elements there are.
        count: u32,
        /// Where the first one's data are; see [`DataPlace`].
        start: u32,
        width: u8,
    },
    Dnat(Box<Target>),
    /// `dnat to … . numgen random mod N map @name`, when the map has an element for every number, or for none.
    DnatPick(Box<Pick>),
    Snat {
        to: Box<Target>,
        random: bool,
    },
    Redirect {
        port: Option<u16>,
    },
    Masquerade {
        random: bool,
    },
    NatRange(Box<NatRange>),
    Reject(Reject),
    SetUpdate(Box<SetUpdate>),
    Notrack,
    /// A random choice.
    Random(Probability),
    /// A test of an interface's name.
    Interface(Box<InterfaceTest>),
    /// A test whose outcome is not known, for the reason of this number.
    UnknownMatch(u32),
    /// Anything may happen to the packet, for the reason of this number.
    Unknown(u32),
}

const _: () = assert!(size_of::<Op>() == 16);

impl Op {
    /// Whether it does nothing but end the rule for packets that are not meant: in which order such are asked makes no
    /// difference.
    pub(crate) const fn is_test(&self) -> bool {
        match self {
            Self::Compare(_) => true,
            Self::InSet(test) => test.lookup.reads_only(),
            _ => false,
        }
    }

    /// Whether evaluation never goes on with the rule's next statement.
    pub(crate) const fn ends_rule(&self) -> bool {
        match self {
            Self::Verdict(code) => !matches!(code, Code::Continue),
            Self::DnatAny { .. } => true,
            _ => false,
        }
    }
}

/// Whether a packet goes by an interface.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceTest {
    pub(crate) side: InterfaceSide,
    pub(crate) name: Ifname,
    pub(crate) negated: bool,
}

/// Whether some bits of a register are these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare {
    pub(crate) register: Register,
    pub(crate) negated: bool,
    pub(crate) mask: u32,
    pub(crate) value: u32,
}

impl Compare {
    pub(crate) const fn holds(&self, number: u32) -> bool {
        (number & self.mask == self.value) != self.negated
    }
}

/// Whether a value is one of some.
#[derive(Clone, Debug)]
pub(crate) struct ValueTest {
    pub(crate) left: Load,
    pub(crate) test: Test,
    pub(crate) negated: bool,
}

/// Whether a value is in a set.
#[derive(Clone, Debug)]
pub(crate) struct SetTest {
    pub(crate) lookup: SetLookup,
    pub(crate) negated: bool,
}

/// A look into a set or map.
#[derive(Clone, Debug)]
pub(crate) struct SetLookup {
    pub(crate) set: u32,
    pub(crate) key: Load,
    /// The same key, if it is made of numbers only that most packets have, and of at most sixteen bytes in all.
    pub(crate) registers: Option<Box<[KeyPart]>>,
}

impl SetLookup {
    /// Whether its key is read off the packet: no number is drawn or counted for it.
    pub(crate) const fn reads_only(&self) -> bool {
        self.registers.is_some()
    }
}

/// A number that is a part of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPart {
    pub(crate) register: Register,
    pub(crate) bits: u8,
}

/// A random element among those that a packet has in a map.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    /// What comes before the number.
    pub(crate) prefix: Load,
    pub(crate) lookup: SetLookup,
}

/// Where data of one width begin among all data of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataPlace {
    pub(crate) start: u32,
    /// In bytes.
    pub(crate) width: u8,
}

/// `add|update|delete @set { … }`
#[derive(Clone, Debug)]
pub(crate) struct SetUpdate {
    pub(crate) op: SetOp,
    pub(crate) set: u32,
    pub(crate) key: Load,
    pub(crate) timeout: Option<Duration>,
    pub(crate) data: Option<Load>,
}

/// Where a translation leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Fixed(NatTarget),
    Lookup(SetLookup),
}

/// What a value must be. Most are of at most four bytes, and are compared as numbers.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Masked { mask: u32, value: u32 },
    Between(u32, u32),
    Pattern(Box<Pattern>),
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    Register(Register),
    Field(Field),
    Meta(MetaKey),
    Ct(CtKey),
    Fib(FibAddress),
    Random {
        modulus: u32,
        offset: u32,
    },
    Inc(Box<Counter>),
    Literal(Box<Packed>),
    Concat(Box<[Self]>),
    Binary {
        op: BinaryOp,
        left: Box<Self>,
        right: u32,
    },
    Lookup(Box<SetLookup>),
}

/// A counter of `numgen inc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) modulus: u32,
    pub(crate) offset: u32,
    pub(crate) chain: u32,
    pub(crate) rule: usize,
    /// Which of the rule's.
    pub(crate) ordinal: usize,
}

/// How many jumps are followed, one after the other, to find out whether calling a base chain is of use.
const JUMPS_FOLLOWED: u32 = 1;
/// How many rules are looked at for that.
const RULES_FOLLOWED: u32 = 64;

impl Load {
    /// Whether a packet's interface is part of it, and which.
    pub(crate) fn interface_side(&self) -> Option<InterfaceSide> {
        match self {
            Self::Meta(key) => side_of(*key),
            Self::Concat(parts) => parts.iter().find_map(Self::interface_side),
            _ => None,
        }
    }
}

/// Which interface's name it is.
pub(crate) const fn side_of(key: MetaKey) -> Option<InterfaceSide> {
    match key {
        MetaKey::Iifname | MetaKey::Iif => Some(InterfaceSide::In),
        MetaKey::Oifname | MetaKey::Oif => Some(InterfaceSide::Out),
        MetaKey::L4proto
        | MetaKey::Mark
        | MetaKey::Nfproto
        | MetaKey::Pkttype
        | MetaKey::Random => None,
    }
}

impl NftCode {
    /// Before the first rule of a chain.
    #[inline]
    pub(crate) fn start_of(&self, chain: u32) -> Place {
        Place {
            chain,
            rules: 0,
            op: self.starts[chain as usize],
        }
    }

    /// The statements of a chain, and its [`Op::Rule`]s between them.
    pub(crate) fn ops_of(&self, chain: u32) -> &[Op] {
        let (start, end) = (self.starts[chain as usize], self.chains[chain as usize].end);
        &self.ops[start as usize..end as usize]
    }

    /// The data of an element of a map; `None` for one that leads to verdicts, and for a set.
    pub(crate) fn value(&self, map: u32, element: u32) -> Option<&[u8]> {
        self.value_at(self.sets[map as usize].data.place()?, element)
    }

    /// The data of one of the elements whose data begin at a place.
    #[inline]
    pub(crate) fn value_at(&self, place: DataPlace, element: u32) -> Option<&[u8]> {
        let width = usize::from(place.width);
        let start = place.start as usize + element as usize * width;
        self.data.get(start..start + width)
    }

    /// For which packets calling a base chain is of no use: its policy is to accept, and its rules end at a test of the
    /// packet's state or at a look into a set that is empty, or jump to chains whose rules do.
    pub(crate) fn idle(&self, chain: u32) -> Idle {
        let base = self.chains[chain as usize].body.base;
        let accepts = base.is_some_and(|base| base.policy == Policy::Accept);
        Idle::of(|state| accepts.then(|| self.rules_in_vain(chain, state, JUMPS_FOLLOWED))?)
    }

    /// How many rules are compared, if none of a chain does anything to packets of a state.
    fn rules_in_vain(&self, chain: u32, state: CtState, jumps: u32) -> Option<u32> {
        let rules = self.ops_of(chain).split(|op| matches!(op, Op::Rule { .. }));
        // Before the first rule there is nothing.
        rules.skip(1).try_fold(0, |before, rule| {
            let within = self.rule_in_vain(rule, state, jumps)?;
            Some(before + 1 + within).filter(|rules| *rules <= RULES_FOLLOWED)
        })
    }

    /// The same for one rule: how many others are compared because of it.
    fn rule_in_vain(&self, rule: &[Op], state: CtState, jumps: u32) -> Option<u32> {
        for op in rule {
            match op {
                Op::Compare(compare) if compare.register == Register::CtState => {
                    if !compare.holds(state_bit(state)) {
                        return Some(0);
                    }
                }
                Op::VerdictMap(lookup)
                    if lookup.reads_only() && self.sets[lookup.set as usize].stays_empty() =>
                {
                    return Some(0);
                }
                Op::Verdict(Code::Jump(target)) => {
                    return self.rules_in_vain(*target, state, jumps.checked_sub(1)?);
                }
                _ => return None,
            }
        }
        Some(0)
    }

    /// The rule that has begun last.
    pub(crate) fn rule_ref(&self, at: Place) -> RuleRef<'_> {
        RuleRef {
            chain: self.chain_ref(at.chain),
            index: at.rules as usize - 1,
        }
    }

    pub(crate) fn chain_ref(&self, chain: u32) -> ChainRef<'_> {
        let code = &self.chains[chain as usize];
        ChainRef::Nft {
            table: &self.key,
            name: &code.name,
            body: &code.body,
        }
    }

    /// The table as it was given.
    pub(crate) fn read_back(&self) -> NftTable {
        let sets = self.sets.iter().filter_map(|set| match &set.origin.source {
            SetSource::Set(name, set) => Some((name.clone(), SetOrMap::Set(Arc::clone(set)))),
            SetSource::Map(name, map) => Some((name.clone(), SetOrMap::Map(Arc::clone(map)))),
            SetSource::Anonymous(_) => None,
        });
        let chains = self.chains.iter();
        NftTable {
            comment: self.comment.clone(),
            sets: sets.collect(),
            chains: chains
                .map(|chain| (chain.name.clone(), Arc::clone(&chain.body)))
                .collect(),
        }
    }
}
