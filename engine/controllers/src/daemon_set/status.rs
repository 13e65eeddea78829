//! `status` of a DaemonSet.
//!
//! **Source of the semantics.** S: `pkg/controller/daemon/daemon_controller.go` (updateDaemonSetStatus).

use api::{DaemonSet, DaemonSetStatus};

use super::pods::State;
use crate::controller::Effect;

impl State<'_> {
    /// The status as it is now. A node's oldest Pod speaks for it.
    pub(super) fn status(&self) -> DaemonSetStatus {
        let set = self.set;
        let mut status = DaemonSetStatus {
            rest: set.status.rest.clone(),
            ..DaemonSetStatus::default()
        };
        for (node, verdict) in &self.nodes {
            let pod = self.pods.get(*node).and_then(|pods| pods.first());
            if !verdict.should_run {
                status.number_misscheduled += i32::from(pod.is_some());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(pod) = pod else { continue };
            status.current_number_scheduled += 1;
            if pod.is_ready() {
                status.number_ready += 1;
                status.number_available += i32::from(self.is_available(pod));
            }
            status.updated_number_scheduled += i32::from(self.is_new(pod));
        }
        let unavailable = status.desired_number_scheduled - status.number_available;
        let rest = &mut status.rest;
        match unavailable {
            0 => drop(rest.remove("numberUnavailable")),
            unavailable => rest.insert("numberUnavailable", unavailable.into()),
        }
        match set.metadata.generation {
            Some(generation) => rest.insert("observedGeneration", generation.into()),
            None => drop(rest.remove("observedGeneration")),
        }
        status
    }
}

/// Writes a status, whatever else has changed in the meantime.
pub(super) fn write(set: &DaemonSet, status: DaemonSetStatus) -> Effect {
    let mut set = set.clone();
    set.metadata.resource_version.clear();
    set.status = status;
    Effect::UpdateStatus(set.into())
}
