//! What happens in a cluster and no object of the API tells.
//!
//! **Why.** A node that loses its power writes nothing; those who run on it, and those who wait for its heartbeats, learn
//! of it here. An incident says how things are from now on, so that it can be told twice.

use api::ObjectKey;

/// Something that a controller learns at once, and not from a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incident {
    /// How a node fares from now on.
    Node {
        /// Its name.
        node: String,
        /// Whether it has power: without, its kubelet and its containers do not run.
        is_up: bool,
        /// Whether its kubelet reaches the API server: if not, it sees and writes nothing, and its containers go on.
        is_connected: bool,
    },
    /// The containers of a Pod end, as if by an error of their own.
    PodCrash(ObjectKey),
    /// Whether a Pod's readiness is taken to fail from now on, whatever its probes find.
    PodUnready {
        /// The Pod.
        pod: ObjectKey,
        /// Whether it is.
        is_unready: bool,
    },
}
