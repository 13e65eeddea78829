//! All nodes, and which of them take more Pods.

use std::collections::{BTreeMap, BTreeSet};

use super::demand::Demand;
use super::footprint::Footprint;
use super::machine::{Machine, Offer};

/// All nodes, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    machines: BTreeMap<String, Machine>,
    /// The nodes that take every Pod, by zone, those with the fewest first.
    open: BTreeMap<String, BTreeSet<(usize, String)>>,
    /// How many Pods of each controller are in each zone.
    families: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Roster {
    /// What a node offers from now on, `None` if it is gone; and whether that is something new.
    pub(super) fn offer(&mut self, node: &str, offer: Option<Offer>) -> bool {
        let machine = self.machines.get(node);
        let before = machine.and_then(|machine| machine.offer.as_ref());
        if before == offer.as_ref() {
            return false;
        }
        let zones = [before, offer.as_ref()].map(|offer| Some(offer?.zone().to_owned()));
        let [before, after] = zones;
        if before != after {
            let owned = machine.map(|machine| machine.owned.clone());
            for (owner, count) in owned.into_iter().flatten() {
                self.count(&owner, before.as_deref(), |all| all.saturating_sub(count));
                self.count(&owner, after.as_deref(), |all| all + count);
            }
        }
        self.change(node, |machine| machine.offer = offer);
        true
    }

    pub(super) fn take(&mut self, node: &str, footprint: &Footprint) {
        self.change(node, |machine| machine.take(footprint));
        self.count_owner(node, footprint, |all| all + 1);
    }

    pub(super) fn give_back(&mut self, node: &str, footprint: &Footprint) {
        self.count_owner(node, footprint, |all| all.saturating_sub(1));
        self.change(node, |machine| machine.give_back(footprint));
    }

    /// The best node for a Pod that asks for no more than room, of those that take every Pod: the one with the fewest
    /// of its siblings on it and in its zone, the fewest Pods, and the first name.
    pub(super) fn roomiest(&self, demand: &Demand) -> Option<&str> {
        let owner = demand.footprint.owner.as_deref();
        let mut best: Option<(usize, usize, usize, &str)> = None;
        for (zone, nodes) in &self.open {
            let in_zone = self.siblings_in(owner, zone);
            for (pods, name) in nodes {
                // Nobody after this one comes before it, were it without siblings.
                if best.is_some_and(|best| best < (0, in_zone, *pods, name)) {
                    break;
                }
                let Some((name, machine, offer)) = self.get(name) else {
                    continue;
                };
                let score = (machine.siblings(owner), in_zone, *pods, name);
                if best.is_none_or(|best| score < best)
                    && machine.misfits(name, offer, demand).is_empty()
                {
                    best = Some(score);
                }
            }
        }
        best.map(|(.., name)| name)
    }

    /// How many Pods of a controller are in a zone.
    pub(super) fn siblings_in(&self, owner: Option<&str>, zone: &str) -> usize {
        let family = owner.and_then(|owner| self.families.get(owner));
        family
            .and_then(|zones| zones.get(zone))
            .copied()
            .unwrap_or(0)
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

    fn count_owner(&mut self, node: &str, footprint: &Footprint, by: impl FnOnce(usize) -> usize) {
        let zone = self.get(node).map(|(_, _, offer)| offer.zone().to_owned());
        if let Some(owner) = &footprint.owner {
            self.count(owner, zone.as_deref(), by);
        }
    }

    /// Changes the count of a controller's Pods in a zone; those on nodes that do not exist are in none.
    fn count(&mut self, owner: &str, zone: Option<&str>, by: impl FnOnce(usize) -> usize) {
        let Some(zone) = zone else {
            return;
        };
        let family = self.families.entry(owner.to_owned()).or_default();
        let count = by(family.get(zone).copied().unwrap_or(0));
        if count > 0 {
            family.insert(zone.to_owned(), count);
        } else {
            family.remove(zone);
            if family.is_empty() {
                self.families.remove(owner);
            }
        }
    }

    fn change(&mut self, node: &str, by: impl FnOnce(&mut Machine)) {
        let machine = self.machines.entry(node.to_owned()).or_default();
        if let Some(zone) = machine.open_zone() {
            let place = (machine.pods, node.to_owned());
            let nodes = self.open.get_mut(zone);
            nodes.expect("an open node is in its zone").remove(&place);
        }
        by(machine);
        if let Some(zone) = machine.open_zone() {
            let place = (machine.pods, node.to_owned());
            match self.open.get_mut(zone) {
                Some(nodes) => drop(nodes.insert(place)),
                None => drop(self.open.insert(zone.to_owned(), BTreeSet::from([place]))),
            }
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
