//! What is going to happen, by time; what is due at one instant happens in the order in which it was planned.
//!
//! **What.** A few lanes, in each of which everything is in order, and a heap for what fits into none. **Why.** Nearly
//! everything is planned a fixed time ahead (a link's latency, a timer's length), so it is the last of some lane already
//! when it is planned. Timers are put off or cancelled far more often than they fire: what was put off keeps its place
//! until its turn would have come, and what was cancelled leaves a gap until it is its lane's first or last. Neither shows
//! as something pending at its old time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use base::SimTime;

/// Names one planned happening, to cancel it or put it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    key: Key,
    slot: u32,
}

/// The time of a happening, and then its number, as one number that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
    /// Before every other.
    const FIRST: Self = Self(0);
    /// After every other.
    const NEVER: Self = Self(u128::MAX);

    fn new(at: SimTime, sequence: u64) -> Self {
        Self(u128::from(at.as_nanos()) << 64 | u128::from(sequence))
    }

    fn at(self) -> SimTime {
        let nanos = u64::try_from(self.0 >> 64).expect("half of 128 bits");
        SimTime::from_nanos(nanos)
    }
}

impl Ticket {
    /// When it is due.
    pub(crate) fn at(self) -> SimTime {
        self.key.at()
    }
}

/// The queue. Order: (time, sequence number).
#[derive(Debug)]
pub(crate) struct Queue<T> {
    lanes: [VecDeque<Place>; LANES],
    /// The last of each lane.
    lasts: [Key; LANES],
    /// The rest, the earliest on top.
    heap: BinaryHeap<Reverse<Place>>,
    /// The first of each lane, and then of the heap: always pending.
    firsts: [Key; LANES + 1],
    /// Where the earliest of all is.
    earliest: usize,
    /// By lane, and then of the heap.
    stale: [Stale; LANES + 1],
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    next_sequence: u64,
}

/// Where something stands in a lane or in the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: Key,
    slot: u32,
}

/// What has become of what stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Pending,
    /// It is due later, and has no other place yet.
    PutOff,
    Gone,
}

/// How many places of a lane are of no use.
#[derive(Clone, Copy, Debug, Default)]
struct Stale {
    put_off: usize,
    gone: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// [`Key::NEVER`] while the slot is free.
    key: Key,
    /// The key of its place: an earlier one once it was put off.
    placed: Key,
    lane: usize,
    happening: Option<T>,
}

/// As many as there are usual spans of time to plan ahead.
const LANES: usize = 6;
/// The heap's number among the lanes.
const HEAP: usize = LANES;
/// So many gaps, and one for each two that wait, are left alone.
const GAPS: usize = 64;

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Default::default(),
            lasts: [Key::FIRST; LANES],
            heap: BinaryHeap::new(),
            firsts: [Key::NEVER; LANES + 1],
            earliest: HEAP,
            stale: [Stale::default(); LANES + 1],
            slots: Vec::new(),
            free: Vec::new(),
            next_sequence: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: SimTime, happening: T) -> Ticket {
        let key = self.next_key(at);
        self.plan_as(key, happening)
    }

    /// Plans something for another time instead, as if it were planned only now; `None` when it is over already.
    pub(crate) fn replan(&mut self, ticket: Ticket, at: SimTime) -> Option<Ticket> {
        let slot = ticket.slot;
        let present = &self.slots[slot as usize];
        if present.key != ticket.key {
            return None;
        }
        let (placed, lane) = (present.placed, present.lane);
        let key = self.next_key(at);
        if key < placed {
            let happening = self.remove(slot)?;
            return Some(self.plan_as(key, happening));
        }
        self.slots[slot as usize].key = key;
        if ticket.key == placed {
            self.stale[lane].put_off += 1;
            if self.firsts[lane] == placed {
                self.tidy(lane);
            }
        }
        Some(Ticket { key, slot })
    }

    /// Takes something back; nothing happens when it is over already.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        if self.slots[ticket.slot as usize].key == ticket.key {
            self.remove(ticket.slot);
        }
    }

    pub(crate) fn next_at(&self) -> Option<SimTime> {
        let next = self.firsts[self.earliest];
        (next != Key::NEVER).then(|| next.at())
    }

    /// Whether something of a kind is pending.
    pub(crate) fn any(&self, is_it: impl Fn(&T) -> bool) -> bool {
        let pending = self.slots.iter();
        let mut pending = pending.filter_map(|slot| slot.happening.as_ref());
        pending.any(is_it)
    }

    pub(crate) fn pop(&mut self) -> Option<(SimTime, T)> {
        let lane = self.earliest;
        let first = match self.lanes.get_mut(lane) {
            Some(waiting) => waiting.pop_front()?,
            None => self.heap.pop()?.0,
        };
        let happening = self.empty_slot(first.slot)?;
        self.tidy(lane);
        Some((first.key.at(), happening))
    }

    fn next_key(&mut self, at: SimTime) -> Key {
        let key = Key::new(at, self.next_sequence);
        self.next_sequence += 1;
        key
    }

    #[inline]
    fn plan_as(&mut self, key: Key, happening: T) -> Ticket {
        let lane = self.lane_for(key);
        let filled = Slot {
            key,
            placed: key,
            lane,
            happening: Some(happening),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = filled;
                slot
            }
            None => {
                self.slots.push(filled);
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 happenings are pending")
            }
        };
        self.place(lane, Place { key, slot });
        Ticket { key, slot }
    }

    #[inline]
    fn place(&mut self, lane: usize, place: Place) {
        let key = place.key;
        match self.lanes.get_mut(lane) {
            Some(waiting) => {
                waiting.push_back(place);
                self.lasts[lane] = key;
            }
            None => self.heap.push(Reverse(place)),
        }
        if key < self.firsts[lane] {
            self.firsts[lane] = key;
            if key < self.firsts[self.earliest] {
                self.earliest = lane;
            }
        }
    }

    /// Gives what was put off the place that it would have had at once.
    fn place_again(&mut self, slot: u32) {
        let key = self.slots[slot as usize].key;
        let lane = self.lane_for(key);
        let moved = &mut self.slots[slot as usize];
        (moved.placed, moved.lane) = (key, lane);
        self.place(lane, Place { key, slot });
    }

    /// The first lane whose last comes before a key: what is planned furthest ahead gathers in the first.
    fn lane_for(&self, key: Key) -> usize {
        let mut lasts = self.lasts.iter();
        lasts.position(|last| *last <= key).unwrap_or(HEAP)
    }

    /// Takes something out that is pending.
    fn remove(&mut self, slot: u32) -> Option<T> {
        let Slot {
            key, placed, lane, ..
        } = self.slots[slot as usize];
        let happening = self.empty_slot(slot);
        let stale = &mut self.stale[lane];
        stale.gone += 1;
        if key != placed {
            stale.put_off -= 1;
        }
        self.tidy(lane);
        happening
    }

    fn empty_slot(&mut self, slot: u32) -> Option<T> {
        self.free.push(slot);
        let slot = &mut self.slots[slot as usize];
        (slot.key, slot.placed) = (Key::NEVER, Key::NEVER);
        slot.happening.take()
    }

    #[inline]
    fn first(&self, lane: usize) -> Option<Place> {
        match self.lanes.get(lane) {
            Some(waiting) => waiting.front().copied(),
            None => self.heap.peek().map(|Reverse(place)| *place),
        }
    }

    fn pop_first(&mut self, lane: usize) -> Option<Place> {
        match self.lanes.get_mut(lane) {
            Some(waiting) => waiting.pop_front(),
            None => self.heap.pop().map(|Reverse(place)| place),
        }
    }

    /// Something of a lane is over or put off: its first is to be such as is pending, and its last not gone.
    fn tidy(&mut self, lane: usize) {
        let Stale { put_off, gone } = self.stale[lane];
        if put_off + gone > 0 {
            self.drop_stale(lane);
        }
        if let Some(waiting) = self.lanes.get(lane) {
            self.lasts[lane] = waiting.back().map_or(Key::FIRST, |place| place.key);
        }
        let first = self.first(lane).map_or(Key::NEVER, |place| place.key);
        if self.firsts[lane] != first {
            self.firsts[lane] = first;
            if self.earliest == lane {
                self.find_earliest();
            }
        }
    }

    fn drop_stale(&mut self, lane: usize) {
        while let Some(first) = self.first(lane) {
            match standing(&self.slots, first) {
                Standing::Pending => break,
                Standing::PutOff => {
                    self.pop_first(lane);
                    self.stale[lane].put_off -= 1;
                    self.place_again(first.slot);
                }
                Standing::Gone => {
                    self.pop_first(lane);
                    self.stale[lane].gone -= 1;
                }
            }
        }
        let (slots, gone) = (&self.slots, &mut self.stale[lane].gone);
        let is_gone = |place: Place| standing(slots, place) == Standing::Gone;
        let Some(waiting) = self.lanes.get_mut(lane) else {
            if *gone > GAPS + self.heap.len() / 2 {
                self.heap.retain(|Reverse(place)| !is_gone(*place));
                *gone = 0;
            }
            return;
        };
        while *gone > 0 && waiting.back().is_some_and(|last| is_gone(*last)) {
            waiting.pop_back();
            *gone -= 1;
        }
        if *gone > GAPS + waiting.len() / 2 {
            waiting.retain(|place| !is_gone(*place));
            *gone = 0;
        }
    }

    fn find_earliest(&mut self) {
        let (mut earliest, mut key) = (HEAP, self.firsts[HEAP]);
        for (lane, first) in self.firsts.iter().enumerate() {
            if *first < key {
                (earliest, key) = (lane, *first);
            }
        }
        self.earliest = earliest;
    }
}

fn standing<T>(slots: &[Slot<T>], place: Place) -> Standing {
    let slot = &slots[place.slot as usize];
    if slot.placed != place.key {
        Standing::Gone
    } else if slot.key != place.key {
        Standing::PutOff
    } else {
        Standing::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn earliest_first_then_as_planned() {
        let mut queue = Queue::new();
        queue.plan(SimTime::from_nanos(2), "c");
        queue.plan(SimTime::from_nanos(1), "a");
        let gone = queue.plan(SimTime::from_nanos(1), "gone");
        queue.plan(SimTime::from_nanos(1), "b");
        queue.cancel(gone);
        assert_eq!(queue.next_at(), Some(SimTime::from_nanos(1)));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, name)| name)
            .collect();
        assert_eq!(order, ["a", "b", "c"]);
    }

    /// A timer is set anew again and again, between one that stays and one that was set since: gaps do not add up.
    #[test]
    fn cancelled_timers_are_forgotten() {
        let mut queue = Queue::new();
        let first = queue.plan(SimTime::from_nanos(1_000_000), 0);
        let mut before = first;
        for nanos in 1..100_000 {
            let timer = queue.plan(SimTime::from_nanos(1_000_000 + nanos), 1);
            if nanos > 1 {
                queue.cancel(before);
                queue.cancel(before);
            }
            before = timer;
            queue.plan(SimTime::from_nanos(nanos), 2);
            assert_eq!(queue.pop(), Some((SimTime::from_nanos(nanos), 2)));
        }
        let waiting = queue.lanes.iter().map(VecDeque::len);
        let held = waiting.sum::<usize>() + queue.heap.len();
        assert!(held <= 3 + 2 * GAPS, "{held}");
        assert_eq!(queue.next_at(), Some(first.at()));
    }

    /// Connections that set their timers anew with every packet, as many as ever: each keeps one place.
    #[test]
    fn timers_that_are_put_off_keep_their_places() {
        let mut queue = Queue::new();
        let timer = |queue: &mut Queue<_>, nanos| queue.plan(SimTime::from_nanos(nanos), ());
        let mut timers: Vec<Ticket> = (1..=100).map(|nanos| timer(&mut queue, nanos)).collect();
        for nanos in 101..100_000 {
            let timer = &mut timers[usize::try_from(nanos % 100).unwrap()];
            *timer = queue.replan(*timer, SimTime::from_nanos(nanos)).unwrap();
        }
        let waiting = queue.lanes.iter().map(VecDeque::len);
        assert_eq!(waiting.sum::<usize>() + queue.heap.len(), 100);
        let fired = std::iter::from_fn(|| queue.pop());
        let fired: Vec<u64> = fired.map(|(at, ())| at.as_nanos()).collect();
        assert_eq!(fired, (99_900..100_000).collect::<Vec<_>>());
    }

    #[derive(Clone, Debug)]
    enum Call {
        Plan(u64),
        /// Of those planned so far, over or not.
        Cancel(prop::sample::Index),
        Replan(prop::sample::Index, u64),
        Pop,
    }

    proptest! {
        #[test]
        fn as_an_ordered_map(
            calls in prop::collection::vec(
                prop_oneof![
                    3 => (0..20_u64).prop_map(Call::Plan),
                    2 => any::<prop::sample::Index>().prop_map(Call::Cancel),
                    3 => (any::<prop::sample::Index>(), 0..40_u64)
                        .prop_map(|(index, nanos)| Call::Replan(index, nanos)),
                    1 => Just(Call::Pop),
                ],
                0..200,
            ),
        ) {
            let mut queue = Queue::new();
            let mut map = BTreeMap::new();
            let mut tickets: Vec<Ticket> = Vec::new();
            for (step, call) in (0_u64..).zip(calls) {
                match call {
                    Call::Plan(nanos) => {
                        let (at, number) = (SimTime::from_nanos(nanos), tickets.len());
                        tickets.push(queue.plan(at, number));
                        map.insert((at, step), number);
                    }
                    Call::Cancel(index) if !tickets.is_empty() => {
                        let number = index.index(tickets.len());
                        queue.cancel(tickets[number]);
                        map.retain(|_, present| *present != number);
                    }
                    Call::Replan(index, nanos) if !tickets.is_empty() => {
                        let (at, number) = (SimTime::from_nanos(nanos), index.index(tickets.len()));
                        let was_pending = map.values().any(|present| *present == number);
                        let again = queue.replan(tickets[number], at);
                        prop_assert_eq!(again.map(Ticket::at), was_pending.then_some(at));
                        if let Some(ticket) = again {
                            tickets[number] = ticket;
                            map.retain(|_, present| *present != number);
                            map.insert((at, step), number);
                        }
                    }
                    Call::Cancel(_) | Call::Replan(..) => {}
                    Call::Pop => {
                        let expected = map.pop_first().map(|((at, _), number)| (at, number));
                        prop_assert_eq!(queue.pop(), expected);
                    }
                }
                prop_assert_eq!(queue.next_at(), map.keys().next().map(|(at, _)| *at));
            }
        }
    }
}
