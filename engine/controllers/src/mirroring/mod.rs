//! The EndpointSliceMirroring controller.
//!
//! **What.** Endpoints that somebody writes for a Service without a selector are copied into slices.
//! **Why.** Proxies and DNS read slices, never Endpoints; who knows only the old API is served nevertheless. The
//! controller does not ask who wrote an Endpoints object. When a Service loses its selector, those that the Endpoints
//! controller has left behind are mirrored as well, beside the slices that the EndpointSlice controller has left behind:
//! two managers for one Service, and no Pod behind either (EP-48).
//! **Source of the semantics.** EP-44 … EP-48; S: `pkg/controller/endpointslicemirroring`.
//!
//! As in the EndpointSlice controller, a Service whose last writes have not come back through the watch yet is left
//! alone until they have.
//!
//! Deviation: endpoints stand in the order of the Endpoints object, and of more than 1000 with the same ports the first
//! ones are taken; in Kubernetes both follow the order of a Go map.

mod mirror;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use api::{
    Change, DeleteOptions, EndpointSlice, Endpoints, Kind, Object, ObjectKey, ObjectMeta, Service,
    Status, WatchEvent,
};
use base::{Rng, Seed, SimTime};

use self::mirror::{ENDPOINTS_MAX, Mirror};
use self::plan::Plan;
use crate::controller::{Controller, Effect};
use crate::events::Recorder;
use crate::name::Name;
use crate::queue::Queue;
use crate::slices::{self, ManagedSlices};
use crate::unseen::Unseen;

/// What the controller calls itself in its slices (EP-45).
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
/// What it calls itself in its Events.
const COMPONENT: &str = "endpoint-slice-mirroring-controller";
/// Endpoints with this label at `true` are not mirrored (EP-44).
const LABEL_SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints with this annotation elect a leader, and are none.
const ANNOTATION_LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// How long Endpoints wait of which a write was refused.
const BACKOFF: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(100);

/// Mirrors Endpoints of Services without selectors into slices.
#[derive(Clone, Debug)]
pub struct EndpointSliceMirroringController {
    names: Rng,
    /// Services without selectors.
    services: BTreeSet<Name>,
    endpoints: BTreeMap<Name, Arc<Endpoints>>,
    /// Endpoints that are or were there. The slices of others are left alone: they were dumped without their Endpoints.
    known: BTreeSet<Name>,
    slices: ManagedSlices,
    due: Queue<Name>,
    unseen: Unseen,
    events: Recorder,
}

impl EndpointSliceMirroringController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self {
            names: seed.split("controllers/endpointslicemirroring"),
            services: BTreeSet::new(),
            endpoints: BTreeMap::new(),
            known: BTreeSet::new(),
            slices: ManagedSlices::of(MANAGER),
            due: Queue::with_backoff(BACKOFF),
            unseen: Unseen::default(),
            events: Recorder::new(COMPONENT),
        }
    }

    /// Services matter as they gain or lose their selectors, come without one, or go.
    fn observe_service(&mut self, service: &Service, change: Change, now: SimTime) {
        let name = Name::of(&service.metadata);
        let without = change != Change::Deleted && service.spec.selector.is_empty();
        let is_news = if without {
            self.services.insert(name.clone())
        } else {
            self.services.remove(&name)
        };
        if is_news {
            self.due.add(name, now);
        }
    }

    fn observe_endpoints(&mut self, endpoints: &Arc<Endpoints>, change: Change, now: SimTime) {
        let name = Name::of(&endpoints.metadata);
        self.known.insert(name.clone());
        let before = match change {
            Change::Deleted => self.endpoints.remove(&name),
            Change::Added | Change::Modified => {
                self.endpoints.insert(name.clone(), Arc::clone(endpoints))
            }
        };
        let was_to_be = before.is_some_and(|before| is_to_be_mirrored(&before.metadata));
        if was_to_be || is_to_be_mirrored(&endpoints.metadata) {
            self.due.add(name, now);
        }
    }

    /// Slices matter when somebody else writes them.
    fn observe_slice(&mut self, slice: &Arc<EndpointSlice>, change: Change, now: SimTime) {
        let [before, after] = self.slices.note(slice, change);
        let is_moved = change != Change::Deleted && before.is_some() && before != after;
        let services: BTreeSet<Name> = before.into_iter().chain(after).collect();
        for service in services {
            let is_own = self
                .unseen
                .remove(&service, &slice.metadata.name, &mut self.due);
            if is_moved || !is_own {
                self.due.add(service, now);
            }
        }
    }

    /// The writes that make the slices of one Service mirror its Endpoints.
    fn sync(&mut self, name: &Name, now: SimTime) -> Vec<Effect> {
        let existing = self.slices.of_service(name);
        let endpoints = self.endpoints.get(name).cloned();
        let mirrored = endpoints.filter(|endpoints| {
            self.services.contains(name) && is_to_be_mirrored(&endpoints.metadata)
        });
        let plan = match mirrored {
            Some(endpoints) => {
                let mirror = Mirror::of(&endpoints);
                self.tell(&endpoints, &mirror, now);
                Plan::new(&endpoints, mirror, existing)
            }
            None if self.services.contains(name) && !self.known.contains(name) => Plan::default(),
            None => Plan {
                delete: existing,
                ..Plan::default()
            },
        };
        self.effects(name, plan)
    }

    /// What is not mirrored (EP-46).
    fn tell(&mut self, endpoints: &Arc<Endpoints>, mirror: &Mirror, now: SimTime) {
        let about = Object::Endpoints(Arc::clone(endpoints));
        let (invalid, skipped) = (mirror.invalid, mirror.skipped);
        if invalid > 0 {
            let message =
                format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
            self.events.warn(&about, "InvalidIPAddress", message, now);
        }
        if skipped > invalid {
            let message = format!(
                "A max of {ENDPOINTS_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
            );
            self.events
                .warn(&about, "TooManyAddressesToMirror", message, now);
        }
    }

    /// Creates, updates, deletes, in this order.
    fn effects(&mut self, name: &Name, plan: Plan) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut written = BTreeSet::new();
        for mut slice in plan.create {
            slice.metadata = ObjectMeta {
                labels: slice.metadata.labels,
                annotations: slice.metadata.annotations,
                owner_references: slice.metadata.owner_references,
                ..slices::new_metadata(name, &mut self.names)
            };
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Create(slice.into()));
        }
        for slice in plan.update {
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Update(slice.into()));
        }
        for slice in plan.delete {
            let key = ObjectKey::new(Kind::EndpointSlice, &name.namespace, &slice.metadata.name);
            let options = DeleteOptions {
                uid: Some(slice.metadata.uid.clone()),
                ..DeleteOptions::default()
            };
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Delete(key, options));
        }
        if written.is_empty() {
            self.due.succeeded(name);
        } else {
            self.unseen.add(name, written, &mut self.due);
        }
        effects
    }
}

impl Controller for EndpointSliceMirroringController {
    fn name(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Service(service) => self.observe_service(service, event.change, now),
            Object::Endpoints(endpoints) => self.observe_endpoints(endpoints, event.change, now),
            Object::EndpointSlice(slice) => self.observe_slice(slice, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let due = [self.due.next_due(), self.events.next_due()];
        due.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for name in self.due.take(now) {
            effects.extend(self.sync(&name, now));
        }
        effects.extend(self.events.take());
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) {
            return;
        }
        let Some(name) = self.unseen.not_written(effect, &mut self.due) else {
            return;
        };
        // In a namespace that is being terminated it will never work.
        if status.is_namespace_terminating() {
            self.due.succeeded(&name);
        } else {
            self.due.add_failed(name, now);
        }
    }

    fn unchanged(&mut self, effect: &Effect, _now: SimTime) {
        self.unseen.not_written(effect, &mut self.due);
    }
}

/// Whether it is not excluded; whether its Service has a selector is another question (EP-44).
fn is_to_be_mirrored(endpoints: &ObjectMeta) -> bool {
    let skipped = endpoints.labels.get(LABEL_SKIP);
    skipped.is_none_or(|value| value != "true")
        && !endpoints.annotations.contains_key(ANNOTATION_LEADER)
}
