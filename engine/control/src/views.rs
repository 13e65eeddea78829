//! What proxies see of the cluster, and when.

use std::collections::VecDeque;
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
    /// How many events of the log are in the builder.
    position: usize,
    /// The changes that some agent has yet to see, oldest first: when each was written, and the view after it.
    changes: VecDeque<(SimTime, ClusterView)>,
    /// How many changes were dropped from the front because everybody has seen them.
    dropped: usize,
}

impl Views {
    pub(crate) fn new(service_cidrs: Vec<IpNet>) -> Self {
        Self {
            builder: ViewBuilder::new(service_cidrs.into()),
            position: 0,
            changes: VecDeque::new(),
            dropped: 0,
        }
    }

    /// The view as of now.
    pub(crate) fn latest(&self) -> &ClusterView {
        self.builder.view()
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

    /// Forgets the changes before the least position of any reader.
    pub(crate) fn forget(&mut self, least: Option<usize>) {
        let seen = least.unwrap_or(self.dropped) - self.dropped;
        self.changes.drain(..seen);
        self.dropped += seen;
    }
}
