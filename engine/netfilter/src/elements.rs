//! What rules have put into nftables sets and maps.
//!
//! **What.** A [`DynamicSets`] holds, per table and set, the elements that packets made, with their time of
//! expiry. **Why.** A ruleset is what its owner wrote; what happens to it afterwards is state of the node. In it
//! kube-proxy's nftables mode keeps session affinity (PROXY-32, PROXY-54). **Source of the semantics.** Linux
//! `net/netfilter/nft_dynset.c`.

use std::collections::BTreeMap;

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::nft::{Ident, TableKey};

use crate::packed::Packed;

/// A set or map of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetName {
    pub(crate) table: TableKey,
    pub(crate) set: Ident,
}

/// All elements that packets made.
#[derive(Clone, Debug, Default)]
pub(crate) struct DynamicSets {
    /// Never iterated.
    sets: HashMap<SetName, BTreeMap<Packed, DynamicElement>, FixedState>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DynamicElement {
    /// When it goes; [`SimTime::MAX`] when never.
    pub(crate) expires: SimTime,
    /// What it leads to, in a map.
    pub(crate) data: Option<Packed>,
}

/// A change to an element, that an evaluation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ElementChange {
    pub(crate) set: SetName,
    pub(crate) key: Packed,
    /// What it becomes; `None` takes it away.
    pub(crate) element: Option<DynamicElement>,
}

impl DynamicSets {
    /// Whether no rule has put anything anywhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// An element that has not expired.
    pub(crate) fn get(&self, set: &SetName, key: &Packed, now: SimTime) -> Option<&DynamicElement> {
        let element = self.sets.get(set)?.get(key)?;
        (element.expires > now).then_some(element)
    }

    /// The elements of a set that have not expired, in order of their bytes.
    pub(crate) fn elements(
        &self,
        set: &SetName,
        now: SimTime,
    ) -> impl Iterator<Item = (&Packed, &DynamicElement)> {
        let elements = self.sets.get(set).into_iter().flatten();
        elements.filter(move |(_, element)| element.expires > now)
    }

    /// The number of a set's elements, expired ones included.
    pub(crate) fn len(&self, set: &SetName) -> usize {
        self.sets.get(set).map_or(0, BTreeMap::len)
    }

    pub(crate) fn apply(&mut self, change: ElementChange) {
        let ElementChange { set, key, element } = change;
        match element {
            Some(element) => {
                self.sets.entry(set).or_default().insert(key, element);
            }
            None => {
                if let Some(elements) = self.sets.get_mut(&set) {
                    elements.remove(&key);
                }
            }
        }
    }

    /// Takes back the elements that have expired.
    pub(crate) fn expire(&mut self, now: SimTime) {
        self.sets.retain(|_, elements| {
            elements.retain(|_, element| element.expires > now);
            !elements.is_empty()
        });
    }

    /// Keeps the sets that a predicate picks.
    pub(crate) fn retain(&mut self, keep: impl Fn(&SetName) -> bool) {
        self.sets.retain(|name, _| keep(name));
    }
}
