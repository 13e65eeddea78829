//! The slices of one manager.
//!
//! **What.** The slices whose label says that a controller manages them, by the Service that another label names.
//! **Why.** Several controllers write slices for one Service, and each looks at its own only (EP-24, EP-40).

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Change, Endpoint, EndpointSlice, LABEL_MANAGED_BY, ObjectMeta, generate_name};
use base::Rng;

use crate::name::Name;

/// What identifies an endpoint across changes of everything else (EP-29).
pub(crate) type Identity<'a> = (Vec<&'a str>, Option<&'a str>, Option<(&'a str, &'a str)>);

/// What a controller has seen of its slices.
#[derive(Clone, Debug)]
pub(crate) struct ManagedSlices {
    manager: &'static str,
    by_service: BTreeMap<Name, BTreeMap<String, Arc<EndpointSlice>>>,
    /// The Service of each of these slices.
    services: BTreeMap<Name, Name>,
}

impl ManagedSlices {
    /// No slices yet of who calls itself `manager` in them.
    pub(crate) const fn of(manager: &'static str) -> Self {
        Self {
            manager,
            by_service: BTreeMap::new(),
            services: BTreeMap::new(),
        }
    }

    /// The Services that a slice was of before, and is of now. Slices of others are none of the manager's business,
    /// and one that is gone is of no Service any more.
    pub(crate) fn note(&mut self, slice: &Arc<EndpointSlice>, change: Change) -> [Option<Name>; 2] {
        let meta = &slice.metadata;
        let key = Name::of(meta);
        let before = self.services.remove(&key);
        if let Some(before) = &before
            && let Some(slices) = self.by_service.get_mut(before)
        {
            slices.remove(&meta.name);
            if slices.is_empty() {
                self.by_service.remove(before);
            }
        }
        let managed = change != Change::Deleted && self.manages(slice);
        let service = slice.service_name().filter(|_| managed);
        let now = service.map(|service| Name::new(&meta.namespace, service));
        if let Some(now) = &now {
            let slices = self.by_service.entry(now.clone()).or_default();
            slices.insert(meta.name.clone(), Arc::clone(slice));
            self.services.insert(key, now.clone());
        }
        [before, now]
    }

    /// The slices of a Service by name.
    pub(crate) fn of_service(&self, service: &Name) -> Vec<Arc<EndpointSlice>> {
        let slices = self.by_service.get(service).into_iter();
        slices.flat_map(BTreeMap::values).cloned().collect()
    }

    /// Whether this is how a Service's slice was seen last.
    pub(crate) fn holds(&self, service: &Name, slice: &EndpointSlice) -> bool {
        let slices = self.by_service.get(service);
        let known = slices.and_then(|slices| slices.get(&slice.metadata.name));
        known.is_some_and(|known| **known == *slice)
    }

    fn manages(&self, slice: &EndpointSlice) -> bool {
        let manager = slice.metadata.labels.get(LABEL_MANAGED_BY);
        manager.is_some_and(|manager| manager == self.manager)
    }
}

/// Metadata of a new slice for a Service; its suffix is random (EP-23).
pub(crate) fn new_metadata(service: &Name, names: &mut Rng) -> ObjectMeta {
    let prefix = format!("{}-", service.name);
    ObjectMeta {
        name: generate_name(&prefix, names),
        generate_name: prefix,
        namespace: service.namespace.clone(),
        ..ObjectMeta::default()
    }
}

pub(crate) fn identity(endpoint: &Endpoint) -> Identity<'_> {
    let mut addresses: Vec<&str> = endpoint.addresses.iter().map(String::as_str).collect();
    addresses.sort_unstable();
    let target = endpoint.target_ref.as_ref();
    let target = target.map(|target| (target.namespace.as_str(), target.name.as_str()));
    (addresses, endpoint.hostname.as_deref(), target)
}
