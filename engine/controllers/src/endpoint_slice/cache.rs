//! What the controller has seen of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, EndpointSlice, Node, Pod, Service};

use super::is_managed;
use super::namespace::Namespace;

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
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Arc<Node>>,
    /// The controller's slices by the Service that their label names.
    slices: BTreeMap<Name, BTreeMap<String, Arc<EndpointSlice>>>,
    /// The Service of each of these slices.
    owners: BTreeMap<Name, Name>,
}

impl Cache {
    pub(super) fn note_service(&mut self, service: &Arc<Service>, change: Change) -> Name {
        let meta = &service.metadata;
        let namespace = self.namespaces.entry(meta.namespace.clone()).or_default();
        namespace.note_service(service, change);
        Name::new(&meta.namespace, &meta.name)
    }

    /// Services that select the Pod as it is or as it was (EP-39).
    pub(super) fn note_pod(&mut self, pod: &Arc<Pod>, change: Change) -> Vec<Name> {
        let meta = &pod.metadata;
        let namespace = self.namespaces.entry(meta.namespace.clone()).or_default();
        let before = namespace.note_pod(pod, change);
        let mut services = namespace.selecting(&meta.labels);
        if let Some(before) = before.filter(|before| before.metadata.labels != meta.labels) {
            services.extend(namespace.selecting(&before.metadata.labels));
        }
        services
            .into_iter()
            .map(|name| Name::new(&meta.namespace, name))
            .collect()
    }

    /// Services with Pods on a node whose zone or existence has changed (EP-5, EP-14).
    pub(super) fn note_node(&mut self, node: &Arc<Node>, change: Change) -> Vec<Name> {
        let name = &node.metadata.name;
        let before = match change {
            Change::Deleted => self.nodes.remove(name),
            Change::Added | Change::Modified => self.nodes.insert(name.clone(), Arc::clone(node)),
        };
        let same_zone = before.is_some_and(|before| before.zone() == node.zone());
        if same_zone && change != Change::Deleted {
            return Vec::new();
        }
        let mut services = BTreeSet::new();
        for (namespace_name, namespace) in &self.namespaces {
            let pods = namespace.pods();
            for pod in pods.filter(|pod| pod.spec.node_name == *name) {
                let selecting = namespace.selecting(&pod.metadata.labels).into_iter();
                services.extend(selecting.map(|service| Name::new(namespace_name, service)));
            }
        }
        services.into_iter().collect()
    }

    /// The Services that a slice was of before, and is of now: by its label, if the controller manages it.
    /// Other slices are none of its business, and one that is gone is of no Service any more.
    pub(super) fn note_slice(
        &mut self,
        slice: &EndpointSlice,
        change: Change,
    ) -> [Option<Name>; 2] {
        let meta = &slice.metadata;
        let key = Name::new(&meta.namespace, &meta.name);
        let before = self.owners.remove(&key);
        if let Some(before) = &before
            && let Some(slices) = self.slices.get_mut(before)
        {
            slices.remove(&meta.name);
            if slices.is_empty() {
                self.slices.remove(before);
            }
        }
        let managed = change != Change::Deleted && is_managed(slice);
        let service = slice.service_name().filter(|_| managed);
        let now = service.map(|service| Name::new(&meta.namespace, service));
        if let Some(now) = &now {
            let slices = self.slices.entry(now.clone()).or_default();
            slices.insert(meta.name.clone(), Arc::new(slice.clone()));
            self.owners.insert(key, now.clone());
        }
        [before, now]
    }

    pub(super) fn service(&self, name: &Name) -> Option<Arc<Service>> {
        let namespace = self.namespaces.get(&name.namespace)?;
        namespace.service(&name.name).cloned()
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

    /// Whether this is how a Service's slice was seen last.
    pub(super) fn holds(&self, service: &Name, slice: &EndpointSlice) -> bool {
        let slices = self.slices.get(service);
        let known = slices.and_then(|slices| slices.get(&slice.metadata.name));
        known.is_some_and(|known| **known == *slice)
    }

    /// The Pods that a Service selects, by name.
    pub(super) fn pods_of(&self, service: &Service) -> Vec<Arc<Pod>> {
        let namespace = self.namespaces.get(&service.metadata.namespace);
        let pods = namespace.map(|namespace| namespace.selected_by(service));
        pods.into_iter().flatten().cloned().collect()
    }
}
