//! Where an agent's rules go.

use std::sync::Arc;

use rules::{ClusterSizes, ClusterView, NodeFacts};

/// Takes compiled rules, or what they are to be compiled from.
pub trait RuleSink {
    /// Why rules were not taken; [`Infallible`](std::convert::Infallible) where they always are.
    type Error;

    /// Makes the node's rules those of a view, for a cluster that counts as large or not. Where the sink is atomic, they are the old ones before and the new ones
    /// after.
    ///
    /// # Errors
    /// When the rules of the view are not in force. What is in force then is the old rules, the new ones, or, where the
    /// sink commits in several steps, some of each.
    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), Self::Error>;
}

/// Whether a sync writes everything or what has changed (PROXY-66).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncKind {
    /// The first one, one from time to time, and one after a failure. The sink must not rely on what it wrote before.
    Full,
    /// Every other. What the last commit wrote may be taken to be there still.
    Partial,
}
