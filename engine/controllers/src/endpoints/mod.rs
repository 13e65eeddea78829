//! The Endpoints controller.
//!
//! **What.** For every Service with a selector it keeps one Endpoints object of the Service's name, which lists the
//! addresses of the Service's first family.
//! **Why.** The API is deprecated and no proxy reads it, but people and old clients still do, and what it leaves
//! behind is mirrored into slices (EP-48). It answers from the same Pods as slices do, and differs in what it lists:
//! Pods that are terminating or lack the port are missing.
//! **Source of the semantics.** EP-63 … EP-70, EP-74 … EP-89; S: `pkg/controller/endpoint/endpoints_controller.go`.
//!
//! As in Kubernetes, Endpoints that somebody changes stay changed until something happens to the Service or its Pods;
//! only when they are deleted do they come back. A Service whose last write has not come back through the watch yet is
//! left alone until it has, where Kubernetes detects the stale cache and retries.
//!
//! Deviation: truncated Endpoints that come out as they are stored are not written, where Kubernetes writes them and
//! the API server finds nothing to change. Endpoints that are without a Service when the controller starts stay, where
//! Kubernetes deletes them.

mod capacity;
mod subsets;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use api::{
    Change, DeleteOptions, EndpointSubset, Endpoints, Kind, LABEL_HEADLESS, Object, ObjectMeta,
    Service, Status, StringMap, WatchEvent,
};
use base::SimTime;

use crate::backing::{self, Backing, Triggers};
use crate::controller::{Controller, Effect};
use crate::events::Recorder;
use crate::name::Name;
use crate::queue::Queue;
use crate::unseen::Unseen;

/// Says that the controller writes an Endpoints object.
const LABEL_MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// What the controller calls itself in its objects and Events.
const MANAGER: &str = "endpoint-controller";
/// How long a Service waits whose write was refused (EP-69).
const BACKOFF: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1000);

/// Keeps the Endpoints of Services with selectors.
#[derive(Clone, Debug)]
pub struct EndpointsController {
    batch: Duration,
    backing: Backing,
    endpoints: BTreeMap<Name, Arc<Endpoints>>,
    triggers: Triggers,
    due: Queue<Name>,
    unseen: Unseen,
    events: Recorder,
}

impl EndpointsController {
    /// A controller that knows nothing yet. `batch` is `--endpoint-updates-batch-period`: how long changes of Pods
    /// are collected.
    #[must_use]
    pub fn new(batch: Duration) -> Self {
        Self {
            batch,
            backing: Backing::default(),
            endpoints: BTreeMap::new(),
            triggers: Triggers::default(),
            due: Queue::with_backoff(BACKOFF),
            unseen: Unseen::default(),
            events: Recorder::new(MANAGER),
        }
    }

    fn observe_endpoints(&mut self, endpoints: &Arc<Endpoints>, change: Change, now: SimTime) {
        let name = Name::of(&endpoints.metadata);
        if self.unseen.remove(&name, &name.name, &mut self.due) {
            self.due.succeeded(&name);
        }
        if change == Change::Deleted {
            self.endpoints.remove(&name);
            self.due.add(name, now);
        } else {
            self.endpoints.insert(name, Arc::clone(endpoints));
        }
    }

    /// The write that makes one Service's Endpoints what they should be.
    fn sync(&mut self, name: &Name) -> Option<Effect> {
        let effect = match self.backing.service(name) {
            Some(service) if backing::is_backed_by_pods(&service) => self.put(name, &service),
            // Somebody else writes them (EP-1), or they were made before the Service changed (EP-48).
            Some(_) => None,
            None => self.remove(name),
        };
        if effect.is_some() {
            let written = BTreeSet::from([name.name.clone()]);
            self.unseen.add(name, written, &mut self.due);
        } else {
            self.due.succeeded(name);
        }
        effect
    }

    fn put(&mut self, name: &Name, service: &Service) -> Option<Effect> {
        let pods = self.backing.pods_of(service);
        // The changes count as accounted for even if there is nothing to write.
        let trigger = self.triggers.newest(name, service, &pods);
        let subsets = subsets::subsets(service, &pods);
        let labels = labels(service);
        let current = self.endpoints.get(name);
        if current.is_some_and(|current| is_settled(current, &subsets, &labels)) {
            return None;
        }
        let mut endpoints = match current {
            Some(current) => Endpoints::clone(current),
            None => Endpoints {
                metadata: ObjectMeta::named(&name.namespace, &name.name),
                ..Endpoints::default()
            },
        };
        endpoints.subsets = subsets;
        endpoints.metadata.labels = labels;
        backing::set_trigger(&mut endpoints.metadata, trigger.as_deref());
        capacity::limit(&mut endpoints);
        match current {
            None => Some(Effect::Create(endpoints.into())),
            Some(current) if **current == endpoints => None,
            Some(_) => Some(Effect::Update(endpoints.into())),
        }
    }

    /// The Service is gone. Most often its Endpoints are as well: the API server removes them with it.
    fn remove(&self, name: &Name) -> Option<Effect> {
        self.endpoints.get(name)?;
        Some(Effect::Delete(
            name.key(Kind::Endpoints),
            DeleteOptions::default(),
        ))
    }

    /// No event will come of a write; the Service that it was meant for.
    fn not_written(&mut self, effect: &Effect) -> Option<Name> {
        let key = effect.target()?;
        let name = Name::new(key.namespace.as_deref()?, &key.name);
        let was_awaited = self.unseen.remove(&name, &key.name, &mut self.due);
        was_awaited.then_some(name)
    }
}

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Service(service) => {
                let name = self.backing.note_service(service, event.change);
                if event.change == Change::Deleted {
                    self.triggers.forget(&name);
                }
                self.due.add(name, now);
            }
            Object::Pod(pod) => {
                for service in self.backing.note_pod(pod, event.change) {
                    self.due.add(service, now + self.batch);
                }
            }
            Object::Endpoints(endpoints) => self.observe_endpoints(endpoints, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let due = [self.due.next_due(), self.events.next_due()];
        due.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = self.events.take();
        for name in self.due.take(now) {
            effects.extend(self.sync(&name));
        }
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) {
            return;
        }
        let Some(name) = self.not_written(effect) else {
            return;
        };
        let (namespace, service) = (&name.namespace, &name.name);
        let (object, reason, what) = match effect {
            // Gone already: its event is on the way.
            Effect::Delete(..) if status.code == 404 => return,
            // In a namespace that is being terminated it will never work.
            Effect::Create(_) if status.is_namespace_terminating() => {
                return self.due.succeeded(&name);
            }
            Effect::Create(object) => {
                let what = format!("create endpoint for service {namespace}/{service}");
                (object, "FailedToCreateEndpoint", what)
            }
            Effect::Update(object) => {
                let what = format!("update endpoint {namespace}/{service}");
                (object, "FailedToUpdateEndpoint", what)
            }
            _ => return self.due.add_failed(name, now),
        };
        let message = format!("Failed to {what}: {}", status.message);
        self.events.warn(object, reason, message, now);
        self.due.add_failed(name, now);
    }

    fn unchanged(&mut self, effect: &Effect, _now: SimTime) {
        self.not_written(effect);
    }
}

/// The Service's labels under the controller's own (EP-63).
fn labels(service: &Service) -> StringMap {
    let mut labels = service.metadata.labels.clone();
    labels.remove(LABEL_HEADLESS);
    if service.is_headless() {
        labels.insert(LABEL_HEADLESS.to_owned(), String::new());
    }
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

/// Whether stored Endpoints need not be written. The label of headless Services is not looked at.
fn is_settled(stored: &Endpoints, wanted: &[EndpointSubset], labels: &StringMap) -> bool {
    let own = |labels: &StringMap| -> Vec<(String, String)> {
        let labels = labels.iter().filter(|(key, _)| *key != LABEL_HEADLESS);
        labels
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    subsets::say_the_same(&stored.subsets, wanted)
        && own(&stored.metadata.labels) == own(labels)
        && capacity::is_settled(stored)
}
