//! Gives Services of type LoadBalancer addresses out of a pool.
//!
//! **What.** Such a Service gets the finalizer of the cloud's controller and, in its status, the first free address of the
//! pool for each of its families, or the one that it asks for; when it is deleted or becomes of another type, it loses
//! them. A Service with a `loadBalancerClass` is somebody else's. With `switchboard.dev/status: pinned`, and where an
//! address of the family is there already, the status stays. Without a free address a Service waits.
//! **Source of the semantics.** API-26, API-32; S: `k8s.io/cloud-provider/controllers/service/controller.go`.
//!
//! Deviation: the service controller's Events are not written, and Services do not wait for a node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{Change, LoadBalancerIngress, Object, ObjectKey, Service, Status, WatchEvent};
use base::SimTime;
use ipnet::IpNet;

use crate::controller::{Controller, Effect};
use crate::queue::Queue;

/// Keeps a deleted Service until its load balancer is gone.
const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// Gives out the addresses of one load balancer.
#[derive(Clone, Debug)]
pub struct LoadBalancerController {
    pool: Vec<IpNet>,
    /// Those with a load balancer, or with what is left of one.
    services: BTreeMap<ObjectKey, Arc<Service>>,
    /// Whose an address is.
    taken: BTreeMap<IpAddr, ObjectKey>,
    /// Services for which there was no address.
    waiting: BTreeSet<ObjectKey>,
    due: Queue<ObjectKey>,
}

impl LoadBalancerController {
    /// A load balancer whose addresses are those of `pool`.
    #[must_use]
    pub fn new(pool: Vec<IpNet>) -> Self {
        Self {
            pool,
            services: BTreeMap::new(),
            taken: BTreeMap::new(),
            waiting: BTreeSet::new(),
            due: Queue::new(),
        }
    }

    fn forget(&mut self, key: &ObjectKey, now: SimTime) {
        self.services.remove(key);
        self.due.forget(key);
        self.waiting.remove(key);
        self.release(key, now);
    }

    /// Gives a Service's addresses back, and lets those try again that wait for one.
    fn release(&mut self, key: &ObjectKey, now: SimTime) {
        let before = self.taken.len();
        self.taken.retain(|_, owner| owner != key);
        if self.taken.len() < before {
            for waiting in std::mem::take(&mut self.waiting) {
                self.due.add(waiting, now);
            }
        }
    }

    fn sync(&mut self, key: &ObjectKey, now: SimTime) -> Option<Effect> {
        let service = Arc::clone(self.services.get(key)?);
        let has_finalizer = service
            .metadata
            .finalizers
            .iter()
            .any(|one| one == FINALIZER);
        if self.pool.is_empty() && !service.metadata.is_terminating() {
            // What another load balancer has left is not ours.
            return None;
        }
        if wants_balancer(&service) {
            if !has_finalizer {
                let mut service = Service::clone(&service);
                service.metadata.finalizers.push(FINALIZER.to_owned());
                return Some(Effect::Update(service.into()));
            }
            let ingress = self.ingress(key, &service);
            return with_ingress(&service, ingress);
        }
        self.release(key, now);
        if !has_finalizer {
            self.services.remove(key);
            return None;
        }
        if is_pinned(&service) {
            return None;
        }
        if !service.metadata.is_terminating()
            && let Some(cleared) = with_ingress(&service, Vec::new())
        {
            return Some(cleared);
        }
        let mut service = Service::clone(&service);
        service.metadata.finalizers.retain(|one| one != FINALIZER);
        Some(Effect::Update(service.into()))
    }

    /// Where the load balancer is to listen for a Service: what is there already of its families, and new addresses.
    fn ingress(&mut self, key: &ObjectKey, service: &Service) -> Vec<LoadBalancerIngress> {
        let mut ingress = Vec::new();
        for family in &service.spec.ip_families {
            let is_v6 = family == "IPv6";
            let mut present = service.status.load_balancer.ingress.iter();
            let known = present.find(|one| address_of(one).is_some_and(|ip| ip.is_ipv6() == is_v6));
            if let Some(known) = known {
                if let Some(address) = address_of(known) {
                    self.taken.entry(address).or_insert_with(|| key.clone());
                }
                ingress.push(known.clone());
            } else if let Some(address) = self.allocate(key, service, is_v6) {
                ingress.push(LoadBalancerIngress {
                    ip: address.to_string(),
                    ip_mode: Some("VIP".to_owned()),
                    ..LoadBalancerIngress::default()
                });
            } else {
                self.waiting.insert(key.clone());
            }
        }
        ingress
    }

    /// The address that the Service asks for, or the first free one. Nothing is given instead of what is asked for.
    fn allocate(&mut self, key: &ObjectKey, service: &Service, is_v6: bool) -> Option<IpAddr> {
        let mine = self
            .taken
            .iter()
            .find(|(address, owner)| *owner == key && address.is_ipv6() == is_v6);
        if let Some((address, _)) = mine {
            return Some(*address);
        }
        let asked: Option<IpAddr> = service.spec.load_balancer_ip.parse().ok();
        let is_free = |address: &IpAddr| !self.taken.contains_key(address);
        let free = match asked.filter(|asked| asked.is_ipv6() == is_v6) {
            Some(asked) => Some(asked)
                .filter(|asked| self.pool.iter().any(|net| net.contains(asked)) && is_free(asked)),
            None => {
                let nets = self.pool.iter().filter(|net| net.addr().is_ipv6() == is_v6);
                nets.flat_map(hosts).find(is_free)
            }
        }?;
        self.taken.insert(free, key.clone());
        Some(free)
    }
}

impl Controller for LoadBalancerController {
    fn name(&self) -> &'static str {
        "service-lb-controller"
    }

    fn observe(&mut self, event: &WatchEvent, now: SimTime) {
        let Object::Service(service) = &event.object else {
            return;
        };
        let key = event.object.key();
        if event.change != Change::Deleted {
            let present = service.status.load_balancer.ingress.iter();
            for address in present.filter_map(address_of) {
                self.taken.entry(address).or_insert_with(|| key.clone());
            }
        }
        if event.change == Change::Deleted {
            self.forget(&key, now);
        } else if wants_balancer(service) || self.services.contains_key(&key) || is_left(service) {
            self.services.insert(key.clone(), Arc::clone(service));
            self.due.add(key, now);
        }
    }

    fn next_due(&self) -> Option<SimTime> {
        self.due.next_due()
    }

    fn reconcile(&mut self, now: SimTime) -> Vec<Effect> {
        let due = self.due.take(now);
        due.iter().filter_map(|key| self.sync(key, now)).collect()
    }

    fn refused(&mut self, effect: &Effect, status: &Status, now: SimTime) {
        let (Effect::Update(object) | Effect::UpdateStatus(object)) = effect else {
            return;
        };
        // Gone, or changed by now: its event is on the way.
        if !matches!(status.code, 404 | 409) {
            self.due.add_failed(object.key(), now);
        }
    }
}

/// Whether a Service is to have a load balancer of ours.
fn wants_balancer(service: &Service) -> bool {
    service.spec.service_type == "LoadBalancer"
        && service.spec.load_balancer_class.is_none()
        && !service.metadata.is_terminating()
        && !is_pinned(service)
}

fn is_pinned(service: &Service) -> bool {
    service.metadata.has_pinned_status() && !service.metadata.is_terminating()
}

/// Whether a Service has what is left of a load balancer.
fn is_left(service: &Service) -> bool {
    service
        .metadata
        .finalizers
        .iter()
        .any(|one| one == FINALIZER)
}

/// The addresses of a range that hosts can have; the first of an IPv6 range is that of its routers.
fn hosts(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let routers = net.addr().is_ipv6() && net.prefix_len() < net.max_prefix_len() - 1;
    net.hosts().skip(usize::from(routers))
}

fn address_of(ingress: &LoadBalancerIngress) -> Option<IpAddr> {
    ingress.ip.parse().ok()
}

/// The status with this in it; `None` where it is so already.
fn with_ingress(service: &Service, ingress: Vec<LoadBalancerIngress>) -> Option<Effect> {
    if service.status.load_balancer.ingress == ingress {
        return None;
    }
    let mut service = service.clone();
    service.status.load_balancer.ingress = ingress;
    Some(Effect::UpdateStatus(service.into()))
}
