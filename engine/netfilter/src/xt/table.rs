//! One table of iptables, jumps resolved.
//!
//! **Source of the semantics.** The checks are the kernel's at load time: `mark_source_chains` and
//! `check_target` in `net/ipv4/netfilter/ip_tables.c`, the `.table` and `.hooks` of each target.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::ipvs::SetName;
use ruleset::xt::{
    ChainName, CtState, CtStates, Policy, TableName, XtChain, XtMatch, XtRule, XtTable, XtTables,
    XtTarget,
};
use ruleset::{Family, NatKind};

use super::dice::Dice;
use super::index::RunIndex;
use crate::hook::Idle;
use crate::tables_error::TablesError;
use crate::{ChainRef, Hook};

/// The chains of one family, of all owners, by table.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) family: Family,
    pub(crate) tables: BTreeMap<TableName, BTreeMap<ChainName, Arc<XtChain>>>,
}

impl Merged {
    pub(crate) const fn new(family: Family) -> Self {
        Self {
            family,
            tables: BTreeMap::new(),
        }
    }

    /// Adds what one more owner wrote.
    pub(crate) fn add(&mut self, owner: &XtTables) -> Result<(), TablesError> {
        for (table, content) in &owner.tables {
            let chains = self.tables.entry(*table).or_default();
            for (name, body) in &content.chains {
                let present = chains.remove(name);
                let body = match present {
                    None => Arc::clone(body),
                    Some(present) => merge(&present, body, is_built_in(*table, *name)).ok_or(
                        TablesError::Conflict {
                            family: self.family,
                            table: *table,
                            chain: *name,
                        },
                    )?,
                };
                chains.insert(*name, body);
            }
        }
        Ok(())
    }
}

/// One table, jumps resolved.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: TableName,
    /// Ordered by name.
    pub(crate) chains: Vec<Chain>,
    /// The built-in chain of each hook, by [`Hook`].
    base: [Option<usize>; Hook::ALL.len()],
}

/// One chain, jumps resolved.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    name: ChainName,
    pub(crate) body: Arc<XtChain>,
    /// For each rule the index of the chain it jumps or goes to; its own for a rule that does neither.
    pub(crate) targets: Box<[usize]>,
    /// `None` when every rule is to be compared.
    pub(crate) runs: Option<RunIndex>,
    pub(crate) dice: Option<Dice>,
}

impl Table {
    /// The chain that the kernel calls at a hook.
    pub(crate) const fn base(&self, hook: Hook) -> Option<usize> {
        self.base[hook as usize]
    }

    /// For which packets calling a built-in chain is of no use. Only tests of the packet's state are looked at.
    pub(crate) fn idle(&self, chain: usize) -> Idle {
        let body = &self.chains[chain].body;
        let accepts = body.policy.unwrap_or(Policy::Accept) == Policy::Accept;
        let count = u32::try_from(body.rules.len()).expect("rules are counted in 32 bits");
        Idle::of(|state| {
            let mut rules = body.rules.iter();
            let is_idle = accepts && rules.all(|rule| never_matches(rule, state));
            is_idle.then_some(count)
        })
    }

    pub(crate) fn chain_ref(&self, chain: usize) -> ChainRef<'_> {
        let chain = &self.chains[chain];
        ChainRef::Xt {
            table: self.name,
            name: chain.name,
            body: &chain.body,
        }
    }

    /// Every look into a set, with its rule's place.
    pub(crate) fn set_matches(&self) -> impl Iterator<Item = (ChainName, usize, &SetName)> {
        self.chains.iter().flat_map(|chain| {
            let rules = chain.body.rules.iter().enumerate();
            rules.flat_map(move |(index, rule)| {
                rule.matches.iter().filter_map(move |one| match one {
                    XtMatch::Set(set) => Some((chain.name, index, &set.set)),
                    _ => None,
                })
            })
        })
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &XtRule> {
        self.chains.iter().flat_map(|chain| &chain.body.rules)
    }

    /// The table as it was given, but that owners' chains were merged.
    pub(crate) fn read_back(&self) -> (TableName, XtTable) {
        let chains = self.chains.iter();
        let chains = chains.map(|chain| (chain.name, Arc::clone(&chain.body)));
        let table = XtTable {
            chains: chains.collect(),
        };
        (self.name, table)
    }

    /// Every rule is compared from now on.
    pub(crate) fn drop_indexes(&mut self) {
        for chain in &mut self.chains {
            (chain.runs, chain.dice) = (None, None);
        }
    }

    pub(crate) fn build(
        family: Family,
        name: TableName,
        bodies: BTreeMap<ChainName, Arc<XtChain>>,
    ) -> Result<Self, TablesError> {
        let names: Vec<ChainName> = bodies.keys().copied().collect();
        let mut chains = Vec::with_capacity(bodies.len());
        for (own_index, (chain, body)) in bodies.into_iter().enumerate() {
            let resolve = |(index, rule): (usize, &XtRule)| {
                let site = Site {
                    family,
                    table: name,
                    chain,
                    index,
                };
                site.resolve(&rule.target, &names, own_index)
            };
            let targets = body.rules.iter().enumerate().map(resolve);
            let targets = targets.collect::<Result<_, _>>()?;
            let (runs, dice) = (RunIndex::of(&body.rules), Dice::of(&body.rules));
            chains.push(Chain {
                name: chain,
                body,
                targets,
                runs,
                dice,
            });
        }
        let built_in = |hook: Hook| {
            let chain = ChainName::literal(hook.chain_name());
            let index = names.binary_search(&chain).ok()?;
            is_built_in(name, chain).then_some(index)
        };
        let table = Self {
            name,
            chains,
            base: Hook::ALL.map(built_in),
        };
        for hook in Hook::ALL {
            table.check_reachable(family, hook)?;
        }
        Ok(table)
    }

    /// Walks every chain that a hook reaches, depth first: there must be no circle, and every target must work
    /// at that hook.
    fn check_reachable(&self, family: Family, hook: Hook) -> Result<(), TablesError> {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Mark {
            Unseen,
            Open,
            Done,
        }
        let Some(base) = self.base(hook) else {
            return Ok(());
        };
        let mut marks = vec![Mark::Unseen; self.chains.len()];
        let mut path = vec![(base, 0)];
        while let Some((at, index)) = path.pop() {
            marks[at] = Mark::Open;
            let chain = &self.chains[at];
            let Some(rule) = chain.body.rules.get(index) else {
                marks[at] = Mark::Done;
                continue;
            };
            let site = Site {
                family,
                table: self.name,
                chain: chain.name,
                index,
            };
            site.check_hook(&rule.target, hook)?;
            path.push((at, index + 1));
            if !matches!(rule.target, XtTarget::Jump(_) | XtTarget::Goto(_)) {
                continue;
            }
            let target = chain.targets[index];
            match marks[target] {
                Mark::Unseen => path.push((target, 0)),
                Mark::Done => {}
                Mark::Open => {
                    return Err(TablesError::Loop {
                        family,
                        table: self.name,
                        chain: self.chains[target].name,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Where a rule stands, for errors about it.
#[derive(Clone, Copy)]
struct Site {
    family: Family,
    table: TableName,
    chain: ChainName,
    index: usize,
}

impl Site {
    /// Finds the chain that a target names among the (ordered) `names`.
    fn resolve(
        self,
        target: &XtTarget,
        names: &[ChainName],
        own_index: usize,
    ) -> Result<usize, TablesError> {
        let Self {
            family,
            table,
            chain,
            index,
        } = self;
        match target {
            XtTarget::Jump(target) | XtTarget::Goto(target) if is_built_in(table, *target) => {
                Err(TablesError::BuiltInTarget {
                    family,
                    table,
                    chain,
                    index,
                    target: *target,
                })
            }
            XtTarget::Jump(target) | XtTarget::Goto(target) => {
                names
                    .binary_search(target)
                    .map_err(|_| TablesError::MissingChain {
                        family,
                        table,
                        chain,
                        index,
                        target: *target,
                    })
            }
            XtTarget::Dnat { to } | XtTarget::Snat { to, .. }
                if Family::of(to.address) != family =>
            {
                Err(TablesError::OtherFamily {
                    family,
                    table,
                    chain,
                    index,
                })
            }
            XtTarget::NatRange(range)
                if range
                    .kind
                    .addresses()
                    .is_some_and(|span| Family::of(span.ends().0) != family) =>
            {
                Err(TablesError::OtherFamily {
                    family,
                    table,
                    chain,
                    index,
                })
            }
            XtTarget::Dnat { .. }
            | XtTarget::Redirect { .. }
            | XtTarget::Snat { .. }
            | XtTarget::Masquerade { .. }
            | XtTarget::NatRange(_)
                if table != TableName::Nat =>
            {
                Err(self.misplaced(target))
            }
            XtTarget::Notrack if table != TableName::Raw => Err(self.misplaced(target)),
            XtTarget::Reject(_) if table != TableName::Filter => Err(self.misplaced(target)),
            _ => Ok(own_index),
        }
    }

    fn check_hook(self, target: &XtTarget, hook: Hook) -> Result<(), TablesError> {
        let works = match target {
            XtTarget::Dnat { .. } | XtTarget::Redirect { .. } => {
                matches!(hook, Hook::Prerouting | Hook::Output)
            }
            XtTarget::Snat { .. } => matches!(hook, Hook::Postrouting | Hook::Input),
            XtTarget::Masquerade { .. } => hook == Hook::Postrouting,
            XtTarget::NatRange(range) => match range.kind {
                NatKind::Dnat(_) | NatKind::Redirect => {
                    matches!(hook, Hook::Prerouting | Hook::Output)
                }
                NatKind::Snat(_) => matches!(hook, Hook::Postrouting | Hook::Input),
                NatKind::Masquerade => hook == Hook::Postrouting,
            },
            _ => true,
        };
        if works {
            Ok(())
        } else {
            Err(self.misplaced(target))
        }
    }

    const fn misplaced(self, target: &XtTarget) -> TablesError {
        let (target, allowed) = match target {
            XtTarget::Dnat { .. } => ("DNAT", "nat/PREROUTING and nat/OUTPUT"),
            XtTarget::Redirect { .. } => ("REDIRECT", "nat/PREROUTING and nat/OUTPUT"),
            XtTarget::Snat { .. } => ("SNAT", "nat/POSTROUTING and nat/INPUT"),
            XtTarget::Masquerade { .. } => ("MASQUERADE", "nat/POSTROUTING"),
            XtTarget::NatRange(_) => ("a translation", "nat"),
            XtTarget::Notrack => ("NOTRACK", "raw"),
            _ => ("REJECT", "filter"),
        };
        TablesError::MisplacedTarget {
            family: self.family,
            table: self.table,
            chain: self.chain,
            index: self.index,
            target,
            allowed,
        }
    }
}

fn is_built_in(table: TableName, chain: ChainName) -> bool {
    table.built_in_chains().contains(&chain.as_str())
}

/// Whether a rule asks for another state, and for nothing that comparing it changes.
fn never_matches(rule: &XtRule, state: CtState) -> bool {
    let changes = |one: &XtMatch| matches!(one, XtMatch::Random(_) | XtMatch::Recent(_));
    let excludes = |one: &XtMatch| match one {
        XtMatch::CtState { negated, states } => {
            // What became of the connection may be asked for beside the packet's own state.
            let by_translation = CtStates::of(&[CtState::Snat, CtState::Dnat]);
            match negated {
                true => states.contains(state),
                false => !states.contains(state) && !states.intersects(by_translation),
            }
        }
        _ => false,
    };
    !rule.matches.iter().any(changes) && rule.matches.iter().any(excludes)
}

/// One chain out of two owners' chains of a name; `None` when they contradict each other.
fn merge(first: &Arc<XtChain>, second: &Arc<XtChain>, built_in: bool) -> Option<Arc<XtChain>> {
    if first == second && (!built_in || first.rules.is_empty()) {
        return Some(Arc::clone(first));
    }
    if built_in {
        let policy = match (first.policy, second.policy) {
            (Some(Policy::Drop), _) | (_, Some(Policy::Drop)) => Some(Policy::Drop),
            (first, second) => first.or(second),
        };
        let rules = first.rules.iter().chain(&second.rules).cloned().collect();
        return Some(Arc::new(XtChain { policy, rules }));
    }
    match (first.rules.is_empty(), second.rules.is_empty()) {
        (true, _) => Some(Arc::clone(second)),
        (_, true) => Some(Arc::clone(first)),
        (false, false) => None,
    }
}
