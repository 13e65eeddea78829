//! A ReplicaSet of a Deployment in the course of one look at it.

use std::sync::Arc;

use api::{DeleteOptions, Kind, ObjectKey, ReplicaSet};

use super::figures::Figures;
use crate::controller::Effect;

/// How many Pods the Deployment wanted when the ReplicaSet got its size.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many Pods it might have had then.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A ReplicaSet, changed step by step and written once.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) set: Arc<ReplicaSet>,
    /// As it is stored; `None` if it is still to be created.
    stored: Option<Arc<ReplicaSet>>,
    is_doomed: bool,
}

impl Member {
    /// A ReplicaSet as it is to be, and as it is stored.
    pub(super) const fn new(set: Arc<ReplicaSet>, stored: Option<Arc<ReplicaSet>>) -> Self {
        Self {
            set,
            stored,
            is_doomed: false,
        }
    }

    /// How many Pods it is told to have.
    pub(super) fn replicas(&self) -> i64 {
        self.set.spec.replicas.unwrap_or(1).into()
    }

    /// How many of its Pods are available, as it says.
    pub(super) fn available(&self) -> i64 {
        self.set.status.available_replicas.into()
    }

    /// How many Pods it has, as it says.
    pub(super) fn actual(&self) -> i64 {
        self.set.status.replicas.unwrap_or(0).into()
    }

    /// Whether it is told to have any Pods.
    pub(super) fn is_active(&self) -> bool {
        self.replicas() > 0
    }

    /// A number among its annotations.
    pub(super) fn noted(&self, annotation: &str) -> Option<i64> {
        let number: i32 = self
            .set
            .metadata
            .annotations
            .get(annotation)?
            .parse()
            .ok()?;
        Some(number.into())
    }

    /// Tells it how many Pods to have; says whether that is new.
    pub(super) fn scale(&mut self, replicas: i64, figures: &Figures) -> bool {
        let is_new = self.replicas() != replicas;
        if is_new {
            self.set_size(replicas, figures);
        }
        is_new
    }

    /// Tells it how many Pods to have, and of which size of the Deployment that is a part.
    pub(super) fn set_size(&mut self, replicas: i64, figures: &Figures) {
        let numbers = [(DESIRED, figures.replicas), (MAX, figures.most())];
        for (annotation, number) in numbers {
            self.annotate(annotation, &number.to_string());
        }
        if self.replicas() != replicas {
            let replicas = i32::try_from(replicas.max(0)).unwrap_or(i32::MAX);
            Arc::make_mut(&mut self.set).spec.replicas = Some(replicas);
        }
    }

    /// Sets an annotation; says whether it is new.
    pub(super) fn annotate(&mut self, annotation: &str, value: &str) -> bool {
        let known = self.set.metadata.annotations.get(annotation);
        if known.is_some_and(|known| known == value) {
            return false;
        }
        let annotations = &mut Arc::make_mut(&mut self.set).metadata.annotations;
        annotations.insert(annotation.to_owned(), value.to_owned());
        true
    }

    /// Lets it be deleted.
    pub(super) const fn doom(&mut self) {
        self.is_doomed = true;
    }

    /// What makes it be as it is to be.
    pub(super) fn effect(self) -> Option<Effect> {
        let meta = &self.set.metadata;
        if self.is_doomed {
            let key = ObjectKey::new(Kind::ReplicaSet, &meta.namespace, &meta.name);
            let options = DeleteOptions {
                uid: Some(meta.uid.clone()),
                ..DeleteOptions::default()
            };
            return Some(Effect::Delete(key, options));
        }
        match self.stored {
            None => Some(Effect::Create(ReplicaSet::clone(&self.set).into())),
            Some(stored) if stored == self.set => None,
            Some(_) => Some(Effect::Update(ReplicaSet::clone(&self.set).into())),
        }
    }
}
