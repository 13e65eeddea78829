//! What the controller has seen of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, Node, Pod, Service};

use super::MANAGER;
use crate::backing::Backing;
use crate::name::Name;
use crate::slices::ManagedSlices;

/// Services and Pods, nodes, and the controller's slices.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub(super) backing: Backing,
    pub(super) slices: ManagedSlices,
    nodes: BTreeMap<String, Arc<Node>>,
    /// The Services of which Pods wait for their nodes.
    waiting: BTreeSet<Name>,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            backing: Backing::default(),
            slices: ManagedSlices::of(MANAGER),
            nodes: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Takes note of a node; returns the Services that have waited for it. To others nothing happens: what their slices
    /// say of the node is as of their last sync (EP-5, EP-58).
    pub(super) fn note_node(&mut self, node: &Arc<Node>, change: Change) -> Vec<Name> {
        let name = &node.metadata.name;
        let before = match change {
            Change::Deleted => self.nodes.remove(name),
            Change::Added | Change::Modified => self.nodes.insert(name.clone(), Arc::clone(node)),
        };
        if before.is_some() || change == Change::Deleted || self.waiting.is_empty() {
            return Vec::new();
        }
        let services = self.backing.with_pods_on(name).into_iter();
        services
            .filter(|service| self.waiting.contains(service))
            .collect()
    }

    /// Whether a Pod is left out until its node appears (EP-5).
    pub(super) fn is_lost(&self, service: &Service, pod: &Pod) -> bool {
        let node = &pod.spec.node_name;
        !node.is_empty()
            && !self.nodes.contains_key(node)
            && !service.spec.publish_not_ready_addresses
    }

    /// Notes whether a sync of the Service has left Pods out because of their nodes.
    pub(super) fn note_sync(&mut self, name: &Name, service: &Service, pods: &[Arc<Pod>]) {
        if pods.iter().any(|pod| self.is_lost(service, pod)) {
            self.waiting.insert(name.clone());
        } else {
            self.waiting.remove(name);
        }
    }

    /// The Service is gone.
    pub(super) fn forget(&mut self, name: &Name) {
        self.waiting.remove(name);
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(|node| &**node)
    }
}
