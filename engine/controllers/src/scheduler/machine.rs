//! A node as the scheduler sees it: what it offers, and what is taken.

use std::collections::BTreeMap;

use api::{LABEL_ZONE, Node, StringMap, Taint};

use super::demand::Demand;
use super::footprint::{Amounts, Footprint, HostPort};
use super::misfit::Misfit;
use super::quantity::nanos;
use crate::tolerations::{
    NO_SCHEDULE, NOT_READY, UNREACHABLE, UNSCHEDULABLE, is_cordoned, taint, taints,
};

const NANOS: i128 = 1_000_000_000;

/// What a node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) labels: StringMap,
    pub(super) taints: Vec<Taint>,
    is_cordoned: bool,
    /// `None` is as much as anybody wants.
    cpu: Option<i128>,
    memory: Option<i128>,
    pods: Option<i128>,
}

impl Offer {
    /// What this Node offers. One that is not Ready has the taint that its controller is about to give it.
    pub(super) fn of(node: &Node) -> Self {
        let mut taints = taints(node);
        let is_away = |taint: &Taint| {
            taint.effect == NO_SCHEDULE && matches!(taint.key.as_str(), NOT_READY | UNREACHABLE)
        };
        if !node.is_ready() && !taints.iter().any(is_away) {
            taints.push(taint(NOT_READY, NO_SCHEDULE));
        }
        let amount = |resource: &str| node.status.allocatable.get(resource).and_then(nanos);
        Self {
            labels: node.metadata.labels.clone(),
            taints,
            is_cordoned: is_cordoned(node),
            cpu: amount("cpu"),
            memory: amount("memory"),
            pods: amount("pods"),
        }
    }

    /// Its zone; empty where it is in none.
    pub(super) fn zone(&self) -> &str {
        self.labels.get(LABEL_ZONE).map_or("", String::as_str)
    }

    /// Whether a Pod may be put here as far as taints go.
    pub(super) fn is_borne_by(&self, demand: &Demand) -> bool {
        self.cordon_is_borne_by(demand) && self.taints.iter().all(|taint| demand.bears(taint))
    }

    fn cordon_is_borne_by(&self, demand: &Demand) -> bool {
        !self.is_cordoned || demand.bears(&taint(UNSCHEDULABLE, NO_SCHEDULE))
    }
}

/// A node, and what is taken of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// `None` for a node that only Pods speak of.
    pub(super) offer: Option<Offer>,
    /// How many Pods are on it, or chosen for it.
    pub(super) pods: usize,
    /// How many of them each controller has.
    pub(super) owned: BTreeMap<String, usize>,
    used: Amounts,
    ports: BTreeMap<HostPort, usize>,
}

impl Machine {
    pub(super) fn take(&mut self, footprint: &Footprint) {
        self.pods += 1;
        self.used = self.used.plus(footprint.requests);
        for port in &footprint.ports {
            *self.ports.entry(port.clone()).or_insert(0) += 1;
        }
        if let Some(owner) = &footprint.owner {
            *self.owned.entry(owner.clone()).or_insert(0) += 1;
        }
    }

    pub(super) fn give_back(&mut self, footprint: &Footprint) {
        self.pods = self.pods.saturating_sub(1);
        self.used = self.used.minus(footprint.requests);
        for port in &footprint.ports {
            decrease(&mut self.ports, port);
        }
        if let Some(owner) = &footprint.owner {
            decrease(&mut self.owned, owner);
        }
    }

    /// Whether nobody speaks of it.
    pub(super) const fn is_void(&self) -> bool {
        self.offer.is_none() && self.pods == 0
    }

    /// Its zone, if it takes every Pod that asks nothing in particular, and gladly.
    pub(super) fn open_zone(&self) -> Option<&str> {
        let offer = self.offer.as_ref()?;
        let is_open = !offer.is_cordoned && offer.taints.is_empty() && self.has_room(offer);
        is_open.then(|| offer.zone())
    }

    /// How many Pods of a controller are on it.
    pub(super) fn siblings(&self, owner: Option<&str>) -> usize {
        let count = owner.and_then(|owner| self.owned.get(owner));
        count.copied().unwrap_or(0)
    }

    /// What the first plugin to object says, in the order of kube-scheduler's.
    pub(super) fn misfits(&self, name: &str, offer: &Offer, demand: &Demand) -> Vec<Misfit> {
        let ports = &demand.footprint.ports;
        let is_taken = |port: &HostPort| self.ports.keys().any(|taken| taken.clashes(port));
        if !offer.cordon_is_borne_by(demand) {
            vec![Misfit::Cordoned]
        } else if !offer.is_borne_by(demand) {
            vec![Misfit::Tainted]
        } else if !demand.selector.admits(name, &offer.labels) {
            vec![Misfit::NotSelected]
        } else if ports.iter().any(is_taken) {
            vec![Misfit::PortsTaken]
        } else {
            self.shortages(offer, demand.footprint.requests)
        }
    }

    fn shortages(&self, offer: &Offer, asked: Amounts) -> Vec<Misfit> {
        let mut found = Vec::new();
        if !self.has_room(offer) {
            found.push(Misfit::TooManyPods);
        }
        for (resource, asked, used, all) in [
            ("cpu", asked.cpu, self.used.cpu, offer.cpu),
            ("memory", asked.memory, self.used.memory, offer.memory),
        ] {
            let Some(all) = all.filter(|_| asked > 0) else {
                continue;
            };
            if asked > all {
                found.push(Misfit::TooSmall(resource));
            } else if asked > all.saturating_sub(used) {
                found.push(Misfit::Insufficient(resource));
            }
        }
        found
    }

    fn has_room(&self, offer: &Offer) -> bool {
        let pods = i128::try_from(self.pods).unwrap_or(i128::MAX);
        offer
            .pods
            .is_none_or(|room| pods.saturating_add(1).saturating_mul(NANOS) <= room)
    }
}

/// Takes one from a count; those at zero are left out.
pub(super) fn decrease<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
