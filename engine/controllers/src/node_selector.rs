//! Which nodes a Pod may run on by their labels and names: `nodeSelector` and required node affinity.
//!
//! **Source of the semantics.** S: `component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`,
//! `pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go` (PreFilter).

use std::collections::BTreeSet;

use api::{LabelRequirement, PodSpec, StringMap};
use serde::Deserialize;
use serde_json::Value;

/// The only field that `matchFields` may name.
pub(crate) const NAME: &str = "metadata.name";
/// The field of a node affinity that holds what a Pod insists on.
pub(crate) const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// What a Pod asks of its node's labels and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeSelector {
    labels: StringMap,
    /// One of them must hold, if any are given at all.
    terms: Option<Vec<Term>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    match_expressions: Vec<LabelRequirement>,
    match_fields: Vec<LabelRequirement>,
}

impl NodeSelector {
    /// What a Pod with this spec asks.
    pub(crate) fn of(spec: &PodSpec) -> Self {
        let affinity = spec.rest.get("affinity");
        let required = affinity.and_then(|affinity| affinity.get("nodeAffinity")?.get(REQUIRED));
        Self {
            labels: spec.rest.typed("nodeSelector").unwrap_or_default(),
            terms: required.map(read_terms),
        }
    }

    /// Whether it asks nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.terms.is_none()
    }

    /// Whether a node with this name and these labels will do.
    pub(crate) fn admits(&self, name: &str, labels: &StringMap) -> bool {
        let labelled = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        let terms = self.terms.as_ref();
        self.labels.iter().all(labelled)
            && terms.is_none_or(|terms| terms.iter().any(|term| term.holds(name, labels)))
    }

    /// The first name that a term gives.
    pub(crate) fn first_name(&self) -> Option<&str> {
        let mut fields = self
            .terms
            .iter()
            .flatten()
            .flat_map(|term| &term.match_fields);
        let name = fields.find(|field| field.key == NAME && field.operator == "In")?;
        name.values.first().map(String::as_str)
    }

    /// The names that it comes down to, if every term gives some.
    pub(crate) fn names(&self) -> Option<BTreeSet<&str>> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_empty())?;
        let mut names = BTreeSet::new();
        for term in terms {
            names.extend(term.names()?);
        }
        Some(names)
    }
}

impl Term {
    /// A term that asks nothing means no node.
    fn holds(&self, name: &str, labels: &StringMap) -> bool {
        let asks = !self.match_expressions.is_empty() || !self.match_fields.is_empty();
        let labelled = |asked: &LabelRequirement| holds(asked, labels.get(&asked.key));
        let named = |asked: &LabelRequirement| {
            asked.key == NAME
                && match asked.operator.as_str() {
                    "In" => asked.values.iter().any(|value| value == name),
                    "NotIn" => asked.values.iter().all(|value| value != name),
                    _ => false,
                }
        };
        asks && self.match_expressions.iter().all(labelled) && self.match_fields.iter().all(named)
    }

    fn names(&self) -> Option<BTreeSet<&str>> {
        let fields = self.match_fields.iter();
        let lists = fields.filter(|field| field.key == NAME && field.operator == "In");
        let lists = lists.map(|field| field.values.iter().map(String::as_str).collect());
        lists.reduce(|left: BTreeSet<&str>, right| &left & &right)
    }
}

/// What is no term asks for what no node has.
fn read_terms(required: &Value) -> Vec<Term> {
    let terms = required.get("nodeSelectorTerms").and_then(Value::as_array);
    terms
        .into_iter()
        .flatten()
        .map(|term| Term::deserialize(term).unwrap_or_default())
        .collect()
}

fn holds(asked: &LabelRequirement, label: Option<&String>) -> bool {
    let listed = |value: &String| asked.values.contains(value);
    let compared = |holds: fn(&i64, &i64) -> bool| {
        let label = label.and_then(|label| label.parse().ok());
        let [bound] = asked.values.as_slice() else {
            return false;
        };
        let bound = bound.parse().ok();
        label
            .zip(bound)
            .is_some_and(|(label, bound)| holds(&label, &bound))
    };
    match asked.operator.as_str() {
        "In" => label.is_some_and(listed),
        "NotIn" => !label.is_some_and(listed),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => compared(i64::gt),
        "Lt" => compared(i64::lt),
        _ => false,
    }
}
