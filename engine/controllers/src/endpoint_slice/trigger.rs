//! When the change happened that a slice is written for.
//!
//! **Source of the semantics.** EP-26, EP-72; S: `pkg/controller/util/endpoint` (TriggerTimeTracker): the earliest
//! among the changes since the last sync; a Service's time is its creation, a Pod's the last transition of its
//! Ready condition. No such change, no annotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Pod, Service};

use super::cache::Name;

/// The times that earlier syncs have accounted for, by Service. Times are RFC 3339 to the second and in UTC, so
/// their texts are ordered as they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Triggers(BTreeMap<Name, Seen>);

#[derive(Clone, Debug, Default)]
struct Seen {
    service: Option<String>,
    pods: BTreeMap<String, String>,
}

impl Triggers {
    /// The time to write into slices now; the changes count as accounted for from here on.
    pub(super) fn newest(
        &mut self,
        name: &Name,
        service: &Service,
        pods: &[Arc<Pod>],
    ) -> Option<String> {
        let before = self.0.remove(name).unwrap_or_default();
        let created = service.metadata.creation_timestamp.clone();
        let mut fresh: Vec<String> = Vec::new();
        fresh.extend(
            created
                .clone()
                .filter(|time| Some(time) > before.service.as_ref()),
        );
        let mut seen = Seen {
            service: created,
            pods: BTreeMap::new(),
        };
        for pod in pods {
            let Some(time) = ready_since(pod) else {
                continue;
            };
            if before
                .pods
                .get(&pod.metadata.name)
                .is_none_or(|before| time > before)
            {
                fresh.push(time.clone());
            }
            seen.pods.insert(pod.metadata.name.clone(), time.clone());
        }
        self.0.insert(name.clone(), seen);
        fresh.into_iter().min()
    }

    pub(super) fn forget(&mut self, name: &Name) {
        self.0.remove(name);
    }
}

fn ready_since(pod: &Pod) -> Option<&String> {
    let mut conditions = pod.status.conditions.iter();
    conditions
        .find(|found| found.condition_type == "Ready")?
        .last_transition_time
        .as_ref()
}
