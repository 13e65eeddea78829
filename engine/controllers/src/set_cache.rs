//! What a controller of StatefulSets or DaemonSets knows: the sets, what they own, and which writes are under way.
//!
//! **Why.** Both kinds own Pods and revisions, take orphans that their selector matches, let go what it no longer
//! matches, and must not count on a cache that does not show their own last writes. Everything is found by the
//! uid of its controller, so an event costs what its set has and no more.
//! **Source of the semantics.** S: `pkg/controller/controller_ref_manager.go`, `pkg/controller/controller_utils.go`
//! (expectations).
//!
//! A set whose writes have not come back through the watch yet is left alone until they have. Kubernetes does so
//! with counts of creations and deletions that expire after five minutes; here no write is ever lost, for each ends
//! in an event, a refusal or the word that nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Change, Inert, Kind, LabelSelector, Object, ObjectKey, ObjectMeta, OwnerReference, Pod,
    Selector, Status, WatchEvent,
};
use base::SimTime;

use crate::controller::Effect;
use crate::queue::Queue;
use crate::revision;

/// A kind that owns Pods and revisions of its template.
pub(crate) trait PodSet: Sized {
    /// Its kind.
    const KIND: Kind;

    /// An object as one of this kind.
    fn of(object: &Object) -> Option<&Arc<Self>>;

    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Which Pods are its own.
    fn selector(&self) -> Option<&LabelSelector>;

    /// Whether a Pod's name allows it to be one of the set's.
    fn may_own(&self, _pod: &str) -> bool {
        true
    }
}

/// The sets of one kind.
#[derive(Clone, Debug)]
pub(crate) struct SetCache<S> {
    sets: BTreeMap<ObjectKey, Known<S>>,
    by_uid: BTreeMap<String, ObjectKey>,
    pods: Owned<Pod>,
    revisions: Owned<Inert>,
    /// Pods without a controller.
    orphans: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Orphans that matched a set when one of them changed.
    adoptable: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    due: Queue<ObjectKey>,
    /// Objects that were written and not seen since, with the set that they were written for.
    unseen: BTreeMap<ObjectKey, (ObjectKey, Awaited)>,
    /// How many those are for each set. These sets are held in `due`.
    open: BTreeMap<ObjectKey, usize>,
}

#[derive(Clone, Debug)]
struct Known<S> {
    set: Arc<S>,
    selector: Option<Selector>,
}

/// What shows that a write has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// Any event of the object.
    Change,
    /// One that says that the object is going or gone.
    End,
}

/// A set with everything that it owns, by name.
pub(crate) struct Family<S> {
    pub(crate) set: Arc<S>,
    pub(crate) pods: Vec<Arc<Pod>>,
    pub(crate) revisions: Vec<Arc<Inert>>,
    /// Pods to be adopted and released: to be done first.
    pub(crate) handovers: Vec<Effect>,
}

impl<S: PodSet> SetCache<S> {
    pub(crate) fn new() -> Self {
        Self {
            sets: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            pods: Owned::new(),
            revisions: Owned::new(),
            orphans: BTreeMap::new(),
            adoptable: BTreeMap::new(),
            due: Queue::of_workloads(),
            unseen: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Takes note of an event; sets that it concerns are due.
    pub(crate) fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let (key, meta) = (event.object.key(), event.object.meta());
        let is_gone = event.change == Change::Deleted;
        let awaited = self.unseen.get(&key).map(|(_, awaited)| *awaited);
        if awaited == Some(Awaited::Change) || is_gone || meta.is_terminating() {
            self.seen(&key);
        }
        if let Some(set) = S::of(&event.object) {
            self.note_set(key, set, is_gone, now);
            return;
        }
        let owner = meta
            .controller()
            .filter(|owner| owner.kind == S::KIND.name() && !is_gone);
        let owner = owner.map(|owner| owner.uid.as_str());
        let concerned = match &event.object {
            Object::Pod(pod) => {
                self.note_orphan(&key, pod, is_gone, now);
                self.pods.note(key, owner, pod)
            }
            Object::Other(inert) if key.kind == revision::kind() => {
                self.revisions.note(key, owner, inert)
            }
            _ => return,
        };
        for uid in concerned {
            if let Some(set) = self.by_uid.get(&uid) {
                self.due.add(set.clone(), now);
            }
        }
    }

    fn note_set(&mut self, key: ObjectKey, set: &Arc<S>, is_gone: bool, now: SimTime) {
        if is_gone {
            self.sets.remove(&key);
            self.by_uid.remove(&set.meta().uid);
            self.adoptable.remove(&key);
            self.due.forget(&key);
            return;
        }
        let selector = set
            .selector()
            .and_then(|found| Selector::try_from(found).ok());
        let known = Known {
            set: Arc::clone(set),
            selector,
        };
        if !self.sets.contains_key(&key) {
            let orphans = in_namespace(&self.orphans, Kind::Pod, &set.meta().namespace);
            let fitting = orphans.filter(|(_, pod)| known.takes(pod));
            let fitting: BTreeSet<ObjectKey> = fitting.map(|(pod, _)| pod.clone()).collect();
            if !fitting.is_empty() {
                self.adoptable.insert(key.clone(), fitting);
            }
        }
        self.by_uid.insert(set.meta().uid.clone(), key.clone());
        self.sets.insert(key.clone(), known);
        self.due.add(key, now);
    }

    fn note_orphan(&mut self, key: &ObjectKey, pod: &Arc<Pod>, is_gone: bool, now: SimTime) {
        if is_gone || pod.metadata.controller().is_some() {
            self.orphans.remove(key);
            return;
        }
        self.orphans.insert(key.clone(), Arc::clone(pod));
        for (set, known) in in_namespace(&self.sets, S::KIND, &pod.metadata.namespace) {
            if known.takes(pod) {
                self.adoptable
                    .entry(set.clone())
                    .or_default()
                    .insert(key.clone());
                self.due.add(set.clone(), now);
            }
        }
    }

    /// All sets.
    pub(crate) fn sets(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<S>)> {
        self.sets.iter().map(|(key, known)| (key, &known.set))
    }

    /// A set with what it owns; `None` if it is gone.
    pub(crate) fn family(&mut self, key: &ObjectKey) -> Option<Family<S>> {
        let known = self.sets.get(key)?;
        let meta = known.set.meta();
        let owned = self.pods.of(&meta.uid);
        let mut handovers = Vec::new();
        if meta.is_terminating() {
            self.adoptable.remove(key);
        }
        if let Some(adoptable) = self.adoptable.get_mut(key) {
            adoptable.retain(|pod| self.orphans.get(pod).is_some_and(|pod| known.takes(pod)));
            let pods = adoptable.iter().filter_map(|pod| self.orphans.get(pod));
            handovers.extend(pods.map(|pod| adopt(S::KIND, meta, pod)));
        }
        let (pods, strangers): (Vec<_>, Vec<_>) =
            owned.into_iter().partition(|pod| known.selects(pod));
        if !meta.is_terminating() {
            handovers.extend(strangers.iter().map(|pod| release(&meta.uid, pod)));
        }
        Some(Family {
            set: Arc::clone(&known.set),
            pods,
            revisions: self.revisions.of(&meta.uid),
            handovers,
        })
    }

    /// Makes a set due.
    pub(crate) fn add(&mut self, key: &ObjectKey, at: SimTime) {
        self.due.add(key.clone(), at);
    }

    pub(crate) fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    /// Takes out the sets that are due.
    pub(crate) fn take(&mut self, now: SimTime) -> Vec<ObjectKey> {
        self.due.take(now)
    }

    /// Waits for what these writes, made for a set, will show.
    pub(crate) fn sent(&mut self, set: &ObjectKey, effects: &[Effect]) {
        if effects.is_empty() {
            self.due.succeeded(set);
        }
        for (key, awaited) in effects.iter().filter_map(target) {
            self.seen(&key);
            self.due.hold(set);
            self.unseen.insert(key, (set.clone(), awaited));
            *self.open.entry(set.clone()).or_default() += 1;
        }
    }

    /// Waits no longer for an object that was written; returns the set that it was written for.
    fn seen(&mut self, key: &ObjectKey) -> Option<ObjectKey> {
        let (set, _) = self.unseen.remove(key)?;
        if let Some(open) = self.open.get_mut(&set) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&set);
                self.due.release(&set);
            }
        }
        Some(set)
    }

    /// Learns that no event will come of a write.
    pub(crate) fn unchanged(&mut self, effect: &Effect) {
        if let Some((key, _)) = target(effect) {
            self.seen(&key);
        }
    }

    /// Learns that a write was refused: its set is tried again, unless its namespace is going.
    pub(crate) fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        let set = target(effect).and_then(|(key, _)| self.seen(&key));
        let Some(set) = set.filter(|set| self.sets.contains_key(set)) else {
            return;
        };
        if status.is_namespace_terminating() {
            self.due.succeeded(&set);
        } else {
            self.due.add_failed(set, now);
        }
    }
}

impl<S: PodSet> Known<S> {
    fn selects(&self, pod: &Pod) -> bool {
        let labels = &pod.metadata.labels;
        let selector = self.selector.as_ref();
        self.set.may_own(&pod.metadata.name)
            && selector.is_some_and(|selector| selector.matches(labels))
    }

    /// Whether it would adopt an orphan.
    fn takes(&self, pod: &Pod) -> bool {
        self.selects(pod) && !pod.metadata.is_terminating()
    }
}

/// Objects by the uid of their controller.
#[derive(Clone, Debug)]
struct Owned<T> {
    objects: BTreeMap<String, BTreeMap<ObjectKey, Arc<T>>>,
    owners: BTreeMap<ObjectKey, String>,
}

impl<T> Owned<T> {
    const fn new() -> Self {
        Self {
            objects: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Takes note of an object and its owner, if it has one now; returns the owners concerned, former and new.
    fn note(&mut self, key: ObjectKey, owner: Option<&str>, object: &Arc<T>) -> Vec<String> {
        let mut concerned = Vec::new();
        let former = self.owners.remove(&key);
        if let Some(former) = former.filter(|former| Some(former.as_str()) != owner) {
            if let Some(objects) = self.objects.get_mut(&former) {
                objects.remove(&key);
                if objects.is_empty() {
                    self.objects.remove(&former);
                }
            }
            concerned.push(former);
        }
        if let Some(owner) = owner {
            let objects = self.objects.entry(owner.to_owned()).or_default();
            objects.insert(key.clone(), Arc::clone(object));
            self.owners.insert(key, owner.to_owned());
            concerned.push(owner.to_owned());
        }
        concerned
    }

    fn of(&self, owner: &str) -> Vec<Arc<T>> {
        let objects = self.objects.get(owner).into_iter().flatten();
        objects.map(|(_, object)| Arc::clone(object)).collect()
    }
}

/// The entries of one namespace.
fn in_namespace<'a, T>(
    all: &'a BTreeMap<ObjectKey, T>,
    kind: Kind,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a ObjectKey, &'a T)> {
    all.range(ObjectKey::new(kind, namespace, "")..)
        .take_while(move |(key, _)| key.namespace.as_deref() == Some(namespace))
}

fn adopt(kind: Kind, owner: &ObjectMeta, pod: &Pod) -> Effect {
    let mut pod = pod.clone();
    let owners = &mut pod.metadata.owner_references;
    owners.retain(|found| found.uid != owner.uid);
    owners.push(OwnerReference::to_controller(kind, owner));
    Effect::Update(pod.into())
}

fn release(uid: &str, pod: &Pod) -> Effect {
    let mut pod = pod.clone();
    pod.metadata
        .owner_references
        .retain(|owner| owner.uid != uid);
    Effect::Update(pod.into())
}

/// The object that an effect writes, and what will show that it has.
fn target(effect: &Effect) -> Option<(ObjectKey, Awaited)> {
    match effect {
        Effect::Create(object) | Effect::Update(object) | Effect::UpdateStatus(object) => {
            Some((object.key(), Awaited::Change))
        }
        Effect::Delete(key, _) => Some((key.clone(), Awaited::End)),
        Effect::DeleteContent(_) | Effect::Finalize(_) | Effect::Signal(_) => None,
    }
}
