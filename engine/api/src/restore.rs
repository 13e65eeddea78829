//! Another cluster's objects, put in place as they are.
//!
//! **What.** What `kubectl get -o yaml` printed becomes stored state: identities, creation times, virtual IPs, node
//! ports and statuses stay. Nothing is completed or checked, as nothing is when etcd is restored.
//! **Source of the semantics.** ALLOC-30: what Services say is the truth, and the allocators follow.
//!
//! Deviation: versions are this store's own; those of the dump are forgotten.

use base::SimTime;

use crate::names::uid;
use crate::object::{Kind, Namespace, Object, ObjectMeta};
use crate::server::{ApiServer, settled};
use crate::strategy::service;
use crate::timestamp::timestamp;

impl ApiServer {
    /// Stores objects as they are, in place of those of the same name. A namespace that is not among them is made.
    ///
    /// An address that two Services claim, or that no range holds, stays with both, as it does in a real store; it
    /// is taken once.
    pub fn restore(&mut self, objects: impl IntoIterator<Item = Object>, now: SimTime) {
        let mut objects: Vec<Object> = objects.into_iter().map(settled).collect();
        // What others live in comes first.
        objects.sort_by_key(|object| object.kind() != Kind::Namespace);
        for object in objects {
            self.restore_one(object, now);
        }
    }

    fn restore_one(&mut self, mut object: Object, now: SimTime) {
        let key = object.key();
        if let Some(namespace) = &key.namespace {
            self.ensure_namespace(namespace, now);
        }
        if let Some(Object::Service(old)) = self.get(&key).cloned() {
            service::release(&old, self.pools_mut());
        }
        if let Object::Service(service) = &object {
            service::occupy(service, self.pools_mut());
        }
        let identity = uid(self.identities_mut());
        let meta = object.meta_mut();
        if meta.uid.is_empty() {
            meta.uid = identity;
        }
        meta.creation_timestamp.get_or_insert(timestamp(now));
        self.store_mut().put(object, now);
    }

    fn ensure_namespace(&mut self, name: &str, now: SimTime) {
        if self.namespace(name).is_some() {
            return;
        }
        let namespace = Namespace {
            metadata: ObjectMeta::named("", name),
            ..Namespace::default()
        };
        // A dump's namespace was good enough for the cluster that it is from.
        if self.create(namespace.clone().into(), now).is_err() {
            self.restore_one(namespace.into(), now);
        }
    }
}
