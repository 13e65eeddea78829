//! Looks after ServiceCIDRs: says that they are ready, and keeps them while addresses depend on them.
//!
//! **What.** A ServiceCIDR gets the finalizer and the condition Ready; one that is being deleted loses the finalizer 10 s
//! after its deletion, unless an address of a Service would be in no ServiceCIDR any more.
//! **Source of the semantics.** ALLOC-41 … ALLOC-43; S: `pkg/controller/servicecidrs/servicecidrs_controller.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Change, Condition, Object, ServiceCidr, Status, WatchEvent, parse_timestamp, timestamp};
use base::SimTime;
use ipnet::IpNet;
use serde_json::json;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// How long a deleted ServiceCIDR stays, so that every allocator has heard of its deletion.
const DELETION_GRACE: Duration = Duration::from_secs(10);

const READY: &str = "Kubernetes Service CIDR is ready";
const IN_USE: &str = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

/// Looks after ServiceCIDRs.
#[derive(Clone, Debug)]
pub struct ServiceCidrController {
    cidrs: BTreeMap<String, Arc<ServiceCidr>>,
    /// The addresses of Services.
    addresses: BTreeSet<IpAddr>,
    due: Queue<String>,
}

impl ServiceCidrController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cidrs: BTreeMap::new(),
            addresses: BTreeSet::new(),
            due: Queue::new(),
        }
    }

    fn observe_cidr(&mut self, cidr: &Arc<ServiceCidr>, change: Change, now: SimTime) {
        let name = &cidr.metadata.name;
        if change == Change::Deleted {
            self.cidrs.remove(name);
            self.due.forget(name);
        } else {
            self.cidrs.insert(name.clone(), Arc::clone(cidr));
            self.due.add(name.clone(), now);
        }
        if change != Change::Modified {
            self.wake_terminating(now);
        }
    }

    /// Those whose deletion may be possible now, or impossible.
    fn wake_terminating(&mut self, now: SimTime) {
        for (name, cidr) in &self.cidrs {
            if cidr.metadata.is_terminating() {
                self.due.add(name.clone(), now);
            }
        }
    }

    fn sync(&mut self, name: &str, now: SimTime) -> Option<Effect> {
        let cidr = Arc::clone(self.cidrs.get(name)?);
        if !cidr.metadata.is_terminating() {
            return with_finalizer(&cidr).or_else(|| with_condition(&cidr, "True", "", READY, now));
        }
        if !self.can_go(&cidr) {
            return with_condition(&cidr, "False", "Terminating", IN_USE, now);
        }
        let deleted = cidr.metadata.deletion_timestamp.as_deref();
        let end = deleted.and_then(parse_timestamp).unwrap_or(SimTime::ZERO) + DELETION_GRACE;
        if end > now {
            self.due.add(name.to_owned(), end);
            return None;
        }
        without_finalizer(&cidr)
    }

    /// Whether every address of a Service that it holds is in another ServiceCIDR, too.
    fn can_go(&self, cidr: &ServiceCidr) -> bool {
        let name = &cidr.metadata.name;
        let others = self
            .cidrs
            .values()
            .filter(|other| other.metadata.name != *name);
        let others: Vec<IpNet> = others
            .flat_map(|other| other.ranges().collect::<Vec<_>>())
            .collect();
        let mut ranges = cidr.ranges();
        ranges.all(|range| {
            let is_covered = |address: &IpAddr| others.iter().any(|other| other.contains(address));
            let mut held = self.addresses.range(range.network()..=range.broadcast());
            others.iter().any(|other| other.contains(&range)) || held.all(is_covered)
        })
    }
}

impl Default for ServiceCidrController {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for ServiceCidrController {
    fn name(&self) -> &'static str {
        "service-cidr-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        match &event.object {
            Object::ServiceCidr(cidr) => self.observe_cidr(cidr, event.change, now),
            Object::IpAddress(object) => {
                let address = object.address();
                let is_held = event.change != Change::Deleted && object.is_managed();
                let changed = address.is_some_and(|address| {
                    if is_held {
                        self.addresses.insert(address)
                    } else {
                        self.addresses.remove(&address)
                    }
                });
                if changed {
                    self.wake_terminating(now);
                }
            }
            _ => {}
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let due = self.due.take(now);
        due.iter().filter_map(|name| self.sync(name, now)).collect()
    }

    /// Who has written it meanwhile has made an event.
    fn refused(&mut self, _effect: &Effect, _status: &Status, _now: SimTime) {}
}

fn with_finalizer(cidr: &ServiceCidr) -> Option<Effect> {
    if has_finalizer(cidr) {
        return None;
    }
    let mut cidr = cidr.clone();
    let finalizers = &mut cidr.metadata.finalizers;
    finalizers.push(ServiceCidr::FINALIZER.to_owned());
    Some(Effect::Update(cidr.into()))
}

fn without_finalizer(cidr: &ServiceCidr) -> Option<Effect> {
    if !has_finalizer(cidr) {
        return None;
    }
    let mut cidr = cidr.clone();
    let finalizers = &mut cidr.metadata.finalizers;
    finalizers.retain(|finalizer| finalizer != ServiceCidr::FINALIZER);
    Some(Effect::Update(cidr.into()))
}

fn has_finalizer(cidr: &ServiceCidr) -> bool {
    let mut finalizers = cidr.metadata.finalizers.iter();
    finalizers.any(|finalizer| finalizer == ServiceCidr::FINALIZER)
}

/// Sets the condition Ready, unless it says the same already.
fn with_condition(
    cidr: &ServiceCidr,
    status: &str,
    reason: &str,
    message: &str,
    now: SimTime,
) -> Option<Effect> {
    let is_ready = |condition: &Condition| condition.condition_type == "Ready";
    let found = cidr.status.conditions.iter().find(|known| is_ready(known));
    let says = |known: &Condition, field, text| {
        let found = known.rest.get(field).and_then(serde_json::Value::as_str);
        found.unwrap_or_default() == text
    };
    if found.is_some_and(|known| {
        known.status == status && says(known, "reason", reason) && says(known, "message", message)
    }) {
        return None;
    }
    let mut condition = Condition {
        condition_type: "Ready".to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(timestamp(now)),
        ..Condition::default()
    };
    condition.rest.insert("reason", json!(reason));
    condition.rest.insert("message", json!(message));
    let mut cidr = cidr.clone();
    let conditions = &mut cidr.status.conditions;
    conditions.retain(|condition| !is_ready(condition));
    conditions.push(condition);
    Some(Effect::UpdateStatus(cidr.into()))
}
