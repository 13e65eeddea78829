//! Nodes whose heartbeats have ceased.
//!
//! **What.** A node is given up when its last heartbeat is longer ago than the grace period, at the next look at it.
//! **Source of the semantics.** S: `pkg/controller/nodelifecycle/node_lifecycle_controller.go` (monitorNodeHealth,
//! tryUpdateNodeHealth), `pkg/controller/nodelifecycle/config/v1alpha1/defaults.go` (nodeMonitorPeriod 5 s).
//!
//! Deviation: a heartbeat takes no time to arrive. Conditions that a node does not have are not added.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Node, timestamp};
use base::SimTime;

use crate::heartbeat;
use crate::kubelet::STATUS_UNKNOWN;
use crate::queue::Queue;

/// How often the controller looks at all nodes (`--node-monitor-period`).
const MONITOR_PERIOD: Duration = Duration::from_secs(5);
/// The conditions that a kubelet writes.
const OF_KUBELET: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The nodes that are not heard of.
#[derive(Clone, Debug)]
pub(super) struct Silence {
    grace: Duration,
    /// When each is given up.
    ends: BTreeMap<String, SimTime>,
    due: Queue<String>,
}

impl Silence {
    pub(super) fn new(grace: Duration) -> Self {
        Self {
            grace,
            ends: BTreeMap::new(),
            due: Queue::new(),
        }
    }

    /// The heartbeats of a node cease or begin again.
    pub(super) fn set(&mut self, name: &str, is_silent: bool, now: SimTime) {
        if is_silent {
            if !self.ends.contains_key(name) {
                let end = self.end(heartbeat::last_up_to(now));
                self.ends.insert(name.to_owned(), end);
                self.due.add(name.to_owned(), end);
            }
        } else if let Some(end) = self.ends.remove(name)
            && end > heartbeat::next_from(now)
        {
            self.due.forget(&name.to_owned());
        }
    }

    /// Somebody says that a node is well: if it has been given up, it is again.
    pub(super) fn doubt(&mut self, name: &str, now: SimTime) {
        if self.ends.get(name).is_some_and(|end| *end <= now) {
            self.due.add(name.to_owned(), now);
        }
    }

    pub(super) fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    /// The nodes that are given up now.
    pub(super) fn take(&mut self, now: SimTime) -> Vec<String> {
        self.due.take(now)
    }

    pub(super) fn retry(&mut self, name: String, now: SimTime) {
        self.due.add_failed(name, now);
    }

    /// The first look after the grace period that begins with a heartbeat.
    fn end(&self, last: SimTime) -> SimTime {
        heartbeat::aligned_down(last + self.grace, MONITOR_PERIOD) + MONITOR_PERIOD
    }
}

/// The node with what its kubelet said of it unknown.
pub(super) fn given_up(node: &Node, now: SimTime) -> Node {
    let mut node = node.clone();
    for condition in &mut node.status.conditions {
        let name = condition.condition_type.as_str();
        if OF_KUBELET.contains(&name) && condition.status != "Unknown" {
            "Unknown".clone_into(&mut condition.status);
            condition.last_transition_time = Some(timestamp(now));
            condition.rest.insert("reason", STATUS_UNKNOWN.into());
            let message = "Kubelet stopped posting node status.";
            condition.rest.insert("message", message.into());
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a grace period of 40 s, when a node that ceases and begins again at these times is given up.
    #[test]
    fn a_node_is_given_up_at_the_first_look_after_its_grace() {
        let at = |seconds: u64| SimTime::ZERO + Duration::from_secs(seconds);
        for (ceases, begins, expected) in [
            (0, None, Some(45)),
            (12, None, Some(55)),
            (19, None, Some(55)),
            (20, None, Some(65)),
            (12, Some(43), None),
            // The heartbeat of 60 s comes too late.
            (12, Some(51), Some(55)),
        ] {
            let mut silence = Silence::new(Duration::from_secs(40));
            silence.set("n1", true, at(ceases));
            silence.set("n1", true, at(ceases + 1));
            if let Some(begins) = begins {
                silence.set("n1", false, at(begins));
            }
            assert_eq!(silence.next_due(), expected.map(at), "{ceases} {begins:?}");
        }
    }
}
