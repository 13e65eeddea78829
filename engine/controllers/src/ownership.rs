//! Who controls what: the dependents of each owner, and orphans that its selector claims.
//!
//! **What.** A dependent belongs to the owner that its `controller` reference names by uid. One without such a
//! reference is an orphan, and may be adopted by an owner whose selector matches it; one whose labels no longer match
//! is released.
//! **Why.** An event of a dependent concerns its owner, or the owners that may adopt it, and costs as much as these:
//! orphans are compared with selectors when they change and when an owner appears, never when an owner is looked at.
//! **Source of the semantics.** S: `pkg/controller/controller_ref_manager.go`,
//! `apimachinery/pkg/apis/meta/v1/controller_ref.go`.
//!
//! Deviation: before it adopts, Kubernetes asks the API server whether the owner still exists. Who adopts for an
//! owner that has just gone leaves the dependent to the garbage collector.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{
    Kind, LabelSelector, Object, ObjectKey, ObjectMeta, OwnerReference, Pod, ReplicaSet, Selector,
};

use crate::controller::Effect;

/// What can be controlled.
pub(crate) trait Dependent: Clone + Into<Object> {
    /// Its kind.
    const KIND: Kind;

    /// Its metadata.
    fn meta(&self) -> &ObjectMeta;

    /// Its metadata, to be changed.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// Whether it is worth adopting, or releasing.
    fn is_active(&self) -> bool;
}

impl Dependent for Pod {
    const KIND: Kind = Kind::Pod;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn is_active(&self) -> bool {
        !self.is_finished() && !self.metadata.is_terminating()
    }
}

impl Dependent for ReplicaSet {
    const KIND: Kind = Kind::ReplicaSet;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn is_active(&self) -> bool {
        !self.metadata.is_terminating()
    }
}

/// Owners of one kind and dependents of another.
#[derive(Clone, Debug)]
pub(crate) struct Ownership<T> {
    /// Of the owners.
    kind: Kind,
    owners: BTreeMap<ObjectKey, Owner>,
    dependents: BTreeMap<ObjectKey, Arc<T>>,
    /// Dependents by namespace and uid of their controller, orphans under an empty one.
    places: BTreeMap<(String, String), BTreeSet<ObjectKey>>,
}

#[derive(Clone, Debug)]
struct Owner {
    uid: String,
    selector: Selector,
    /// Orphans that matched when they were last seen.
    candidates: BTreeSet<ObjectKey>,
}

/// What an owner has, and what it is to take and let go.
#[derive(Clone, Debug)]
pub(crate) struct Claims<T> {
    /// Dependents that match.
    pub(crate) own: Vec<Arc<T>>,
    /// Orphans that match, as they are to be: with a reference to the owner.
    pub(crate) adopted: Vec<Arc<T>>,
    /// Dependents that match no more, as they are to be: without.
    pub(crate) released: Vec<T>,
}

impl<T> Claims<T> {
    /// What it owns after this.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Arc<T>> {
        self.own.iter().chain(&self.adopted)
    }
}

impl<T: Dependent> Ownership<T> {
    /// No owners of `kind` and no dependents yet.
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            owners: BTreeMap::new(),
            dependents: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Takes note of an owner. A selector that is none, or selects everything, claims nothing.
    pub(crate) fn note_owner(
        &mut self,
        key: &ObjectKey,
        meta: &ObjectMeta,
        selector: Option<&LabelSelector>,
    ) {
        let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
        let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
            self.owners.remove(key);
            return;
        };
        let known = self.owners.get(key);
        if known.is_some_and(|owner| owner.uid == meta.uid && owner.selector == selector) {
            return;
        }
        let orphans = self.of(&meta.namespace, "");
        let matching = orphans.filter(|orphan| selector.matches(&orphan.meta().labels));
        let candidates = matching.map(|orphan| key_of(&**orphan)).collect();
        let uid = meta.uid.clone();
        self.owners.insert(
            key.clone(),
            Owner {
                uid,
                selector,
                candidates,
            },
        );
    }

    /// Forgets an owner.
    pub(crate) fn forget_owner(&mut self, key: &ObjectKey) {
        self.owners.remove(key);
    }

    /// Takes note of a dependent as it is now, `None` if it is gone; tells the owners that are to look at it.
    pub(crate) fn note(&mut self, key: &ObjectKey, now: Option<&Arc<T>>) -> BTreeSet<ObjectKey> {
        let before = match now {
            Some(dependent) => self.dependents.insert(key.clone(), Arc::clone(dependent)),
            None => self.dependents.remove(key),
        };
        let mut concerned = BTreeSet::new();
        if let Some(before) = &before {
            concerned.extend(self.owner_of(before.meta()));
        }
        let former = before.map(|before| place(before.meta()));
        let place = now.map(|dependent| place(dependent.meta()));
        if former != place {
            if let Some(former) = former {
                self.leave(&former, key);
            }
            if let Some(place) = place {
                self.places.entry(place).or_default().insert(key.clone());
            }
        }
        if let Some(dependent) = now {
            concerned.extend(self.owner_of(dependent.meta()));
            concerned.extend(self.offer(key, &**dependent));
        }
        concerned
    }

    /// The owner that a dependent names as its controller, if it exists under that uid.
    pub(crate) fn owner_of(&self, meta: &ObjectMeta) -> Option<ObjectKey> {
        let reference = meta.controller()?;
        if reference.kind != self.kind.name() || reference.api_version != self.kind.api_version() {
            return None;
        }
        let key = ObjectKey::new(self.kind, &meta.namespace, &reference.name);
        let owner = self.owners.get(&key)?;
        (owner.uid == reference.uid).then_some(key)
    }

    /// The dependents that name this uid as their controller's, in the order of their names.
    pub(crate) fn of(&self, namespace: &str, uid: &str) -> impl Iterator<Item = &Arc<T>> {
        let place = (namespace.to_owned(), uid.to_owned());
        let keys = self.places.get(&place).into_iter().flatten();
        keys.filter_map(|key| self.dependents.get(key))
    }

    /// A dependent, or an orphan.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Arc<T>> {
        self.dependents.get(key)
    }

    /// What `owner` has and may have; `None` if it is unknown or claims nothing. One that is terminating takes
    /// nothing and lets nothing go.
    pub(crate) fn claim(&mut self, owner: &ObjectKey, meta: &ObjectMeta) -> Option<Claims<T>> {
        let dependents = &self.dependents;
        let found = self.owners.get_mut(owner)?;
        let selector = &found.selector;
        found.candidates.retain(|key| {
            let orphan = dependents.get(key).map(|orphan| orphan.meta());
            orphan.is_some_and(|orphan| {
                orphan.controller().is_none() && selector.matches(&orphan.labels)
            })
        });
        let found = self.owners.get(owner)?;
        let (own, strangers): (Vec<_>, Vec<_>) = self
            .of(&meta.namespace, &found.uid)
            .cloned()
            .partition(|dependent| found.selector.matches(&dependent.meta().labels));
        let mut claims = Claims {
            own,
            adopted: Vec::new(),
            released: Vec::new(),
        };
        if meta.is_terminating() {
            return Some(claims);
        }
        let reference = OwnerReference::to_controller(self.kind, meta);
        let orphans = found.candidates.iter();
        let orphans = orphans.filter_map(|key| self.dependents.get(key));
        let orphans = orphans.filter(|orphan| orphan.is_active());
        claims.adopted = orphans
            .map(|orphan| {
                let mut adopted = T::clone(orphan);
                adopted.meta_mut().owner_references.push(reference.clone());
                Arc::new(adopted)
            })
            .collect();
        let strangers = strangers.iter().filter(|stranger| stranger.is_active());
        claims.released = strangers
            .map(|stranger| {
                let mut released = T::clone(stranger);
                let references = &mut released.meta_mut().owner_references;
                references.retain(|reference| reference.uid != found.uid);
                released
            })
            .collect();
        Some(claims)
    }

    /// Offers a dependent to the owners that may adopt it, if it is an orphan.
    fn offer(&mut self, key: &ObjectKey, dependent: &T) -> Vec<ObjectKey> {
        let meta = dependent.meta();
        if meta.controller().is_some() || !dependent.is_active() {
            return Vec::new();
        }
        let start = ObjectKey::new(self.kind, &meta.namespace, "");
        let neighbours = self.owners.range_mut(start.clone()..);
        let neighbours = neighbours.take_while(|(owner, _)| owner.namespace == start.namespace);
        let willing = neighbours.filter(|(_, owner)| owner.selector.matches(&meta.labels));
        willing
            .map(|(willing, owner)| {
                owner.candidates.insert(key.clone());
                willing.clone()
            })
            .collect()
    }

    fn leave(&mut self, place: &(String, String), key: &ObjectKey) {
        if let Some(keys) = self.places.get_mut(place) {
            keys.remove(key);
            if keys.is_empty() {
                self.places.remove(place);
            }
        }
    }
}

/// The write of an object that is adopted or released.
pub(crate) fn update(dependent: &impl Dependent) -> Effect {
    Effect::Update(dependent.clone().into())
}

fn key_of<T: Dependent>(dependent: &T) -> ObjectKey {
    let meta = dependent.meta();
    ObjectKey::new(T::KIND, &meta.namespace, &meta.name)
}

fn place(meta: &ObjectMeta) -> (String, String) {
    let controller = meta.controller().map(|reference| reference.uid.clone());
    (meta.namespace.clone(), controller.unwrap_or_default())
}
