//! What a table is while packets meet it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::nft::{
    BinaryOp, Comment, CtKey, FibAddress, Field, Ident, MetaKey, NftChain, NftTable, Reject, SetOp,
    SetOrMap, TableKey,
};
use ruleset::xt::NatTarget;

use super::pattern::Pattern;
use super::set_index::{SetIndex, SetSource};
use crate::ChainRef;
use crate::packed::Packed;

/// One table.
#[derive(Clone, Debug)]
pub(crate) struct NftCode {
    pub(crate) key: TableKey,
    pub(crate) comment: Option<Comment>,
    /// In order of creation.
    pub(crate) chains: Vec<ChainCode>,
    /// By chain: its first rule, and how many it has.
    pub(crate) starts: Vec<(u32, u32)>,
    /// Of all chains, one after the other: where each rule's statements begin, and where the last one's end.
    pub(crate) rules: Vec<u32>,
    /// Of all rules, one after the other.
    pub(crate) ops: Vec<Op>,
    /// Those with a name in order of creation, then those that stand in rules.
    pub(crate) sets: Vec<SetIndex>,
    pub(crate) chain_numbers: Names,
    pub(crate) set_numbers: Names,
}

/// Where the chain or set of a name is.
pub(crate) type Names = HashMap<Ident, u32, FixedState>;

/// One chain.
#[derive(Clone, Debug)]
pub(crate) struct ChainCode {
    pub(crate) name: Ident,
    pub(crate) body: Arc<NftChain>,
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
}

/// A statement; sets by number. Those without an effect on packets are left out.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Test {
        left: Load,
        test: Test,
        negated: bool,
    },
    Verdict(Code),
    VerdictMap {
        key: Load,
        map: u32,
    },
    SetMark(Load),
    SetCtMark(Load),
    Dnat(Target),
    Snat {
        to: Target,
        random: bool,
    },
    Redirect {
        port: Option<u16>,
    },
    Masquerade {
        random: bool,
    },
    Reject(Reject),
    SetUpdate(Box<SetUpdate>),
    Notrack,
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
    Fixed(Box<NatTarget>),
    Lookup { key: Load, map: u32 },
}

/// What a value must be. Most are of at most four bytes, and are compared as numbers.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Number(u32),
    Masked { mask: u32, value: u32 },
    Between(u32, u32),
    AnyFlag(u32),
    Pattern(Box<Pattern>),
    Set(u32),
}

/// Where a value comes from. It is kept small: every Service's chain has some.
#[derive(Clone, Debug)]
#[expect(
    clippy::box_collection,
    reason = "a slice's length would make all others bigger"
)]
pub(crate) enum Load {
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
    Concat(Box<Vec<Part>>),
    Binary {
        op: BinaryOp,
        left: Box<Self>,
        right: u32,
    },
    Lookup {
        key: Box<Self>,
        map: u32,
    },
}

/// A part of a concatenation.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) load: Load,
    /// In bytes.
    pub(crate) width: usize,
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

impl NftCode {
    /// The rules of a chain, by their numbers in the table.
    pub(crate) fn rules_of(&self, chain: usize) -> Range<usize> {
        let (first, count) = self.starts[chain];
        first as usize..first as usize + count as usize
    }

    /// The statements of a rule.
    pub(crate) fn ops_of(&self, rule: usize) -> &[Op] {
        &self.ops[self.rules[rule] as usize..self.rules[rule + 1] as usize]
    }

    pub(crate) fn chain_ref(&self, chain: usize) -> ChainRef<'_> {
        let code = &self.chains[chain];
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
