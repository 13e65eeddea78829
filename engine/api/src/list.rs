//! Lists as clients ask for them: by labels and fields, at a version.
//!
//! **Source of the semantics.** API-35, API-72 … API-74, API-83, API-86; S:
//! `apiserver/pkg/storage/cacher/{cacher,watch_cache}.go`, `apiserver/pkg/registry/generic/registry/store.go`.
//!
//! Deviation: lists come in one piece; there is no `limit` and no `continue`.

use base::SimTime;

use crate::object::{Kind, Object};
use crate::selector::{FieldSelector, Selector};
use crate::server::ApiServer;
use crate::status::Status;
use crate::store::Store;

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Of this namespace; `None` = of all.
    pub namespace: Option<String>,
    /// With such labels.
    pub labels: Selector,
    /// With such fields.
    pub fields: FieldSelector,
}

/// As of when a list is asked for (API-86).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// The newest state: no resourceVersion.
    #[default]
    Newest,
    /// Any state that is at hand, which here is the newest: `0`.
    Any,
    /// A state that is not older than this revision.
    NotOlderThan(u64),
    /// The state at this revision.
    Exact(u64),
}

/// Objects, and as of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// By namespace and name.
    pub items: Vec<Object>,
    /// What a watch may go on from.
    pub revision: u64,
}

impl Scope {
    /// Whether an object of the kind that was asked for is meant.
    #[must_use]
    pub fn holds(&self, object: &Object) -> bool {
        let meta = object.meta();
        self.is_in_namespace(object)
            && self.labels.matches(&meta.labels)
            && self.fields.matches(object)
    }

    fn is_in_namespace(&self, object: &Object) -> bool {
        match &self.namespace {
            Some(namespace) if object.kind().is_namespaced() => {
                object.meta().namespace == *namespace
            }
            _ => true,
        }
    }

    /// Refuses fields that cannot be asked for.
    pub(crate) fn check(&self, kind: Kind) -> Result<(), Status> {
        self.fields
            .check(kind)
            .map_err(|error| Status::bad_request(error.to_string()))
    }
}

impl ApiServer {
    /// Objects of a kind, as of a version. Costs what is found where the scope asks for a label; a version of the
    /// past costs the past.
    ///
    /// # Errors
    /// A field that cannot be asked for; a version of the future (504), or one that is too old to be visible at
    /// `now` (410).
    pub fn select(
        &self,
        kind: Kind,
        scope: &Scope,
        version: Version,
        now: SimTime,
    ) -> Result<List, Status> {
        scope.check(kind)?;
        let store = self.store();
        match version {
            Version::Newest | Version::Any => Ok(select(store, kind, scope)),
            Version::NotOlderThan(revision) => {
                check_not_future(store, revision)?;
                Ok(select(store, kind, scope))
            }
            Version::Exact(revision) => {
                check_not_future(store, revision)?;
                check_visible(store, revision, now)?;
                Ok(select(&store.at(revision), kind, scope))
            }
        }
    }
}

fn select(store: &Store, kind: Kind, scope: &Scope) -> List {
    let found = store.select(kind, scope.namespace.as_deref(), &scope.labels);
    let found = found.into_iter();
    let items = found.filter(|object| scope.fields.matches(object));
    List {
        items: items.cloned().collect(),
        revision: store.revision(),
    }
}

/// API-86.
pub(crate) fn check_not_future(store: &Store, revision: u64) -> Result<(), Status> {
    let newest = store.revision();
    if revision <= newest {
        return Ok(());
    }
    Err(Status::too_new(revision, newest))
}

/// API-88.
pub(crate) fn check_visible(store: &Store, revision: u64, now: SimTime) -> Result<(), Status> {
    let oldest = store.oldest(now);
    if revision >= oldest {
        return Ok(());
    }
    Err(Status::expired(revision, oldest))
}
