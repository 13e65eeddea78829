//! Which slices to write so that they hold the wanted endpoints: as few as possible.
//!
//! **Source of the semantics.** EP-21, EP-28 … EP-35; S: `endpointslice/reconciler.go` (reconcileByAddressType,
//! reconcileByPortMapping, finalize).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::{Endpoint, EndpointPort, EndpointSlice, IpFamily, ObjectMeta, StringMap};

use super::desired::Groups;
use crate::slices::{Identity, identity};

/// `--max-endpoints-per-slice`.
pub(super) const ENDPOINTS_MAX: usize = 100;

/// Slices to write. Created ones have no metadata yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
    /// Slices that can stay as they are.
    pub(super) unchanged: Vec<Arc<EndpointSlice>>,
}

impl Plan {
    pub(super) fn add(&mut self, other: Self) {
        self.create.extend(other.create);
        self.update.extend(other.update);
        self.delete.extend(other.delete);
        self.unchanged.extend(other.unchanged);
    }

    /// Every slice that will be there.
    pub(super) fn slices(&self) -> impl Iterator<Item = &EndpointSlice> {
        let written = self.create.iter().chain(&self.update);
        written.chain(self.unchanged.iter().map(|slice| &**slice))
    }

    /// The endpoints of the slices that are written.
    pub(super) fn written(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        let slices = self.create.iter_mut().chain(&mut self.update);
        slices.flat_map(|slice| &mut slice.endpoints)
    }

    /// Slices that could stay and of which this holds are to be written after all.
    pub(super) fn touch(&mut self, mut holds: impl FnMut(&EndpointSlice) -> bool) {
        let touched = self.unchanged.extract_if(.., |slice| holds(slice));
        self.update.extend(touched.map(Arc::unwrap_or_clone));
    }

    /// A slice that would go takes the place of one that would come: one write instead of two (EP-35).
    pub(super) fn reuse_deleted(&mut self, labels: &StringMap) {
        while !self.delete.is_empty() {
            let Some(created) = self.create.pop() else {
                break;
            };
            let place = self.delete.remove(0);
            self.update.push(EndpointSlice {
                metadata: relabelled(&place.metadata, labels),
                address_type: place.address_type.clone(),
                ..created
            });
        }
    }
}

/// Plans one family of one Service, from its own slices of that family. New endpoints have no hints yet, and
/// differences in hints are none here.
pub(super) fn plan(
    family: IpFamily,
    labels: &StringMap,
    existing: Vec<Arc<EndpointSlice>>,
    wanted: Groups,
) -> Plan {
    let count = existing.len();
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        let mut ports = slice.ports.clone();
        ports.sort();
        by_ports.entry(ports).or_default().push(slice);
    }
    let mut plan = Plan::default();
    for (ports, endpoints) in wanted {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        plan.add(plan_group(family, &ports, labels, slices, endpoints));
    }
    plan.delete.extend(by_ports.into_values().flatten());
    if plan.delete.len() == count && plan.create.is_empty() {
        keep_placeholder(&mut plan, family, labels);
    }
    plan
}

/// The slices of one list of ports.
fn plan_group(
    family: IpFamily,
    ports: &[EndpointPort],
    labels: &StringMap,
    slices: Vec<Arc<EndpointSlice>>,
    endpoints: Vec<Endpoint>,
) -> Plan {
    let found = found_in(&slices, &endpoints);
    let mut left: Vec<Option<Endpoint>> = endpoints.into_iter().map(Some).collect();
    let mut plan = Plan::default();
    let mut unchanged = Vec::new();
    for (slice, found) in slices.into_iter().zip(found) {
        let kept = found.into_iter().filter_map(|place| left[place].take());
        let kept: Vec<Endpoint> = kept.collect();
        let same = kept.len() == slice.endpoints.len()
            && kept.iter().zip(&slice.endpoints).all(same_but_for_hints);
        if kept.is_empty() && !same {
            plan.delete.push(slice);
        } else if same && slice.metadata.labels == *labels {
            unchanged.push(slice);
        } else {
            plan.update.push(EndpointSlice {
                metadata: relabelled(&slice.metadata, labels),
                address_type: slice.address_type.clone(),
                endpoints: if same { slice.endpoints.clone() } else { kept },
                ports: slice.ports.clone(),
            });
        }
    }
    let mut left: VecDeque<Endpoint> = left.into_iter().flatten().collect();
    fill_updated(&mut plan.update, &mut left);
    while !left.is_empty() {
        if let Some(place) = best_fit(&unchanged, left.len()) {
            let mut slice = Arc::unwrap_or_clone(unchanged.remove(place));
            slice.endpoints.extend(left.drain(..));
            plan.update.push(slice);
        } else {
            let room = left.len().min(ENDPOINTS_MAX);
            plan.create.push(EndpointSlice {
                address_type: family.to_string(),
                endpoints: left.drain(..room).collect(),
                ports: ports.to_vec(),
                ..EndpointSlice::default()
            });
        }
    }
    plan.unchanged = unchanged;
    plan
}

/// Step 1: which of the wanted endpoints each slice has, by their places, in the order of the slice (EP-30).
fn found_in(slices: &[Arc<EndpointSlice>], wanted: &[Endpoint]) -> Vec<Vec<usize>> {
    let wanted = wanted.iter().enumerate();
    let mut places: BTreeMap<Identity<'_>, usize> = wanted
        .map(|(place, endpoint)| (identity(endpoint), place))
        .collect();
    let mut found = Vec::new();
    for slice in slices {
        let endpoints = slice.endpoints.iter();
        let places = endpoints.filter_map(|old| places.remove(&identity(old)));
        found.push(places.collect());
    }
    found
}

fn relabelled(metadata: &ObjectMeta, labels: &StringMap) -> ObjectMeta {
    ObjectMeta {
        labels: labels.clone(),
        ..metadata.clone()
    }
}

/// Step 2: slices that are written anyway take what they can, the fullest first (EP-31).
fn fill_updated(slices: &mut [EndpointSlice], left: &mut VecDeque<Endpoint>) {
    let mut by_fill: Vec<&mut EndpointSlice> = slices.iter_mut().collect();
    by_fill.sort_by_key(|slice| std::cmp::Reverse(slice.endpoints.len()));
    for slice in by_fill {
        let room = ENDPOINTS_MAX
            .saturating_sub(slice.endpoints.len())
            .min(left.len());
        slice.endpoints.extend(left.drain(..room));
    }
}

/// Step 3: the unchanged slice that takes all of the rest and ends closest to full (EP-32).
fn best_fit(slices: &[Arc<EndpointSlice>], count: usize) -> Option<usize> {
    if count >= ENDPOINTS_MAX {
        return None;
    }
    let fits = |slice: &EndpointSlice| slice.endpoints.len() + count <= ENDPOINTS_MAX;
    let places = (0..slices.len()).filter(|place| fits(&slices[*place]));
    places
        .rev()
        .max_by_key(|place| slices[*place].endpoints.len())
}

/// A family always has a slice, if only an empty one (EP-28).
fn keep_placeholder(plan: &mut Plan, family: IpFamily, labels: &StringMap) {
    let is_placeholder = |slice: &EndpointSlice| {
        slice.endpoints.is_empty() && slice.ports.is_empty() && slice.metadata.labels == *labels
    };
    if matches!(plan.delete.as_slice(), [only] if is_placeholder(only)) {
        plan.delete.clear();
    } else {
        let address_type = family.to_string();
        plan.create.push(EndpointSlice {
            address_type,
            ..EndpointSlice::default()
        });
    }
}

/// `wanted` has no hints.
fn same_but_for_hints((wanted, found): (&Endpoint, &Endpoint)) -> bool {
    if found.hints.is_none() {
        return wanted == found;
    }
    let unhinted = Endpoint {
        hints: None,
        ..found.clone()
    };
    *wanted == unhinted
}
