//! What becomes of an object's dependents when it is deleted.
//!
//! **What.** A policy is kept with the object, as a finalizer that the garbage collector takes away when it has done its
//! part (API-92); in the background, dependents go after their owner, and nothing need be kept.
//! **Source of the semantics.** S: `apiserver/pkg/registry/generic/registry/store.go`
//! (deletionFinalizersForGarbageCollection).

use crate::object::ObjectMeta;

/// `propagationPolicy`, kubectl's `--cascade`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The object goes, and then its dependents.
    Background,
    /// The object waits for those of its dependents that say so.
    Foreground,
    /// The dependents stay, and forget their owner.
    Orphan,
}

impl Propagation {
    const FOREGROUND: &str = "foregroundDeletion";
    const ORPHAN: &str = "orphan";

    /// The policy that an object keeps.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        let mut kept = meta.finalizers.iter().map(String::as_str);
        let policy = kept.find_map(|finalizer| match finalizer {
            Self::ORPHAN => Some(Self::Orphan),
            Self::FOREGROUND => Some(Self::Foreground),
            _ => None,
        });
        policy.unwrap_or(Self::Background)
    }

    /// Has an object keep this policy and no other.
    pub fn keep_in(self, meta: &mut ObjectMeta) {
        let policies = [Self::ORPHAN, Self::FOREGROUND];
        meta.finalizers
            .retain(|finalizer| !policies.contains(&finalizer.as_str()));
        let finalizer = match self {
            Self::Background => None,
            Self::Foreground => Some(Self::FOREGROUND),
            Self::Orphan => Some(Self::ORPHAN),
        };
        meta.finalizers.extend(finalizer.map(str::to_owned));
    }
}
