//! Who has which label: what makes a list by labels cost what it finds.
//!
//! **What.** One ordered set of (kind, label, object): the objects with a label stand together, by namespace and
//! name.
//! **Why.** A set of sets would need a node of the tree for every label that only one object has, as Pods of a
//! StatefulSet do. The set is persistent, as the store is.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;

use crate::object::{Kind, ObjectKey, StringMap};
use crate::selector::{Requirement, Selector, Test};

/// Between the parts of a text: below every character that a name or label may have.
const BETWEEN: char = '\0';

/// Objects by their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelIndex {
    entries: OrdSet<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    kind: Kind,
    /// Key and value.
    label: Arc<str>,
    /// Namespace, name and, of a custom resource, which one it is.
    object: Arc<str>,
}

impl LabelIndex {
    /// An object has other labels than before; a new one had none, one that is gone has none.
    pub(super) fn change(&mut self, key: &ObjectKey, before: &StringMap, after: &StringMap) {
        if before == after {
            return;
        }
        let object: Arc<str> = object_text(key).into();
        for label in missing(before, after) {
            self.entries.remove(&Entry {
                kind: key.kind,
                label: label.into(),
                object: Arc::clone(&object),
            });
        }
        for label in missing(after, before) {
            self.entries.insert(Entry {
                kind: key.kind,
                label: self.shared(key.kind, label),
                object: Arc::clone(&object),
            });
        }
    }

    /// The objects of a kind that satisfy the requirement of `selector` that the fewest satisfy, by namespace and
    /// name; `None` where no requirement asks for a label, so that every object has to be looked at.
    pub(super) fn candidates(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Option<Vec<ObjectKey>> {
        let positive = selector.requirements().iter();
        let mut searches: Vec<_> = positive
            .filter_map(|requirement| self.search(kind, namespace, requirement))
            .map(|found| (found, Vec::new()))
            .collect();
        // All advance together: the first to end is the shortest.
        loop {
            for (found, keys) in &mut searches {
                match found.next() {
                    Some(entry) => keys.push(key_of(entry)),
                    None => {
                        let mut keys = std::mem::take(keys);
                        // Several values of one label stand one after the other.
                        keys.sort();
                        return Some(keys);
                    }
                }
            }
            if searches.is_empty() {
                return None;
            }
        }
    }

    /// The entries that satisfy a requirement; `None` for one that objects without the label satisfy, and for
    /// comparisons of numbers.
    fn search<'a>(
        &'a self,
        kind: Kind,
        namespace: Option<&'a str>,
        requirement: &Requirement,
    ) -> Option<Box<dyn Iterator<Item = &'a Entry> + 'a>> {
        let inside = move |entry: &&Entry| {
            namespace.is_none_or(|namespace| entry.object.split(BETWEEN).next() == Some(namespace))
        };
        let key = requirement.key.clone();
        match &requirement.test {
            Test::Exists => {
                let prefix = label_text(&key, "");
                let start = entry(kind, &prefix, "");
                let entries = self.entries.range(start..);
                let same =
                    move |entry: &&Entry| entry.kind == kind && entry.label.starts_with(&prefix);
                Some(Box::new(entries.take_while(same).filter(inside)))
            }
            Test::In(values) => {
                let values = values.clone().into_iter();
                let each = values.flat_map(move |value| {
                    self.with_label(kind, namespace, label_text(&key, &value))
                });
                Some(Box::new(each))
            }
            Test::DoesNotExist | Test::NotIn(_) | Test::Greater(_) | Test::Less(_) => None,
        }
    }

    fn with_label<'a>(
        &'a self,
        kind: Kind,
        namespace: Option<&'a str>,
        label: String,
    ) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let first = namespace.map_or_else(String::new, |namespace| format!("{namespace}{BETWEEN}"));
        let entries = self.entries.range(entry(kind, &label, &first)..);
        entries.take_while(move |entry| {
            entry.kind == kind && *entry.label == *label && entry.object.starts_with(&first)
        })
    }

    /// The text of a label, the one that another object has where there is one.
    fn shared(&self, kind: Kind, label: String) -> Arc<str> {
        let start = entry(kind, &label, "");
        let range = (Bound::Included(start), Bound::Unbounded);
        let next = self.entries.range::<_, Entry>(range).next();
        match next {
            Some(next) if *next.label == *label => Arc::clone(&next.label),
            _ => label.into(),
        }
    }
}

fn entry(kind: Kind, label: &str, object: &str) -> Entry {
    Entry {
        kind,
        label: label.into(),
        object: object.into(),
    }
}

/// The labels of `of` that are not in `other` with the same value.
fn missing<'a>(of: &'a StringMap, other: &'a StringMap) -> impl Iterator<Item = String> + 'a {
    of.iter()
        .filter(|(key, value)| other.get(*key) != Some(*value))
        .map(|(key, value)| label_text(key, value))
}

fn label_text(key: &str, value: &str) -> String {
    format!("{key}{BETWEEN}{value}")
}

fn object_text(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let custom = key.custom.as_deref().unwrap_or_default();
    format!("{namespace}{BETWEEN}{}{BETWEEN}{custom}", key.name)
}

fn key_of(entry: &Entry) -> ObjectKey {
    let mut parts = entry.object.split(BETWEEN);
    let mut part = || {
        parts
            .next()
            .expect("every text of the index has three parts")
    };
    let (namespace, name, custom) = (part(), part(), part());
    ObjectKey {
        custom: (!custom.is_empty()).then(|| custom.into()),
        ..ObjectKey::new(entry.kind, namespace, name)
    }
}
