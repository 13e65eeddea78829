//! How objects go: at once, gracefully, or after those who hold on to them have let go.
//!
//! **What.** `delete`; the end of an object whose last finalizer is removed; the end of a Namespace, which begins
//! with a mark and is over when somebody (the namespace controller) has emptied and finalized it.
//! **Source of the semantics.** API-13, API-65, API-79, API-92, ALLOC-25; S: `apiserver/pkg/registry/rest/delete.go`
//! (BeforeDelete), `pkg/registry/generic/registry/store.go` (markAsDeleting, ShouldDeleteDuringUpdate), `pkg/registry/core/namespace/storage/storage.go`.

use std::sync::Arc;
use std::time::Duration;

use base::SimTime;

use super::{ApiServer, DeleteOptions, Propagation, Verb, Written, check_preconditions};
use crate::object::{Kind, Namespace, Object, ObjectKey, ObjectMeta, Pod};
use crate::status::{Cause, Status};
use crate::strategy;
use crate::timestamp::{parse_timestamp, timestamp};

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl ApiServer {
    /// Deletes an object. A Pod that runs is marked as terminating and goes with a later deletion with grace 0,
    /// which its kubelet sends; an object with finalizers is marked, too, and goes with its last one (API-92); a
    /// Namespace goes when it has been emptied. Everything else goes at once, and a Service's addresses and ports
    /// with it (API-65).
    ///
    /// # Errors
    /// Not found, a failed precondition, or a namespace that may not go.
    pub fn delete(
        &mut self,
        key: &ObjectKey,
        options: &DeleteOptions,
        now: SimTime,
    ) -> Result<Written, Status> {
        let object = self
            .store
            .get(key)
            .cloned()
            .ok_or_else(|| Status::not_found(key))?;
        check_preconditions(key, options, object.meta())?;
        if key.kind == Kind::Namespace && IMMORTAL.contains(&key.name.as_str()) {
            return Err(Status::forbidden(key, "this namespace may not be deleted"));
        }
        let object = match &object {
            Object::Namespace(namespace) if !namespace.spec.finalizers.is_empty() => {
                self.begin_namespace_end(namespace, now)
            }
            _ => self.begin_deletion(object, options, now),
        };
        Ok(Written {
            verb: Verb::Deleted,
            object,
            warnings: Vec::new(),
        })
    }

    /// Deletes everything in a namespace, each object as [`ApiServer::delete`] does.
    pub fn delete_content(&mut self, namespace: &str, now: SimTime) {
        let kinds = Kind::all().filter(|kind| kind.is_namespaced());
        let keys: Vec<ObjectKey> = kinds
            .flat_map(|kind| self.list(kind, Some(namespace)))
            .map(Object::key)
            .collect();
        for key in keys {
            // What is not found went with an object before it.
            let _ = self.delete(&key, &DeleteOptions::default(), now);
        }
    }

    /// Says that a namespace is empty: it goes, if it is terminating and nothing else holds on to it.
    ///
    /// # Errors
    /// No such namespace.
    pub fn finalize(&mut self, key: &ObjectKey, now: SimTime) -> Result<Written, Status> {
        let Some(Object::Namespace(old)) = self.store.get(key).cloned() else {
            return Err(Status::not_found(key));
        };
        let mut namespace = Namespace::clone(&old);
        let finalizers = &mut namespace.spec.finalizers;
        finalizers.retain(|finalizer| finalizer != Namespace::FINALIZER);
        let (namespace, old) = (Object::from(namespace), Object::Namespace(old));
        if is_over(&namespace, &old) {
            let object = self.end(key, now);
            return Ok(Written {
                verb: Verb::Deleted,
                object,
                warnings: Vec::new(),
            });
        }
        Ok(self.commit(namespace, &old, Verb::Replaced, Vec::new(), now))
    }

    /// Removes an object, and gives back what it held.
    pub(super) fn end(&mut self, key: &ObjectKey, now: SimTime) -> Object {
        let object = self.remove(key, now);
        if let Object::Service(service) = &object {
            strategy::service::release(service, &mut self.pools);
            let meta = &service.metadata;
            let endpoints = ObjectKey::new(Kind::Endpoints, &meta.namespace, &meta.name);
            // Most Services have none.
            let _ = self.delete(&endpoints, &DeleteOptions::default(), now);
            self.release_addresses(service, None, now);
        }
        object
    }

    /// Marks an object as terminating, or ends it if nothing is to be waited for. A second deletion may shorten a Pod's
    /// grace, and may say otherwise what becomes of dependents.
    fn begin_deletion(&mut self, object: Object, options: &DeleteOptions, now: SimTime) -> Object {
        let grace = object.as_pod().map_or(0, |pod| grace_seconds(pod, options));
        let mut marked = object.clone();
        let meta = marked.meta_mut();
        let before = meta.deletion_grace_period_seconds.unwrap_or(0);
        let is_pending = object.as_pod().is_some() && meta.is_terminating() && before <= grace;
        if is_pending && (grace > 0 || !meta.finalizers.is_empty()) {
            return object;
        }
        let policy = options.propagation.unwrap_or_else(|| Propagation::of(meta));
        policy.keep_in(meta);
        if grace == 0 && meta.finalizers.is_empty() {
            return self.end(&object.key(), now);
        }
        if !meta.is_terminating() {
            meta.generation = meta.generation.map(|generation| generation + 1);
            set_end(meta, now, grace);
        } else if grace < before {
            set_end(meta, begun(meta).unwrap_or(now), grace);
        }
        match marked == object {
            true => object,
            false => self.put(marked, now),
        }
    }

    fn begin_namespace_end(&mut self, namespace: &Arc<Namespace>, now: SimTime) -> Object {
        if namespace.metadata.is_terminating() {
            return Object::Namespace(Arc::clone(namespace));
        }
        let mut namespace = Namespace::clone(namespace);
        namespace.metadata.deletion_timestamp = Some(timestamp(now));
        "Terminating".clone_into(&mut namespace.status.phase);
        self.put(namespace.into(), now)
    }

    /// Whether something can be created in the namespace of an object (API-13).
    pub(super) fn check_namespace_takes(&self, object: &Object) -> Result<(), Status> {
        let mut key = object.key();
        let Some(name) = key.namespace.clone() else {
            return Ok(());
        };
        let Some(namespace) = self.namespace(&name) else {
            let missing = ObjectKey::new(Kind::Namespace, "", &name);
            return Err(Status::not_found(&missing));
        };
        if !namespace.is_terminating() {
            return Ok(());
        }
        if key.name.is_empty() {
            key.name.clone_from(&object.meta().generate_name);
        }
        let text = format!(
            "unable to create new content in namespace {name} because it is being terminated"
        );
        let mut status = Status::forbidden(&key, &text);
        status.causes.push(Cause {
            reason: Status::NAMESPACE_TERMINATING,
            message: format!("namespace {name} is being terminated"),
            field: "metadata.namespace".to_owned(),
        });
        Err(status)
    }
}

/// When a graceful deletion began; `None` when that cannot be read.
fn begun(meta: &ObjectMeta) -> Option<SimTime> {
    let end = parse_timestamp(meta.deletion_timestamp.as_deref()?)?;
    let given = u64::try_from(meta.deletion_grace_period_seconds?).ok()?;
    let given = given.checked_mul(1_000_000_000)?;
    end.as_nanos().checked_sub(given).map(SimTime::from_nanos)
}

/// Has a deletion that began then be over after its grace.
fn set_end(meta: &mut ObjectMeta, begun: SimTime, grace: i64) {
    let end = begun + Duration::from_secs(grace.unsigned_abs());
    meta.deletion_timestamp = Some(timestamp(end));
    meta.deletion_grace_period_seconds = Some(grace);
}

/// Whether the new state of an object is its end: its deletion has begun, its grace is over, and nobody holds on to
/// it any more.
pub(super) fn is_over(new: &Object, old: &Object) -> bool {
    let meta = old.meta();
    let kept = new.as_namespace();
    let kept = kept.is_some_and(|namespace| !namespace.spec.finalizers.is_empty());
    meta.is_terminating()
        && meta.deletion_grace_period_seconds.unwrap_or(0) == 0
        && new.meta().finalizers.is_empty()
        && !kept
}

/// How long a Pod may take to end: nothing is left to stop where it never started or has already ended.
fn grace_seconds(pod: &Pod, options: &DeleteOptions) -> i64 {
    if pod.spec.node_name.is_empty() || pod.is_finished() {
        return 0;
    }
    if let Some(seconds) = options.grace {
        return i64::try_from(seconds).unwrap_or(i64::MAX);
    }
    // Who does not say how long does not change what was said before.
    if let Some(before) = pod.metadata.deletion_grace_period_seconds {
        return before;
    }
    match pod.spec.termination_grace_period_seconds.unwrap_or(30) {
        // S: `pkg/registry/core/pod/strategy.go`, CheckGracefulDelete.
        ..0 => 1,
        own => own,
    }
}
