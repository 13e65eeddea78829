//! Changes to tables, as data.
//!
//! **What.** An [`XtTransaction`] is what has to happen to the tables of one family so that they become others: a list
//! of [`XtUnit`]s, each of which a kernel takes as a whole. **Why.** `iptables-restore` commits table by table, and so
//! there are moments in which one table is new and another old. In which of them what packets find is known only if
//! the order is: translations are made before refusals are lifted, and refusals before translations go.
//! **Source of the semantics.** iptables-restore(8): `nat` stays committed when `filter` fails, in both variants;
//! PROXY-46, PROXY-66.
//!
//! The order is: `filter` with the rules of both, `nat` and all others, `filter` as it is to be. A unit that changes
//! nothing is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use super::{ChainName, Policy, TableName, XtChain, XtRule, XtTable, XtTables};
use crate::Family;

/// What happens to the tables of one family, unit by unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XtTransaction {
    /// `iptables` or `ip6tables`.
    pub family: Family,
    /// In order. Each leaves the tables in a state that packets may meet.
    pub units: Vec<XtUnit>,
}

/// What happens to one table, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XtUnit {
    /// The table.
    pub table: TableName,
    /// In order.
    pub commands: Vec<XtCommand>,
}

/// One line of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XtCommand {
    /// `:CHAIN - [0:0]`: a chain of one's own comes into being, or is emptied.
    Empty(ChainName),
    /// `:CHAIN POLICY [0:0]`, of a built-in chain.
    SetPolicy(ChainName, Policy),
    /// `-A CHAIN …`: behind its rules.
    Append(ChainName, XtRule),
    /// `-I CHAIN …`: before the rules of a built-in chain, which is always there.
    Prepend(ChainName, XtRule),
    /// `-D CHAIN …`: the first rule that is equal.
    Remove(ChainName, XtRule),
    /// `-X CHAIN`: an empty chain that nothing leads to.
    Delete(ChainName),
}

impl XtTransaction {
    /// What makes one owner's tables the other. In built-in chains, rules that both have stay where they are.
    ///
    /// # Panics
    /// When the two are of different families: they are then different programs' tables.
    #[must_use]
    pub fn between(before: &XtTables, after: &XtTables) -> Self {
        Self {
            family: after.family,
            units: Self::halves(before, after).concat(),
        }
    }

    /// The same in two parts, for whoever changes more than rules: after the first, whatever gets rules anew has them, and
    /// what the old ones refuse is refused until the second.
    ///
    /// # Panics
    /// As [`Self::between`].
    #[must_use]
    pub fn halves(before: &XtTables, after: &XtTables) -> [Vec<XtUnit>; 2] {
        assert_eq!(before.family, after.family, "tables of one family");
        let table = |tables: &XtTables, name| tables.tables.get(&name).cloned().unwrap_or_default();
        let names: BTreeSet<TableName> = before
            .tables
            .keys()
            .chain(after.tables.keys())
            .copied()
            .collect();
        let filter = TableName::Filter;
        let (old, new) = (table(before, filter), table(after, filter));
        let both = union(&old, &new, after.family);
        let others = names.into_iter().filter(|name| *name != filter);
        let others = others.map(|name| unit(name, &table(before, name), &table(after, name)));
        let first = std::iter::once(unit(filter, &old, &both)).chain(others);
        let last = unit(filter, &both, &new);
        let is_something = |unit: &XtUnit| !unit.commands.is_empty();
        [
            first.filter(is_something).collect(),
            Some(last).into_iter().filter(is_something).collect(),
        ]
    }

    /// Whether nothing happens.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.units.is_empty()
    }
}

impl XtTables {
    /// The tables after a unit. These stay as they are; chains that do not change are shared.
    ///
    /// `None` when a kernel would refuse the unit: a chain or rule is not there, or a chain that goes is still in use.
    #[must_use]
    pub fn apply(&self, unit: &XtUnit) -> Option<Self> {
        let mut tables = self.clone();
        let table = tables.tables.entry(unit.table).or_default();
        for command in &unit.commands {
            table.act(command)?;
        }
        Some(tables)
    }
}

impl XtTable {
    fn act(&mut self, command: &XtCommand) -> Option<()> {
        match command {
            XtCommand::Empty(name) => {
                self.chains.insert(*name, Arc::default());
            }
            XtCommand::SetPolicy(name, policy) => {
                let chain = Arc::make_mut(self.chains.entry(*name).or_default());
                chain.policy = Some(*policy);
            }
            XtCommand::Append(name, rule) => self.chain_mut(*name)?.rules.push(rule.clone()),
            XtCommand::Prepend(name, rule) => {
                let chain = self.chains.entry(*name).or_insert_with(|| {
                    Arc::new(XtChain {
                        policy: Some(Policy::Accept),
                        rules: Vec::new(),
                    })
                });
                Arc::make_mut(chain).rules.insert(0, rule.clone());
            }
            XtCommand::Remove(name, rule) => {
                let rules = &mut self.chain_mut(*name)?.rules;
                let place = rules.iter().position(|one| one == rule)?;
                rules.remove(place);
            }
            XtCommand::Delete(name) => {
                let gone = self.chains.remove(name)?;
                let mut rules = self.chains.values().flat_map(|chain| &chain.rules);
                let is_used = rules.any(|rule| rule.leads_to() == Some(*name));
                (gone.rules.is_empty() && !is_used).then_some(())?;
            }
        }
        Some(())
    }

    fn chain_mut(&mut self, name: ChainName) -> Option<&mut XtChain> {
        self.chains.get_mut(&name).map(Arc::make_mut)
    }
}

/// A table with the chains of both, and in each the rules of the new one before those that only the old one has.
fn union(old: &XtTable, new: &XtTable, family: Family) -> XtTable {
    let mut chains = new.chains.clone();
    for item in old.chains.diff(&new.chains) {
        let (name, old, new) = match item {
            DiffItem::Add(..) => continue,
            DiffItem::Remove(name, old) => {
                chains.insert(*name, Arc::clone(old));
                continue;
            }
            DiffItem::Update { old, new } => (old.0, old.1, new.1),
        };
        if old.rules == new.rules {
            continue;
        }
        // Equal rules print equal lines, and lines can be sorted: there may be thousands.
        let line = |rule: &XtRule| rule.line(*name, family).to_string();
        let known: BTreeSet<String> = new.rules.iter().map(line).collect();
        let only_old = old.rules.iter().filter(|rule| !known.contains(&line(rule)));
        let only_old: Vec<_> = only_old.cloned().collect();
        if !only_old.is_empty() {
            let mut both = XtChain::clone(new);
            both.rules.extend(only_old);
            chains.insert(*name, Arc::new(both));
        }
    }
    XtTable { chains }
}

/// What makes one table the other. Chains come first, as rules lead to them, and go last.
fn unit(name: TableName, old: &XtTable, new: &XtTable) -> XtUnit {
    let is_built_in = |chain: &ChainName| name.built_in_chains().contains(&chain.as_str());
    let mut gone = Vec::new();
    let mut commands = Vec::new();
    let mut rules = Vec::new();
    for item in old.chains.diff(&new.chains) {
        match item {
            DiffItem::Remove(chain, present) if is_built_in(chain) => {
                if present.policy == Some(Policy::Drop) {
                    commands.push(XtCommand::SetPolicy(*chain, Policy::Accept));
                }
                rules.extend(built_in(*chain, &present.rules, &[]));
            }
            DiffItem::Remove(chain, _) => gone.push(*chain),
            DiffItem::Add(chain, wanted) if is_built_in(chain) => {
                become_built_in(
                    *chain,
                    &XtChain::default(),
                    wanted,
                    &mut commands,
                    &mut rules,
                );
            }
            DiffItem::Update { old, new } if is_built_in(new.0) => {
                become_built_in(*new.0, old.1, new.1, &mut commands, &mut rules);
            }
            DiffItem::Add(chain, wanted)
            | DiffItem::Update {
                new: (chain, wanted),
                ..
            } => {
                commands.push(XtCommand::Empty(*chain));
                let appended = wanted.rules.iter().cloned();
                rules.extend(appended.map(|rule| XtCommand::Append(*chain, rule)));
            }
        }
    }
    let emptied = gone.iter().copied().map(XtCommand::Empty);
    let deleted = gone.iter().copied().map(XtCommand::Delete);
    XtUnit {
        table: name,
        commands: emptied
            .chain(commands)
            .chain(rules)
            .chain(deleted)
            .collect(),
    }
}

fn become_built_in(
    chain: ChainName,
    present: &XtChain,
    wanted: &XtChain,
    commands: &mut Vec<XtCommand>,
    rules: &mut Vec<XtCommand>,
) {
    let policy = wanted.policy.unwrap_or(Policy::Accept);
    if policy != present.policy.unwrap_or(Policy::Accept) {
        commands.push(XtCommand::SetPolicy(chain, policy));
    }
    rules.extend(built_in(chain, &present.rules, &wanted.rules));
}

/// Rules of a built-in chain, where others have theirs too: so they are named by what they say, never by their number.
/// Those that stay are left alone if they keep their order behind those that come.
fn built_in(
    chain: ChainName,
    old: &[XtRule],
    new: &[XtRule],
) -> impl Iterator<Item = XtCommand> + use<> {
    let kept: Vec<&XtRule> = old.iter().filter(|rule| new.contains(rule)).collect();
    let first_kept = new.len() - kept.len().min(new.len());
    let kept_stay = new[first_kept..].iter().eq(kept.iter().copied());
    let (removed, added): (Vec<_>, &[XtRule]) = match kept_stay {
        true => {
            let removed = old.iter().filter(|rule| !new.contains(rule));
            (removed.cloned().collect(), &new[..first_kept])
        }
        false => (old.to_vec(), new),
    };
    let removed = removed
        .into_iter()
        .map(move |rule| XtCommand::Remove(chain, rule));
    let added: Vec<_> = added.iter().rev().cloned().collect();
    removed.chain(
        added
            .into_iter()
            .map(move |rule| XtCommand::Prepend(chain, rule)),
    )
}
