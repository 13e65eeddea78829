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
    Change, EndpointHints, EndpointSlice, LABEL_HEADLESS, Object, ObjectMeta, Service, ServiceCidr,
    WatchEvent, parse_address,
};
use ipnet::IpNet;
use rules::{
    ClusterView, EndpointView, Hints, ServiceEntry, ServicePortView, ServiceView, SlicePortView,
    SliceView, TrafficPolicy,
};
use ruleset::{Family, Protocol};

use crate::names::Names;
use crate::register::{Number, Register};

/// Objects with either of these labels are filtered out of the watch (PROXY-2): kube-proxy has one label selector
/// for all its informers (cmd/kube-proxy/app/server.go), though the second label is meant for slices.
const IGNORED: [&str; 2] = [PROXY_NAME_LABEL, LABEL_HEADLESS];
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// Follows the watch and keeps the latest view.
#[derive(Clone, Debug, Default)]
pub struct ViewBuilder {
    /// Its Services are as they were when somebody asked for it.
    view: ClusterView,
    register: Register,
    /// The Services that have changed since.
    changed: Vec<Number>,
    /// The ranges of each ServiceCIDR.
    service_cidrs: BTreeMap<String, Vec<IpNet>>,
    /// Of namespaces, ports and nodes.
    names: Names,
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

    /// The view after the last event. It costs what has changed since this was last asked; from nothing it is made at once, in
    /// order.
    pub fn view(&mut self) -> &ClusterView {
        let mut changed = mem::take(&mut self.changed);
        let register = &mut self.register;
        let services = &mut self.view.services;
        if services.is_empty() {
            changed.sort_by(|one, other| register.of(*one).name.cmp(&register.of(*other).name));
            *services = changed.iter().map(|of| register.of(*of).copy()).collect();
        } else {
            for (name, entry) in changed.iter().map(|of| register.of(*of).copy()) {
                services.set(name, entry);
            }
        }
        for number in changed.drain(..) {
            register.settle(number);
        }
        // Its room is used again.
        self.changed = changed;
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
        let ObjectMeta {
            namespace, name, ..
        } = &service.metadata;
        let after = match gone {
            true => None,
            false => view_of_service(service, &mut self.names),
        };
        let known = match &after {
            Some(_) => Some(self.register.find_or_add(namespace, name, &mut self.names)),
            None => self.register.find(namespace, name),
        };
        let Some(number) = known else {
            return false;
        };
        let ServiceEntry { service, slices } = &mut self.register.of_mut(number).entry;
        if service.as_deref() == after.as_ref() {
            return false;
        }
        let after = after.map(Arc::new);
        let before = mem::replace(service, after.clone());
        let counts = &mut self.view.endpoints;
        for slice in slices.values() {
            before.iter().for_each(|view| counts.subtract(view, slice));
            after.iter().for_each(|view| counts.add(view, slice));
        }
        self.note(number);
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
        let ObjectMeta {
            namespace, name, ..
        } = &slice.metadata;
        let seen = !gone && !is_ignored(&slice.metadata);
        let owner = slice.service_name().filter(|_| seen);
        let filed = owner.and_then(|owner| {
            let view = view_of_slice(slice, &mut self.names)?;
            let owner = self.register.find_or_add(namespace, owner, &mut self.names);
            Some((owner, view))
        });
        let before = self.register.owner_of(namespace, name);
        let after = filed.as_ref().map(|(owner, _)| *owner);
        let mut changed = false;
        if let Some(before) = before.filter(|_| before != after) {
            changed |= self.file_slice(before, name, None);
        }
        if let Some((owner, view)) = filed {
            changed |= self.file_slice(owner, name, Some(view));
        }
        changed
    }

    /// Files a slice under its Service, or takes it out. Returns whether that made a difference.
    fn file_slice(&mut self, owner: Number, slice: &str, view: Option<SliceView>) -> bool {
        let ServiceEntry { service, slices } = &self.register.of(owner).entry;
        let before = slices.get(slice);
        if before.map(|view| &**view) == view.as_ref() {
            return false;
        }
        if let Some(service) = service {
            let counts = &mut self.view.endpoints;
            before
                .iter()
                .for_each(|view| counts.subtract(service, view));
            view.iter().for_each(|view| counts.add(service, view));
        }
        match view {
            Some(view) => self.register.file(owner, slice, Arc::new(view)),
            None => self.register.take_out(owner, slice),
        }
        self.note(owner);
        true
    }

    /// A Service has changed since the view was looked at.
    fn note(&mut self, number: Number) {
        let is_noted = &mut self.register.of_mut(number).is_noted;
        if !mem::replace(is_noted, true) {
            self.changed.push(number);
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
    if is_ignored(&service.metadata) || alias || service.is_headless() {
        return None;
    }
    let mut cluster_ips = service.addresses().peekable();
    cluster_ips.peek()?;
    let ports = service.spec.ports.iter().filter_map(|port| {
        Some(ServicePortView {
            name: names.of(&port.name),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port).ok()?,
            node_port: u16::try_from(port.node_port)
                .ok()
                .filter(|number| *number > 0),
        })
    });
    let ports = ports.collect();
    Some(ServiceView {
        cluster_ips: cluster_ips.collect(),
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
    texts
        .iter()
        .filter_map(|text| parse_address(text))
        .collect()
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
    let ports = slice.ports.iter().filter_map(|port| {
        Some(SlicePortView {
            name: names.of(port.name.as_deref()?),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port?)
                .ok()
                .filter(|number| *number > 0)?,
        })
    });
    let ports = ports.collect();
    let mut endpoints = Vec::with_capacity(slice.endpoints.len());
    endpoints.extend(slice.endpoints.iter().filter_map(|endpoint| {
        let target = endpoint.target_ref.as_ref();
        Some(EndpointView {
            address: parse_address(endpoint.addresses.first()?)?,
            node: endpoint.node_name.as_deref().map(|name| names.of(name)),
            ready: endpoint.conditions.is_ready(),
            serving: endpoint.conditions.is_serving(),
            terminating: endpoint.conditions.is_terminating(),
            hints: endpoint.hints.as_ref().map_or(Hints::NONE, hints),
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

fn hints(hints: &EndpointHints) -> Hints {
    let named = |list: &[api::Named]| list.iter().map(|hint| hint.name.as_str().into()).collect();
    Hints::of(named(&hints.for_zones), named(&hints.for_nodes))
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
