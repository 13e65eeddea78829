//! Another cluster's objects, put in place as they are.
//!
//! **What.** What `kubectl get -o yaml` printed becomes stored state: identities, creation times, virtual IPs, node
//! ports and statuses stay. Nothing is checked, and nothing but `clusterIPs` completed, as when etcd is restored.
//! **Source of the semantics.** ALLOC-30: what Services say is the truth, and the allocators follow.
//!
//! Deviation: versions are this store's own; those of the dump are forgotten.

use std::sync::Arc;

use base::SimTime;

use super::addresses::address_key;
use super::{ApiServer, settled};
use crate::names::uid;
use crate::object::{Kind, Namespace, Object, ObjectMeta, Service};
use crate::strategy::service;
use crate::timestamp::timestamp;

impl ApiServer {
    /// Stores a dump's objects as they are, in place of those of the same name. What is not among them and has to
    /// be there is made: namespaces, and the IPAddresses of Services, which few dumps hold.
    ///
    /// An address that two Services claim, or that no range holds, stays with both, as it does in a real store;
    /// [`ApiServer::repair`] tells of it. Names and labels with control characters, which no cluster takes, are not
    /// found by lists.
    pub fn restore_all(&mut self, objects: impl IntoIterator<Item = Object>, now: SimTime) {
        let mut objects: Vec<Object> = objects.into_iter().map(settled).collect();
        objects.sort_by_key(|object| match object.kind() {
            // What others live in comes first,
            Kind::Namespace => 0,
            // and addresses after the Services in whose place others are put.
            Kind::IpAddress => 2,
            _ => 1,
        });
        for object in objects {
            self.replace_with(object, now);
        }
        self.restore_replica_sets(now);
        let services = self.list(Kind::Service, None);
        let services: Vec<Arc<Service>> =
            services.filter_map(Object::as_service).cloned().collect();
        for service in &services {
            for address in service.addresses() {
                if self.get(&address_key(address)).is_none() {
                    self.make_address(address, service, now);
                }
            }
        }
    }

    /// Stores an object as it stands: completed, checked and given what it says by another server. What it says
    /// to have is taken, whoever else has it; [`ApiServer::repair`] tells what does not fit together.
    pub fn restore(&mut self, object: Object, now: SimTime) {
        let object = settled(object);
        if let Object::Service(service) = &object {
            service::retake(service, &mut self.pools);
            self.upkeep.note_restored(now);
        }
        self.put(object, now);
    }

    pub(super) fn replace_with(&mut self, mut object: Object, now: SimTime) {
        let key = object.key();
        if let Some(namespace) = &key.namespace {
            self.ensure_namespace(namespace, now);
        }
        if let Object::Service(service) = &mut object {
            Arc::make_mut(service).complete_cluster_ips();
        }
        if let Some(Object::Service(old)) = self.get(&key).cloned() {
            service::release(&old, &mut self.pools);
            self.release_addresses(&old, None, now);
        }
        let identity = uid(&mut self.identities);
        let meta = object.meta_mut();
        if meta.uid.is_empty() {
            meta.uid = identity;
        }
        meta.creation_timestamp.get_or_insert(timestamp(now));
        self.restore(object, now);
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
            self.replace_with(namespace.into(), now);
        }
    }
}
