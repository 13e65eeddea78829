//! Pods that a Pod wants to be near to or away from: a term of required `podAffinity` or `podAntiAffinity`.
//!
//! **Source of the semantics.** S: `pkg/scheduler/framework/types.go` (AffinityTerm),
//! `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`.

use std::collections::BTreeMap;

use api::{LabelSelector, Pod, Selector, StringMap};
use serde::Deserialize;
use serde_json::Value;

/// A term, resolved for the Pod that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodTerm {
    /// The label that says what is near: nodes with the same value.
    pub(super) topology_key: String,
    /// The Pods; `None` means none.
    selector: Option<Selector>,
    namespaces: Vec<String>,
    /// Further namespaces by their labels.
    namespace_selector: Option<Selector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    topology_key: String,
    label_selector: Option<LabelSelector>,
    namespaces: Vec<String>,
    namespace_selector: Option<LabelSelector>,
    match_label_keys: Vec<String>,
    mismatch_label_keys: Vec<String>,
}

impl PodTerm {
    /// What a Pod wants to be near to.
    pub(super) fn affinity(pod: &Pod) -> Vec<Self> {
        Self::required(pod, "podAffinity")
    }

    /// What a Pod wants to be away from.
    pub(super) fn anti_affinity(pod: &Pod) -> Vec<Self> {
        Self::required(pod, "podAntiAffinity")
    }

    /// A term that cannot be read means no Pods.
    fn required(pod: &Pod, field: &str) -> Vec<Self> {
        let terms = pod.spec.rest.get("affinity").and_then(|affinity| {
            affinity
                .get(field)?
                .get("requiredDuringSchedulingIgnoredDuringExecution")?
                .as_array()
        });
        terms
            .into_iter()
            .flatten()
            .map(|term| Self::read(term, pod))
            .collect()
    }

    fn read(term: &Value, pod: &Pod) -> Self {
        let mut written = Written::deserialize(term).unwrap_or_default();
        let (labels, own) = (&pod.metadata.labels, &pod.metadata.namespace);
        if let Some(selector) = &mut written.label_selector {
            also_match(selector, &written.match_label_keys, labels, "In");
            also_match(selector, &written.mismatch_label_keys, labels, "NotIn");
        }
        if written.namespaces.is_empty() && written.namespace_selector.is_none() {
            written.namespaces.push(own.clone());
        }
        Self {
            topology_key: written.topology_key,
            selector: read_selector(written.label_selector.as_ref()),
            namespaces: written.namespaces,
            namespace_selector: read_selector(written.namespace_selector.as_ref()),
        }
    }

    /// Whether it is about Pods of this namespace.
    pub(super) fn covers(&self, namespace: &str, namespaces: &BTreeMap<String, StringMap>) -> bool {
        let none = StringMap::new();
        let labels = namespaces.get(namespace).unwrap_or(&none);
        let by_labels = self.namespace_selector.as_ref();
        self.namespaces.iter().any(|named| named == namespace)
            || by_labels.is_some_and(|selector| selector.matches(labels))
    }

    /// Whether it is about Pods with these labels.
    pub(super) fn selects(&self, labels: &StringMap) -> bool {
        let selector = self.selector.as_ref();
        selector.is_some_and(|selector| selector.matches(labels))
    }
}

/// Adds requirements that compare with a Pod's own labels.
pub(super) fn also_match(
    selector: &mut LabelSelector,
    keys: &[String],
    labels: &StringMap,
    operator: &str,
) {
    for key in keys {
        if let Some(value) = labels.get(key) {
            selector.match_expressions.push(api::LabelRequirement {
                key: key.clone(),
                operator: operator.to_owned(),
                values: vec![value.clone()],
            });
        }
    }
}

/// A selector that is absent or wrong selects nothing.
pub(super) fn read_selector(selector: Option<&LabelSelector>) -> Option<Selector> {
    Selector::try_from(selector?).ok()
}
