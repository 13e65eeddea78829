//! The heuristic `Auto`: endpoints are shared out among zones as CPU is.
//!
//! **What.** Each zone is to have endpoints in proportion to its share of the cluster's CPU. Endpoints serve their
//! own zone first; zones with too many give to zones with too few. Where a zone would be overloaded by more than a
//! fifth, or too little is known, there are no hints at all.
//! **Why.** Hints that stand are left alone while they do: every write of a slice reaches every node.
//! **Source of the semantics.** EP-51 … EP-58; S: `endpointslice/topologycache/{topologycache,sliceinfo,utils}.go`.
//!
//! Deviation: between zones that are equal the one that is first by name gives or takes, where
//! Kubernetes follows the order of a Go map. A change of a node's CPU alone counts at once, where Kubernetes
//! waits for a change of its readiness or zone.

use std::collections::BTreeMap;
use std::fmt;

use api::{Change, EndpointSlice, IpFamily, Node};
use serde_json::Value;

use super::hints::{self, Distribution, is_ready, zone_hint};
use super::packing::Plan;
use crate::name::Name;

/// How much more than its share a zone may be left to carry.
const OVERLOAD: f64 = 0.2;
/// Nodes with one of these labels run no Pods of the user's (EP-51).
const EXCLUDED: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// Numbers by zone.
type ByZone<T> = BTreeMap<String, T>;

/// The CPU of zones, and which Services have hints because of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    /// Nodes that count, with zone and CPU in thousandths; `None` where one of them is not known.
    nodes: BTreeMap<String, Option<(String, u64)>>,
    /// CPU in thousandths, and the number of nodes that it is of.
    zones: ByZone<(u64, usize)>,
    /// How many of the nodes lack something.
    lacking: usize,
    /// Hints at each zone.
    hinted: BTreeMap<Name, BTreeMap<IpFamily, ByZone<usize>>>,
}

/// How many endpoints a zone is to have.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Allocation {
    minimum: usize,
    maximum: usize,
    desired: f64,
}

/// Why the endpoints of one family of a Service are not shared out (EP-59).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unshared {
    /// Of some node CPU or zone is not known, or all are in one zone.
    Nodes,
    /// There are fewer endpoints than zones.
    Endpoints { endpoints: usize, zones: usize },
    /// Some zone would have to carry too much.
    Overload { endpoints: usize, zones: usize },
    /// The zone of some endpoint is not known.
    NoZone,
    /// No endpoint is at any zone.
    Nothing,
}

impl fmt::Display for Unshared {
    /// Kubernetes' words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes => f.write_str(
                "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
            ),
            Self::Endpoints { endpoints, zones } => write!(
                f,
                "Insufficient number of endpoints ({endpoints} endpoints, {zones} zones)"
            ),
            Self::Overload { endpoints, zones } => write!(
                f,
                "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                 ({endpoints} endpoints, {zones} zones)"
            ),
            Self::NoZone => f.write_str("One or more endpoints do not have a zone specified"),
            Self::Nothing => f.write_str("No hints allocated for zones"),
        }
    }
}

impl Topology {
    /// Takes note of a node; returns the Services that have become overloaded by it (EP-58).
    pub(super) fn note_node(&mut self, node: &Node, change: Change) -> Vec<Name> {
        let counts = change != Change::Deleted && node.is_ready() && !is_excluded(node);
        let now = counts.then(|| capacity(node));
        let name = &node.metadata.name;
        if self.nodes.get(name) == now.as_ref() {
            return Vec::new();
        }
        let before = self.nodes.remove(name);
        match before {
            Some(Some((zone, cpu))) => self.take_from_zone(&zone, cpu),
            Some(None) => self.lacking -= 1,
            None => {}
        }
        match &now {
            Some(Some((zone, cpu))) => {
                let entry = self.zones.entry(zone.clone()).or_default();
                *entry = (entry.0 + cpu, entry.1 + 1);
            }
            Some(None) => self.lacking += 1,
            None => {}
        }
        self.nodes.extend(now.map(|now| (name.clone(), now)));
        let shares = self.shares();
        let overloaded = |(_, hinted): &(&Name, &BTreeMap<IpFamily, ByZone<usize>>)| {
            hinted
                .values()
                .any(|hinted| is_overloaded(hinted, shares.as_ref()))
        };
        let services = self.hinted.iter().filter(overloaded);
        services.map(|(name, _)| name.clone()).collect()
    }

    /// Shares the endpoints of one family of a Service out among zones, or takes their hints away; says whether the
    /// Service had none before.
    ///
    /// # Errors
    /// Why they are not shared out.
    pub(super) fn assign(
        &mut self,
        name: &Name,
        family: IpFamily,
        plan: &mut Plan,
    ) -> Result<bool, Unshared> {
        match self.share_out(plan) {
            Ok(hinted) => {
                let is_new = !self.is_hinted(name);
                let families = self.hinted.entry(name.clone()).or_default();
                families.insert(family, hinted);
                Ok(is_new)
            }
            Err(reason) => {
                hints::assign(Distribution::Anywhere, plan);
                self.forget_family(name, family);
                Err(reason)
            }
        }
    }

    /// Whether the Service has hints by CPU.
    pub(super) fn is_hinted(&self, name: &Name) -> bool {
        self.hinted.contains_key(name)
    }

    /// The Service is gone.
    pub(super) fn forget(&mut self, name: &Name) {
        self.hinted.remove(name);
    }

    /// One family of the Service has no hints by CPU any more.
    pub(super) fn forget_family(&mut self, name: &Name, family: IpFamily) {
        if let Some(families) = self.hinted.get_mut(name) {
            families.remove(&family);
            if families.is_empty() {
                self.hinted.remove(name);
            }
        }
    }

    /// The number of hints at each zone, if the endpoints can be shared out.
    fn share_out(&self, plan: &mut Plan) -> Result<ByZone<usize>, Unshared> {
        let endpoints = plan.slices().flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| is_ready(endpoint));
        let zones: Vec<Option<&String>> = ready.map(|endpoint| endpoint.zone.as_ref()).collect();
        let shares = self.shares().ok_or(Unshared::Nodes)?;
        let allocations = allocations(&shares, zones.len())?;
        if zones.contains(&None) {
            return Err(Unshared::NoZone);
        }
        let mut hinted = ByZone::new();
        plan.touch(|slice| match standing_hints(slice, &hinted, &allocations) {
            Some(standing) => {
                add(&mut hinted, standing);
                false
            }
            None => true,
        });
        for endpoint in plan.written().filter(|endpoint| is_ready(endpoint)) {
            let zone = endpoint.zone.clone().expect("zones were asked for above");
            endpoint.hints = Some(zone_hint(&zone));
            *hinted.entry(zone).or_default() += 1;
        }
        let (mut giving, mut receiving) = moves(&allocations, &hinted);
        for endpoint in plan.written().filter(|endpoint| is_ready(endpoint)) {
            let (Some(zone), Some(to)) = (&endpoint.zone, receiving.keys().next().cloned()) else {
                continue;
            };
            if take_one(&mut giving, zone) {
                take_one(&mut receiving, &to);
                take_one(&mut hinted, zone);
                endpoint.hints = Some(zone_hint(&to));
                *hinted.entry(to).or_default() += 1;
            }
        }
        if hinted.is_empty() {
            return Err(Unshared::Nothing);
        }
        Ok(hinted)
    }

    /// Each zone's share of the CPU; `None` if too little is known (EP-51, EP-52).
    fn shares(&self) -> Option<ByZone<f64>> {
        let total: u64 = self.zones.values().map(|(cpu, _)| cpu).sum();
        if self.lacking > 0 || self.zones.len() < 2 || total == 0 {
            return None;
        }
        let share = |cpu: u64| number(cpu) / number(total);
        let zones = self.zones.iter();
        Some(
            zones
                .map(|(zone, (cpu, _))| (zone.clone(), share(*cpu)))
                .collect(),
        )
    }

    fn take_from_zone(&mut self, zone: &str, cpu: u64) {
        if let Some(entry) = self.zones.get_mut(zone) {
            *entry = (entry.0 - cpu, entry.1 - 1);
            if entry.1 == 0 {
                self.zones.remove(zone);
            }
        }
    }
}

fn is_excluded(node: &Node) -> bool {
    let labels = &node.metadata.labels;
    EXCLUDED.iter().any(|label| labels.contains_key(*label))
}

/// A node's zone and CPU, if it has both.
fn capacity(node: &Node) -> Option<(String, u64)> {
    let cpu = node.status.allocatable.get("cpu").map_or(0, millis);
    let zone = node.zone().filter(|_| cpu > 0)?;
    Some((zone.to_owned(), cpu))
}

/// A quantity in thousandths, rounded up; one that is none counts as nothing.
fn millis(quantity: &Value) -> u64 {
    let text = match quantity {
        Value::String(text) => text.clone(),
        quantity => quantity.to_string(),
    };
    let (digits, unit) = match text.strip_suffix('m') {
        Some(digits) => (digits, 1.0),
        None => match text.strip_suffix('k') {
            Some(digits) => (digits, 1_000_000.0),
            None => (text.as_str(), 1000.0),
        },
    };
    let value = digits.parse::<f64>().unwrap_or(0.0) * unit;
    whole(value.clamp(0.0, 1e12).ceil())
}

/// How many endpoints each zone is to have, unless some zone would be overloaded (EP-53).
fn allocations(shares: &ByZone<f64>, endpoints: usize) -> Result<ByZone<Allocation>, Unshared> {
    let zones = shares.len();
    if zones > endpoints {
        return Err(Unshared::Endpoints { endpoints, zones });
    }
    let count = number(u64::try_from(endpoints).unwrap_or(u64::MAX));
    let allocation = |share: &f64| {
        let desired = share * count;
        let minimum = (desired * (1.0 / (1.0 + OVERLOAD))).ceil();
        Allocation {
            minimum: usize::try_from(whole(minimum)).unwrap_or(usize::MAX),
            maximum: 0,
            desired: desired.max(minimum),
        }
    };
    let shares = shares.iter();
    let mut allocations: ByZone<Allocation> = shares
        .map(|(zone, share)| (zone.clone(), allocation(share)))
        .collect();
    let least: usize = allocations.values().map(|zone| zone.minimum).sum();
    let spare = endpoints
        .checked_sub(least)
        .ok_or(Unshared::Overload { endpoints, zones })?;
    for allocation in allocations.values_mut() {
        allocation.maximum = allocation.minimum + spare;
    }
    Ok(allocations)
}

/// The hints of a slice that is not written otherwise, if they can stay (EP-57).
fn standing_hints(
    slice: &EndpointSlice,
    hinted: &ByZone<usize>,
    allocations: &ByZone<Allocation>,
) -> Option<ByZone<usize>> {
    let mut standing = ByZone::new();
    for endpoint in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
        let hints = endpoint.hints.as_ref()?;
        if hints.for_zones.is_empty() {
            return None;
        }
        for zone in &hints.for_zones {
            *standing.entry(zone.name.clone()).or_default() += 1;
        }
    }
    let fits = |(zone, count): (&String, &usize)| {
        let before = hinted.get(zone).copied().unwrap_or(0);
        allocations
            .get(zone)
            .is_some_and(|allocation| before + count <= allocation.maximum)
    };
    standing.iter().all(fits).then_some(standing)
}

/// How many endpoints zones give, and how many zones receive (EP-54).
fn moves(
    allocations: &ByZone<Allocation>,
    hinted: &ByZone<usize>,
) -> (ByZone<usize>, ByZone<usize>) {
    let (mut surplus, mut need) = (ByZone::new(), ByZone::new());
    for (zone, allocation) in allocations {
        let count = hinted.get(zone).copied().unwrap_or(0);
        let over = number(u64::try_from(count).unwrap_or(u64::MAX)) - allocation.desired;
        let side = if over > 0.0 { &mut surplus } else { &mut need };
        side.insert(zone.clone(), over.abs());
    }
    let (mut giving, mut receiving) = (ByZone::new(), ByZone::new());
    while let (Some((from, gives)), Some((to, needs))) = (most(&surplus), most(&need)) {
        if gives < 0.5 || needs < 0.5 || (gives < 1.0 && needs < 1.0) {
            break;
        }
        *giving.entry(from.clone()).or_default() += 1;
        *receiving.entry(to.clone()).or_default() += 1;
        surplus.insert(from, gives - 1.0);
        need.insert(to, needs - 1.0);
    }
    (giving, receiving)
}

/// The zone with the greatest number above 0; the first of equals.
fn most(zones: &ByZone<f64>) -> Option<(String, f64)> {
    let mut best: Option<(&String, f64)> = None;
    for (zone, number) in zones {
        if *number > best.map_or(0.0, |(_, number)| number) {
            best = Some((zone, *number));
        }
    }
    best.map(|(zone, number)| (zone.clone(), number))
}

/// Whether some zone has fewer hints than it needs at least.
fn is_overloaded(hinted: &ByZone<usize>, shares: Option<&ByZone<f64>>) -> bool {
    let Some(shares) = shares else {
        return !hinted.is_empty();
    };
    let total: usize = hinted.values().sum();
    let total = number(u64::try_from(total).unwrap_or(u64::MAX));
    shares.iter().any(|(zone, share)| {
        let least = (total * share * (1.0 / (1.0 + OVERLOAD))).ceil();
        let hinted = hinted.get(zone).map_or(0, |count| *count);
        hinted == 0 || number(u64::try_from(hinted).unwrap_or(u64::MAX)) < least
    })
}

fn add(hinted: &mut ByZone<usize>, more: ByZone<usize>) {
    for (zone, count) in more {
        *hinted.entry(zone).or_default() += count;
    }
}

/// Takes one off a zone's number, and the zone away with its last one; whether there was one.
fn take_one(zones: &mut ByZone<usize>, zone: &str) -> bool {
    let Some(count) = zones.get_mut(zone) else {
        return false;
    };
    *count -= 1;
    if *count == 0 {
        zones.remove(zone);
    }
    true
}

fn number(whole: u64) -> f64 {
    whole as f64
}

fn whole(number: f64) -> u64 {
    number as u64
}
