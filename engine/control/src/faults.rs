//! The faults that there are, and what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::ObjectKey;
use base::SimTime;

use crate::{Fault, NodeConfig, Place};

/// One fault that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

impl FaultId {
    /// The fault of that number; each world counts its own.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

/// All faults that have begun and are not healed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    active: BTreeMap<FaultId, Fault>,
    /// When those are over that last for a while.
    ends: BTreeSet<(SimTime, FaultId)>,
    begun: u64,
    healed: u64,
}

/// What keeps a node's proxy from its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hindrance {
    /// The node has no power.
    pub(crate) is_down: bool,
    /// Nobody on the node reaches the API server.
    pub(crate) is_cut_off: bool,
    /// The process does not run.
    pub(crate) is_crashed: bool,
    /// It writes nothing.
    pub(crate) is_stalled: bool,
    /// So much later it sees what is written.
    pub(crate) delay: Duration,
}

impl Faults {
    pub(crate) fn begin(&mut self, fault: Fault, until: Option<SimTime>) -> FaultId {
        self.begun += 1;
        let id = FaultId(self.begun);
        self.active.insert(id, fault);
        self.ends.extend(until.map(|at| (at, id)));
        id
    }

    /// Ends a fault; `None` when it was over already.
    pub(crate) fn end(&mut self, id: FaultId) -> Option<Fault> {
        let fault = self.active.remove(&id)?;
        self.ends.retain(|(_, ending)| *ending != id);
        self.healed += 1;
        Some(fault)
    }

    /// When the next one is over, and which.
    pub(crate) fn next_end(&self) -> Option<(SimTime, FaultId)> {
        self.ends.first().copied()
    }

    /// A number that is another one after every beginning and end.
    pub(crate) const fn changes(&self) -> u64 {
        self.begun + self.healed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.active.values()
    }

    pub(crate) fn is_api_down(&self) -> bool {
        self.iter().any(|fault| *fault == Fault::ApiDown)
    }

    pub(crate) fn is_unready(&self, pod: &ObjectKey) -> bool {
        self.iter()
            .any(|fault| matches!(fault, Fault::PodUnready { pods } if pods.contains(pod)))
    }

    /// What all faults come to for a node; watches that are late are so by the sum.
    pub(crate) fn hindrance(&self, node: &NodeConfig) -> Hindrance {
        let mut sum = Hindrance::default();
        for fault in self.iter() {
            match fault {
                Fault::Down { place } if place.has(node) => sum.is_down = true,
                Fault::PartitionApi { node: name } if *name == node.name => sum.is_cut_off = true,
                Fault::ApiDown => sum.is_cut_off = true,
                Fault::ProxyCrash { node: name } if *name == node.name => sum.is_crashed = true,
                Fault::ProxyStall { node: name } if *name == node.name => sum.is_stalled = true,
                Fault::WatchDelay { place, by } if place.has(node) => {
                    sum.delay = sum.delay.saturating_add(*by);
                }
                _ => {}
            }
        }
        sum
    }
}

impl Place {
    /// Whether a node is there.
    #[must_use]
    pub fn has(&self, node: &NodeConfig) -> bool {
        match self {
            Self::Node(name) => *name == node.name,
            Self::Zone(zone) => node.zone.as_ref() == Some(zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeConfig {
        NodeConfig {
            name: "node-a".to_owned(),
            zone: Some("zone-1".to_owned()),
            ..NodeConfig::default()
        }
    }

    #[test]
    fn of_two_faults_both_must_be_healed() {
        let mut faults = Faults::default();
        let down = |place| Fault::Down { place };
        let zone = faults.begin(down(Place::Zone("zone-1".to_owned())), None);
        let node_down = faults.begin(down(Place::Node("node-a".to_owned())), None);
        faults.begin(down(Place::Node("node-b".to_owned())), None);
        assert!(faults.hindrance(&node()).is_down);
        assert!(faults.end(zone).is_some());
        assert!(faults.end(zone).is_none());
        assert!(faults.hindrance(&node()).is_down);
        faults.end(node_down);
        assert_eq!(faults.hindrance(&node()), Hindrance::default());
    }

    #[test]
    fn delays_add_up_and_ends_come_in_order() {
        let mut faults = Faults::default();
        let by = |millis| Fault::WatchDelay {
            place: Place::Node("node-a".to_owned()),
            by: Duration::from_millis(millis),
        };
        let at = SimTime::from_nanos;
        let late = faults.begin(by(20), Some(at(9)));
        let soon = faults.begin(by(300), Some(at(5)));
        assert_eq!(faults.hindrance(&node()).delay, Duration::from_millis(320));
        assert_eq!(faults.next_end(), Some((at(5), soon)));
        faults.end(soon);
        assert_eq!(faults.next_end(), Some((at(9), late)));
        assert_eq!(faults.changes(), 3);
    }
}
