//! The cluster as the scheduler knows it, its own choices among it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Kind, ObjectKey, Pod, StringMap};

use super::footprint::Footprint;
use super::machine::decrease;
use super::pod_term::PodTerm;
use super::roster::Roster;

/// The cluster as the scheduler knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    /// Pods that are on a node, or chosen for one, are counted here.
    pub(super) roster: Roster,
    pub(super) pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Choices that no event has confirmed yet, with the Pod as it was.
    pub(super) chosen: BTreeMap<ObjectKey, (String, Arc<Pod>)>,
    /// How many Pods each namespace has.
    inhabitants: BTreeMap<String, usize>,
    /// The labels of namespaces.
    pub(super) namespaces: BTreeMap<String, StringMap>,
    /// What Pods want to be away from, and how many with that wish each node has. There are few different wishes:
    /// Pods of a workload share theirs.
    repelling: Vec<(PodTerm, BTreeMap<String, usize>)>,
}

impl Cache {
    /// Takes note of a Pod, `None` if it is gone, and gives what was known of it.
    pub(super) fn set_pod(&mut self, key: &ObjectKey, pod: Option<&Arc<Pod>>) -> Option<Arc<Pod>> {
        let before = match pod {
            Some(pod) => self.pods.insert(key.clone(), Arc::clone(pod)),
            None => self.pods.remove(key),
        };
        let namespace = key.namespace.clone().unwrap_or_default();
        match (&before, pod) {
            (None, Some(_)) => *self.inhabitants.entry(namespace).or_insert(0) += 1,
            (Some(_), None) => decrease(&mut self.inhabitants, &namespace),
            _ => {}
        }
        if let (Some(before), Some(pod)) = (&before, pod)
            && takes_the_same(before, pod)
        {
            return Some(Arc::clone(before));
        }
        if let Some((node, before)) = before.as_deref().and_then(|pod| Some((place(pod)?, pod))) {
            self.leave(node, before);
        }
        if let Some((node, pod)) = pod.and_then(|pod| Some((place(pod)?, pod))) {
            self.arrive(node, pod);
        }
        before
    }

    /// The labels of a namespace, `None` if it is gone; and whether that is something new.
    pub(super) fn set_namespace(&mut self, name: &str, labels: Option<&StringMap>) -> bool {
        let before = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()),
            None => self.namespaces.remove(name),
        };
        before.as_ref() != labels
    }

    /// Counts a Pod where it is about to be.
    pub(super) fn choose(&mut self, key: &ObjectKey, pod: Arc<Pod>, node: String) {
        self.take_back(key);
        self.arrive(&node, &pod);
        self.chosen.insert(key.clone(), (node, pod));
    }

    /// Forgets a choice, and gives the node that was chosen.
    pub(super) fn take_back(&mut self, key: &ObjectKey) -> Option<String> {
        let (node, pod) = self.chosen.remove(key)?;
        self.leave(&node, &pod);
        Some(node)
    }

    /// The Pods of a namespace that are somewhere, and where.
    pub(super) fn placed<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Pod, &'a str)> {
        let first = ObjectKey::new(Kind::Pod, namespace, "");
        let pods = self
            .pods
            .range(first..)
            .take_while(move |(key, _)| key.namespace.as_deref() == Some(namespace));
        pods.filter_map(|(key, pod)| {
            let chosen = || self.chosen.get(key).map(|(node, _)| node.as_str());
            Some((&**pod, place(pod).or_else(chosen)?))
        })
    }

    /// The namespaces that have Pods.
    pub(super) fn inhabited(&self) -> impl Iterator<Item = &str> {
        self.inhabitants.keys().map(String::as_str)
    }

    /// Whether a Pod that is somewhere wants to be away from this one.
    pub(super) fn is_repelled(&self, pod: &Pod) -> bool {
        self.repellers(pod).next().is_some()
    }

    /// The domains, by label and value, in which no Pod wants to have this one.
    pub(super) fn repelling_domains<'a>(&'a self, pod: &'a Pod) -> BTreeSet<(&'a str, &'a str)> {
        let mut domains = BTreeSet::new();
        for (term, nodes) in self.repellers(pod) {
            domains.extend(
                nodes
                    .keys()
                    .filter_map(|node| self.domain(&term.topology_key, node)),
            );
        }
        domains
    }

    /// The domain of a label that a node is in.
    pub(super) fn domain<'a>(&'a self, key: &'a str, node: &str) -> Option<(&'a str, &'a str)> {
        let (_, _, offer) = self.roster.get(node)?;
        Some((key, offer.labels.get(key)?.as_str()))
    }

    fn repellers<'a>(
        &'a self,
        pod: &'a Pod,
    ) -> impl Iterator<Item = &'a (PodTerm, BTreeMap<String, usize>)> {
        let meta = &pod.metadata;
        self.repelling.iter().filter(|(term, _)| {
            term.selects(&meta.labels) && term.covers(&meta.namespace, &self.namespaces)
        })
    }

    fn arrive(&mut self, node: &str, pod: &Pod) {
        let footprint = Footprint::of(pod);
        self.roster.take(node, &footprint);
        for term in footprint.repels {
            match self.repelling.iter_mut().find(|(known, _)| *known == term) {
                Some((_, nodes)) => *nodes.entry(node.to_owned()).or_insert(0) += 1,
                None => {
                    let nodes = BTreeMap::from([(node.to_owned(), 1)]);
                    self.repelling.push((term, nodes));
                }
            }
        }
    }

    fn leave(&mut self, node: &str, pod: &Pod) {
        let footprint = Footprint::of(pod);
        self.roster.give_back(node, &footprint);
        for term in footprint.repels {
            if let Some((_, nodes)) = self.repelling.iter_mut().find(|(known, _)| *known == term) {
                decrease(nodes, &node.to_owned());
            }
        }
        self.repelling.retain(|(_, nodes)| !nodes.is_empty());
    }
}

/// Whether a Pod takes up the same at the same place as before. Most changes are of its status.
fn takes_the_same(before: &Pod, after: &Pod) -> bool {
    let owners = [before, after].map(|pod| &pod.metadata.owner_references);
    place(before) == place(after) && before.spec == after.spec && owners[0] == owners[1]
}

/// The node that a Pod takes room on.
pub(super) fn place(pod: &Pod) -> Option<&str> {
    let node = Some(pod.spec.node_name.as_str());
    node.filter(|node| !node.is_empty() && !pod.is_finished())
}
