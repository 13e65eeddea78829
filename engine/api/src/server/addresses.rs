//! The IPAddress objects of Services, and the pools, which follow what is stored.
//!
//! **What.** Every address that a Service takes has an IPAddress before the Service is stored, and none when it has
//! given the address back. Whoever stores or removes an object goes through here, so that the index of addresses is
//! that of the objects.
//! **Source of the semantics.** ALLOC-25, ALLOC-36, ALLOC-37, ALLOC-42, ALLOC-44.
//!
//! Deviation: a Service gives back only an address whose IPAddress names it; Kubernetes removes the object whoever
//! has it, so that an address which two Services state (a restored backup, say) could be given out once more.

use std::net::IpAddr;
use std::sync::Arc;

use base::SimTime;

use super::{ApiServer, DeleteOptions};
use crate::names::uid;
use crate::object::{IpAddress, Kind, Object, ObjectKey, Service};
use crate::strategy::Pools;
use crate::timestamp::timestamp;

impl ApiServer {
    /// Makes the IPAddresses of what a Service has taken beside what it had `before`.
    pub(super) fn hold_addresses(
        &mut self,
        service: &Service,
        before: Option<&Arc<Service>>,
        now: SimTime,
    ) {
        for address in service.addresses() {
            if !has(before, address) {
                self.make_address(address, service, now);
            }
        }
    }

    /// Makes the IPAddress of a Service's address.
    pub(super) fn make_address(&mut self, address: IpAddr, service: &Service, now: SimTime) {
        let mut object = IpAddress::of_service(address, service);
        object.metadata.uid = uid(&mut self.own_identities);
        object.metadata.creation_timestamp = Some(timestamp(now));
        let object = self.store.put(object.into(), now);
        self.pools.note(&object);
    }

    /// Removes the IPAddresses of what a Service had and does not have `after`.
    pub(super) fn release_addresses(
        &mut self,
        service: &Service,
        after: Option<&Arc<Service>>,
        now: SimTime,
    ) {
        for address in service.addresses().filter(|address| !has(after, *address)) {
            let key = address_key(address);
            let Some(Object::IpAddress(object)) = self.store.get(&key) else {
                continue;
            };
            if !object.service().is_some_and(|parent| parent.names(service)) {
                continue;
            }
            if object.metadata.finalizers.is_empty() {
                let gone = self.store.remove(&key, now).expect("it has been looked at");
                self.pools.forget(&gone);
            } else {
                // It is there, and may go.
                let _ = self.delete(&key, &DeleteOptions::default(), now);
            }
        }
    }

    /// Stores a new state.
    pub(super) fn put(&mut self, object: Object, now: SimTime) -> Object {
        let object = self.store.put(object, now);
        self.pools.note(&object);
        self.upkeep.note(&object, now);
        object
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, key: &ObjectKey, now: SimTime) -> Object {
        let object = self.store.remove(key, now);
        let object = object.expect("only what has been found is removed");
        self.pools.forget(&object);
        self.upkeep.note(&object, now);
        object
    }
}

fn has(service: Option<&Arc<Service>>, address: IpAddr) -> bool {
    service.is_some_and(|service| service.addresses().any(|held| held == address))
}

/// The key of the IPAddress of an address.
pub(super) fn address_key(address: IpAddr) -> ObjectKey {
    ObjectKey::new(Kind::IpAddress, "", &address.to_string())
}

impl Pools {
    /// Takes note of an object that is stored.
    fn note(&mut self, object: &Object) {
        match object {
            Object::IpAddress(object) => {
                if let Some(address) = object.address() {
                    self.cluster_ips.take(address);
                }
            }
            Object::ServiceCidr(cidr) => {
                let (name, ready) = (&cidr.metadata.name, cidr.gives_out());
                self.cluster_ips.offer(name, cidr.ranges(), ready);
            }
            _ => {}
        }
    }

    /// Takes note of an object that is gone.
    fn forget(&mut self, object: &Object) {
        match object {
            Object::IpAddress(object) => {
                if let Some(address) = object.address() {
                    self.cluster_ips.release(address);
                }
            }
            Object::ServiceCidr(cidr) => self.cluster_ips.withdraw(&cidr.metadata.name),
            _ => {}
        }
    }
}
