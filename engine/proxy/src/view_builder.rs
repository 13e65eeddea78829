//! From API objects to the compiler's view.
//!
//! The filters are those of kube-proxy's watches: Services without a ClusterIP, and Services and slices that are
//! labelled for another proxy or as headless, are not seen (PROXY-2); a slice belongs to the
//! Service its `kubernetes.io/service-name` label names (EP-40). The Service ranges are those of the ServiceCIDRs, once
//! there is one.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use api::{
    Change, EndpointSlice, LABEL_HEADLESS, Object, ObjectMeta, Service, ServiceCidr, WatchEvent,
};
use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};
use ipnet::IpNet;
use rules::{
    ClusterView, EndpointView, ServiceName, ServicePortView, ServiceView, SlicePortView, SliceView,
    SlicesByName, TrafficPolicy,
};
use ruleset::{Family, Protocol};

use crate::names::Names;

/// Objects with either of these labels are filtered out of the watch (PROXY-2): kube-proxy has one label selector
/// for all its informers (cmd/kube-proxy/app/server.go), though the second label is meant for slices.
const IGNORED: [&str; 2] = [PROXY_NAME_LABEL, LABEL_HEADLESS];
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// Follows the watch and keeps the latest view.
#[derive(Clone, Debug, Default)]
pub struct ViewBuilder {
    view: ClusterView,
    /// What the view has of each Service: nearly every event asks, and a look-up among the many that are sorted costs more
    /// than all else. Never iterated.
    known: HashMap<ServiceName, Known, FixedState>,
    /// The Service under which each slice is filed, of the same namespace; slices are keyed like Services, by namespace
    /// and name. Never iterated.
    owners: HashMap<ServiceName, Arc<str>, FixedState>,
    /// The ranges of each ServiceCIDR.
    service_cidrs: BTreeMap<String, Vec<IpNet>>,
    /// Of namespaces, ports and nodes.
    names: Names,
}

/// What a view has of a Service.
#[derive(Clone, Debug, Default)]
struct Known {
    service: Option<Arc<ServiceView>>,
    slices: Option<Arc<SlicesByName>>,
}

/// A [`ServiceName`] that is looked up.
#[derive(Hash)]
struct Named<'n> {
    namespace: &'n str,
    name: &'n str,
}

impl Equivalent<ServiceName> for Named<'_> {
    fn equivalent(&self, known: &ServiceName) -> bool {
        (self.namespace, self.name) == (&*known.namespace, &*known.name)
    }
}

impl ViewBuilder {
    /// Starts with nothing seen; the ranges hold until a ServiceCIDR is.
    #[must_use]
    pub fn new(service_cidrs: Arc<[IpNet]>) -> Self {
        Self {
            view: ClusterView {
                service_cidrs,
                ..ClusterView::default()
            },
            ..Self::default()
        }
    }

    /// The view after the last event.
    #[must_use]
    pub const fn view(&self) -> &ClusterView {
        &self.view
    }

    /// Takes one event. Returns whether anything a proxy looks at has changed.
    pub fn observe(&mut self, event: &WatchEvent) -> bool {
        self.view.revision = event.revision;
        let gone = event.change == Change::Deleted;
        match &event.object {
            Object::Service(service) => self.observe_service(service, gone),
            Object::EndpointSlice(slice) => self.observe_slice(slice, gone),
            Object::ServiceCidr(cidr) => self.observe_service_cidr(cidr, gone),
            _ => false,
        }
    }

    fn observe_service(&mut self, service: &Service, gone: bool) -> bool {
        let namespace = self.names.of(&service.metadata.namespace);
        let name = self.known_name(&namespace, &service.metadata.name);
        let after = if gone {
            None
        } else {
            view_of_service(service, &mut self.names).map(Arc::new)
        };
        let known = self.known.entry(name.clone()).or_default();
        let before = mem::replace(&mut known.service, after.clone());
        if before == after {
            known.service = before;
            self.forget_if_unknown(&name);
            return false;
        }
        let counts = &mut self.view.endpoints;
        for slice in known.slices.iter().flat_map(|slices| slices.values()) {
            before.iter().for_each(|view| counts.subtract(view, slice));
            after.iter().for_each(|view| counts.add(view, slice));
        }
        match after {
            Some(view) => {
                self.view.services.insert(name, view);
            }
            None => {
                self.view.services.remove(&name);
                self.forget_if_unknown(&name);
            }
        }
        true
    }

    fn observe_service_cidr(&mut self, cidr: &ServiceCidr, gone: bool) -> bool {
        let name = &cidr.metadata.name;
        if gone {
            self.service_cidrs.remove(name);
        } else {
            let ranges = cidr.ranges().collect();
            self.service_cidrs.insert(name.clone(), ranges);
        }
        let ranges: Vec<IpNet> = self.service_cidrs.values().flatten().copied().collect();
        if *ranges == *self.view.service_cidrs {
            return false;
        }
        self.view.service_cidrs = ranges.into();
        true
    }

    fn observe_slice(&mut self, slice: &EndpointSlice, gone: bool) -> bool {
        let key = ServiceName {
            namespace: self.names.of(&slice.metadata.namespace),
            name: slice.metadata.name.as_str().into(),
        };
        let seen = !gone && !is_ignored(&slice.metadata);
        let owner = slice.service_name().filter(|_| seen);
        let filed = owner.and_then(|owner| {
            let view = view_of_slice(slice, &mut self.names)?;
            Some((self.known_name(&key.namespace, owner), view))
        });
        let before = match &filed {
            Some((owner, _)) => self.owners.insert(key.clone(), Arc::clone(&owner.name)),
            None => self.owners.remove(&key),
        };
        let owner = filed.as_ref().map(|(owner, _)| &owner.name);
        let mut changed = false;
        if let Some(before) = before.filter(|before| Some(before) != owner) {
            let owner = self.known_name(&key.namespace, &before);
            changed |= self.file_slice(owner, &key.name, None);
        }
        if let Some((owner, view)) = filed {
            changed |= self.file_slice(owner, &key.name, Some(view));
        }
        changed
    }

    /// A Service's name; that of a Service that is known is the same copy.
    fn known_name(&self, namespace: &Arc<str>, name: &str) -> ServiceName {
        let known = self.known.get_key_value(&Named { namespace, name });
        known.map_or_else(
            || ServiceName {
                namespace: Arc::clone(namespace),
                name: name.into(),
            },
            |(known, _)| known.clone(),
        )
    }

    /// Files a slice under its Service, or takes it out. Returns whether that made a difference.
    fn file_slice(
        &mut self,
        owner: ServiceName,
        slice: &Arc<str>,
        view: Option<SliceView>,
    ) -> bool {
        let known = self.known.entry(owner.clone()).or_default();
        let filed = known.slices.as_ref();
        let before = filed.and_then(|slices| slices.get(slice));
        if before.map(|view| &**view) == view.as_ref() {
            self.forget_if_unknown(&owner);
            return false;
        }
        if let Some(service) = &known.service {
            let counts = &mut self.view.endpoints;
            before
                .iter()
                .for_each(|view| counts.subtract(service, view));
            view.iter().for_each(|view| counts.add(service, view));
        }
        let none = SlicesByName::new();
        let filed = filed.map_or(&none, |slices| slices);
        let slices = match view {
            Some(view) => filed.with(Arc::clone(slice), Arc::new(view)),
            None => filed.without(slice),
        };
        known.slices = (!slices.is_empty()).then(|| Arc::new(slices));
        match &known.slices {
            Some(slices) => {
                self.view.slices.insert(owner, Arc::clone(slices));
            }
            None => {
                self.view.slices.remove(&owner);
                self.forget_if_unknown(&owner);
            }
        }
        true
    }

    fn forget_if_unknown(&mut self, name: &ServiceName) {
        let is_unknown = |known: &Known| known.service.is_none() && known.slices.is_none();
        if self.known.get(name).is_some_and(is_unknown) {
            self.known.remove(name);
        }
    }
}

fn is_ignored(metadata: &ObjectMeta) -> bool {
    IGNORED
        .iter()
        .any(|label| metadata.labels.contains_key(*label))
}

fn view_of_service(service: &Service, names: &mut Names) -> Option<ServiceView> {
    let alias = service.spec.service_type == "ExternalName";
    let cluster_ips: Vec<IpAddr> = service.addresses().collect();
    if is_ignored(&service.metadata) || alias || service.is_headless() || cluster_ips.is_empty() {
        return None;
    }
    let mut ports = Vec::with_capacity(service.spec.ports.len());
    ports.extend(service.spec.ports.iter().filter_map(|port| {
        Some(ServicePortView {
            name: names.of(&port.name),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port).ok()?,
            node_port: u16::try_from(port.node_port)
                .ok()
                .filter(|number| *number > 0),
        })
    }));
    Some(ServiceView {
        cluster_ips,
        ports,
        internal_traffic_policy: policy(service.internal_policy()),
        external_traffic_policy: policy(service.external_policy()),
        external_ips: addresses(&service.spec.external_ips),
        load_balancer_ips: service.balancer_vips().collect(),
        load_balancer_source_ranges: service.source_ranges().collect(),
        affinity_seconds: affinity_seconds(service),
        health_check_node_port: u16::try_from(service.spec.health_check_node_port)
            .ok()
            .filter(|port| *port > 0 && service.needs_health_check()),
    })
}

const fn policy(policy: api::TrafficPolicy) -> TrafficPolicy {
    match policy {
        api::TrafficPolicy::Cluster => TrafficPolicy::Cluster,
        api::TrafficPolicy::Local => TrafficPolicy::Local,
    }
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// PROXY-32, API-29: 10,800 seconds unless said otherwise.
fn affinity_seconds(service: &Service) -> Option<u32> {
    if service.spec.session_affinity != "ClientIP" {
        return None;
    }
    let config = service.spec.session_affinity_config.as_ref();
    let given = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    Some(
        given
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(10_800),
    )
}

fn view_of_slice(slice: &EndpointSlice, names: &mut Names) -> Option<SliceView> {
    let family = match slice.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return None,
    };
    let mut ports = Vec::with_capacity(slice.ports.len());
    ports.extend(slice.ports.iter().filter_map(|port| {
        Some(SlicePortView {
            name: names.of(port.name.as_deref()?),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port?)
                .ok()
                .filter(|number| *number > 0)?,
        })
    }));
    let mut endpoints = Vec::with_capacity(slice.endpoints.len());
    endpoints.extend(slice.endpoints.iter().filter_map(|endpoint| {
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let hints = endpoint.hints.as_ref();
        let hinted = |named: &[api::Named]| named.iter().map(|n| n.name.as_str().into()).collect();
        let target = endpoint.target_ref.as_ref();
        Some(EndpointView {
            address,
            node: endpoint.node_name.as_deref().map(|name| names.of(name)),
            ready: endpoint.conditions.is_ready(),
            serving: endpoint.conditions.is_serving(),
            terminating: endpoint.conditions.is_terminating(),
            zone_hints: hints.map(|h| hinted(&h.for_zones)).unwrap_or_default(),
            node_hints: hints.map(|h| hinted(&h.for_nodes)).unwrap_or_default(),
            pod: target
                .filter(|t| t.kind == "Pod")
                .map(|t| t.name.as_str().into()),
        })
    }));
    Some(SliceView {
        family,
        ports,
        endpoints,
    })
}

const fn protocol(transport: api::Protocol) -> Protocol {
    match transport {
        api::Protocol::Tcp => Protocol::TCP,
        api::Protocol::Udp => Protocol::UDP,
        api::Protocol::Sctp => Protocol::SCTP,
    }
}

#[cfg(test)]
mod tests;
