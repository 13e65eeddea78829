//! Whose turn it is to send: the sources of traffic, as they come and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ApiServer, Change, Kind, Object, ObjectKey};
use control::{Sender, Source, is_pod_of, is_ready_pod};

use crate::client::Errand;

/// A source that can send, and what it needs for it.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) source: Source,
    pub(crate) errand: Arc<Errand>,
    pub(crate) zone: Arc<str>,
}

/// The sources of traffic in their order: those that were named, then the ready Pods of workloads by name.
///
/// It reads the API's log from where it left off, so a change costs as much as it changes.
#[derive(Debug)]
pub(crate) struct Senders {
    named: Vec<Source>,
    workloads: Vec<ObjectKey>,
    ready: BTreeSet<ObjectKey>,
    /// How much of the API's log has been read.
    revision: u64,
    places: Vec<Place>,
    turn: usize,
}

/// One source, with its seat once it has sent.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Source,
    pub(crate) seat: Option<Arc<Seat>>,
    /// As of which revision of the fleet its seat has the host of its Pod.
    pub(crate) seated: Option<u64>,
}

impl Senders {
    /// The senders of `from` at this instant.
    pub(crate) fn new(from: &[Sender], api: &ApiServer) -> Self {
        let mut senders = Self {
            named: Vec::new(),
            workloads: Vec::new(),
            ready: BTreeSet::new(),
            revision: api.revision(),
            places: Vec::new(),
            turn: 0,
        };
        for sender in from {
            match sender {
                Sender::One(source) => senders.named.push(source.clone()),
                Sender::PodsOf(workload) => senders.workloads.push(workload.clone()),
            }
        }
        for workload in senders.workloads.clone() {
            for pod in api.list(Kind::Pod, workload.namespace.as_deref()) {
                senders.consider(pod, true, api);
            }
        }
        senders.arrange();
        senders
    }

    /// Reads what has changed.
    pub(crate) fn catch_up(&mut self, api: &ApiServer) {
        if self.revision == api.revision() {
            return;
        }
        let mut has_changed = false;
        if !self.workloads.is_empty() {
            for event in api.events_after(self.revision) {
                if matches!(event.object, Object::Pod(_)) {
                    let exists = event.change != Change::Deleted;
                    has_changed |= self.consider(&event.object, exists, api);
                }
            }
        }
        self.revision = api.revision();
        if has_changed {
            self.arrange();
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    /// Whose turn it is; the next one is next.
    pub(crate) fn next(&mut self) -> Option<&mut Place> {
        let turn = self.turn.checked_rem(self.places.len())?;
        self.turn = turn + 1;
        Some(&mut self.places[turn])
    }

    /// Takes a Pod in, or out; tells whether it did.
    fn consider(&mut self, pod: &Object, exists: bool, api: &ApiServer) -> bool {
        let owners = |key: &ObjectKey| Some(api.get(key)?.meta().owner_references.clone());
        let is_ours = |workload: &ObjectKey| is_pod_of(pod, workload, owners);
        let sends = exists && is_ready_pod(pod) && self.workloads.iter().any(is_ours);
        match sends {
            true => self.ready.insert(pod.key()),
            false => self.ready.remove(&pod.key()),
        }
    }

    fn arrange(&mut self) {
        let named = self.named.iter().cloned();
        let pods = self.ready.iter().cloned().map(Source::Pod);
        let place = |source| Place {
            source,
            seat: None,
            seated: None,
        };
        self.places = named.chain(pods).map(place).collect();
    }
}
