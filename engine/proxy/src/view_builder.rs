//! From API objects to the compiler's view.
//!
//! The filters are those of kube-proxy's watches: Services without a ClusterIP, and Services and slices that are
//! labelled for another proxy or as headless, are not seen (PROXY-2); a slice belongs to the
//! Service its `kubernetes.io/service-name` label names (EP-40).

use std::net::IpAddr;
use std::sync::Arc;

use api::{Change, EndpointSlice, LABEL_HEADLESS, Object, ObjectMeta, Service, WatchEvent};
use rules::{
    ClusterView, EndpointView, ServiceName, ServicePortView, ServiceView, SliceView, TrafficPolicy,
};
use ruleset::{Family, Protocol};

/// Objects with either of these labels are filtered out of the watch (PROXY-2).
const IGNORED: [&str; 2] = [PROXY_NAME_LABEL, LABEL_HEADLESS];
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";

/// Follows the watch and keeps the latest view.
#[derive(Clone, Debug, Default)]
pub struct ViewBuilder {
    view: ClusterView,
}

impl ViewBuilder {
    /// Starts with nothing seen.
    #[must_use]
    pub fn new(service_cidrs: Arc<[ipnet::IpNet]>) -> Self {
        Self {
            view: ClusterView {
                service_cidrs,
                ..ClusterView::default()
            },
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
            _ => false,
        }
    }

    fn observe_service(&mut self, service: &Service, gone: bool) -> bool {
        let name = service_name(&service.metadata.namespace, &service.metadata.name);
        let before = self.view.services.get(&name).cloned();
        let after = if gone {
            None
        } else {
            view_of_service(service).map(Arc::new)
        };
        if before == after {
            return false;
        }
        match after {
            Some(view) => self.view.services.insert(name, view),
            None => self.view.services.remove(&name),
        };
        true
    }

    fn observe_slice(&mut self, slice: &EndpointSlice, gone: bool) -> bool {
        let namespace = slice.metadata.namespace.as_str();
        let slice_name: Arc<str> = slice.metadata.name.as_str().into();
        let seen = !gone && !is_ignored(&slice.metadata);
        let owner = slice.service_name().filter(|_| seen);
        let owner = owner.map(|service| service_name(namespace, service));
        let mut changed = self.drop_slice(namespace, &slice_name, owner.as_ref());
        if let (Some(owner), Some(view)) = (owner, view_of_slice(slice)) {
            let mut slices = self
                .view
                .slices
                .get(&owner)
                .map(|s| (**s).clone())
                .unwrap_or_default();
            if slices
                .get(&slice_name)
                .is_none_or(|before| **before != view)
            {
                slices.insert(slice_name, Arc::new(view));
                self.view.slices.insert(owner, Arc::new(slices));
                changed = true;
            }
        }
        changed
    }

    /// Forgets a slice that is gone or has moved away from the Service it was filed under.
    fn drop_slice(
        &mut self,
        namespace: &str,
        slice: &Arc<str>,
        except: Option<&ServiceName>,
    ) -> bool {
        let first = service_name(namespace, "");
        let filed: Vec<ServiceName> = self
            .view
            .slices
            .range(first.clone()..)
            .take_while(|(service, _)| service.namespace == first.namespace)
            .filter(|(service, slices)| Some(*service) != except && slices.contains_key(slice))
            .map(|(service, _)| service.clone())
            .collect();
        for service in &filed {
            let mut slices = (*self.view.slices[service]).clone();
            slices.remove(slice);
            if slices.is_empty() {
                self.view.slices.remove(service);
            } else {
                self.view.slices.insert(service.clone(), Arc::new(slices));
            }
        }
        !filed.is_empty()
    }
}

fn is_ignored(metadata: &ObjectMeta) -> bool {
    IGNORED
        .iter()
        .any(|label| metadata.labels.contains_key(*label))
}

fn service_name(namespace: &str, name: &str) -> ServiceName {
    ServiceName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn view_of_service(service: &Service) -> Option<ServiceView> {
    let alias = service.spec.service_type == "ExternalName";
    let cluster_ips: Vec<IpAddr> = service.addresses().collect();
    if is_ignored(&service.metadata) || alias || service.is_headless() || cluster_ips.is_empty() {
        return None;
    }
    let ports = service.spec.ports.iter().filter_map(|port| {
        Some(ServicePortView {
            name: port.name.as_str().into(),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port).ok()?,
        })
    });
    Some(ServiceView {
        cluster_ips,
        ports: ports.collect(),
        internal_traffic_policy: match service.internal_policy() {
            api::TrafficPolicy::Cluster => TrafficPolicy::Cluster,
            api::TrafficPolicy::Local => TrafficPolicy::Local,
        },
    })
}

fn view_of_slice(slice: &EndpointSlice) -> Option<SliceView> {
    let family = match slice.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        _ => return None,
    };
    let ports = slice.ports.iter().filter_map(|port| {
        Some(ServicePortView {
            name: port.name.as_deref()?.into(),
            protocol: protocol(port.transport()),
            port: u16::try_from(port.port?)
                .ok()
                .filter(|number| *number > 0)?,
        })
    });
    let endpoints = slice.endpoints.iter().filter_map(|endpoint| {
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let hints = endpoint.hints.as_ref();
        let names = |named: &[api::Named]| named.iter().map(|n| n.name.as_str().into()).collect();
        let target = endpoint.target_ref.as_ref();
        Some(EndpointView {
            address,
            node: endpoint.node_name.as_deref().map(Arc::from),
            ready: endpoint.conditions.is_ready(),
            serving: endpoint.conditions.is_serving(),
            terminating: endpoint.conditions.is_terminating(),
            zone_hints: hints.map(|h| names(&h.for_zones)).unwrap_or_default(),
            node_hints: hints.map(|h| names(&h.for_nodes)).unwrap_or_default(),
            pod: target
                .filter(|t| t.kind == "Pod")
                .map(|t| t.name.as_str().into()),
        })
    });
    Some(SliceView {
        family,
        ports: ports.collect(),
        endpoints: endpoints.collect(),
    })
}

const fn protocol(transport: api::Protocol) -> Protocol {
    match transport {
        api::Protocol::Tcp => Protocol::TCP,
        api::Protocol::Udp => Protocol::UDP,
        api::Protocol::Sctp => Protocol::SCTP,
    }
}
