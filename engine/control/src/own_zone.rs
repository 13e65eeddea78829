//! The zone of a node as its label says, and what the node's proxy knows of it.
//!
//! A proxy watches its own Node object (PROXY-1): `topology.kubernetes.io/zone` there is what zone hints are compared with
//! (PROXY-10), and a change of it leads to a full sync (kube-proxy 1.36, `OnTopologyChange`). A Node that is deleted takes
//! nothing away: its proxy goes on with what it knew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;

/// A zone, unless the node has none.
type Zone = Option<Arc<str>>;

#[derive(Debug, Default)]
pub(crate) struct OwnZone {
    /// What the proxy knows.
    known: Zone,
    /// What it has yet to hear, oldest first: when each was written, and the zone then.
    changes: VecDeque<(SimTime, Zone)>,
}

impl OwnZone {
    /// As the label says, whoever knows it.
    pub(crate) fn written(&self) -> &Zone {
        self.changes.back().map_or(&self.known, |(_, zone)| zone)
    }

    /// As the proxy knows it.
    pub(crate) const fn known(&self) -> &Zone {
        &self.known
    }

    /// Takes what was written; tells whether it is another zone than before.
    pub(crate) fn write(&mut self, zone: Option<&str>, at: SimTime) -> bool {
        let is_news = self.written().as_deref() != zone;
        if is_news {
            self.changes.push_back((at, zone.map(Arc::from)));
        }
        is_news
    }

    /// When the proxy hears of the next change.
    pub(crate) fn next_arrival(&self, latency: Duration) -> Option<SimTime> {
        self.changes.front().map(|(at, _)| *at + latency)
    }

    /// The proxy hears of what has reached it; tells whether that is anything.
    pub(crate) fn hear(&mut self, latency: Duration, now: SimTime) -> bool {
        let arrived = self
            .changes
            .iter()
            .take_while(|(at, _)| *at + latency <= now);
        self.learn(arrived.count())
    }

    /// The proxy reads what is written.
    pub(crate) fn list(&mut self) {
        self.learn(self.changes.len());
    }

    /// The proxy knows of so many changes; tells whether that is any.
    fn learn(&mut self, count: usize) -> bool {
        let heard = self.changes.drain(..count).next_back();
        let is_news = heard.is_some();
        if let Some((_, zone)) = heard {
            self.known = zone;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_before_it_is_known() {
        let at = SimTime::from_nanos;
        let latency = Duration::from_nanos(5);
        let mut own = OwnZone::default();
        assert!(own.write(Some("a"), at(0)));
        assert!(!own.write(Some("a"), at(1)));
        assert!(own.write(None, at(2)));
        assert!(own.write(Some("b"), at(9)));
        assert_eq!(own.next_arrival(latency), Some(at(5)));
        assert!(!own.hear(latency, at(4)));
        assert!(own.hear(latency, at(5)));
        let zones = |own: &OwnZone| [own.known().clone(), own.written().clone()];
        assert_eq!(zones(&own), [Some("a".into()), Some("b".into())]);
        // What was overtaken meanwhile is never seen.
        assert!(own.hear(latency, at(14)));
        assert_eq!(zones(&own), [Some("b".into()), Some("b".into())]);
        own.write(None, at(20));
        own.list();
        assert_eq!(
            (zones(&own), own.next_arrival(latency)),
            ([None, None], None)
        );
    }
}
