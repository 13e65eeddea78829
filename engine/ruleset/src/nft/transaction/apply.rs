//! Doing a transaction to tables.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::super::uses::{Used, used_by, used_by_verdict};
use super::super::{Element, Ident, NftChain, NftTable, NftTables, SetOrMap, TableKey, Value};
use super::{NftAction, NftOperation, NftTransaction};

/// Why a kernel would not take a transaction. None of it happens then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {} on table {table}: {kind}", index + 1)]
pub struct ApplyError {
    /// Its place in the transaction, from 0.
    pub index: usize,
    /// The table.
    pub table: TableKey,
    /// What is wrong.
    #[source]
    pub kind: ApplyErrorKind,
}

/// What is wrong with an operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyErrorKind {
    /// There is no such table.
    #[error("there is no such table")]
    NoTable,
    /// There is no chain of this name.
    #[error("there is no chain {0}")]
    NoChain(Ident),
    /// There is no set or map of this name.
    #[error("there is no set or map {0}")]
    NoSet(Ident),
    /// There is one already, and it is something else.
    #[error("{0} exists already, and is something else")]
    Exists(Ident),
    /// There is no such element.
    #[error("{0} has no such element")]
    NoElement(Ident),
    /// There is one of that key already.
    #[error("{0} has an element of that key")]
    ElementExists(Ident),
    /// It is of the other sort.
    #[error("{0} is a set where a map is wanted, or a map where a set is")]
    Sort(Ident),
    /// Something names it still.
    #[error("{0} is still in use")]
    InUse(Ident),
}

impl NftTables {
    /// The tables after a transaction. These stay as they are; what does not change is shared.
    ///
    /// # Errors
    /// When a kernel would refuse it.
    pub fn apply(&self, transaction: &NftTransaction) -> Result<Self, ApplyError> {
        let mut tables = self.clone();
        for (index, operation) in transaction.operations().iter().enumerate() {
            tables.operate(operation).map_err(|kind| ApplyError {
                index,
                table: operation.table.clone(),
                kind,
            })?;
        }
        Ok(tables)
    }

    fn operate(&mut self, operation: &NftOperation) -> Result<(), ApplyErrorKind> {
        let entry = self.tables.entry(operation.table.clone());
        match (&operation.action, entry) {
            (NftAction::AddTable { comment }, Entry::Vacant(free)) => {
                free.insert(NftTable {
                    comment: comment.clone(),
                    ..NftTable::default()
                });
                Ok(())
            }
            (NftAction::AddTable { .. }, Entry::Occupied(_)) => Ok(()),
            (_, Entry::Vacant(_)) => Err(ApplyErrorKind::NoTable),
            (NftAction::DeleteTable, Entry::Occupied(table)) => {
                table.remove();
                Ok(())
            }
            (action, Entry::Occupied(table)) => table.into_mut().act(action),
        }
    }
}

impl NftTable {
    fn act(&mut self, action: &NftAction) -> Result<(), ApplyErrorKind> {
        match action {
            NftAction::AddTable { .. } | NftAction::DeleteTable => {}
            NftAction::AddSet(name, set) => {
                if self.sets.get(name).is_some() {
                    return Err(ApplyErrorKind::Exists(name.clone()));
                }
                if let SetOrMap::Map(map) = set {
                    for element in map.elements.values() {
                        self.check_goal(element)?;
                    }
                }
                self.sets.insert(name.clone(), set.clone());
            }
            NftAction::DeleteSet(name) | NftAction::DeleteMap(name) => {
                let is_map = matches!(self.set_mut(name)?, SetOrMap::Map(_));
                if is_map != matches!(action, NftAction::DeleteMap(_)) {
                    return Err(ApplyErrorKind::Sort(name.clone()));
                }
                self.check_unused(Used::Set(name), name)?;
                self.sets.remove(name);
            }
            NftAction::AddChain {
                chain,
                base,
                comment,
            } => match self.chains.get_mut(chain) {
                None => {
                    let made = NftChain {
                        base: *base,
                        comment: comment.clone(),
                        rules: Vec::new(),
                    };
                    self.chains.insert(chain.clone(), Arc::new(made));
                }
                Some(present) => Arc::make_mut(present).base = *base,
            },
            NftAction::FlushChain(name) => {
                let chain = self.chain_mut(name)?;
                *chain = Arc::new(NftChain {
                    rules: Vec::new(),
                    comment: chain.comment.clone(),
                    ..**chain
                });
            }
            NftAction::DeleteChain(name) => {
                let has_rules = !self.chain_mut(name)?.rules.is_empty();
                if has_rules {
                    return Err(ApplyErrorKind::InUse(name.clone()));
                }
                self.check_unused(Used::Chain(name), name)?;
                self.chains.remove(name);
            }
            NftAction::AddRule(name, rule) => {
                for used in rule.statements.iter().flat_map(used_by) {
                    self.check_present(used)?;
                }
                Arc::make_mut(self.chain_mut(name)?)
                    .rules
                    .push(rule.clone());
            }
            NftAction::AddSetElement { set, key, attrs } => {
                let SetOrMap::Set(elements) = self.set_mut(set)? else {
                    return Err(ApplyErrorKind::Sort(set.clone()));
                };
                let elements = &mut Arc::make_mut(elements).elements;
                if elements.insert(key.clone(), attrs.clone()).is_some() {
                    return Err(ApplyErrorKind::ElementExists(set.clone()));
                }
            }
            NftAction::AddMapElement { map, key, element } => {
                self.check_goal(element)?;
                let SetOrMap::Map(elements) = self.set_mut(map)? else {
                    return Err(ApplyErrorKind::Sort(map.clone()));
                };
                let elements = &mut Arc::make_mut(elements).elements;
                if elements.insert(key.clone(), element.clone()).is_some() {
                    return Err(ApplyErrorKind::ElementExists(map.clone()));
                }
            }
            NftAction::DeleteElement(name, key) => {
                let was_there = match self.set_mut(name)? {
                    SetOrMap::Set(set) => Arc::make_mut(set).elements.remove(key).is_some(),
                    SetOrMap::Map(map) => Arc::make_mut(map).elements.remove(key).is_some(),
                };
                if !was_there {
                    return Err(ApplyErrorKind::NoElement(name.clone()));
                }
            }
        }
        Ok(())
    }

    fn chain_mut(&mut self, name: &Ident) -> Result<&mut Arc<NftChain>, ApplyErrorKind> {
        let chain = self.chains.get_mut(name);
        chain.ok_or_else(|| ApplyErrorKind::NoChain(name.clone()))
    }

    fn set_mut(&mut self, name: &Ident) -> Result<&mut SetOrMap, ApplyErrorKind> {
        let set = self.sets.get_mut(name);
        set.ok_or_else(|| ApplyErrorKind::NoSet(name.clone()))
    }

    /// Whether what an element leads to is there.
    fn check_goal(&self, element: &Element) -> Result<(), ApplyErrorKind> {
        let goal = match &element.value {
            Value::Verdict(verdict) => used_by_verdict(verdict),
            Value::Data(_) => None,
        };
        goal.map_or(Ok(()), |goal| self.check_present(goal))
    }

    fn check_present(&self, used: Used<'_>) -> Result<(), ApplyErrorKind> {
        match used {
            Used::Chain(name) if self.chains.get(name).is_none() => {
                Err(ApplyErrorKind::NoChain(name.clone()))
            }
            Used::Set(name) if self.sets.get(name).is_none() => {
                Err(ApplyErrorKind::NoSet(name.clone()))
            }
            Used::Chain(_) | Used::Set(_) => Ok(()),
        }
    }

    /// Whether no rule and no element names it: all of the table is looked through, as deleting is rare.
    fn check_unused(&self, part: Used<'_>, name: &Ident) -> Result<(), ApplyErrorKind> {
        let rules = self.chains.iter().flat_map(|(_, chain)| &chain.rules);
        let by_rule = rules
            .flat_map(|rule| &rule.statements)
            .flat_map(used_by)
            .any(|used| used == part);
        let maps = self.sets.iter().filter_map(|(_, one)| match one {
            SetOrMap::Map(map) => Some(map),
            SetOrMap::Set(_) => None,
        });
        let by_element = maps
            .flat_map(|map| map.elements.values())
            .any(|one| match &one.value {
                Value::Verdict(verdict) => used_by_verdict(verdict) == Some(part),
                Value::Data(_) => false,
            });
        if by_rule || by_element {
            return Err(ApplyErrorKind::InUse(name.clone()));
        }
        Ok(())
    }
}
