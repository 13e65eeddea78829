//! Repairs: what Services state, what IPAddresses say and what the pools hold are brought together.
//!
//! **What.** Each Service's addresses have their IPAddress, each IPAddress of ours its Service, and each node port of
//! a Service is taken; what cannot be repaired is told in an Event.
//! **Why.** Requests keep all of this in order; only what comes from elsewhere can be out of it: a restored dump, or
//! a user's edits of IPAddresses and ServiceCIDRs.
//! **Source of the semantics.** ALLOC-30 … ALLOC-33, ALLOC-37; S: `ipallocator/controller/repairip.go`.
//!
//! Deviation: a Service is looked at when everything is compared, every 3 minutes, and not after each of its own
//! writes as well.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;

use super::addresses::address_key;
use super::events::Teller;
use super::{ApiServer, DeleteOptions};
use crate::family::IpFamily;
use crate::object::{IpAddress, Kind, Object, ObjectKey, Service};
use crate::timestamp::parse_timestamp;

/// How old an IPAddress without a Service gets: its Service may be on the way (ALLOC-33).
const GRACE: Duration = Duration::from_secs(60);
const NOT_ALLOCATED: &str = "ClusterIPNotAllocated";

const OF_SERVICE: Teller = Teller::Addresses {
    action: "ClusterIPAllocation",
};
const OF_ADDRESS: Teller = Teller::Addresses {
    action: "IPAddressAllocation",
};
const NOT_VALID: Teller = Teller::Addresses {
    action: "ClusterIPValidation",
};

impl ApiServer {
    /// Compares all Services, IPAddresses and node ports, and repairs and tells what is wrong. The server does so
    /// by itself when it comes round to it; whoever has restored objects does it at once, as a server that starts.
    pub fn repair(&mut self, now: SimTime) {
        self.upkeep.comparison = None;
        let services: Vec<Arc<Service>> = self
            .list(Kind::Service, None)
            .filter_map(Object::as_service)
            .cloned()
            .collect();
        let mut is_right = true;
        for service in &services {
            is_right &= self.check_addresses(service, now);
        }
        let addresses = self.list(Kind::IpAddress, None);
        let names: Vec<String> = addresses
            .map(|address| address.meta().name.clone())
            .collect();
        for name in names {
            is_right &= self.check_address(&name, now);
        }
        is_right &= self.repair_ports(&services, now);
        self.upkeep.comparison = None;
        if !is_right {
            self.upkeep.compare_later(now);
        }
    }

    /// Looks at the IPAddresses that were written or whose grace is over.
    pub(super) fn check_suspects(&mut self, now: SimTime) {
        let suspects = self.upkeep.suspects.iter();
        let due = suspects.filter(|(_, at)| **at <= now);
        let names: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.check_address(&name, now);
        }
    }

    /// Whether all is right with a Service's addresses.
    fn check_addresses(&mut self, service: &Arc<Service>, now: SimTime) -> bool {
        if service.is_headless() {
            return true;
        }
        let about = Object::Service(Arc::clone(service));
        let mut is_right = true;
        for text in &service.spec.cluster_ips {
            let Ok(address) = text.parse::<IpAddr>() else {
                let message = "Cluster IP <nil> is not a valid IP; please recreate Service";
                self.tell(
                    NOT_VALID,
                    &about,
                    "ClusterIPNotValid",
                    message.to_owned(),
                    now,
                );
                is_right = false;
                continue;
            };
            let Some((reason, message)) = self.complaint(service, address) else {
                is_right &= self.has_labels(address) || self.remake(address, service, now);
                continue;
            };
            self.tell(OF_SERVICE, &about, reason, message, now);
            is_right = false;
            if reason == NOT_ALLOCATED {
                self.remake(address, service, now);
            }
        }
        is_right
    }

    /// What is wrong with an address of a Service: a reason and a message.
    fn complaint(&self, service: &Service, address: IpAddr) -> Option<(&'static str, String)> {
        let family = IpFamily::of(address);
        let ip = format!("[{family}]: {address}");
        if !self.pools.cluster_ips.is_in_range(address) {
            let text = format!(
                "Cluster IP {ip} is not within any configured Service CIDR; please recreate service"
            );
            return Some(("ClusterIPOutOfRange", text));
        }
        let Some(object) = self.address(address) else {
            let text = format!("Cluster IP {ip} is not allocated; repairing");
            return Some((NOT_ALLOCATED, text));
        };
        let parent = object.service();
        if parent.is_some_and(|parent| parent.names(service)) {
            return None;
        }
        let other = parent.and_then(|parent| self.service(&parent.namespace, &parent.name));
        let Some(other) = other else {
            let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
            let text = format!(
                "the ClusterIP {ip} for Service {namespace}/{name} has a wrong reference; repairing"
            );
            return Some((NOT_ALLOCATED, text));
        };
        // Otherwise the check of the IPAddress will remove it, and the next comparison make it anew.
        let shared = other.addresses().any(|held| held == address);
        shared.then(|| {
            let text = format!(
                "Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
            );
            ("ClusterIPAlreadyAllocated", text)
        })
    }

    fn address(&self, address: IpAddr) -> Option<&Arc<IpAddress>> {
        self.get(&address_key(address))?.as_ip_address()
    }

    fn has_labels(&self, address: IpAddr) -> bool {
        self.address(address)
            .is_some_and(|found| found.is_labelled())
    }

    /// Makes an IPAddress anew; never right, because the next comparison has to see it.
    fn remake(&mut self, address: IpAddr, service: &Service, now: SimTime) -> bool {
        let key = address_key(address);
        // It is there no more if nobody holds on to it.
        let _ = self.delete(&key, &DeleteOptions::default(), now);
        if self.get(&key).is_none() {
            self.make_address(address, service, now);
        }
        self.upkeep.suspects.remove(&key.name);
        false
    }

    /// Whether all is right with an IPAddress: it belongs to a Service that has it, or is none of ours.
    fn check_address(&mut self, name: &str, now: SimTime) -> bool {
        self.upkeep.suspects.remove(name);
        let key = ObjectKey::new(Kind::IpAddress, "", name);
        let Some(Object::IpAddress(found)) = self.get(&key).cloned() else {
            return true;
        };
        if !found.is_managed() || found.metadata.is_terminating() {
            return true;
        }
        let Some((reason, message)) = self.address_complaint(&found) else {
            return true;
        };
        let created = found.metadata.creation_timestamp.as_deref();
        let end = created.and_then(parse_timestamp).unwrap_or(SimTime::ZERO) + GRACE;
        if self.is_orphan(&found) && now <= end {
            let just_after = SimTime::from_nanos(end.as_nanos() + 1);
            self.upkeep.suspects.insert(name.to_owned(), just_after);
            return false;
        }
        self.tell(OF_ADDRESS, &Object::IpAddress(found), reason, message, now);
        // It was found above.
        let _ = self.delete(&key, &DeleteOptions::default(), now);
        self.upkeep.suspects.remove(name);
        false
    }

    /// Whether it refers to a Service that does not exist.
    fn is_orphan(&self, address: &IpAddress) -> bool {
        let parent = address.service();
        parent.is_some_and(|parent| self.service(&parent.namespace, &parent.name).is_none())
    }

    /// What is wrong with an IPAddress: a reason and a message.
    fn address_complaint(&self, address: &IpAddress) -> Option<(&'static str, String)> {
        let name = &address.metadata.name;
        let Some(parent) = address.service() else {
            let parent = address.spec.parent_ref.clone().unwrap_or_default();
            let text = format!(
                "IPAddress {name} appears to have been modified, not referencing a Service &{{{} {} {} {}}}: cleaning up",
                parent.group, parent.resource, parent.namespace, parent.name
            );
            return Some(("IPAddressNotAllocated", text));
        };
        let of = format!(
            "IPAddress: {name} for Service {}/{}",
            parent.namespace, parent.name
        );
        let Some(service) = self.service(&parent.namespace, &parent.name) else {
            let text = format!("{of} appears to have leaked: cleaning up");
            return Some(("IPAddressNotAllocated", text));
        };
        if service
            .addresses()
            .any(|held| Some(held) == address.address())
        {
            return None;
        }
        let text = format!("{of} has a wrong reference; cleaning up");
        Some(("IPAddressWrongReference", text))
    }
}
