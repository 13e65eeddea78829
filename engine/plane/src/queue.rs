//! What is going to happen, by time; what is due at one instant happens in the order in which it was planned.
//!
//! **What.** A few lanes, in each of which everything is in order, and a heap for what fits into none. **Why.** Nearly
//! everything is planned a fixed time ahead (a link's latency, a timer's length), so it is the last of some lane already
//! when it is planned; and timers are cancelled far more often than they fire. A cancelled one stays in its lane as a gap
//! until it is its first or its last, but never shows as something pending.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use base::SimTime;

/// Names one planned happening, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    key: Key,
    slot: u32,
    lane: u32,
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
    lanes: [Lane; LANES],
    /// The last of each lane.
    lasts: [Key; LANES],
    /// The rest, the earliest on top.
    heap: BinaryHeap<Reverse<Ticket>>,
    heap_gaps: usize,
    /// The first of each lane, and then of the heap.
    firsts: [Key; LANES + 1],
    /// Where the earliest of all is.
    earliest: usize,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    next_sequence: u64,
}

/// What is planned in order of time.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Ticket>,
    /// How many of them were cancelled: neither the first nor the last.
    gaps: usize,
}

#[derive(Debug)]
struct Slot<T> {
    /// [`Key::NEVER`] while the slot is free.
    key: Key,
    happening: Option<T>,
}

/// As many as there are usual spans of time to plan ahead.
const LANES: usize = 6;
/// The heap's number among the lanes.
const HEAP: usize = LANES;
/// So many gaps, and one for each that waits, are left alone.
const GAPS: usize = 64;

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Default::default(),
            lasts: [Key::FIRST; LANES],
            heap: BinaryHeap::new(),
            heap_gaps: 0,
            firsts: [Key::NEVER; LANES + 1],
            earliest: HEAP,
            slots: Vec::new(),
            free: Vec::new(),
            next_sequence: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: SimTime, happening: T) -> Ticket {
        let key = Key::new(at, self.next_sequence);
        self.next_sequence += 1;
        let slot = self.fill_slot(key, happening);
        let lane = self.lane_for(key);
        let ticket = Ticket {
            key,
            slot,
            lane: u32::try_from(lane).expect("there are few lanes"),
        };
        match self.lanes.get_mut(lane) {
            Some(fitting) => {
                fitting.waiting.push_back(ticket);
                self.lasts[lane] = key;
            }
            None => self.heap.push(Reverse(ticket)),
        }
        if key < self.firsts[lane] {
            self.firsts[lane] = key;
            if key < self.firsts[self.earliest] {
                self.earliest = lane;
            }
        }
        ticket
    }

    /// Takes something back; nothing happens when it is over already.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        if !is_pending(&self.slots, &ticket) {
            return;
        }
        self.empty_slot(ticket.slot);
        match self.lanes.get_mut(ticket.lane as usize) {
            Some(lane) => lane.gaps += 1,
            None => self.heap_gaps += 1,
        }
        self.tidy(ticket.lane as usize);
    }

    pub(crate) fn next_at(&self) -> Option<SimTime> {
        let next = self.firsts[self.earliest];
        (next != Key::NEVER).then(|| next.at())
    }

    pub(crate) fn pop(&mut self) -> Option<(SimTime, T)> {
        let lane = self.earliest;
        let ticket = match self.lanes.get_mut(lane) {
            Some(lane) => lane.waiting.pop_front()?,
            None => self.heap.pop()?.0,
        };
        let happening = self.empty_slot(ticket.slot)?;
        self.tidy(lane);
        Some((ticket.at(), happening))
    }

    fn fill_slot(&mut self, key: Key, happening: T) -> u32 {
        let happening = Some(happening);
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Slot { key, happening };
            return slot;
        }
        self.slots.push(Slot { key, happening });
        u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 happenings are pending")
    }

    fn empty_slot(&mut self, slot: u32) -> Option<T> {
        self.free.push(slot);
        let slot = &mut self.slots[slot as usize];
        slot.key = Key::NEVER;
        slot.happening.take()
    }

    /// The first lane whose last comes before a key: what is planned furthest ahead gathers in the first.
    fn lane_for(&self, key: Key) -> usize {
        let mut lasts = self.lasts.iter();
        lasts.position(|last| *last <= key).unwrap_or(HEAP)
    }

    /// Something of a lane is over: its first and its last are to be such as are pending.
    fn tidy(&mut self, lane: usize) {
        let slots = &self.slots;
        let first = match self.lanes.get_mut(lane) {
            Some(present) => {
                if present.gaps > 0 {
                    present.tidy(|ticket| is_pending(slots, ticket));
                }
                let last = present.waiting.back();
                self.lasts[lane] = last.map_or(Key::FIRST, |ticket| ticket.key);
                present.waiting.front()
            }
            None => {
                self.tidy_heap();
                self.heap.peek().map(|Reverse(ticket)| ticket)
            }
        };
        let first = first.map_or(Key::NEVER, |ticket| ticket.key);
        if self.firsts[lane] != first {
            self.firsts[lane] = first;
            if self.earliest == lane {
                self.find_earliest();
            }
        }
    }

    fn tidy_heap(&mut self) {
        let slots = &self.slots;
        while self
            .heap
            .peek()
            .is_some_and(|Reverse(ticket)| !is_pending(slots, ticket))
        {
            self.heap.pop();
            self.heap_gaps -= 1;
        }
        if self.heap_gaps > GAPS + self.heap.len() / 2 {
            self.heap
                .retain(|Reverse(ticket)| is_pending(slots, ticket));
            self.heap_gaps = 0;
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

impl Lane {
    fn tidy(&mut self, is_pending: impl Fn(&Ticket) -> bool) {
        while self.gaps > 0 && self.waiting.front().is_some_and(|first| !is_pending(first)) {
            self.waiting.pop_front();
            self.gaps -= 1;
        }
        while self.gaps > 0 && self.waiting.back().is_some_and(|last| !is_pending(last)) {
            self.waiting.pop_back();
            self.gaps -= 1;
        }
        if self.gaps > GAPS + self.waiting.len() / 2 {
            self.waiting.retain(is_pending);
            self.gaps = 0;
        }
    }
}

/// Whether what a ticket is for is still to come.
fn is_pending<T>(slots: &[Slot<T>], ticket: &Ticket) -> bool {
    slots[ticket.slot as usize].key == ticket.key
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
        let waiting = queue.lanes.iter().map(|lane| lane.waiting.len());
        let held = waiting.sum::<usize>() + queue.heap.len();
        assert!(held <= 3 + 2 * GAPS, "{held}");
        assert_eq!(queue.next_at(), Some(first.at()));
    }

    #[derive(Clone, Debug)]
    enum Call {
        Plan(u64),
        /// Of those planned so far, over or not.
        Cancel(prop::sample::Index),
        Pop,
    }

    proptest! {
        #[test]
        fn as_an_ordered_map(
            calls in prop::collection::vec(
                prop_oneof![
                    3 => (0..20_u64).prop_map(Call::Plan),
                    2 => any::<prop::sample::Index>().prop_map(Call::Cancel),
                    1 => Just(Call::Pop),
                ],
                0..200,
            ),
        ) {
            let mut queue = Queue::new();
            let mut map = BTreeMap::new();
            let mut tickets = Vec::new();
            for call in calls {
                match call {
                    Call::Plan(nanos) => {
                        let (at, number) = (SimTime::from_nanos(nanos), tickets.len());
                        tickets.push(queue.plan(at, number));
                        map.insert((at, number), number);
                    }
                    Call::Cancel(index) if !tickets.is_empty() => {
                        let number = index.index(tickets.len());
                        queue.cancel(tickets[number]);
                        map.remove(&(tickets[number].at(), number));
                    }
                    Call::Cancel(_) => {}
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
