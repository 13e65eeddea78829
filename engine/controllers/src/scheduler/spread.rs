//! How evenly a Pod wants its like to be spread: `topologySpreadConstraints`.
//!
//! **Source of the semantics.** S: `pkg/scheduler/framework/plugins/podtopologyspread/{common,filtering}.go`.

use std::collections::BTreeMap;

use api::{LabelSelector, Pod, Selector};
use serde::Deserialize;
use serde_json::Value;

use super::pod_term::{also_match, read_selector};

/// A constraint, resolved for the Pod that has it.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// The label whose values are the domains.
    pub(super) topology_key: String,
    /// Whether it must hold; otherwise it is a wish.
    pub(super) is_hard: bool,
    /// Whether nodes that the Pod's affinity excludes do not count.
    pub(super) honors_affinity: bool,
    /// Whether nodes whose taints the Pod does not bear do not count.
    pub(super) honors_taints: bool,
    max_skew: usize,
    min_domains: usize,
    /// The Pods that are counted; `None` means none.
    selector: Option<Selector>,
    /// Whether the Pod itself is one of them.
    counts_itself: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    max_skew: i32,
    topology_key: String,
    when_unsatisfiable: String,
    label_selector: Option<LabelSelector>,
    min_domains: Option<i32>,
    node_affinity_policy: String,
    node_taints_policy: String,
    match_label_keys: Vec<String>,
}

impl Spread {
    /// The constraints of a Pod; those that cannot be read are left out.
    pub(super) fn all_of(pod: &Pod) -> Vec<Self> {
        let list = pod.spec.rest.get("topologySpreadConstraints");
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|entry| Written::deserialize(entry).ok())
            .map(|written| Self::resolved(written, pod))
            .collect()
    }

    fn resolved(mut written: Written, pod: &Pod) -> Self {
        let labels = &pod.metadata.labels;
        if let Some(selector) = &mut written.label_selector {
            also_match(selector, &written.match_label_keys, labels, "In");
        }
        let selector = read_selector(written.label_selector.as_ref());
        let number = |value: i32| usize::try_from(value).unwrap_or(0).max(1);
        Self {
            topology_key: written.topology_key,
            is_hard: written.when_unsatisfiable != "ScheduleAnyway",
            honors_affinity: written.node_affinity_policy != "Ignore",
            honors_taints: written.node_taints_policy == "Honor",
            max_skew: number(written.max_skew),
            min_domains: number(written.min_domains.unwrap_or(1)),
            counts_itself: selector
                .as_ref()
                .is_some_and(|selector| selector.matches(labels)),
            selector,
        }
    }

    /// Whether a Pod of its namespace is one of its like.
    pub(super) fn counts(&self, pod: &Pod) -> bool {
        let selector = self.selector.as_ref();
        !pod.metadata.is_terminating()
            && selector.is_some_and(|selector| selector.matches(&pod.metadata.labels))
    }

    /// Whether one more Pod in a domain with `here` of its like is not too many.
    pub(super) fn allows(&self, here: usize, domains: &Domains<'_>) -> bool {
        let fewest = if domains.len() < self.min_domains {
            0
        } else {
            domains.values().min().copied().unwrap_or(0)
        };
        here + usize::from(self.counts_itself) <= fewest.saturating_add(self.max_skew)
    }
}

/// How many Pods each domain has.
pub(super) type Domains<'a> = BTreeMap<&'a str, usize>;
