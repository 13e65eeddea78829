//! Who is due when.
//!
//! A priority queue in which each reader stands at most once. Readers due at one instant run in the order of
//! their numbers, so that a run does not depend on how it was scheduled.

use std::collections::BTreeSet;

use base::SimTime;

/// The next due instant of each reader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    queue: BTreeSet<(SimTime, usize)>,
    due: Vec<Option<SimTime>>,
}

impl Schedule {
    /// Sets or clears when a reader is due.
    pub(crate) fn set(&mut self, reader: usize, at: Option<SimTime>) {
        if self.due.len() <= reader {
            self.due.resize(reader + 1, None);
        }
        let before = std::mem::replace(&mut self.due[reader], at);
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, reader));
        }
        if let Some(at) = at {
            self.queue.insert((at, reader));
        }
    }

    /// Who is due first, and when.
    pub(crate) fn first(&self) -> Option<(SimTime, usize)> {
        self.queue.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_stands_once_and_ties_go_by_number() {
        let at = SimTime::from_nanos;
        let mut schedule = Schedule::default();
        schedule.set(2, Some(at(5)));
        schedule.set(1, Some(at(5)));
        schedule.set(0, Some(at(9)));
        schedule.set(2, Some(at(7)));
        assert_eq!(schedule.first(), Some((at(5), 1)));
        schedule.set(1, None);
        assert_eq!(schedule.first(), Some((at(7), 2)));
        schedule.set(2, None);
        assert_eq!(schedule.first(), Some((at(9), 0)));
    }
}
