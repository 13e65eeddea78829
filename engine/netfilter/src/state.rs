//! A node's memory: its conntrack table, and what rules remember.
//!
//! **What.** [`NodeState`] finds the connection of a packet by its tuple, in either direction; it holds the lists
//! of `-m recent`, the elements that rules put into sets, and the counters of `numgen inc`. It changes only in
//! [`NodeState::commit`], with the [`Effects`] of an evaluation, and by deleting. **Why.** Reading and changing
//! are apart, so that a probe leaves no trace. **Source of the semantics.** Linux `nf_conntrack_core.c`.
//!
//! An entry past its time is as good as gone: lookups do not see it, and its slot is taken back by
//! [`NodeState::expire`] or by the next connection with its tuples.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::net::{IpAddr, SocketAddr};

use base::SimTime;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use ruleset::ipvs::{Drained, ServerKey, ServerLoad, VirtualServers};
use ruleset::xt::RecentWindow;

use crate::elements::{DynamicElement, DynamicSets, ElementChange, SetName};
use crate::entry::{Direction, Entry, Progress};
use crate::ipvs::{VirtualChange, VirtualConnections};
use crate::packed::Packed;
use crate::recent::{RecentChange, RecentLists};
use crate::{Advance, NodeTables, Opened, Tuple};

/// What an evaluation would change; see [`NodeState::commit`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "nothing changes before the effects are committed"]
pub struct Effects {
    pub(crate) removed: Option<EntryId>,
    pub(crate) connection: Option<ConnectionChange>,
    /// In the order in which rules asked for them.
    pub(crate) changes: Vec<Change>,
}

impl Effects {
    /// Whether they change nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.removed.is_none() && self.connection.is_none() && self.changes.is_empty()
    }

    /// The connection that the packet starts.
    #[must_use]
    pub const fn created(&self) -> Option<&Entry> {
        match &self.connection {
            Some(ConnectionChange::Created(entry)) => Some(entry),
            Some(ConnectionChange::Updated(..)) | None => None,
        }
    }
}

/// The connection of a packet, and the packet's direction in it.
pub(crate) type Found<'a> = (EntryId, Direction, &'a Entry);

/// A change to the packet's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionChange {
    Created(Entry),
    Updated(EntryId, Progress),
}

/// A change to what rules remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Recent(RecentChange),
    Element(ElementChange),
    Virtual(VirtualChange),
    /// A counter gives this number next time.
    Counter(CounterName, u32),
}

/// A counter of `numgen inc`: where its rule stands, and which of the rule's it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CounterName {
    pub(crate) chain: SetName,
    pub(crate) rule: usize,
    pub(crate) ordinal: usize,
}

/// Entries that are remembered after a packet has removed them.
const UNDONE_MAX: usize = 64;

/// Names an entry, and no later one in the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId {
    slot: u32,
    generation: u32,
}

/// Whether the table takes another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// When this entry goes.
    After(EntryId),
    None,
}

/// What one node remembers of the packets it has seen.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Never iterated, so its order does not matter; the hash is the same in every run all the same. It holds
    /// slots, not tuples: a quarter of the memory, and the entry is needed anyway.
    index: HashTable<Link>,
    hasher: FixedState,
    /// `nf_conntrack_max`
    limit: Option<usize>,
    /// The last entries that packets removed, the oldest first.
    undone: VecDeque<Entry>,
    recent: RecentLists,
    elements: DynamicSets,
    /// Never iterated.
    counters: HashMap<CounterName, u32, FixedState>,
    virtual_connections: VirtualConnections,
}

/// Two lines of a processor's cache.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// One direction of the entry in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link(u32);

impl Link {
    const fn new(slot: u32, direction: Direction) -> Self {
        Self(slot << 1 | direction as u32)
    }

    const fn slot(self) -> u32 {
        self.0 >> 1
    }

    const fn direction(self) -> Direction {
        if self.0 & 1 == Direction::Original as u32 {
            Direction::Original
        } else {
            Direction::Reply
        }
    }
}

impl NodeState {
    /// No connections, and no limit to their number.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No connections yet, and memory for so many: a kernel, too, makes its table once.
    #[must_use]
    pub fn with_capacity(connections: usize) -> Self {
        // Filled once, so that the system gives the memory now and not packet by packet.
        let mut slots = vec![Slot::default(); connections];
        slots.clear();
        Self {
            slots,
            index: HashTable::with_capacity(connections.saturating_mul(2)),
            ..Self::default()
        }
    }

    /// Forgets everything, as a machine that loses its power does; the limit stays.
    pub fn reset(&mut self) {
        *self = Self {
            limit: self.limit,
            ..Self::default()
        };
    }

    /// Limits the number of connections (`nf_conntrack_max`); `None` lifts the limit. A full table gives up a
    /// connection that is not assured for a new one, if it finds one; else the new connection's packet is dropped
    /// ([`DropReason::ConntrackFull`](crate::DropReason::ConntrackFull)). Entries that are there stay (PROXY-75).
    pub const fn set_limit(&mut self, limit: Option<usize>) {
        self.limit = limit;
    }

    /// Whether the number of connections is limited.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether there are as many entries as may be, those past their time included until they are taken back.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.len() >= limit)
    }

    /// Makes the changes of an evaluation. What became impossible since is left out: an entry that is gone stays
    /// gone, and a connection whose tuples were taken by another is not entered.
    pub fn commit(&mut self, effects: Effects) {
        if let Some(id) = effects.removed {
            self.remove(id);
        }
        match effects.connection {
            Some(ConnectionChange::Created(entry)) => self.insert(entry),
            Some(ConnectionChange::Updated(id, progress)) => {
                if let Some(entry) = self.get_mut(id) {
                    entry.set_progress(progress);
                }
            }
            None => {}
        }
        for change in effects.changes {
            match change {
                Change::Recent(change) => self.recent.apply(change),
                Change::Element(change) => self.elements.apply(change),
                Change::Virtual(change) => self.virtual_connections.apply(change),
                Change::Counter(name, next) => {
                    self.counters.insert(name, next);
                }
            }
        }
    }

    /// Takes a connection forward by packets that are foreseen; their times count from an instant.
    pub fn advance(&mut self, opened: &Opened, by: &Advance, since: SimTime) {
        if let Some(entry) = self.get_mut(opened.id) {
            entry.set_progress(by.apply(entry.progress(), since));
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

    /// An entry that a packet has removed, with this tuple of its first packet: what was refused is forgotten at once. The
    /// last few are kept for those who ask why; nothing else sees them.
    #[must_use]
    pub fn undone(&self, original: &Tuple) -> Option<&Entry> {
        let mut latest_first = self.undone.iter().rev();
        latest_first.find(|entry| entry.original() == original)
    }

    /// The real servers that virtual ones do not have any more, but that connections still go to: a kernel has them with
    /// weight 0 (PROXY-61).
    #[must_use]
    pub fn drained(&self, servers: &VirtualServers, now: SimTime) -> Vec<Drained> {
        self.virtual_connections.drained(servers, now)
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

    /// The addresses on a list of `-m recent` and when each was last seen, the one not seen for longest first.
    pub fn recent(&self, list: &str) -> impl Iterator<Item = (IpAddr, SimTime)> {
        self.recent.addresses(list)
    }

    /// How many connections a real server of a virtual one has, as `ipvsadm -L` tells.
    #[must_use]
    pub fn server_load(&self, server: &ServerKey, real: SocketAddr, now: SimTime) -> ServerLoad {
        self.virtual_connections.listed(server, real, now)
    }

    /// Takes back all entries and set elements past their time; returns how many entries.
    pub fn expire(&mut self, now: SimTime) -> usize {
        self.elements.expire(now);
        self.virtual_connections.tidy(now);
        self.delete(|entry| entry.expires_at() <= now)
    }

    /// Deletes the entries that a predicate picks, as `conntrack -D` does; returns how many (PROXY-73). See
    /// [`EntryFilter`](crate::EntryFilter).
    pub fn delete(&mut self, mut picks: impl FnMut(&Entry) -> bool) -> usize {
        let before = self.len();
        for slot in 0..self.slots.len() {
            if self.slots[slot].entry.as_ref().is_some_and(&mut picks) {
                self.clear(u32::try_from(slot).expect("slots are numbered in 31 bits"));
            }
        }
        before - self.len()
    }

    /// Forgets what rules remembered that are not in these tables: lists of `-m recent`, elements that rules made,
    /// counters. Call it after the node's tables have changed; connections stay (PROXY-72).
    pub fn forget_rules_not_in(&mut self, tables: &NodeTables) {
        self.recent.retain(|list| tables.names_recent_list(list));
        self.elements.retain(|set| tables.has_set(set));
        self.counters
            .retain(|counter, _| tables.has_chain(&counter.chain));
        self.virtual_connections
            .retain(|server| tables.has_virtual_server(server));
    }

    /// The same connections, and nothing of what rules and virtual servers remember of earlier packets: which endpoint a
    /// client sticks to is in it. Where nothing is remembered it costs nothing.
    #[must_use]
    pub fn without_memory_of_rules(&self) -> Cow<'_, Self> {
        let remembers_nothing = self.recent.is_empty()
            && self.elements.is_empty()
            && self.virtual_connections.is_empty();
        if remembers_nothing {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            slots: self.slots.clone(),
            free: self.free.clone(),
            index: self.index.clone(),
            hasher: self.hasher.clone(),
            limit: self.limit,
            counters: self.counters.clone(),
            ..Self::default()
        })
    }

    /// What virtual servers remember.
    pub(crate) const fn virtual_connections(&self) -> &VirtualConnections {
        &self.virtual_connections
    }

    pub(crate) fn lookup(&self, tuple: &Tuple, now: SimTime) -> Option<Found<'_>> {
        let (link, entry) = self.linked(tuple, self.hasher.hash_one(tuple))?;
        let slot = link.slot();
        let id = EntryId {
            slot,
            generation: self.slots[slot as usize].generation,
        };
        (entry.expires_at() > now).then_some((id, link.direction(), entry))
    }

    /// Whether a connection that starts with this tuple has room.
    ///
    /// Deviation: Linux looks for an entry to give up in eight buckets that its hash picks, with a random seed
    /// (`early_drop`); here it is in eight slots that our hash picks.
    pub(crate) fn room(&self, tuple: &Tuple, now: SimTime) -> Room {
        const EVICTION_RANGE: usize = 8;
        if !self.is_full() {
            return Room::Free;
        }
        let count = self.slots.len();
        let Some(first) = usize::try_from(self.hasher.hash_one(tuple) >> 32)
            .ok()
            .and_then(|hash| hash.checked_rem(count))
        else {
            return Room::None;
        };
        let candidates = (first..count).chain(0..first).take(EVICTION_RANGE);
        let mut sacrifices = candidates.filter(|slot| {
            let entry = self.slots[*slot].entry.as_ref();
            entry.is_some_and(|entry| !entry.is_assured() || entry.expires_at() <= now)
        });
        sacrifices.next().map_or(Room::None, |slot| {
            Room::After(EntryId {
                slot: u32::try_from(slot).expect("slots are numbered in 31 bits"),
                generation: self.slots[slot].generation,
            })
        })
    }

    pub(crate) fn is_recent(
        &self,
        list: &str,
        address: IpAddr,
        window: RecentWindow,
        now: SimTime,
    ) -> bool {
        self.recent.is_listed(list, address, window, now)
    }

    pub(crate) fn recent_stamps(&self, list: &str, address: IpAddr) -> Option<&[SimTime]> {
        self.recent.stamps(list, address)
    }

    pub(crate) fn element(
        &self,
        set: &SetName,
        key: &Packed,
        now: SimTime,
    ) -> Option<&DynamicElement> {
        self.elements.get(set, key, now)
    }

    /// The elements that rules have put into a set.
    pub(crate) fn elements(
        &self,
        set: &SetName,
        now: SimTime,
    ) -> impl Iterator<Item = (&Packed, &DynamicElement)> {
        self.elements.elements(set, now)
    }

    /// Their number, expired ones included.
    pub(crate) fn elements_len(&self, set: &SetName) -> usize {
        self.elements.len(set)
    }

    /// The number that a counter gives next.
    pub(crate) fn counter(&self, name: &CounterName) -> u32 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    fn linked(&self, tuple: &Tuple, hash: u64) -> Option<(Link, &Entry)> {
        let link = self
            .index
            .find(hash, |link| tuple_of(&self.slots, *link) == tuple)?;
        Some((*link, entry_of(&self.slots, *link)))
    }

    fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        (slot.generation == id.generation)
            .then_some(slot.entry.as_mut())
            .flatten()
    }

    fn remove(&mut self, id: EntryId) {
        let Some(entry) = self.get_mut(id).cloned() else {
            return;
        };
        if self.undone.len() == UNDONE_MAX {
            self.undone.pop_front();
        }
        self.undone.push_back(entry);
        self.clear(id.slot);
    }

    fn insert(&mut self, entry: Entry) {
        let now = entry.started_at();
        let directions = [Direction::Original, Direction::Reply];
        let hashes = directions.map(|direction| self.hasher.hash_one(entry.tuple(direction)));
        for (direction, hash) in directions.into_iter().zip(hashes) {
            if let Some((link, present)) = self.linked(entry.tuple(direction), hash) {
                if present.expires_at() > now {
                    return;
                }
                self.clear(link.slot());
            }
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("slots are numbered in 31 bits")
        });
        self.slots[slot as usize].entry = Some(entry);
        let (slots, hasher) = (&self.slots, &self.hasher);
        for (direction, hash) in directions.into_iter().zip(hashes) {
            let rehash = |link: &Link| hasher.hash_one(tuple_of(slots, *link));
            self.index
                .insert_unique(hash, Link::new(slot, direction), rehash);
        }
    }

    fn clear(&mut self, slot: u32) {
        if self.slots[slot as usize].entry.is_none() {
            return;
        }
        for direction in [Direction::Original, Direction::Reply] {
            let link = Link::new(slot, direction);
            let hash = self.hasher.hash_one(tuple_of(&self.slots, link));
            if let Ok(found) = self.index.find_entry(hash, |other| *other == link) {
                found.remove();
            }
        }
        let place = &mut self.slots[slot as usize];
        place.entry = None;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
    }
}

fn entry_of(slots: &[Slot], link: Link) -> &Entry {
    let entry = slots[link.slot() as usize].entry.as_ref();
    entry.expect("the index names occupied slots only")
}

fn tuple_of(slots: &[Slot], link: Link) -> &Tuple {
    entry_of(slots, link).tuple(link.direction())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use ruleset::Protocol;

    use super::*;
    use crate::recent::RecentUpdate;

    fn entry(port: u16, seconds: u64) -> Entry {
        let socket = |host: u8, port| SocketAddr::from(([10, 0, 0, host], port));
        let tuple = Tuple::new(Protocol::UDP, socket(1, port), socket(2, 53));
        let progress = Progress {
            started: SimTime::ZERO,
            expires: SimTime::ZERO + Duration::from_secs(seconds),
            seen_reply: false,
            assured: false,
            tcp: None,
            mark: 0,
            is_virtual: false,
        };
        Entry::new(tuple, tuple.inverse(), progress)
    }

    fn created(entry: Entry) -> Effects {
        Effects {
            connection: Some(ConnectionChange::Created(entry)),
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
            connection: Some(ConnectionChange::Updated(id, *entry(1, 90).progress())),
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
    fn what_packets_removed_is_remembered_for_a_while() {
        let mut state = NodeState::new();
        let refuse = |state: &mut NodeState, number| {
            state.commit(created(entry(number, 30)));
            let original = *entry(number, 30).original();
            let removed = state.lookup(&original, SimTime::ZERO).map(|(id, ..)| id);
            state.commit(Effects {
                removed,
                ..Effects::default()
            });
            original
        };
        let first = refuse(&mut state, 1);
        assert!(state.is_empty());
        assert_eq!(state.undone(&first), Some(&entry(1, 30)));
        for _ in 0..UNDONE_MAX {
            refuse(&mut state, 2);
        }
        assert_eq!(state.undone(&first), None);
    }

    #[test]
    fn a_reset_leaves_nothing_but_the_limit() {
        let mut fresh = NodeState::new();
        fresh.set_limit(Some(1));
        let mut state = fresh.clone();
        let seen = RecentChange {
            list: "affinity".into(),
            address: IpAddr::from([10, 0, 0, 1]),
            action: RecentUpdate::Touch {
                at: SimTime::ZERO,
                keep: 1,
            },
        };
        state.commit(Effects {
            changes: vec![Change::Recent(seen)],
            ..created(entry(1, 30))
        });
        assert_eq!(state.recent("affinity").count(), 1);
        state.reset();
        assert_eq!(format!("{state:?}"), format!("{fresh:?}"));
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
