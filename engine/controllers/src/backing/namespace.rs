//! The Services and Pods of one namespace, and who selects whom.
//!
//! **What.** Pods are filed under all their labels, a Service under one pair of its selector. **Why.** A change
//! looks at those that share a pair with what has changed, not at the whole namespace. **Source of the
//! semantics.** EP-1, EP-2; Kubernetes keeps the selectors of all Services and tries each
//! (`endpointslice/utils.go`, `ServiceSelectorCache`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::{Change, Pod, Service, StringMap, matches};

/// What is in a namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespace {
    services: BTreeMap<String, Listed>,
    pods: BTreeMap<String, Arc<Pod>>,
    /// Services that select Pods.
    selectors: LabelIndex,
    /// Pods.
    labels: LabelIndex,
}

#[derive(Clone, Debug)]
struct Listed {
    service: Arc<Service>,
    /// The pair of its selector under which it is filed; none if it selects nothing.
    filed: Option<(String, String)>,
}

impl Namespace {
    pub(super) fn note_service(&mut self, service: &Arc<Service>, change: Change) {
        let name = &service.metadata.name;
        let former = self.services.remove(name).and_then(|former| former.filed);
        if let Some((key, value)) = &former {
            self.selectors.remove(key, value, name);
        }
        if change == Change::Deleted {
            return;
        }
        let filed = self.rarest_pair(service);
        if let Some((key, value)) = &filed {
            self.selectors.insert(key, value, name);
        }
        let service = Arc::clone(service);
        self.services
            .insert(name.clone(), Listed { service, filed });
    }

    /// Keeps or drops a Pod; the former one comes back.
    pub(super) fn note_pod(&mut self, pod: &Arc<Pod>, change: Change) -> Option<Arc<Pod>> {
        let name = &pod.metadata.name;
        let before = match change {
            Change::Deleted => self.pods.remove(name),
            Change::Added | Change::Modified => self.pods.insert(name.clone(), Arc::clone(pod)),
        };
        let none = StringMap::new();
        let now = match change {
            Change::Deleted => &none,
            Change::Added | Change::Modified => &pod.metadata.labels,
        };
        let then = before.as_ref().map_or(&none, |pod| &pod.metadata.labels);
        if then != now {
            for (key, value) in then {
                self.labels.remove(key, value, name);
            }
            for (key, value) in now {
                self.labels.insert(key, value, name);
            }
        }
        before
    }

    pub(super) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name).map(|listed| &listed.service)
    }

    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// The names of the Services that select a Pod with these labels.
    pub(super) fn selecting(&self, labels: &StringMap) -> BTreeSet<&str> {
        let candidates = self.candidate_services(labels);
        candidates
            .filter(|service| selects(service, labels))
            .map(|service| service.metadata.name.as_str())
            .collect()
    }

    /// The Pods that a Service selects, by name.
    pub(super) fn selected_by(&self, service: &Service) -> impl Iterator<Item = &Arc<Pod>> {
        self.candidate_pods(service)
            .filter(|pod| selects(service, &pod.metadata.labels))
    }

    fn candidate_services(&self, labels: &StringMap) -> impl Iterator<Item = &Arc<Service>> {
        let names = labels
            .iter()
            .flat_map(|(key, value)| self.selectors.of(key, value));
        names.filter_map(|name| self.service(name))
    }

    fn candidate_pods(&self, service: &Service) -> impl Iterator<Item = &Arc<Pod>> {
        let pairs = service.spec.selector.iter();
        let rarest = pairs.min_by_key(|(key, value)| self.labels.count(key, value));
        let names = rarest
            .into_iter()
            .flat_map(|(key, value)| self.labels.of(key, value));
        names.filter_map(|name| self.pods.get(name))
    }

    /// The pair of a Service's selector that the fewest others are filed under: pairs that all of a release
    /// share tell its Services from nobody.
    fn rarest_pair(&self, service: &Service) -> Option<(String, String)> {
        let pairs = service.spec.selector.iter();
        let (key, value) = pairs.min_by_key(|(key, value)| self.selectors.count(key, value))?;
        Some((key.clone(), value.clone()))
    }
}

/// Whether a Service selects Pods with these labels (EP-1, EP-2).
fn selects(service: &Service, labels: &StringMap) -> bool {
    service.spec.service_type != "ExternalName" && matches(&service.spec.selector, labels)
}

/// Names under pairs of a label's key and value.
#[derive(Clone, Debug, Default)]
struct LabelIndex(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl LabelIndex {
    fn insert(&mut self, key: &str, value: &str, name: &str) {
        let values = self.0.entry(key.to_owned()).or_default();
        let names = values.entry(value.to_owned()).or_default();
        names.insert(name.to_owned());
    }

    fn remove(&mut self, key: &str, value: &str, name: &str) {
        let Some(values) = self.0.get_mut(key) else {
            return;
        };
        if let Some(names) = values.get_mut(value) {
            names.remove(name);
            if names.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            self.0.remove(key);
        }
    }

    /// In the order of names.
    fn of(&self, key: &str, value: &str) -> impl Iterator<Item = &String> {
        self.names(key, value).into_iter().flatten()
    }

    fn count(&self, key: &str, value: &str) -> usize {
        self.names(key, value).map_or(0, BTreeSet::len)
    }

    fn names(&self, key: &str, value: &str) -> Option<&BTreeSet<String>> {
        self.0.get(key)?.get(value)
    }
}

#[cfg(test)]
mod tests {
    use api::ObjectMeta;
    use proptest::prelude::*;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> StringMap {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn service(name: &str, selector: StringMap) -> Arc<Service> {
        let mut service = Service {
            metadata: ObjectMeta::named("default", name),
            ..Service::default()
        };
        service.spec.selector = selector;
        Arc::new(service)
    }

    fn pod(name: &str, labels: StringMap) -> Arc<Pod> {
        let metadata = ObjectMeta {
            labels,
            ..ObjectMeta::named("default", name)
        };
        Arc::new(Pod {
            metadata,
            ..Pod::default()
        })
    }

    /// Services of one release, each with a Pod of its own.
    fn release(services: usize) -> Namespace {
        let mut namespace = Namespace::default();
        for index in 0..services {
            let pairs = labels(&[("app", &format!("app-{index}")), ("a-release", "shop")]);
            namespace.note_service(&service(&format!("s{index}"), pairs.clone()), Change::Added);
            namespace.note_pod(&pod(&format!("p{index}"), pairs), Change::Added);
        }
        namespace
    }

    #[test]
    fn a_change_costs_the_same_in_any_crowd() {
        for services in [10, 10_000] {
            let namespace = release(services);
            let pairs = labels(&[("app", "app-7"), ("a-release", "shop"), ("hash", "5d9f")]);
            // The first Service was filed under the pair that they all share, when no other was.
            assert_eq!(
                namespace.candidate_services(&pairs).count(),
                2,
                "of {services}"
            );
            assert_eq!(namespace.selecting(&pairs), BTreeSet::from(["s7"]));
            let service = namespace.service("s7").unwrap();
            assert_eq!(
                namespace.candidate_pods(service).count(),
                1,
                "of {services}"
            );
            assert_eq!(namespace.selected_by(service).count(), 1);
        }
    }

    fn some_labels() -> impl Strategy<Value = StringMap> {
        let pair =
            (0..3_u8, 0..2_u8).prop_map(|(key, value)| (format!("k{key}"), format!("v{value}")));
        prop::collection::btree_map(
            pair.clone().prop_map(|(key, _)| key),
            pair.prop_map(|(_, value)| value),
            0..3,
        )
        .prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        /// The index finds what a look at everybody finds, and keeps nothing of those that are gone.
        #[test]
        fn finds_what_a_search_finds(
            steps in prop::collection::vec((any::<bool>(), 0..5_u8, some_labels(), prop::bool::weighted(0.2)), 0..40),
        ) {
            let mut namespace = Namespace::default();
            for (is_pod, name, labels, gone) in steps {
                let change = if gone { Change::Deleted } else { Change::Modified };
                let name = format!("n{name}");
                if is_pod {
                    namespace.note_pod(&pod(&name, labels), change);
                } else {
                    namespace.note_service(&service(&name, labels), change);
                }
                for pod in namespace.pods() {
                    let services = namespace.services.values().map(|listed| &listed.service);
                    let selecting = services.filter(|service| selects(service, &pod.metadata.labels));
                    let expected: BTreeSet<&str> = selecting.map(|found| found.metadata.name.as_str()).collect();
                    prop_assert_eq!(namespace.selecting(&pod.metadata.labels), expected);
                }
                for Listed { service, .. } in namespace.services.values() {
                    let selected = namespace.pods().filter(|pod| selects(service, &pod.metadata.labels));
                    prop_assert!(namespace.selected_by(service).eq(selected));
                }
            }
            for service in namespace.services.values().map(|listed| Arc::clone(&listed.service)).collect::<Vec<_>>() {
                namespace.note_service(&service, Change::Deleted);
            }
            for pod in namespace.pods().cloned().collect::<Vec<_>>() {
                namespace.note_pod(&pod, Change::Deleted);
            }
            prop_assert!(namespace.selectors.0.is_empty() && namespace.labels.0.is_empty());
        }
    }
}
