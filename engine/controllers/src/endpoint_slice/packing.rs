//! Which slices to write so that they hold the wanted endpoints: as few as possible.
//!
//! **Source of the semantics.** EP-21, EP-28 … EP-35; S: `endpointslice/reconciler.go` (reconcileByAddressType,
//! reconcileByPortMapping, finalize).

use std::collections::{BTreeMap, VecDeque};

use api::{Endpoint, EndpointPort, EndpointSlice, IpFamily, StringMap};

use super::desired::Groups;
use crate::slices::{Identity, identity};

/// `--max-endpoints-per-slice`.
pub(super) const ENDPOINTS_MAX: usize = 100;

/// Slices to write. Created ones have no metadata yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<EndpointSlice>,
    /// Slices that can stay as they are.
    pub(super) unchanged: Vec<EndpointSlice>,
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
        self.create
            .iter()
            .chain(&self.update)
            .chain(&self.unchanged)
    }

    /// The endpoints of the slices that are written.
    pub(super) fn written(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        let slices = self.create.iter_mut().chain(&mut self.update);
        slices.flat_map(|slice| &mut slice.endpoints)
    }

    /// Slices that could stay and of which this holds are to be written after all.
    pub(super) fn touch(&mut self, mut holds: impl FnMut(&EndpointSlice) -> bool) {
        let touched = self.unchanged.extract_if(.., |slice| holds(slice));
        self.update.extend(touched);
    }

    /// A slice that would go takes the place of one that would come: one write instead of two (EP-35).
    pub(super) fn reuse_deleted(&mut self, labels: &StringMap) {
        while !self.delete.is_empty() {
            let Some(created) = self.create.pop() else {
                break;
            };
            let mut slice = self.delete.remove(0);
            slice.endpoints = created.endpoints;
            slice.ports = created.ports;
            slice.metadata.labels.clone_from(labels);
            self.update.push(slice);
        }
    }
}

/// Plans one family of one Service, from its own slices of that family. New endpoints have no hints yet, and
/// differences in hints are none here.
pub(super) fn plan(
    family: IpFamily,
    labels: &StringMap,
    existing: Vec<EndpointSlice>,
    wanted: Groups,
) -> Plan {
    let count = existing.len();
    let mut by_ports: BTreeMap<Vec<EndpointPort>, Vec<EndpointSlice>> = BTreeMap::new();
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
    slices: Vec<EndpointSlice>,
    endpoints: Vec<Endpoint>,
) -> Plan {
    let mut order: VecDeque<Identity> = endpoints.iter().map(identity).collect();
    let mut wanted: BTreeMap<Identity, Endpoint> = endpoints
        .into_iter()
        .map(|endpoint| (identity(&endpoint), endpoint))
        .collect();
    let mut plan = Plan::default();
    let mut unchanged = Vec::new();
    for mut slice in slices {
        let kept: Vec<Endpoint> = slice
            .endpoints
            .iter()
            .filter_map(|old| wanted.remove(&identity(old)))
            .collect();
        let same = kept.len() == slice.endpoints.len()
            && kept.iter().zip(&slice.endpoints).all(same_but_for_hints);
        if kept.is_empty() && !same {
            plan.delete.push(slice);
        } else if same && slice.metadata.labels == *labels {
            unchanged.push(slice);
        } else {
            if !same {
                slice.endpoints = kept;
            }
            slice.metadata.labels.clone_from(labels);
            plan.update.push(slice);
        }
    }
    order.retain(|identity| wanted.contains_key(identity));
    let mut left: VecDeque<Endpoint> = order
        .iter()
        .filter_map(|identity| wanted.remove(identity))
        .collect();
    fill_updated(&mut plan.update, &mut left);
    while !left.is_empty() {
        if let Some(place) = best_fit(&unchanged, left.len()) {
            let mut slice = unchanged.remove(place);
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
fn best_fit(slices: &[EndpointSlice], count: usize) -> Option<usize> {
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
