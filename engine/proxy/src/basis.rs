//! What a node's rules are made from.

use std::sync::Arc;

use rules::{ClusterView, NodeFacts};

/// The cluster as a node has seen it, and what the node knew of itself then: rules are others where either is another.
#[derive(Clone, Debug)]
pub struct Basis {
    /// What the node knew of itself.
    pub facts: Arc<NodeFacts>,
    /// What it had seen of the cluster.
    pub view: ClusterView,
}

impl Basis {
    /// That of a node that has seen nothing.
    #[must_use]
    pub fn empty(facts: Arc<NodeFacts>) -> Self {
        Self {
            facts,
            view: ClusterView::default(),
        }
    }
}

/// Those of some node.
#[cfg(test)]
pub(crate) fn any_facts() -> Arc<NodeFacts> {
    Arc::new(NodeFacts {
        name: "node-a".into(),
        zone: None,
        addresses: Vec::new(),
        local_detection: rules::LocalDetection::None,
        masquerade_all: false,
        node_port_addresses: rules::NodePortAddresses::All,
        localhost_node_ports: true,
        masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
    })
}
