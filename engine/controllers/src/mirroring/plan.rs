//! Which slices to write so that they mirror an Endpoints object: one for each family and list of ports.
//!
//! **Source of the semantics.** EP-45, EP-47; S: `pkg/controller/endpointslicemirroring/reconciler.go`
//! (reconcileByPortMapping, recycleSlices), `utils.go` (newEndpointSlice).

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{
    Endpoint, EndpointSlice, Endpoints, Kind, LABEL_MANAGED_BY, LABEL_SERVICE_NAME, LAST_APPLIED,
    ObjectMeta, OwnerReference, StringMap,
};

use super::MANAGER;
use super::mirror::{Group, GroupKey, Mirror};
use crate::backing::ANNOTATION_TRIGGER;
use crate::slices::{Identity, identity};

/// Slices to write. Created ones have no name yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

impl Plan {
    /// What to do about the slices that mirror an Endpoints object, or did so under other ports.
    pub(super) fn new(
        endpoints: &Endpoints,
        mirror: Mirror,
        existing: Vec<Arc<EndpointSlice>>,
    ) -> Self {
        let metadata = metadata(&endpoints.metadata);
        let mut by_group: BTreeMap<GroupKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in existing {
            let mut ports = slice.ports.clone();
            ports.sort();
            let key = (slice.address_type.clone(), ports);
            by_group.entry(key).or_default().push(slice);
        }
        let mut plan = Self::default();
        for (key, group) in mirror.groups {
            let mut slices = by_group.remove(&key).unwrap_or_default().into_iter();
            let first = slices.next();
            plan.delete.extend(slices);
            plan.add(key.0, group, first.as_deref(), &metadata);
        }
        plan.delete.extend(by_group.into_values().flatten());
        plan.reuse_deleted();
        plan
    }

    /// The whole slice is written anew if anything about it differs.
    fn add(
        &mut self,
        address_type: String,
        group: Group,
        found: Option<&EndpointSlice>,
        metadata: &ObjectMeta,
    ) {
        if found.is_some_and(|found| mirrors(found, &group, metadata)) {
            return;
        }
        let mut slice = EndpointSlice {
            metadata: metadata.clone(),
            address_type,
            endpoints: group.endpoints,
            ports: group.ports,
        };
        match found {
            None => self.create.push(slice),
            Some(found) => {
                slice.metadata.name.clone_from(&found.metadata.name);
                self.update.push(slice);
            }
        }
    }

    /// A slice that would go takes the place of one of its family that would come.
    fn reuse_deleted(&mut self) {
        for mut slice in std::mem::take(&mut self.create) {
            let of_family = |old: &Arc<EndpointSlice>| old.address_type == slice.address_type;
            match self.delete.iter().position(of_family) {
                None => self.create.push(slice),
                Some(place) => {
                    let place = self.delete.remove(place);
                    slice.metadata.name.clone_from(&place.metadata.name);
                    self.update.push(slice);
                }
            }
        }
    }
}

/// Metadata of every slice of an Endpoints object, but for the name: its labels and annotations are copied, without
/// those that tell of its own writes.
fn metadata(endpoints: &ObjectMeta) -> ObjectMeta {
    let mut labels = endpoints.labels.clone();
    labels.insert(LABEL_SERVICE_NAME.to_owned(), endpoints.name.clone());
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    let annotations = endpoints.annotations.iter();
    let annotations: StringMap = annotations
        .filter(|(key, _)| ![ANNOTATION_TRIGGER, LAST_APPLIED].contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    ObjectMeta {
        namespace: endpoints.namespace.clone(),
        labels,
        annotations,
        owner_references: vec![OwnerReference::to_controller(Kind::Endpoints, endpoints)],
        ..ObjectMeta::default()
    }
}

/// Whether a slice holds what it should; the order of endpoints makes no difference.
fn mirrors(slice: &EndpointSlice, group: &Group, metadata: &ObjectMeta) -> bool {
    slice.endpoints.len() == group.endpoints.len()
        && slice.metadata.labels == metadata.labels
        && slice.metadata.annotations == metadata.annotations
        && by_identity(&slice.endpoints) == by_identity(&group.endpoints)
}

fn by_identity(endpoints: &[Endpoint]) -> BTreeMap<Identity<'_>, &Endpoint> {
    let endpoints = endpoints.iter();
    endpoints
        .map(|endpoint| (identity(endpoint), endpoint))
        .collect()
}
