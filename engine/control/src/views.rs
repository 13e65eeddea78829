//! What proxies see of the cluster, and when.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use api::WatchEvent;
use base::SimTime;
use ipnet::IpNet;
use proxy::ViewBuilder;
use rules::ClusterView;

/// The compiler's view after each change of what rules are made of, shared by all agents. An agent is woken by
/// such changes only, and holds a position among them.
pub(crate) struct Views {
    builder: ViewBuilder,
    /// The view as of now.
    latest: ClusterView,
    /// How many events of the log are in the builder.
    position: usize,
    /// The changes that some agent has yet to see, oldest first: when each was written, and the view after it.
    changes: VecDeque<(SimTime, ClusterView)>,
    /// How many changes were dropped from the front because everybody has seen them.
    dropped: usize,
    /// The position of each reader; none has the one that needs no change.
    positions: BTreeMap<usize, usize>,
    /// How many readers are at a position.
    readers_at: BTreeMap<usize, usize>,
}

impl Views {
    pub(crate) fn new(service_cidrs: Vec<IpNet>) -> Self {
        let mut builder = ViewBuilder::new(service_cidrs.into());
        Self {
            latest: builder.view().clone(),
            builder,
            position: 0,
            changes: VecDeque::new(),
            dropped: 0,
            positions: BTreeMap::new(),
            readers_at: BTreeMap::new(),
        }
    }

    /// The view as of now.
    pub(crate) const fn latest(&self) -> &ClusterView {
        &self.latest
    }

    /// Takes what was written; tells whether any of it concerns rules.
    pub(crate) fn catch_up(&mut self, log: &[WatchEvent]) -> bool {
        let before = self.end();
        for event in &log[self.position..] {
            if self.builder.observe(event) {
                self.changes
                    .push_back((event.at, self.builder.view().clone()));
            }
        }
        self.latest = self.builder.view().clone();
        self.position = log.len();
        self.end() > before
    }

    /// The position after the last change.
    pub(crate) fn end(&self) -> usize {
        self.dropped + self.changes.len()
    }

    /// When the change at a position reaches a reader.
    pub(crate) fn next_arrival(&self, position: usize, latency: Duration) -> Option<SimTime> {
        self.changes
            .get(position - self.dropped)
            .map(|(at, _)| *at + latency)
    }

    /// The last view that has reached a reader since its position, and the position after it.
    pub(crate) fn arrived(
        &self,
        position: usize,
        latency: Duration,
        now: SimTime,
    ) -> Option<(usize, &ClusterView)> {
        let waiting = self.changes.range(position - self.dropped..);
        let (steps, (_, view)) = (1..)
            .zip(waiting)
            .take_while(|(_, (at, _))| *at + latency <= now)
            .last()?;
        Some((position + steps, view))
    }

    /// When the changes at these positions were written.
    pub(crate) fn written(&self, positions: Range<usize>) -> impl Iterator<Item = SimTime> {
        let changes = positions.filter_map(|position| self.changes.get(position - self.dropped));
        changes.map(|(at, _)| *at)
    }

    /// Notes where a reader is now; `None` when it needs no change. Changes that all readers have seen are forgotten.
    pub(crate) fn place(&mut self, reader: usize, position: Option<usize>) {
        let before = match position {
            Some(position) => self.positions.insert(reader, position),
            None => self.positions.remove(&reader),
        };
        if let Some(position) = position {
            *self.readers_at.entry(position).or_default() += 1;
        }
        if let Some(before) = before
            && let Entry::Occupied(mut readers) = self.readers_at.entry(before)
        {
            *readers.get_mut() -= 1;
            if *readers.get() == 0 {
                readers.remove();
            }
        }
        let least = self.readers_at.first_key_value();
        let seen = least.map_or(self.end(), |(least, _)| *least) - self.dropped;
        self.changes.drain(..seen);
        self.dropped += seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many changes as this, which nobody looks at.
    fn views(changes: usize) -> Views {
        let mut views = Views::new(Vec::new());
        for _ in 0..changes {
            let change = (SimTime::ZERO, views.latest().clone());
            views.changes.push_back(change);
        }
        views
    }

    #[test]
    fn changes_stay_until_the_last_reader_has_seen_them() {
        let mut views = views(5);
        views.place(0, Some(0));
        views.place(1, Some(0));
        views.place(0, Some(4));
        assert_eq!((views.dropped, views.end()), (0, 5));
        views.place(1, Some(3));
        assert_eq!((views.dropped, views.end()), (3, 5));
        views.place(1, None);
        assert_eq!((views.dropped, views.end()), (4, 5));
        views.place(0, None);
        assert_eq!((views.dropped, views.end()), (5, 5));
        assert!(views.readers_at.is_empty());
    }
}
