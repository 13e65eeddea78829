//! What makes some tables others.
//!
//! Of a table that stays, only what differs is touched. A kernel cannot change what a set or a chain *is*: its type,
//! its timeout, its hook. Such a one goes and comes back, and whatever names it is written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::uses::{Used, used_by, used_by_verdict};
use super::super::{
    BaseChain, DataType, Element, Ident, Key, NftChain, NftTable, NftTables, SetOrMap, TableKey,
    Value,
};
use super::{NftAction, NftOperation, NftTransaction};
use crate::{Change, Sorted};

pub(super) fn between(before: &NftTables, after: &NftTables) -> NftTransaction {
    let mut operations = Vec::new();
    let keys: BTreeSet<&TableKey> = before.tables.keys().chain(after.tables.keys()).collect();
    for key in keys {
        let (old, new) = (before.tables.get(key), after.tables.get(key));
        let actions = match (old, new) {
            (Some(old), Some(new)) if old.comment == new.comment => {
                Difference::of(old, new).actions()
            }
            (old, new) => {
                let deleted = old.map(|_| NftAction::DeleteTable);
                let made = new.into_iter().flat_map(|new| {
                    let comment = new.comment.clone();
                    let empty = NftTable {
                        comment: comment.clone(),
                        ..NftTable::default()
                    };
                    let content = Difference::of(&empty, new).actions();
                    std::iter::once(NftAction::AddTable { comment }).chain(content)
                });
                deleted.into_iter().chain(made).collect()
            }
        };
        let table = || key.clone();
        operations.extend(actions.into_iter().map(|action| NftOperation {
            table: table(),
            action,
        }));
    }
    NftTransaction { operations }
}

/// Two states of one table. What both share is looked at only where something of it may have to be written anew.
struct Difference<'t> {
    old: &'t NftTable,
    new: &'t NftTable,
    /// Those that differ, in order.
    sets: Vec<&'t Ident>,
    chains: Vec<&'t Ident>,
    /// Those that cannot stay: they are gone, or are something else under their name.
    dead_sets: BTreeSet<&'t Ident>,
    dead_chains: BTreeSet<&'t Ident>,
    /// Chains of both whose rules are written anew.
    rewritten: BTreeSet<&'t Ident>,
}

impl<'t> Difference<'t> {
    fn of(old: &'t NftTable, new: &'t NftTable) -> Self {
        let sets = old.sets.differing(&new.sets);
        let chains = old.chains.differing(&new.chains);
        let dead_sets = sets.iter().copied().filter(|name| {
            let kept = new.sets.get(name);
            let before = old.sets.get(name);
            before.is_some_and(|before| !kept.is_some_and(|kept| is_same_kind(before, kept)))
        });
        let dead_chains = chains.iter().copied().filter(|name| {
            let kept = new.chains.get(name);
            let before = old.chains.get(name);
            before.is_some_and(|before| !kept.is_some_and(|kept| can_become(before, kept)))
        });
        let mut difference = Self {
            old,
            new,
            dead_sets: dead_sets.collect(),
            dead_chains: dead_chains.collect(),
            sets,
            chains,
            rewritten: BTreeSet::new(),
        };
        difference.rewritten = difference.chains_to_write();
        difference.make_anew_what_cannot_be_named();
        difference
    }

    /// Whether something goes and comes back: what both tables share may name it. (Nothing of the new table names what
    /// does not come back.)
    fn any_returns(&self) -> bool {
        let set_returns = |name: &&Ident| self.new.sets.get(name).is_some();
        self.dead_sets.iter().any(set_returns) || self.any_chain_returns()
    }

    fn any_chain_returns(&self) -> bool {
        let mut dead = self.dead_chains.iter();
        dead.any(|name| self.new.chains.get(name).is_some())
    }

    fn chains_to_write(&self) -> BTreeSet<&'t Ident> {
        let differs = |name: &Ident| {
            let (old, new) = (self.old.chains.get(name), self.new.chains.get(name));
            old.zip(new)
                .is_some_and(|(old, new)| old.rules != new.rules)
        };
        let changed = self.chains.iter().copied().filter(|name| differs(name));
        let mut rewritten: BTreeSet<_> = changed.collect();
        if self.any_returns() {
            let kept = self.old.chains.iter();
            let kept = kept.filter(|(name, _)| self.new.chains.get(name).is_some());
            let named = kept.filter(|(_, chain)| self.names_a_dead_one(chain));
            rewritten.extend(named.map(|(name, _)| name));
        }
        rewritten.retain(|name| !self.dead_chains.contains(name));
        rewritten
    }

    /// nft 1.0.6 refuses a rule that looks into a map which is there already and was declared by `typeof` to lead to a
    /// port ("conflicting protocols specified: ip6 vs. th"), but not into one that comes with it. So maps that new rules
    /// name are made anew.
    fn make_anew_what_cannot_be_named(&mut self) {
        loop {
            let written = self.written_chains();
            let statements = written
                .flat_map(|(_, chain)| &chain.rules)
                .flat_map(|rule| &rule.statements);
            let named = statements.flat_map(used_by).filter_map(|used| match used {
                Used::Set(name) => Some(name),
                Used::Chain(_) => None,
            });
            let named = named.filter(|name| {
                let kept = self.old.sets.get(name);
                kept.is_some_and(is_declared_by_example) && !self.dead_sets.contains(name)
            });
            let named: Vec<&Ident> = named.collect();
            if named.is_empty() {
                return;
            }
            self.dead_sets.extend(named);
            self.rewritten = self.chains_to_write();
        }
    }

    /// Of the new table, those whose rules are written, in order.
    fn written_chains(&self) -> impl Iterator<Item = (&'t Ident, &'t Arc<NftChain>)> + use<'t> {
        let fresh = self.chains.iter().copied();
        let fresh = fresh.filter(|name| self.is_new_chain(name));
        let mut names: Vec<&'t Ident> = fresh.chain(self.rewritten.iter().copied()).collect();
        let chains = &self.new.chains;
        names.sort_by_key(|name| chains.place(name));
        names
            .into_iter()
            .filter_map(|name| Some((name, chains.get(name)?)))
    }

    /// Of both tables, those that stay and whose elements may have to change, in order.
    fn kept_sets(&self) -> Vec<(&'t Ident, &'t SetOrMap, &'t SetOrMap)> {
        let names: Vec<&'t Ident> = match self.any_chain_returns() {
            true => self.new.sets.iter().map(|(name, _)| name).collect(),
            false => self.sets.clone(),
        };
        let kept = names
            .into_iter()
            .filter(|name| !self.dead_sets.contains(name));
        kept.filter_map(|name| {
            let (old, new) = (self.old.sets.get(name)?, self.new.sets.get(name)?);
            Some((name, old, new))
        })
        .collect()
    }

    /// Of the new table, those that come, in order.
    fn new_sets(&self) -> Vec<(&'t Ident, &'t SetOrMap)> {
        let differing = self.sets.iter().copied();
        let names: BTreeSet<&'t Ident> = differing.chain(self.dead_sets.iter().copied()).collect();
        let mut names: Vec<&'t Ident> = names.into_iter().collect();
        names.retain(|name| self.is_new_set(name));
        let sets = &self.new.sets;
        names.sort_by_key(|name| sets.place(name));
        let new = names.into_iter();
        new.filter_map(|name| Some((name, sets.get(name)?)))
            .collect()
    }

    fn names_a_dead_one(&self, chain: &NftChain) -> bool {
        let statements = chain.rules.iter().flat_map(|rule| &rule.statements);
        statements.flat_map(used_by).any(|used| self.is_dead(used))
    }

    fn is_dead(&self, used: Used<'_>) -> bool {
        match used {
            Used::Chain(name) => self.dead_chains.contains(name),
            Used::Set(name) => self.dead_sets.contains(name),
        }
    }

    /// First what is named no more lets go of what it names, then it goes; then the new comes, and names.
    fn actions(&self) -> Vec<NftAction> {
        let mut actions = Vec::new();
        let had_rules = |name: &Ident| {
            let chain = self.old.chains.get(name);
            chain.is_some_and(|chain| !chain.rules.is_empty())
        };
        let emptied = self.dead_chains.iter().chain(&self.rewritten);
        let emptied = emptied.filter(|name| had_rules(name));
        actions.extend(emptied.map(|name| NftAction::FlushChain((*name).clone())));
        let kept = self.kept_sets();
        for (name, old, new) in &kept {
            self.delete_elements(name, old, new, &mut actions);
        }
        let dead_sets = self.dead_sets.iter();
        let dead_sets = dead_sets.filter_map(|name| Some((*name, self.old.sets.get(name)?)));
        actions.extend(dead_sets.map(|(name, one)| match one {
            SetOrMap::Set(_) => NftAction::DeleteSet(name.clone()),
            SetOrMap::Map(_) => NftAction::DeleteMap(name.clone()),
        }));
        let dead_chains = self.dead_chains.iter();
        actions.extend(dead_chains.map(|name| NftAction::DeleteChain((*name).clone())));
        for name in &self.chains {
            let Some(chain) = self.new.chains.get(name) else {
                continue;
            };
            if self.is_new_chain(name) || self.has_new_policy(name, chain.base) {
                actions.push(NftAction::AddChain {
                    chain: (*name).clone(),
                    base: chain.base,
                    comment: chain.comment.clone(),
                });
            }
        }
        let new_sets = self.new_sets().into_iter();
        actions.extend(new_sets.map(|(name, set)| NftAction::AddSet(name.clone(), set.clone())));
        for (name, old, new) in kept {
            self.add_elements(name, old, new, &mut actions);
        }
        actions.extend(self.written_chains().flat_map(|(name, chain)| {
            let rules = chain.rules.iter().cloned();
            rules.map(|rule| NftAction::AddRule(name.clone(), rule))
        }));
        actions
    }

    fn is_new_set(&self, name: &Ident) -> bool {
        self.dead_sets.contains(name) || self.old.sets.get(name).is_none()
    }

    fn is_new_chain(&self, name: &Ident) -> bool {
        self.dead_chains.contains(name) || self.old.chains.get(name).is_none()
    }

    fn has_new_policy(&self, name: &Ident, base: Option<BaseChain>) -> bool {
        let old = self.old.chains.get(name).and_then(|chain| chain.base);
        old != base
    }

    fn delete_elements(
        &self,
        name: &Ident,
        old: &SetOrMap,
        new: &SetOrMap,
        actions: &mut Vec<NftAction>,
    ) {
        let gone: Vec<&Key> = match (old, new) {
            (SetOrMap::Set(old), SetOrMap::Set(new)) => old
                .elements
                .diff(&new.elements)
                .filter_map(|(key, before, _)| before.map(|_| key))
                .collect(),
            (SetOrMap::Map(old), SetOrMap::Map(new)) => self
                .changed_elements(&old.elements, &new.elements)
                .filter_map(|(key, before, _)| before.map(|_| key))
                .collect(),
            _ => Vec::new(),
        };
        let delete = |key: &Key| NftAction::DeleteElement(name.clone(), key.clone());
        actions.extend(gone.into_iter().map(delete));
    }

    fn add_elements(
        &self,
        name: &Ident,
        old: &SetOrMap,
        new: &SetOrMap,
        actions: &mut Vec<NftAction>,
    ) {
        match (old, new) {
            (SetOrMap::Set(old), SetOrMap::Set(new)) => {
                let added = old.elements.diff(&new.elements);
                actions.extend(added.filter_map(|(key, _, attrs)| {
                    Some(NftAction::AddSetElement {
                        set: name.clone(),
                        key: key.clone(),
                        attrs: attrs?.clone(),
                    })
                }));
            }
            (SetOrMap::Map(old), SetOrMap::Map(new)) => {
                let added = self.changed_elements(&old.elements, &new.elements);
                actions.extend(added.filter_map(|(key, _, element)| {
                    Some(NftAction::AddMapElement {
                        map: name.clone(),
                        key: key.clone(),
                        element: element?.clone(),
                    })
                }));
            }
            _ => {}
        }
    }

    /// Elements of a map that differ, and those that lead to a chain that goes and comes back.
    fn changed_elements<'e>(
        &self,
        old: &'e Sorted<Key, Element>,
        new: &'e Sorted<Key, Element>,
    ) -> Box<dyn Iterator<Item = Change<'e, Key, Element>> + 'e> {
        if !self.any_chain_returns() {
            return Box::new(old.diff(new));
        }
        let mut all: BTreeMap<&Key, Change<'e, Key, Element>> = BTreeMap::new();
        for (key, element) in new {
            let leads_to_a_dead_one = match &element.value {
                Value::Verdict(verdict) => {
                    used_by_verdict(verdict).is_some_and(|to| self.is_dead(to))
                }
                Value::Data(_) => false,
            };
            if leads_to_a_dead_one {
                all.insert(key, (key, old.get(key), Some(element)));
            }
        }
        all.extend(old.diff(new).map(|one| (one.0, one)));
        Box::new(all.into_values())
    }
}

/// Whether only `typeof` can declare it.
fn is_declared_by_example(one: &SetOrMap) -> bool {
    let key = match one {
        SetOrMap::Set(set) => &set.key,
        SetOrMap::Map(map) => &map.key,
    };
    key.contains(&DataType::Integer)
}

/// Whether a set differs from another in its elements at most.
fn is_same_kind(one: &SetOrMap, other: &SetOrMap) -> bool {
    match (one, other) {
        (SetOrMap::Set(one), SetOrMap::Set(other)) => {
            Arc::ptr_eq(one, other) || (&one.key, &one.options) == (&other.key, &other.options)
        }
        (SetOrMap::Map(one), SetOrMap::Map(other)) => {
            Arc::ptr_eq(one, other)
                || (&one.key, &one.data, &one.options) == (&other.key, &other.data, &other.options)
        }
        (SetOrMap::Set(_), SetOrMap::Map(_)) | (SetOrMap::Map(_), SetOrMap::Set(_)) => false,
    }
}

/// Whether a chain can be made another: rules and policy change, nothing else.
fn can_become(chain: &NftChain, other: &NftChain) -> bool {
    let place = |base: BaseChain| (base.kind, base.hook, base.priority);
    chain.base.map(place) == other.base.map(place) && chain.comment == other.comment
}
