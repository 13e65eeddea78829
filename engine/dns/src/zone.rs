//! The cluster's zone: what the API's Services, EndpointSlices and Pods say about names.
//!
//! What is known is kept by name and by address, so that a change costs what it changes and a question what it is
//! answered with. [`crate::find`] looks names up in it, [`crate::answer`] makes answers of what is found.
//! Source of the semantics: which objects count DNS-19, DNS-38, DNS-69, DNS-71 (CoreDNS: plugin/kubernetes
//! `controller.go`, `object/endpoint.go`, `object/pod.go`).
//!
//! Deviation: the server knows the cluster from its start, so it never fails because it does not (DNS-40, DNS-70).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{Change, Endpoint, EndpointSlice, Object, Pod, Service, WatchEvent};

use crate::{Corefile, ServerOptions, Upstream};

/// Namespace and name.
pub(crate) type Names = (String, String);

/// All names of one cluster, as of the last event observed.
#[derive(Clone, Debug)]
pub struct ClusterZone {
    pub(crate) domain: String,
    pub(crate) options: ServerOptions,
    pub(crate) upstream: Upstream,
    /// Options and upstream server without a Corefile.
    start: (ServerOptions, Upstream),
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) services: BTreeMap<Names, Arc<Service>>,
    /// The slices of each Service, by name.
    pub(crate) slices: BTreeMap<Names, BTreeMap<String, Arc<EndpointSlice>>>,
    /// The Service under which each slice is filed.
    owners: BTreeMap<Names, Names>,
    /// Which Services have an address as their ClusterIP.
    pub(crate) cluster_ips: BTreeMap<IpAddr, BTreeSet<Names>>,
    /// Which slices have an address among their ready endpoints.
    endpoint_ips: BTreeMap<IpAddr, BTreeSet<Names>>,
    /// The primary address of each Pod that counts.
    pods: BTreeMap<Names, IpAddr>,
    /// Pods by namespace and primary address.
    pod_ips: BTreeMap<(String, IpAddr), BTreeSet<String>>,
    pub(crate) serial: u32,
}

impl ClusterZone {
    /// An empty zone with kubeadm's settings, and an upstream server that knows no name: `domain` is `cluster.local`,
    /// say.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let nothing = Upstream::Hosts(BTreeMap::new());
        Self::with(domain, ServerOptions::KUBEADM, nothing)
    }

    /// An empty zone.
    #[must_use]
    pub fn with(domain: &str, options: ServerOptions, upstream: Upstream) -> Self {
        Self {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            start: (options, upstream.clone()),
            options,
            upstream,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            owners: BTreeMap::new(),
            cluster_ips: BTreeMap::new(),
            endpoint_ips: BTreeMap::new(),
            pods: BTreeMap::new(),
            pod_ips: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Takes one event of the watch (DNS-69); kinds that make no names are ignored.
    pub fn observe(&mut self, event: &WatchEvent) {
        let gone = event.change == Change::Deleted;
        let meta = event.object.meta();
        let key = (meta.namespace.clone(), meta.name.clone());
        match &event.object {
            Object::Namespace(_) if gone => {
                self.namespaces.remove(&key.1);
            }
            Object::Namespace(_) => {
                self.namespaces.insert(key.1);
            }
            Object::Service(service) => self.observe_service(service, key, gone),
            Object::EndpointSlice(slice) => self.observe_slice(slice, key, gone),
            Object::Pod(pod) => return self.observe_pod(pod, key, gone),
            Object::Other(_) => return self.observe_settings(&event.object, gone),
            _ => return,
        }
        self.serial = self.serial.wrapping_add(1);
    }

    /// The slices of every Service that have an address among their ready endpoints, each with its Service.
    pub(crate) fn slices_with(
        &self,
        address: IpAddr,
    ) -> impl Iterator<Item = (&Names, &EndpointSlice)> {
        let found = self.endpoint_ips.get(&address).into_iter().flatten();
        found.filter_map(|key| {
            let owner = self.owners.get(key)?;
            let slice = self.slices.get(owner)?.get(&key.1)?;
            Some((owner, &**slice))
        })
    }

    /// Whether a Pod of a namespace has a primary address.
    pub(crate) fn has_pod(&self, namespace: &str, address: IpAddr) -> bool {
        self.pod_ips.contains_key(&(namespace.to_owned(), address))
    }

    fn observe_service(&mut self, service: &Arc<Service>, key: Names, gone: bool) {
        if let Some(before) = self.services.remove(&key) {
            before
                .addresses()
                .for_each(|ip| unfile(&mut self.cluster_ips, &ip, &key));
        }
        if !gone {
            for ip in service.addresses() {
                self.cluster_ips.entry(ip).or_default().insert(key.clone());
            }
            self.services.insert(key, Arc::clone(service));
        }
    }

    fn observe_slice(&mut self, slice: &Arc<EndpointSlice>, key: Names, gone: bool) {
        // The label may have moved the slice to another Service (DNS-71).
        if let Some(owner) = self.owners.remove(&key)
            && let Some(slices) = self.slices.get_mut(&owner)
        {
            if let Some(before) = slices.remove(&key.1) {
                ready(&before).for_each(|(_, ip)| unfile(&mut self.endpoint_ips, &ip, &key));
            }
            if slices.is_empty() {
                self.slices.remove(&owner);
            }
        }
        if let (false, Some(service)) = (gone, slice.service_name()) {
            for (_, ip) in ready(slice) {
                self.endpoint_ips.entry(ip).or_default().insert(key.clone());
            }
            let owner = (key.0.clone(), service.to_owned());
            let slices = self.slices.entry(owner.clone()).or_default();
            slices.insert(key.1.clone(), Arc::clone(slice));
            self.owners.insert(key, owner);
        }
    }

    /// Takes the settings of a Corefile; those from the start return with its end.
    fn observe_settings(&mut self, object: &Object, gone: bool) {
        let Some(text) = Corefile::text_of(object) else {
            return;
        };
        let from_start = Corefile {
            options: self.start.0,
            forwards: true,
        };
        let read = match gone {
            true => Ok(from_start),
            false => Corefile::parse(text, &self.domain),
        };
        if let Ok(corefile) = read {
            self.options = corefile.options;
            self.upstream = match corefile.forwards {
                true => self.start.1.clone(),
                false => Upstream::Nobody,
            };
        }
    }

    /// Files a Pod, unless it is on its way out or has come to its end.
    fn observe_pod(&mut self, pod: &Pod, key: Names, gone: bool) {
        if let Some(ip) = self.pods.remove(&key) {
            unfile(&mut self.pod_ips, &(key.0.clone(), ip), &key.1);
        }
        let is_over = gone || pod.metadata.is_terminating() || pod.is_finished();
        if let (false, Some(ip)) = (is_over, pod.addresses().first().copied()) {
            let place = self.pod_ips.entry((key.0.clone(), ip)).or_default();
            place.insert(key.1.clone());
            self.pods.insert(key, ip);
        }
    }
}

/// The ready endpoints of a slice (DNS-19), each with each of its addresses.
pub(crate) fn ready(slice: &EndpointSlice) -> impl Iterator<Item = (&Endpoint, IpAddr)> {
    let ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.is_ready());
    ready.flat_map(|endpoint| {
        let texts = endpoint.addresses.iter();
        texts.filter_map(move |text| Some((endpoint, text.parse().ok()?)))
    })
}

/// Takes one value away from an index.
fn unfile<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}
