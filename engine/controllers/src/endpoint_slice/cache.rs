//! What the controller has seen of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Change, Node};

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
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            backing: Backing::default(),
            slices: ManagedSlices::of(MANAGER),
            nodes: BTreeMap::new(),
        }
    }

    /// Services with Pods on a node whose zone or existence has changed (EP-5, EP-14).
    pub(super) fn note_node(&mut self, node: &Arc<Node>, change: Change) -> Vec<Name> {
        let name = &node.metadata.name;
        let before = match change {
            Change::Deleted => self.nodes.remove(name),
            Change::Added | Change::Modified => self.nodes.insert(name.clone(), Arc::clone(node)),
        };
        let same_zone = before.is_some_and(|before| before.zone() == node.zone());
        if same_zone && change != Change::Deleted {
            return Vec::new();
        }
        self.backing.with_pods_on(name).into_iter().collect()
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(|node| &**node)
    }
}
