//! Which Pods back which Services.
//!
//! **What.** The Services and Pods that a controller has seen, and what a Pod is to a Service that selects it.
//! **Why.** Slices and the legacy Endpoints answer the same questions; they differ in which answers they list.
//! Services and Pods are kept by namespace, so that an event looks at its own namespace only.
//! **Source of the semantics.** EP-1 … EP-3, EP-15, EP-17, EP-26, EP-39; S: `endpointslice/util/controller_utils.go`.

mod endpoint;
mod namespace;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, Pod, Service};

pub(crate) use self::endpoint::{addresses, can_be_listed, hostname, target_port, target_ref};
use self::namespace::Namespace;
pub(crate) use self::trigger::{ANNOTATION_TRIGGER, Triggers, set_trigger};
use crate::name::Name;

/// Services and Pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backing {
    namespaces: BTreeMap<String, Namespace>,
}

impl Backing {
    pub(crate) fn note_service(&mut self, service: &Arc<Service>, change: Change) -> Name {
        let meta = &service.metadata;
        let namespace = self.namespaces.entry(meta.namespace.clone()).or_default();
        namespace.note_service(service, change);
        Name::of(meta)
    }

    /// Services that select the Pod as it is or as it was (EP-39).
    pub(crate) fn note_pod(&mut self, pod: &Arc<Pod>, change: Change) -> Vec<Name> {
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

    /// Services with Pods on a node.
    pub(crate) fn with_pods_on(&self, node: &str) -> BTreeSet<Name> {
        let mut services = BTreeSet::new();
        for (namespace_name, namespace) in &self.namespaces {
            let pods = namespace.pods();
            for pod in pods.filter(|pod| pod.spec.node_name == node) {
                let selecting = namespace.selecting(&pod.metadata.labels).into_iter();
                services.extend(selecting.map(|service| Name::new(namespace_name, service)));
            }
        }
        services
    }

    pub(crate) fn service(&self, name: &Name) -> Option<Arc<Service>> {
        let namespace = self.namespaces.get(&name.namespace)?;
        namespace.service(&name.name).cloned()
    }

    /// The Pods that a Service selects, by name.
    pub(crate) fn pods_of(&self, service: &Service) -> Vec<Arc<Pod>> {
        let namespace = self.namespaces.get(&service.metadata.namespace);
        let pods = namespace.map(|namespace| namespace.selected_by(service));
        pods.into_iter().flatten().cloned().collect()
    }
}

/// Whether a Service's endpoints are made from Pods: somebody else writes those of the others (EP-1).
pub(crate) fn is_backed_by_pods(service: &Service) -> bool {
    service.spec.service_type != "ExternalName" && !service.spec.selector.is_empty()
}
