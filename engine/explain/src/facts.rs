//! What every step of a diagnosis looks at: one Service with its Pods and slices.

use std::net::IpAddr;

use api::{
    ApiServer, EndpointPort, EndpointSlice, Kind, LABEL_HEADLESS, LABEL_MANAGED_BY, Node, Object,
    ObjectKey, Pod, Service, ServicePort, matches,
};
use control::{Control, OutsideConfig, ProxyMode, Source};

use crate::freshness::LABEL_PROXY_NAME;
use crate::pods::{obstacle, spoken};
use crate::{AskedPort, Question};

/// How the EndpointSlice controller signs the slices that it writes (EP-24).
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// A Service and what belongs to it, at one instant.
pub(crate) struct Facts<'a> {
    pub(crate) api: &'a ApiServer,
    /// The cluster that the objects are of; `None` where there are only objects.
    pub(crate) control: Option<&'a Control>,
    pub(crate) key: &'a ObjectKey,
    pub(crate) from: Option<&'a Source>,
    pub(crate) port: Option<AskedPort>,
    /// By which name clients call it.
    pub(crate) called: Option<&'a str>,
    pub(crate) namespace: &'a str,
    pub(crate) service: &'a Service,
    /// All Pods of its namespace.
    pub(crate) pods: Vec<&'a Pod>,
    /// Those that its selector matches.
    pub(crate) selected: Vec<&'a Pod>,
    /// The slices that name it, apart from those that proxies pass by.
    pub(crate) slices: Vec<&'a EndpointSlice>,
    /// Those that proxies pass by, because of a label that stands beside them.
    pub(crate) unread: Vec<(&'a EndpointSlice, &'static str)>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(
        api: &'a ApiServer,
        control: Option<&'a Control>,
        question: &'a Question,
        service: &'a Service,
    ) -> Self {
        let namespace = service.metadata.namespace.as_str();
        let pods: Vec<&Pod> = pods(api, Some(namespace)).collect();
        let selector = &service.spec.selector;
        // An empty one selects nothing (API-73).
        let is_selected =
            |pod: &Pod| !selector.is_empty() && matches(selector, &pod.metadata.labels);
        let mut own = slices(api, namespace)
            .filter(|slice| slice.service_name() == Some(service.metadata.name.as_str()))
            .collect::<Vec<_>>();
        let mut unread = Vec::new();
        own.retain(|slice| match unread_by(service, slice) {
            Some(label) => {
                unread.push((*slice, label));
                false
            }
            None => true,
        });
        Self {
            api,
            control,
            key: &question.service,
            from: question.from.as_ref(),
            port: question.port,
            called: question.name.as_deref(),
            namespace,
            service,
            selected: pods
                .iter()
                .copied()
                .filter(|pod| is_selected(pod))
                .collect(),
            pods,
            slices: own,
            unread,
        }
    }

    /// `shop/web`
    pub(crate) fn name(&self) -> String {
        spoken(self.key)
    }

    /// Whether Kubernetes itself finds its endpoints.
    pub(crate) fn has_selector(&self) -> bool {
        !self.service.spec.selector.is_empty()
    }

    /// The selected Pods that take connections; those that end only where no other does (PROXY-8).
    pub(crate) fn taking(&self) -> impl Iterator<Item = &'a Pod> {
        let pods = self.selected.iter().copied();
        let taking = pods.filter(|pod| obstacle(pod, self.service).is_none());
        let (ending, staying): (Vec<&Pod>, Vec<&Pod>) = taking.partition(|pod| {
            pod.metadata.is_terminating() && !self.service.spec.publish_not_ready_addresses
        });
        let taking = if staying.is_empty() { ending } else { staying };
        taking.into_iter()
    }

    /// Whether proxies find a port of the Service in a slice: of one of its families, under its name, with its
    /// protocol and a number (PROXY-4, API-82).
    pub(crate) fn offers(&self, slice: &EndpointSlice, port: &ServicePort) -> bool {
        let is_it = |other: &EndpointPort| {
            other.name.as_deref().unwrap_or_default() == port.name
                && other.transport() == port.transport()
                && other.port.is_some_and(|number| number > 0)
        };
        self.is_of_family(slice) && slice.ports.iter().any(is_it)
    }

    /// Whether a slice holds addresses of a family of the Service.
    pub(crate) fn is_of_family(&self, slice: &EndpointSlice) -> bool {
        self.service.spec.ip_families.contains(&slice.address_type)
    }

    /// Whether it is the API server's own Service, whose endpoints it writes itself.
    pub(crate) fn is_of_api_server(&self) -> bool {
        self.namespace == "default" && self.service.metadata.name == "kubernetes"
    }

    /// Whether somebody has to write its slices: it has no selector, and is not the API server's own.
    pub(crate) fn is_kept_by_hand(&self) -> bool {
        !self.has_selector() && !self.is_of_api_server()
    }

    /// The selected Pods that have not run to their end.
    pub(crate) fn live(&self) -> Vec<&'a Pod> {
        let pods = self.selected.iter().copied();
        pods.filter(|pod| !pod.is_finished()).collect()
    }

    /// The nodes of the cluster, by name.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'a Node> {
        let nodes = self.api.list(Kind::Node, None).filter_map(Object::as_node);
        nodes.map(|node| &**node)
    }

    /// The Pod that asks, if a Pod does.
    pub(crate) fn client(&self) -> Option<&'a Pod> {
        match self.from? {
            Source::Pod(key) => self.api.get(key)?.as_pod().map(|pod| &**pod),
            Source::Node(_) | Source::Outside(_) => None,
        }
    }

    /// The node whose rules the client's packets meet first, where it is on one.
    pub(crate) fn client_node(&self) -> Option<&'a str> {
        match self.from? {
            Source::Pod(_) => self.client().map(|pod| pod.spec.node_name.as_str()),
            Source::Node(name) => Some(name),
            Source::Outside(_) => None,
        }
    }

    /// A host outside of the cluster.
    pub(crate) fn outside(&self, name: &str) -> Option<&'a OutsideConfig> {
        let mut hosts = self.control?.config().outside.iter();
        hosts.find(|host| host.name == name)
    }

    /// Through which node the client's packets to an address of the Service come in: its own, or, of a host outside,
    /// the one that its routes lead to.
    pub(crate) fn entrance(&self, address: IpAddr) -> Option<&'a str> {
        let Some(Source::Outside(host)) = self.from else {
            return self.client_node();
        };
        self.outside(host)?.route_to(address)
    }

    /// Its addresses for clients outside, apart from its nodes': those that rules know (PROXY-29, PROXY-31).
    pub(crate) fn external_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let external = self.service.spec.external_ips.iter();
        let external = external.filter_map(|text| text.parse().ok());
        external.chain(self.service.balancer_vips())
    }

    /// Whether an address is of a family of the Service.
    pub(crate) fn has_family(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        self.service
            .spec
            .ip_families
            .iter()
            .any(|own| own == family)
    }

    /// `Clients of shop/web`, or who asks.
    pub(crate) fn clients(&self) -> String {
        match self.from {
            None => format!("Clients of {}", self.name()),
            Some(source) => format!("Connections from {source} to {}", self.name()),
        }
    }

    /// The modes of the proxies whose rules clients meet: that of who asks, or else all nodes'. None where there are
    /// only objects.
    pub(crate) fn proxy_modes(&self) -> Vec<ProxyMode> {
        let Some(control) = self.control else {
            return Vec::new();
        };
        if let Some(node) = self.from.and_then(|source| control.node_of(source)) {
            return control.proxy_mode(node).into_iter().collect();
        }
        let nodes = control.config().nodes.iter();
        nodes
            .filter_map(|node| control.proxy_mode(&node.name).ok())
            .collect()
    }

    /// `kubectl get endpoints web -n shop`
    pub(crate) fn kubectl_get(&self, what: &str) -> String {
        format!("kubectl get {what} -n {}", self.namespace)
    }

    /// `kubectl get endpointslices -l kubernetes.io/service-name=web -n shop`
    pub(crate) fn kubectl_get_slices(&self) -> String {
        let name = &self.service.metadata.name;
        self.kubectl_get(&format!(
            "endpointslices -l kubernetes.io/service-name={name}"
        ))
    }
}

/// The Pods of a namespace, or of all.
pub(crate) fn pods<'a>(
    api: &'a ApiServer,
    namespace: Option<&'a str>,
) -> impl Iterator<Item = &'a Pod> {
    let pods = api.list(Kind::Pod, namespace).filter_map(Object::as_pod);
    pods.map(|pod| &**pod)
}

/// The slices of a namespace, whichever Service they name.
pub(crate) fn slices<'a>(
    api: &'a ApiServer,
    namespace: &'a str,
) -> impl Iterator<Item = &'a EndpointSlice> {
    let slices = api.list(Kind::EndpointSlice, Some(namespace));
    let slices = slices.filter_map(Object::as_endpoint_slice);
    slices.map(|slice| &**slice)
}

/// The label of a slice for which proxies pass it by (PROXY-2). Those of a headless Service are for DNS, and those of a
/// Service that is another proxy's are for that.
fn unread_by(service: &Service, slice: &EndpointSlice) -> Option<&'static str> {
    let is_for_others =
        service.is_headless() || service.metadata.labels.contains_key(LABEL_PROXY_NAME);
    unread_label(slice).filter(|_| !is_for_others)
}

/// The label of a slice for which proxies of Services do not read it (PROXY-2).
pub(crate) fn unread_label(slice: &EndpointSlice) -> Option<&'static str> {
    let mut unread = [LABEL_HEADLESS, LABEL_PROXY_NAME].into_iter();
    unread.find(|label| slice.metadata.labels.contains_key(*label))
}

/// Whether the EndpointSlice controller writes a slice.
pub(crate) fn is_of_controller(slice: &EndpointSlice) -> bool {
    manager(slice).is_some_and(|writer| writer == CONTROLLER)
}

/// Who says that they write a slice.
pub(crate) fn manager(slice: &EndpointSlice) -> Option<&str> {
    let writer = slice.metadata.labels.get(LABEL_MANAGED_BY);
    writer.map(String::as_str)
}

/// The endpoints of a Service's slices that are sent to: the ready ones, or where there are none those that end and
/// still serve (PROXY-8).
pub(crate) fn sent_to<'a>(slices: &[&'a EndpointSlice]) -> Vec<&'a api::Endpoint> {
    let all: Vec<&api::Endpoint> = slices.iter().flat_map(|slice| usable(slice)).collect();
    let ready = all
        .iter()
        .copied()
        .filter(|endpoint| endpoint.conditions.is_ready());
    let ready: Vec<&api::Endpoint> = ready.collect();
    if ready.is_empty() { all } else { ready }
}

/// The endpoints of a slice that may be sent to (EP-13, PROXY-9).
pub(crate) fn usable(slice: &EndpointSlice) -> impl Iterator<Item = &api::Endpoint> {
    slice.endpoints.iter().filter(|endpoint| {
        let conditions = endpoint.conditions;
        conditions.is_ready() || (conditions.is_serving() && conditions.is_terminating())
    })
}
