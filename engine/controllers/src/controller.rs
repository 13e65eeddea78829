//! What a controller is.

use std::sync::Arc;

use api::{DeleteOptions, Object, ObjectKey, Pod, Status, WatchEvent};
use base::SimTime;

use crate::incident::Incident;

/// A reconciler that sees the cluster through watch events, and what no object tells through [`Incident`]s.
pub trait Controller {
    /// A short name for reports.
    fn name(&self) -> &'static str;

    /// Takes note of an event. Events come in the order of the log, each once, at a time of the caller's choice.
    fn observe(&mut self, event: &WatchEvent, now: SimTime);

    /// When it has something to do, as far as it knows; an instant that has passed means now.
    fn next_due(&self) -> Option<SimTime>;

    /// Does what is due, and says what to write. The caller carries effects out in order.
    fn reconcile(&mut self, now: SimTime) -> Vec<Effect>;

    /// Learns that the API server has refused an effect.
    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime);

    /// Learns that an effect has changed nothing: the API server has found the object to be so already, and no
    /// event will come. Who waits for the events of its own writes must not wait for this one.
    fn unchanged(&mut self, _effect: &Effect, _now: SimTime) {}

    /// Learns of something that no object of the API tells, at once.
    fn happen(&mut self, _incident: &Incident, _now: SimTime) {}

    /// Whether it goes on without an API server: what runs on nodes does.
    fn works_alone(&self) -> bool {
        false
    }

    /// When it has something to do again that goes round and round: nobody waits for it. An instant that has passed
    /// means now.
    fn next_periodic(&self) -> Option<SimTime> {
        None
    }
}

/// What a controller wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Create this object.
    Create(Object),
    /// Replace this object; its resourceVersion says what the write is based on.
    Update(Object),
    /// Write this object's status alone.
    UpdateStatus(Object),
    /// Delete this object.
    Delete(ObjectKey, DeleteOptions),
    /// Delete everything in this namespace.
    DeleteContent(String),
    /// Say that this namespace is empty.
    Finalize(ObjectKey),
    /// Tell the world of processes and packets about a Pod.
    Signal(PodSignal),
}

impl Effect {
    /// The object that it writes, if it is one.
    pub(crate) fn target(&self) -> Option<ObjectKey> {
        match self {
            Self::Create(object) | Self::Update(object) | Self::UpdateStatus(object) => {
                Some(object.key())
            }
            Self::Delete(key, _) => Some(key.clone()),
            Self::DeleteContent(_) | Self::Finalize(_) | Self::Signal(_) => None,
        }
    }
}

/// What happens to a Pod's containers and its network.
#[derive(Clone, Debug, PartialEq)]
pub enum PodSignal {
    /// Its containers run and its addresses are up.
    Started {
        /// The Pod.
        pod: ObjectKey,
        /// Its identity.
        uid: String,
        /// The node it runs on.
        node: String,
        /// The Pod with the status that the kubelet is about to report, its addresses among it.
        object: Arc<Pod>,
    },
    /// Its application begins to listen.
    Serving {
        /// The Pod.
        pod: ObjectKey,
        /// Its identity.
        uid: String,
        /// The node it runs on.
        node: String,
    },
    /// Its containers get SIGTERM.
    Terminating {
        /// The Pod.
        pod: ObjectKey,
        /// Its identity.
        uid: String,
        /// The node it runs on.
        node: String,
    },
    /// Its containers have ended, and with them their sockets; its addresses stay. It may be told later that it serves
    /// again.
    Crashed {
        /// The Pod.
        pod: ObjectKey,
        /// Its identity.
        uid: String,
        /// The node it runs on.
        node: String,
    },
    /// Its containers and its addresses are gone.
    Removed {
        /// The Pod.
        pod: ObjectKey,
        /// Its identity.
        uid: String,
        /// The node it ran on.
        node: String,
    },
}
