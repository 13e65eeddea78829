//! What makes some tables others.
//!
//! Of a table that stays, only what differs is touched. A kernel cannot change what a set or a chain *is*: its type,
//! its timeout, its hook. Such a one goes and comes back, and whatever names it is written anew.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::uses::{Used, used_by, used_by_verdict};
use super::super::{
    BaseChain, DataType, Element, ElementAttrs, Ident, Key, NftChain, NftTable, NftTables,
    SetOrMap, TableKey, Value,
};
use super::{NftAction, NftOperation, NftTransaction};

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

/// Two states of one table.
struct Difference<'t> {
    old: &'t NftTable,
    new: &'t NftTable,
    /// Those that cannot stay: they are gone, or are something else under their name.
    dead_sets: BTreeSet<&'t Ident>,
    dead_chains: BTreeSet<&'t Ident>,
    /// Chains of both whose rules are written anew.
    rewritten: BTreeSet<&'t Ident>,
}

impl<'t> Difference<'t> {
    fn of(old: &'t NftTable, new: &'t NftTable) -> Self {
        let dead_sets = old.sets.iter().filter(|(name, set)| {
            let kept = new.sets.get(name);
            !kept.is_some_and(|kept| is_same_kind(set, kept))
        });
        let dead_chains = old.chains.iter().filter(|(name, chain)| {
            let kept = new.chains.get(name);
            !kept.is_some_and(|kept| can_become(chain, kept))
        });
        let mut difference = Self {
            old,
            new,
            dead_sets: dead_sets.map(|(name, _)| name).collect(),
            dead_chains: dead_chains.map(|(name, _)| name).collect(),
            rewritten: BTreeSet::new(),
        };
        difference.rewritten = difference.chains_to_write();
        difference.make_anew_what_cannot_be_named();
        difference
    }

    fn chains_to_write(&self) -> BTreeSet<&'t Ident> {
        let nothing_died = self.dead_sets.is_empty() && self.dead_chains.is_empty();
        let rewritten = self.old.chains.iter().filter(|(name, chain)| {
            let kept = self.new.chains.get(name);
            kept.is_some_and(|kept| {
                let differs = !Arc::ptr_eq(chain, kept) && chain.rules != kept.rules;
                let is_dead = self.dead_chains.contains(name);
                !is_dead && (differs || !nothing_died && self.names_a_dead_one(chain))
            })
        });
        rewritten.map(|(name, _)| name).collect()
    }

    /// nft 1.0.6 refuses a rule that looks into a map which is there already and was declared by `typeof` to lead to a
    /// port ("conflicting protocols specified: ip6 vs. th"), but not into one that comes with it. So maps that new rules
    /// name are made anew.
    fn make_anew_what_cannot_be_named(&mut self) {
        loop {
            let written = self.new.chains.iter();
            let written = written
                .filter(|(name, _)| self.is_new_chain(name) || self.rewritten.contains(name));
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
        let kept = self.old.sets.iter();
        let kept = kept.filter(|(name, _)| !self.dead_sets.contains(name));
        let changed: Vec<_> = kept
            .filter_map(|(name, old)| Some((name, old, self.new.sets.get(name)?)))
            .collect();
        for (name, old, new) in &changed {
            self.delete_elements(name, old, new, &mut actions);
        }
        let dead_sets = self.old.sets.iter();
        let dead_sets = dead_sets.filter(|(name, _)| self.dead_sets.contains(name));
        actions.extend(dead_sets.map(|(name, one)| match one {
            SetOrMap::Set(_) => NftAction::DeleteSet(name.clone()),
            SetOrMap::Map(_) => NftAction::DeleteMap(name.clone()),
        }));
        let dead_chains = self.dead_chains.iter();
        actions.extend(dead_chains.map(|name| NftAction::DeleteChain((*name).clone())));
        for (name, chain) in self.new.chains.iter() {
            if self.is_new_chain(name) || self.has_new_policy(name, chain.base) {
                actions.push(NftAction::AddChain {
                    chain: name.clone(),
                    base: chain.base,
                    comment: chain.comment.clone(),
                });
            }
        }
        let new_sets = self.new.sets.iter();
        let new_sets = new_sets.filter(|(name, _)| self.is_new_set(name));
        actions.extend(new_sets.map(|(name, set)| NftAction::AddSet(name.clone(), set.clone())));
        for (name, old, new) in changed {
            self.add_elements(name, old, new, &mut actions);
        }
        let written = self.new.chains.iter();
        let written =
            written.filter(|(name, _)| self.is_new_chain(name) || self.rewritten.contains(name));
        actions.extend(written.flat_map(|(name, chain)| {
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
        let mut delete = |key: &Key| {
            let action = NftAction::DeleteElement(name.clone(), key.clone());
            actions.push(action);
        };
        match (old, new) {
            (SetOrMap::Set(old), SetOrMap::Set(new)) if !Arc::ptr_eq(old, new) => {
                let gone = old.elements.iter();
                gone.filter(|(key, attrs)| !stays_in_set(attrs, new.elements.get(*key)))
                    .for_each(|(key, _)| delete(key));
            }
            (SetOrMap::Map(old), SetOrMap::Map(new)) => {
                // A map that both share may lead to a chain that comes back.
                if Arc::ptr_eq(old, new) && self.dead_chains.is_empty() {
                    return;
                }
                let gone = old.elements.iter();
                gone.filter(|(key, one)| !self.stays_in_map(one, new.elements.get(*key)))
                    .for_each(|(key, _)| delete(key));
            }
            _ => {}
        }
    }

    fn add_elements(
        &self,
        name: &Ident,
        old: &SetOrMap,
        new: &SetOrMap,
        actions: &mut Vec<NftAction>,
    ) {
        match (old, new) {
            (SetOrMap::Set(old), SetOrMap::Set(new)) if !Arc::ptr_eq(old, new) => {
                let added = new.elements.iter().filter(|(key, attrs)| {
                    let before = old.elements.get(*key);
                    before.is_none_or(|before| !stays_in_set(before, Some(attrs)))
                });
                actions.extend(added.map(|(key, attrs)| NftAction::AddSetElement {
                    set: name.clone(),
                    key: key.clone(),
                    attrs: attrs.clone(),
                }));
            }
            (SetOrMap::Map(old), SetOrMap::Map(new)) => {
                if Arc::ptr_eq(old, new) && self.dead_chains.is_empty() {
                    return;
                }
                let added = new.elements.iter().filter(|(key, one)| {
                    let before = old.elements.get(*key);
                    before.is_none_or(|before| !self.stays_in_map(before, Some(one)))
                });
                actions.extend(added.map(|(key, element)| NftAction::AddMapElement {
                    map: name.clone(),
                    key: key.clone(),
                    element: element.clone(),
                }));
            }
            _ => {}
        }
    }

    fn stays_in_map(&self, old: &Element, new: Option<&Element>) -> bool {
        let leads_to_a_dead_one = match &old.value {
            Value::Verdict(verdict) => used_by_verdict(verdict).is_some_and(|to| self.is_dead(to)),
            Value::Data(_) => false,
        };
        new == Some(old) && !leads_to_a_dead_one
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

fn stays_in_set(old: &ElementAttrs, new: Option<&ElementAttrs>) -> bool {
    new == Some(old)
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
