//! What is going to happen, by time; what is due at one instant happens in the order in which it was planned.
//!
//! A map instead of a heap, because timers are cancelled far more often than they fire, and a cancelled timer
//! must not show as something pending.

use std::collections::BTreeMap;

use base::SimTime;

/// Names one planned happening, to cancel it: its time, and then its number, as one number that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u128);

impl Ticket {
    fn new(at: SimTime, sequence: u64) -> Self {
        Self(u128::from(at.as_nanos()) << 64 | u128::from(sequence))
    }

    /// When it is due.
    pub(crate) fn at(self) -> SimTime {
        let nanos = u64::try_from(self.0 >> 64).expect("half of 128 bits");
        SimTime::from_nanos(nanos)
    }
}

/// The queue. Order: (time, sequence number).
#[derive(Debug)]
pub(crate) struct Queue<T> {
    due: BTreeMap<Ticket, T>,
    next_sequence: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            due: BTreeMap::new(),
            next_sequence: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: SimTime, happening: T) -> Ticket {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let ticket = Ticket::new(at, sequence);
        self.due.insert(ticket, happening);
        ticket
    }

    /// Takes something back; nothing happens when it is over already.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.due.remove(&ticket);
    }

    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.due.first_key_value().map(|(ticket, _)| ticket.at())
    }

    pub(crate) fn pop(&mut self) -> Option<(SimTime, T)> {
        let (ticket, happening) = self.due.pop_first()?;
        Some((ticket.at(), happening))
    }
}

#[cfg(test)]
mod tests {
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
}
