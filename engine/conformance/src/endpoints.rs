//! The endpoints of one service port as one node's proxy sees them, with every choice that Kubernetes leaves
//! open made in every way.
//!
//! Source of the semantics: PROXY-4, PROXY-5, PROXY-8 … PROXY-12; EP-13, EP-16.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use api::{Endpoint, EndpointSlice, IpFamily, Named, ServicePort};

/// An endpoint of the port, as an entry of a slice describes it to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) address: SocketAddr,
    pub(crate) ready: bool,
    /// Serving and terminating: used where nothing is ready.
    pub(crate) last_resort: bool,
    /// On the node.
    pub(crate) here: bool,
    pub(crate) node_hint: Hint,
    pub(crate) zone_hint: Hint,
}

/// What a hint means to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    Absent,
    NamesOthers,
    NamesUs,
}

/// Whom entries are read for.
#[derive(Clone, Copy)]
pub(crate) struct Viewpoint<'c> {
    pub(crate) node: &'c str,
    pub(crate) zone: Option<&'c str>,
}

/// One reading of all slices: an entry per address and port.
pub(crate) type Reading = Vec<Entry>;

/// Every reading of a port's slices. An address that several entries describe is read from one that does not
/// terminate, if there is one (PROXY-5); which of several is used, Kubernetes does not say. There are as many
/// readings as combinations of such choices.
pub(crate) fn readings(
    slices: &[&EndpointSlice],
    port: &ServicePort,
    family: IpFamily,
    viewpoint: Viewpoint<'_>,
) -> Vec<Reading> {
    let mut lasting: BTreeMap<SocketAddr, BTreeSet<Entry>> = BTreeMap::new();
    let mut leaving: BTreeMap<SocketAddr, BTreeSet<Entry>> = BTreeMap::new();
    for slice in slices
        .iter()
        .filter(|slice| slice.address_type == family.name())
    {
        for number in port_numbers(slice, port) {
            for endpoint in &slice.endpoints {
                let Some(address) = address(endpoint, family) else {
                    continue;
                };
                let entry = entry(endpoint, SocketAddr::new(address, number), viewpoint);
                let terminating = endpoint.conditions.is_terminating();
                let list = if terminating {
                    &mut leaving
                } else {
                    &mut lasting
                };
                list.entry(entry.address).or_default().insert(entry);
            }
        }
    }
    for (address, entries) in leaving {
        lasting.entry(address).or_insert(entries);
    }
    lasting
        .into_values()
        .fold(vec![Reading::new()], |readings, choices| {
            let with = |reading: &Reading, entry| [reading.as_slice(), &[entry]].concat();
            let extended = |reading: Reading| {
                choices
                    .iter()
                    .map(|entry| with(&reading, *entry))
                    .collect::<Vec<_>>()
            };
            readings.into_iter().flat_map(extended).collect()
        })
}

/// Whether any endpoint, on any node, could be used (PROXY-11, PROXY-12).
pub(crate) fn any_usable(reading: &Reading) -> bool {
    reading.iter().any(|entry| entry.ready || entry.last_resort)
}

/// What policy Cluster chooses from (PROXY-8): ready ones as hints allow, else any that serves while terminating.
pub(crate) fn cluster_set(reading: &Reading) -> Vec<Entry> {
    let ready = pick(reading, |entry| entry.ready);
    if ready.is_empty() {
        return pick(reading, |entry| entry.last_resort);
    }
    // Hints of a kind count if every ready endpoint has one and one at least names us (PROXY-10); those for
    // nodes go first.
    let kinds: [fn(&Entry) -> Hint; 2] = [|entry| entry.node_hint, |entry| entry.zone_hint];
    for hint in kinds {
        let near = pick(&ready, |entry| hint(entry) == Hint::NamesUs);
        if !near.is_empty() && ready.iter().all(|entry| hint(entry) != Hint::Absent) {
            return near;
        }
    }
    ready
}

/// What policy Local chooses from (PROXY-9): the node's own, ready, else serving while terminating. Hints do not
/// count.
pub(crate) fn local_set(reading: &Reading) -> Vec<Entry> {
    let ready = pick(reading, |entry| entry.here && entry.ready);
    if ready.is_empty() {
        return pick(reading, |entry| entry.here && entry.last_resort);
    }
    ready
}

fn pick(entries: &[Entry], wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    entries
        .iter()
        .copied()
        .filter(|entry| wanted(entry))
        .collect()
}

/// The numbers that a slice gives for a service port: name and protocol have to be equal, and a port without a
/// name or number is none (PROXY-4).
fn port_numbers<'s>(
    slice: &'s EndpointSlice,
    port: &'s ServicePort,
) -> impl Iterator<Item = u16> + 's {
    let same = |candidate: &&api::EndpointPort| {
        candidate.name.as_ref() == Some(&port.name) && candidate.transport() == port.transport()
    };
    let number = |candidate: &api::EndpointPort| u16::try_from(candidate.port?).ok();
    slice
        .ports
        .iter()
        .filter(same)
        .filter_map(number)
        .filter(|number| *number != 0)
}

/// The one address that counts (EP-16).
fn address(endpoint: &Endpoint, family: IpFamily) -> Option<IpAddr> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    (IpFamily::of(address) == family).then_some(address)
}

fn entry(endpoint: &Endpoint, address: SocketAddr, viewpoint: Viewpoint<'_>) -> Entry {
    let conditions = endpoint.conditions;
    let hints = endpoint.hints.as_ref();
    Entry {
        address,
        ready: conditions.is_ready(),
        last_resort: conditions.is_serving() && conditions.is_terminating(),
        here: endpoint.node_name.as_deref() == Some(viewpoint.node),
        node_hint: hint(hints.map(|hints| &*hints.for_nodes), Some(viewpoint.node)),
        zone_hint: hint(hints.map(|hints| &*hints.for_zones), viewpoint.zone),
    }
}

fn hint(named: Option<&[Named]>, us: Option<&str>) -> Hint {
    match named {
        None | Some([]) => Hint::Absent,
        Some(named) if named.iter().any(|hint| Some(hint.name.as_str()) == us) => Hint::NamesUs,
        Some(_) => Hint::NamesOthers,
    }
}
