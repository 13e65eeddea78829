//! A node's memory: its conntrack table.
//!
//! **What.** [`NodeState`] finds the connection of a packet by its tuple, in either direction. It changes only
//! in [`NodeState::commit`], with the [`Effects`] of an evaluation, and by deleting entries. **Why.** Reading
//! and changing are apart, so that a probe leaves no trace. **Source of the semantics.** Linux
//! `nf_conntrack_core.c`.
//!
//! An entry past its time is as good as gone: lookups do not see it, and its slot is taken back by
//! [`NodeState::expire`] or by the next connection with its tuples.

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::Tuple;
use crate::entry::{Direction, Entry, Progress};

/// What an evaluation would change; see [`NodeState::commit`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing changes before the effects are committed"]
pub struct Effects {
    pub(crate) removed: Option<EntryId>,
    pub(crate) updated: Option<(EntryId, Progress)>,
    pub(crate) created: Option<Entry>,
}

impl Effects {
    /// Whether they change nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.removed.is_none() && self.updated.is_none() && self.created.is_none()
    }

    /// The connection that the packet starts.
    #[must_use]
    pub const fn created(&self) -> Option<&Entry> {
        self.created.as_ref()
    }
}

/// Names an entry, and no later one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId {
    slot: usize,
    generation: u64,
}

/// The conntrack table of one node.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Never iterated, so its order does not matter; the hash is the same in every run all the same.
    index: HashMap<Tuple, (usize, Direction), FixedState>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u64,
    entry: Option<Entry>,
}

impl NodeState {
    /// No connections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the changes of an evaluation. What became impossible since is left out: an entry that is gone stays
    /// gone, and a connection whose tuples were taken by another is not entered.
    pub fn commit(&mut self, effects: Effects) {
        if let Some(id) = effects.removed {
            self.remove(id);
        }
        if let Some((id, progress)) = effects.updated
            && let Some(entry) = self.get_mut(id)
        {
            entry.set_progress(progress);
        }
        if let Some(entry) = effects.created {
            self.insert(entry);
        }
    }

    /// All entries that are not past their time, in an order that depends on nothing but the calls made.
    pub fn entries(&self, now: SimTime) -> impl Iterator<Item = &Entry> {
        self.slots
            .iter()
            .filter_map(|slot| slot.entry.as_ref())
            .filter(move |entry| entry.expires_at() > now)
    }

    /// The connection that packets of this tuple belong to, and which way they go in it.
    #[must_use]
    pub fn find(&self, tuple: &Tuple, now: SimTime) -> Option<(&Entry, Direction)> {
        let (_, direction, entry) = self.lookup(tuple, now)?;
        Some((entry, direction))
    }

    /// The number of entries, those past their time but not yet taken back included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes back all entries past their time; returns how many.
    pub fn expire(&mut self, now: SimTime) -> usize {
        self.delete(|entry| entry.expires_at() <= now)
    }

    /// Deletes the entries that a predicate picks, as `conntrack -D` does; returns how many (PROXY-73).
    pub fn delete(&mut self, mut picks: impl FnMut(&Entry) -> bool) -> usize {
        let before = self.len();
        for slot in 0..self.slots.len() {
            if self.slots[slot].entry.as_ref().is_some_and(&mut picks) {
                self.clear(slot);
            }
        }
        before - self.len()
    }

    pub(crate) fn lookup(
        &self,
        tuple: &Tuple,
        now: SimTime,
    ) -> Option<(EntryId, Direction, &Entry)> {
        let (slot, direction) = *self.index.get(tuple)?;
        let entry = self.slots[slot].entry.as_ref();
        let entry = entry.expect("the index names occupied slots only");
        let id = EntryId {
            slot,
            generation: self.slots[slot].generation,
        };
        (entry.expires_at() > now).then_some((id, direction, entry))
    }

    fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.slot)?;
        (slot.generation == id.generation)
            .then_some(slot.entry.as_mut())
            .flatten()
    }

    fn remove(&mut self, id: EntryId) {
        if self.get_mut(id).is_some() {
            self.clear(id.slot);
        }
    }

    fn insert(&mut self, entry: Entry) {
        let now = entry.started_at();
        let tuples = [*entry.original(), *entry.reply()];
        if tuples.iter().any(|tuple| self.lookup(tuple, now).is_some()) {
            return;
        }
        for tuple in &tuples {
            if let Some((expired, _)) = self.index.get(tuple) {
                self.clear(*expired);
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[slot].entry = Some(entry);
        self.index.insert(tuples[1], (slot, Direction::Reply));
        self.index.insert(tuples[0], (slot, Direction::Original));
    }

    fn clear(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        if let Some(entry) = place.entry.take() {
            place.generation += 1;
            self.index.remove(entry.original());
            self.index.remove(entry.reply());
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use ruleset::Protocol;

    use super::*;

    fn entry(port: u16, seconds: u64) -> Entry {
        let socket = |host: u8, port| SocketAddr::from(([10, 0, 0, host], port));
        let tuple = Tuple::new(Protocol::UDP, socket(1, port), socket(2, 53));
        let progress = Progress {
            started: SimTime::ZERO,
            expires: SimTime::ZERO + Duration::from_secs(seconds),
            seen_reply: false,
            assured: false,
            tcp: None,
        };
        Entry::new(tuple, tuple.inverse(), progress)
    }

    fn created(entry: Entry) -> Effects {
        Effects {
            created: Some(entry),
            ..Effects::default()
        }
    }

    #[test]
    fn late_effects_touch_no_other_connection() {
        let mut state = NodeState::new();
        state.commit(created(entry(1, 30)));
        let (id, _, first) = state
            .lookup(entry(1, 30).original(), SimTime::ZERO)
            .unwrap();
        let late = Effects {
            updated: Some((id, *entry(1, 90).progress())),
            ..Effects::default()
        };
        let later = Effects {
            removed: Some(id),
            ..Effects::default()
        };
        assert_eq!(first.expires_at(), SimTime::ZERO + Duration::from_secs(30));
        assert_eq!(state.delete(|_| true), 1);
        state.commit(created(entry(2, 30)));
        state.commit(late);
        state.commit(later);
        let kept: Vec<Entry> = state.entries(SimTime::ZERO).cloned().collect();
        assert_eq!(kept, [entry(2, 30)]);
    }

    #[test]
    fn tuples_are_never_shared() {
        let mut state = NodeState::new();
        state.commit(created(entry(1, 30)));
        state.commit(created(entry(1, 60)));
        assert_eq!(state.len(), 1, "the first one holds the tuple");
        let now = SimTime::ZERO + Duration::from_secs(30);
        assert!(state.find(entry(1, 30).original(), now).is_none());
    }
}
