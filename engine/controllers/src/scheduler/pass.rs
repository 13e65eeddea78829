//! One Pod's way through filters and scores.
//!
//! **Source of the semantics.** S: `pkg/scheduler/schedule_one.go` (schedulePod), the plugins in
//! `pkg/scheduler/framework/plugins`, in the order of `apis/config/v1/default_plugins.go`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use api::Pod;

use super::cache::Cache;
use super::demand::Demand;
use super::machine::{Machine, Offer};
use super::misfit::{Misfit, Misfits};
use super::spread::{Domains, Spread};

/// What is to be known of the cluster to place one Pod.
pub(super) struct Pass<'a> {
    cache: &'a Cache,
    demand: &'a Demand,
    /// Each constraint with the Pods that its domains have.
    spreads: Vec<(&'a Spread, Domains<'a>)>,
    /// Domains, by label and value, with Pods that the Pod must be near to; `None` if any domain will do.
    company: Option<BTreeSet<(&'a str, &'a str)>>,
    /// Domains with Pods that the Pod wants to be away from.
    averse: BTreeSet<(&'a str, &'a str)>,
    /// Those with Pods that want to be away from the Pod.
    repelling: BTreeSet<(&'a str, &'a str)>,
}

/// The less the better: taints that are shunned, its like nearby, Pods of its controller on the node and in the
/// zone, Pods on the node, and at last the name.
type Score<'a> = (usize, usize, usize, usize, usize, &'a str);

impl<'a> Pass<'a> {
    /// The node for a Pod, or why there is none.
    pub(super) fn place(
        cache: &'a Cache,
        pod: &'a Pod,
        demand: &'a Demand,
    ) -> Result<&'a str, Misfits> {
        if demand.asks_for_room_alone()
            && !cache.is_repelled(pod)
            && let Some(roomiest) = cache.roster.roomiest(demand)
        {
            return Ok(roomiest);
        }
        Self::prepared(cache, pod, demand).run()
    }

    fn prepared(cache: &'a Cache, pod: &'a Pod, demand: &'a Demand) -> Self {
        let spreads = demand.spreads.iter();
        Self {
            cache,
            demand,
            spreads: spreads
                .map(|spread| (spread, domains(cache, pod, demand, spread)))
                .collect(),
            company: company(cache, pod, demand),
            averse: averse(cache, demand),
            repelling: cache.repelling_domains(pod),
        }
    }

    fn run(&self) -> Result<&'a str, Misfits> {
        let mut misfits = Misfits::default();
        let mut best: Option<Reverse<Score<'a>>> = None;
        let names = self.demand.selector.names();
        let roster = &self.cache.roster;
        let mut consider = |name: &'a str, machine: &Machine, offer: &Offer| {
            let found = self.misfits(name, machine, offer);
            if found.is_empty() {
                best = best.max(Some(Reverse(self.score(name, machine, offer))));
            } else {
                misfits.add(1, &found);
            }
        };
        match &names {
            // A Pod of a DaemonSet: there is no need to look at other nodes.
            Some(names) => {
                let named = names.iter().filter_map(|name| roster.get(name));
                named.for_each(|(name, machine, offer)| consider(name, machine, offer));
            }
            None => roster
                .nodes()
                .for_each(|(name, machine, offer)| consider(name, machine, offer)),
        }
        if let Some(Reverse(score)) = best {
            return Ok(score.5);
        }
        let others = roster.len() - misfits.nodes();
        misfits.add(others, &[Misfit::NotNamed]);
        Err(misfits)
    }

    fn misfits(&self, name: &str, machine: &Machine, offer: &Offer) -> Vec<Misfit> {
        let found = machine.misfits(name, offer, self.demand);
        if !found.is_empty() {
            return found;
        }
        let uneven = self.uneven(offer);
        let lonely = self.is_lonely(offer).then_some(Misfit::Lonely);
        let averse = meets(&self.averse, offer).then_some(Misfit::Averse);
        let repelled = meets(&self.repelling, offer).then_some(Misfit::Repelled);
        uneven
            .or(lonely)
            .or(averse)
            .or(repelled)
            .into_iter()
            .collect()
    }

    fn is_lonely(&self, offer: &Offer) -> bool {
        let mut terms = self.demand.attracted_by.iter();
        terms.any(|term| {
            let key = term.topology_key.as_str();
            let domain = offer.labels.get(key).map(|value| (key, value.as_str()));
            let company = self.company.as_ref();
            domain.is_none_or(|domain| company.is_some_and(|found| !found.contains(&domain)))
        })
    }

    fn uneven(&self, offer: &Offer) -> Option<Misfit> {
        let hard = self.spreads.iter().filter(|(spread, _)| spread.is_hard);
        for (spread, domains) in hard {
            let Some(domain) = offer.labels.get(&spread.topology_key) else {
                return Some(Misfit::NoDomain);
            };
            let here = domains.get(domain.as_str()).copied().unwrap_or(0);
            if !spread.allows(here, domains) {
                return Some(Misfit::Uneven);
            }
        }
        None
    }

    fn score(&self, name: &'a str, machine: &Machine, offer: &Offer) -> Score<'a> {
        let demand = self.demand;
        let shunned = offer
            .taints
            .iter()
            .filter(|taint| demand.shuns(taint))
            .count();
        let wishes = self.spreads.iter().filter(|(spread, _)| !spread.is_hard);
        let nearby = wishes.map(|(spread, domains)| {
            let domain = offer.labels.get(&spread.topology_key);
            // Where there is no domain, nobody is nearer than the most crowded one.
            let count = domain.and_then(|domain| domains.get(domain.as_str()));
            count
                .or_else(|| domains.values().max())
                .copied()
                .unwrap_or(0)
        });
        let owner = demand.footprint.owner.as_deref();
        (
            shunned,
            nearby.sum(),
            machine.siblings(owner),
            self.cache.roster.siblings_in(owner, offer.zone()),
            machine.pods,
            name,
        )
    }
}

fn meets(domains: &BTreeSet<(&str, &str)>, offer: &Offer) -> bool {
    domains
        .iter()
        .any(|(key, value)| offer.labels.get(*key).is_some_and(|label| label == value))
}

/// The domains of a constraint, with how many of the Pod's like each has.
fn domains<'a>(cache: &'a Cache, pod: &'a Pod, demand: &Demand, spread: &'a Spread) -> Domains<'a> {
    let keys = demand
        .spreads
        .iter()
        .filter(|other| other.is_hard == spread.is_hard);
    let keys: Vec<&str> = keys.map(|other| other.topology_key.as_str()).collect();
    let counts = |name: &str, offer: &Offer| {
        keys.iter().all(|key| offer.labels.contains_key(*key))
            && (!spread.honors_affinity || demand.selector.admits(name, &offer.labels))
            && (!spread.honors_taints || offer.is_borne_by(demand))
    };
    let nodes = cache
        .roster
        .nodes()
        .filter(|(name, _, offer)| counts(name, offer));
    let nodes: BTreeMap<&str, &str> = nodes
        .filter_map(|(name, _, offer)| {
            Some((name, offer.labels.get(&spread.topology_key)?.as_str()))
        })
        .collect();
    let mut domains: Domains<'a> = nodes.values().map(|domain| (*domain, 0)).collect();
    let like = cache
        .placed(&pod.metadata.namespace)
        .filter(|(other, _)| spread.counts(other));
    for domain in like.filter_map(|(_, node)| nodes.get(node)) {
        *domains.entry(domain).or_insert(0) += 1;
    }
    domains
}

/// The domains with Pods that the Pod must be near to. The first of several that want to be near to each other may be
/// anywhere.
fn company<'a>(
    cache: &'a Cache,
    pod: &Pod,
    demand: &'a Demand,
) -> Option<BTreeSet<(&'a str, &'a str)>> {
    let terms = &demand.attracted_by;
    let is_meant = |namespace: &str, other: &Pod| {
        let labels = &other.metadata.labels;
        terms
            .iter()
            .all(|term| term.covers(namespace, &cache.namespaces) && term.selects(labels))
    };
    let mut domains = BTreeSet::new();
    if terms.is_empty() {
        return None;
    }
    for namespace in cache.inhabited() {
        let there = cache
            .placed(namespace)
            .filter(|(other, _)| is_meant(namespace, other));
        for (_, node) in there {
            let near = terms
                .iter()
                .filter_map(|term| cache.domain(&term.topology_key, node));
            domains.extend(near);
        }
    }
    let is_first = domains.is_empty() && is_meant(&pod.metadata.namespace, pod);
    (!is_first).then_some(domains)
}

/// The domains with Pods that the Pod wants to be away from.
fn averse<'a>(cache: &'a Cache, demand: &'a Demand) -> BTreeSet<(&'a str, &'a str)> {
    let mut domains = BTreeSet::new();
    if demand.footprint.repels.is_empty() {
        return domains;
    }
    for namespace in cache.inhabited() {
        let terms = demand.footprint.repels.iter();
        for term in terms.filter(|term| term.covers(namespace, &cache.namespaces)) {
            let there = cache.placed(namespace);
            let there = there.filter(|(pod, _)| term.selects(&pod.metadata.labels));
            domains.extend(there.filter_map(|(_, node)| cache.domain(&term.topology_key, node)));
        }
    }
    domains
}
