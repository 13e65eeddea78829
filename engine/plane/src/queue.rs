//! What is going to happen, by time; what is due at one instant happens in the order in which it was planned.
//!
//! A heap that knows where everything is in it, because timers are cancelled far more often than they fire, and a
//! cancelled timer must not show as something pending.

use base::SimTime;

/// Names one planned happening, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    key: Key,
    slot: u32,
}

/// The time of a happening, and then its number, as one number that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
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
    /// A heap: what is at a place is due before what is at the places below it.
    heap: Vec<Ticket>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    next_sequence: u64,
}

#[derive(Debug)]
struct Slot<T> {
    /// Where it is in the heap; anything while the slot is free.
    place: usize,
    happening: Option<T>,
}

/// Places right below each place: so many keys share few lines of a processor's cache.
const BRANCHES: usize = 4;

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            next_sequence: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: SimTime, happening: T) -> Ticket {
        let key = Key::new(at, self.next_sequence);
        self.next_sequence += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                place: 0,
                happening: None,
            });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 happenings are pending")
        });
        self.slots[slot as usize].happening = Some(happening);
        let ticket = Ticket { key, slot };
        self.heap.push(ticket);
        self.rise(self.heap.len() - 1, ticket);
        ticket
    }

    /// Takes something back; nothing happens when it is over already.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        let place = self.slots[ticket.slot as usize].place;
        if self.heap.get(place) == Some(&ticket) {
            self.take(place);
        }
    }

    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.heap.first().map(|ticket| ticket.at())
    }

    pub(crate) fn pop(&mut self) -> Option<(SimTime, T)> {
        let at = self.next_at()?;
        Some((at, self.take(0)?))
    }

    /// Takes out what is at a place of the heap; the last one fills the gap.
    fn take(&mut self, place: usize) -> Option<T> {
        let gone = self.heap.swap_remove(place);
        if let Some(moved) = self.heap.get(place).copied() {
            let above = place.saturating_sub(1) / BRANCHES;
            if moved.key < self.heap[above].key {
                self.rise(place, moved);
            } else {
                self.sink(place, moved);
            }
        }
        self.free.push(gone.slot);
        self.slots[gone.slot as usize].happening.take()
    }

    /// Finds the place for a ticket at this place or above.
    fn rise(&mut self, mut place: usize, ticket: Ticket) {
        while place > 0 {
            let above = (place - 1) / BRANCHES;
            if self.heap[above].key < ticket.key {
                break;
            }
            self.put(place, self.heap[above]);
            place = above;
        }
        self.put(place, ticket);
    }

    /// Finds the place for a ticket at this place or below.
    fn sink(&mut self, mut place: usize, ticket: Ticket) {
        while let Some((least, earlier)) = self.least_below(place) {
            if ticket.key < earlier.key {
                break;
            }
            self.put(place, earlier);
            place = least;
        }
        self.put(place, ticket);
    }

    /// The earliest of what is right below a place, and where it is.
    fn least_below(&self, place: usize) -> Option<(usize, Ticket)> {
        let first = place * BRANCHES + 1;
        let below = self.heap.get(first..)?;
        let earlier = |one: (usize, Ticket), other: (usize, Ticket)| {
            if other.1.key < one.1.key { other } else { one }
        };
        match below.first_chunk::<{ BRANCHES }>() {
            Some([a, b, c, d]) => Some(earlier(
                earlier((first, *a), (first + 1, *b)),
                earlier((first + 2, *c), (first + 3, *d)),
            )),
            None => (first..).zip(below.iter().copied()).reduce(earlier),
        }
    }

    fn put(&mut self, place: usize, ticket: Ticket) {
        self.heap[place] = ticket;
        self.slots[ticket.slot as usize].place = place;
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
