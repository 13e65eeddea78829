//! The EndpointSlice controller.
//!
//! **What.** For every Service with a selector it keeps slices that list the Pods which back it, with their
//! conditions and the numbers of their ports.
//! **Why.** Proxies and DNS read slices, never Pods. The controller aims at few writes: every write reaches
//! every node.
//! **Source of the semantics.** EP-1 … EP-39; S: `pkg/controller/endpointslice`, `staging/src/k8s.io/endpointslice`.
//!
//! A Service whose last writes have not come back through the watch yet is left alone until they have, where
//! Kubernetes detects the stale cache and retries (EP-37). A Pod on an unknown node is left out until that node
//! appears, where Kubernetes retries with backoff (EP-5).
//!
//! Deviation: new endpoints come in the order of their Pods' names; in
//! Kubernetes their order is that of a Go map.

mod cache;
mod desired;
mod hints;
mod packing;
mod topology;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use api::{
    Change, DeleteOptions, EndpointSlice, IpFamily, Kind, LABEL_HEADLESS, LABEL_MANAGED_BY,
    LABEL_SERVICE_NAME, Object, ObjectKey, ObjectMeta, OwnerReference, Service, Status, StringMap,
    WatchEvent,
};
use base::{Rng, Seed, SimTime};

use self::cache::Cache;
use self::hints::Distribution;
use self::packing::Plan;
use self::topology::Topology;
use crate::backing::{self, Triggers};
use crate::controller::{Controller, Effect};
use crate::events::Recorder;
use crate::name::Name;
use crate::queue::Queue;
use crate::slices::{self};
use crate::unseen::Unseen;

/// What the controller calls itself in its slices (EP-24).
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// What it calls itself in its Events (EP-38).
const COMPONENT: &str = "endpoint-slice-controller";
/// How long after somebody else's change of a slice the Service is looked at (EP-37).
const SLICE_DELAY: Duration = Duration::from_secs(1);

/// Keeps the slices of Services with selectors.
#[derive(Clone, Debug)]
pub struct EndpointSliceController {
    batch: Duration,
    names: Rng,
    cache: Cache,
    triggers: Triggers,
    topology: Topology,
    due: Queue<Name>,
    unseen: Unseen,
    events: Recorder,
}

impl EndpointSliceController {
    /// A controller that knows nothing yet. `batch` is `--endpointslice-updates-batch-period`: how long changes
    /// of Pods are collected.
    #[must_use]
    pub fn new(batch: Duration, seed: Seed) -> Self {
        Self {
            batch,
            names: seed.split("controllers/endpointslice"),
            cache: Cache::new(),
            triggers: Triggers::default(),
            topology: Topology::default(),
            due: Queue::new(),
            unseen: Unseen::default(),
            events: Recorder::new(COMPONENT),
        }
    }

    fn observe_slice(&mut self, slice: &Arc<EndpointSlice>, change: Change, now: SimTime) {
        let [before, after] = self.cache.slices.note(slice, change);
        // The controller's own writes never give a slice to another Service.
        let is_moved = change != Change::Deleted && before.is_some() && before != after;
        let services: BTreeSet<Name> = before.into_iter().chain(after).collect();
        for service in services {
            let is_own = self
                .unseen
                .remove(&service, &slice.metadata.name, &mut self.due);
            if is_moved || !is_own {
                self.due.add(service, now + SLICE_DELAY);
            }
        }
    }

    /// The writes that make one Service's slices what they should be.
    fn sync(&mut self, name: &Name, now: SimTime) -> Vec<Effect> {
        let Some(service) = self.cache.backing.service(name) else {
            return Vec::new();
        };
        if !backing::is_backed_by_pods(&service) {
            return Vec::new();
        }
        let existing = self.cache.slices.of_service(name);
        let (own, strangers): (Vec<_>, Vec<_>) = existing
            .into_iter()
            .partition(|slice| is_owned(slice, &service));
        let families: Vec<IpFamily> = service
            .spec
            .ip_families
            .iter()
            .filter_map(|family| IpFamily::parse(family))
            .collect();
        let (wanted, unwanted): (Vec<_>, Vec<_>) = own.into_iter().partition(|slice| {
            families
                .iter()
                .any(|family| family.name() == slice.address_type)
        });
        let pods = self.cache.backing.pods_of(&service);
        self.cache.note_sync(name, &service, &pods);
        let trigger = self.triggers.newest(name, &service, &pods);
        let mut plan = Plan::default();
        for family in families {
            let groups = desired::groups(&service, &pods, &self.cache, family);
            let of_family = wanted
                .iter()
                .filter(|slice| slice.address_type == family.name())
                .cloned()
                .collect();
            let labels = slice_labels(&service);
            let mut of_family = packing::plan(family, &labels, of_family, groups);
            self.hint(name, &service, family, &mut of_family, now);
            of_family.reuse_deleted(&labels);
            plan.add(of_family);
        }
        plan.delete.extend(unwanted);
        plan.delete.extend(strangers);
        // Sharing out again may come to the hints that stand, and a write without a change is never seen.
        plan.update
            .retain(|slice| !self.cache.slices.holds(name, slice));
        self.effects(name, &service, plan, trigger.as_deref())
    }

    /// Hints are decided for each family apart (EP-50).
    fn hint(
        &mut self,
        name: &Name,
        service: &Arc<Service>,
        family: IpFamily,
        plan: &mut Plan,
        now: SimTime,
    ) {
        let about = Object::Service(Arc::clone(service));
        let text = |what: &dyn Display| format!("{what}, addressType: {}", family.name());
        let disabled = |events: &mut Recorder, why: &dyn Display| {
            events.warn(&about, "TopologyAwareHintsDisabled", text(why), now);
        };
        match hints::distribution(service) {
            Distribution::Auto => match self.topology.assign(name, family, plan) {
                Ok(true) => {
                    let message = text(&"Topology Aware Hints has been enabled");
                    let reason = "TopologyAwareHintsEnabled";
                    self.events.note(&about, reason, message, now);
                }
                Ok(false) => {}
                Err(why) => disabled(&mut self.events, &why),
            },
            distribution => {
                if self.topology.is_hinted(name) {
                    disabled(&mut self.events, &"Topology Aware Hints has been disabled");
                }
                self.topology.forget_family(name, family);
                hints::assign(distribution, plan);
            }
        }
    }

    /// The Event about a write that has failed (EP-38).
    fn tell_of_refusal(&mut self, name: &Name, effect: &Effect, status: &Status, now: SimTime) {
        let Some(service) = self.cache.backing.service(name) else {
            return;
        };
        let slice = match effect {
            Effect::Update(object) => format!("update {} ", object.meta().name),
            Effect::Delete(key, _) => format!("delete {} ", key.name),
            _ => "create ".to_owned(),
        };
        let of = format!("{}/{}", name.namespace, name.name);
        let message = format!(
            "Error updating Endpoint Slices for Service {of}: failed to {slice}EndpointSlice for Service {of}: {}",
            status.message
        );
        let about = Object::Service(service);
        self.events
            .warn(&about, "FailedToUpdateEndpointSlices", message, now);
    }

    /// Creates, updates, deletes, in this order (EP-35). Of a Service that is being deleted, the garbage collector's
    /// deletions are not made up for (S: `endpointslice/reconciler.go`, finalize).
    fn effects(
        &mut self,
        name: &Name,
        service: &Service,
        plan: Plan,
        trigger: Option<&str>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut written = BTreeSet::new();
        let is_going = service.metadata.is_terminating();
        for mut slice in plan.create.into_iter().filter(|_| !is_going) {
            slice.metadata = ObjectMeta {
                labels: slice_labels(service),
                owner_references: vec![OwnerReference::to_controller(
                    Kind::Service,
                    &service.metadata,
                )],
                ..slices::new_metadata(name, &mut self.names)
            };
            backing::set_trigger(&mut slice.metadata, trigger);
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Create(slice.into()));
        }
        for mut slice in plan.update {
            backing::set_trigger(&mut slice.metadata, trigger);
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Update(slice.into()));
        }
        for slice in plan.delete {
            let key = ObjectKey::new(Kind::EndpointSlice, &name.namespace, &slice.metadata.name);
            let uid = Some(slice.metadata.uid.clone());
            written.insert(slice.metadata.name.clone());
            effects.push(Effect::Delete(
                key,
                DeleteOptions {
                    uid,
                    ..DeleteOptions::default()
                },
            ));
        }
        if written.is_empty() {
            self.due.succeeded(name);
        } else {
            self.unseen.add(name, written, &mut self.due);
        }
        effects
    }
}

impl Controller for EndpointSliceController {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::Service(service) => {
                let name = self.cache.backing.note_service(service, event.change);
                if event.change == Change::Deleted {
                    self.triggers.forget(&name);
                    self.topology.forget(&name);
                    self.cache.forget(&name);
                    self.due.forget(&name);
                } else {
                    self.due.add(name, now);
                }
            }
            Object::Pod(pod) => {
                for service in self.cache.backing.note_pod(pod, event.change) {
                    self.due.add(service, now + self.batch);
                }
            }
            Object::Node(node) => {
                let overloaded = self.topology.note_node(node, event.change);
                let waiting = self.cache.note_node(node, event.change);
                for service in waiting.into_iter().chain(overloaded) {
                    self.due.add(service, now);
                }
            }
            Object::EndpointSlice(slice) => self.observe_slice(slice, event.change, now),
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        let due = [self.due.next_due(), self.events.next_due()];
        due.into_iter().flatten().min()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let services = self.due.take(now);
        let mut effects: Vec<Effect> = services
            .iter()
            .flat_map(|service| self.sync(service, now))
            .collect();
        effects.extend(self.events.take());
        effects
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        if self.events.refused(effect) {
            return;
        }
        let Some(service) = self.unseen.not_written(effect, &mut self.due) else {
            return;
        };
        self.triggers.forget(&service);
        // In a namespace that is being terminated it will never work.
        if status.is_namespace_terminating() {
            self.due.succeeded(&service);
        } else {
            self.tell_of_refusal(&service, effect, status, now);
            self.due.add_failed(service, now);
        }
    }

    fn unchanged(&mut self, effect: &Effect, _now: SimTime) {
        self.unseen.not_written(effect, &mut self.due);
    }
}

/// Whether a slice belongs to this very Service, not to an earlier one of its name (EP-25).
fn is_owned(slice: &EndpointSlice, service: &Service) -> bool {
    slice
        .metadata
        .owner_references
        .iter()
        .any(|owner| owner.uid == service.metadata.uid)
}

/// The Service's labels under the controller's own (EP-24).
fn slice_labels(service: &Service) -> StringMap {
    let mut labels = service.metadata.labels.clone();
    labels.remove(LABEL_HEADLESS);
    if service.is_headless() {
        labels.insert(LABEL_HEADLESS.to_owned(), String::new());
    }
    labels.insert(LABEL_SERVICE_NAME.to_owned(), service.metadata.name.clone());
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}
