//! What the controller has seen of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, EndpointSlice, Node, Pod, Service, StringMap};

use super::{is_managed, selects};

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Name {
    fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Services and Pods by namespace, so that an event looks at its own namespace only.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    services: BTreeMap<String, BTreeMap<String, Arc<Service>>>,
    pods: BTreeMap<String, BTreeMap<String, Arc<Pod>>>,
    nodes: BTreeMap<String, Arc<Node>>,
    /// The controller's slices by the Service that their label names.
    slices: BTreeMap<Name, BTreeMap<String, Arc<EndpointSlice>>>,
}

impl Cache {
    pub(super) fn note_service(&mut self, service: &Arc<Service>, change: Change) -> Name {
        let meta = &service.metadata;
        let services = self.services.entry(meta.namespace.clone()).or_default();
        note(services, &meta.name, service, change);
        Name::new(&meta.namespace, &meta.name)
    }

    /// Services that select the Pod as it is or as it was (EP-39).
    pub(super) fn note_pod(&mut self, pod: &Arc<Pod>, change: Change) -> Vec<Name> {
        let meta = &pod.metadata;
        let pods = self.pods.entry(meta.namespace.clone()).or_default();
        let before = note(pods, &meta.name, pod, change);
        let mut services = self.selecting(&meta.namespace, &meta.labels);
        if let Some(before) = before.filter(|before| before.metadata.labels != meta.labels) {
            services.extend(self.selecting(&meta.namespace, &before.metadata.labels));
        }
        services
            .into_iter()
            .map(|name| Name::new(&meta.namespace, &name))
            .collect()
    }

    /// Services with Pods on a node whose zone or existence has changed (EP-5, EP-14).
    pub(super) fn note_node(&mut self, node: &Arc<Node>, change: Change) -> Vec<Name> {
        let name = &node.metadata.name;
        let before = note(&mut self.nodes, name, node, change);
        let same_zone = before.is_some_and(|before| before.zone() == node.zone());
        if same_zone && change != Change::Deleted {
            return Vec::new();
        }
        let mut services = BTreeSet::new();
        for (namespace, pods) in &self.pods {
            for pod in pods.values().filter(|pod| pod.spec.node_name == *name) {
                let selecting = self.selecting(namespace, &pod.metadata.labels);
                services.extend(
                    selecting
                        .iter()
                        .map(|service| Name::new(namespace, service)),
                );
            }
        }
        services.into_iter().collect()
    }

    /// The Service of a slice that the controller manages; other slices are none of its business.
    pub(super) fn note_slice(&mut self, slice: &EndpointSlice, change: Change) -> Option<Name> {
        let name = &slice.metadata.name;
        let service = slice.service_name().filter(|_| is_managed(slice));
        let service = service.map(|service| Name::new(&slice.metadata.namespace, service))?;
        let slices = self.slices.entry(service.clone()).or_default();
        note(slices, name, &Arc::new(slice.clone()), change);
        if slices.is_empty() {
            self.slices.remove(&service);
        }
        Some(service)
    }

    pub(super) fn service(&self, name: &Name) -> Option<Arc<Service>> {
        self.services.get(&name.namespace)?.get(&name.name).cloned()
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(|node| &**node)
    }

    /// The slices of a Service by name.
    pub(super) fn slices_of(&self, service: &Name) -> Vec<EndpointSlice> {
        let slices = self
            .slices
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::values);
        slices.map(|slice| EndpointSlice::clone(slice)).collect()
    }

    /// The Pods that a Service selects, by name.
    pub(super) fn pods_of(&self, service: &Service) -> Vec<Arc<Pod>> {
        let pods = self
            .pods
            .get(&service.metadata.namespace)
            .into_iter()
            .flat_map(BTreeMap::values);
        pods.filter(|pod| selects(service, &pod.metadata.labels))
            .cloned()
            .collect()
    }

    fn selecting(&self, namespace: &str, labels: &StringMap) -> BTreeSet<String> {
        let services = self.services.get(namespace).into_iter().flatten();
        services
            .filter(|(_, service)| selects(service, labels))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Keeps or drops an object; the former one comes back.
fn note<T>(
    objects: &mut BTreeMap<String, Arc<T>>,
    name: &str,
    object: &Arc<T>,
    change: Change,
) -> Option<Arc<T>> {
    if change == Change::Deleted {
        objects.remove(name)
    } else {
        objects.insert(name.to_owned(), Arc::clone(object))
    }
}
