//! All nodes, and which of them take more Pods.

use std::collections::{BTreeMap, BTreeSet};

use super::footprint::Footprint;
use super::machine::{Machine, Offer};

/// All nodes, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    machines: BTreeMap<String, Machine>,
    /// The nodes that take every Pod, those with the fewest first.
    open: BTreeSet<(usize, String)>,
}

impl Roster {
    /// What a node offers from now on, `None` if it is gone; and whether that is something new.
    pub(super) fn offer(&mut self, node: &str, offer: Option<Offer>) -> bool {
        let before = self
            .machines
            .get(node)
            .and_then(|machine| machine.offer.as_ref());
        let is_new = before != offer.as_ref();
        if is_new {
            self.change(node, |machine| machine.offer = offer);
        }
        is_new
    }

    pub(super) fn take(&mut self, node: &str, footprint: &Footprint) {
        self.change(node, |machine| machine.take(footprint));
    }

    pub(super) fn give_back(&mut self, node: &str, footprint: &Footprint) {
        self.change(node, |machine| machine.give_back(footprint));
    }

    /// The node with the fewest Pods of those that take every Pod, the first by name among equals.
    pub(super) fn least(&self) -> Option<&str> {
        self.open.first().map(|(_, node)| node.as_str())
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes().count()
    }

    /// A node, if it exists.
    pub(super) fn get(&self, node: &str) -> Option<(&str, &Machine, &Offer)> {
        let (name, machine) = self.machines.get_key_value(node)?;
        Some((name.as_str(), machine, machine.offer.as_ref()?))
    }

    /// The nodes that exist, by name.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Machine, &Offer)> {
        let machines = self.machines.iter();
        machines.filter_map(|(name, machine)| {
            let offer = machine.offer.as_ref()?;
            Some((name.as_str(), machine, offer))
        })
    }

    fn change(&mut self, node: &str, by: impl FnOnce(&mut Machine)) {
        let machine = self.machines.entry(node.to_owned()).or_default();
        if machine.is_open() {
            self.open.remove(&(machine.pods, node.to_owned()));
        }
        by(machine);
        if machine.is_open() {
            self.open.insert((machine.pods, node.to_owned()));
        } else if machine.is_void() {
            self.machines.remove(node);
        }
    }

    /// Pods by node, of those that have any.
    #[cfg(test)]
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let machines = self.machines.iter();
        let counts = machines.map(|(name, machine)| (name.clone(), machine.pods));
        counts.filter(|(_, pods)| *pods > 0).collect()
    }
}
