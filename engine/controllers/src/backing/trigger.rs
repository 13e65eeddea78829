//! When the change happened that a Service's endpoints are written for.
//!
//! **Source of the semantics.** EP-26, EP-72; S: `pkg/controller/util/endpoint` (TriggerTimeTracker): the earliest
//! among the changes since the last sync; a Service's time is its creation, a Pod's the last transition of its
//! Ready condition. No such change, no annotation.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ObjectMeta, Pod, Service};

use crate::name::Name;

/// When the newest change that an object reflects happened (EP-26).
pub(crate) const ANNOTATION_TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The times that earlier syncs have accounted for, by Service. Times are RFC 3339 to the second and in UTC, so
/// their texts are ordered as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Triggers(BTreeMap<Name, Seen>);

#[derive(Clone, Debug, Default)]
struct Seen {
    service: Option<String>,
    pods: BTreeMap<String, String>,
}

impl Triggers {
    /// The time to write now; the changes count as accounted for from here on.
    pub(crate) fn newest(
        &mut self,
        name: &Name,
        service: &Service,
        pods: &[Arc<Pod>],
    ) -> Option<String> {
        let times: BTreeMap<&str, &str> = pods.iter().filter_map(|pod| ready_since(pod)).collect();
        let seen = self.0.entry(name.clone()).or_default();
        seen.pods.retain(|pod, _| times.contains_key(pod.as_str()));
        let mut fresh: Vec<&str> = Vec::new();
        for (pod, time) in times {
            let before = seen.pods.get(pod).map(String::as_str);
            if before.is_none_or(|before| time > before) {
                fresh.push(time);
            }
            if before != Some(time) {
                seen.pods.insert(pod.to_owned(), time.to_owned());
            }
        }
        let created = &service.metadata.creation_timestamp;
        if *created > seen.service {
            fresh.extend(created.as_deref());
        }
        seen.service.clone_from(created);
        fresh.into_iter().min().map(str::to_owned)
    }

    pub(crate) fn forget(&mut self, name: &Name) {
        self.0.remove(name);
    }
}

/// Says in an object what it is written for; a time that was there before goes.
pub(crate) fn set_trigger(meta: &mut ObjectMeta, trigger: Option<&str>) {
    let annotations = &mut meta.annotations;
    match trigger {
        Some(trigger) => annotations.insert(ANNOTATION_TRIGGER.to_owned(), trigger.to_owned()),
        None => annotations.remove(ANNOTATION_TRIGGER),
    };
}

/// A Pod by name, and when its Ready condition changed last.
fn ready_since(pod: &Pod) -> Option<(&str, &str)> {
    let mut conditions = pod.status.conditions.iter();
    let ready = conditions.find(|found| found.condition_type == "Ready")?;
    let time = ready.last_transition_time.as_deref()?;
    Some((&pod.metadata.name, time))
}
