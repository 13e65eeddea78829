//! Selectors and labels as tables and descriptions show them.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/apis/meta/v1/helpers.go` (FormatLabelSelector).

use std::fmt;

use api::{LabelRequirement, LabelSelector, StringMap};

/// `app=web,tier in (a,b)`: how tables show a workload's or policy's selector; `<none>` if it is empty.
pub(crate) fn spelled(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "<none>".to_owned();
    };
    let labels = selector.match_labels.iter();
    let equal = labels.map(|(key, value)| (key.as_str(), format!("{key}={value}")));
    let others = selector.match_expressions.iter();
    let others = others.map(|requirement| (requirement.key.as_str(), expression(requirement)));
    let mut all: Vec<_> = equal.chain(others).collect();
    all.sort_by_key(|(key, _)| *key);
    let texts: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
    match texts.is_empty() {
        true => "<none>".to_owned(),
        false => texts.join(","),
    }
}

fn expression(requirement: &LabelRequirement) -> String {
    let key = &requirement.key;
    let mut values: Vec<&str> = requirement.values.iter().map(String::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    match requirement.operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.clone(),
        _ => format!("!{key}"),
    }
}

/// `app=web,tier=front`; `<none>` without any.
pub(crate) fn pairs(labels: &StringMap) -> String {
    joined(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

/// Joined by commas; `<none>` of nothing.
pub(crate) fn joined(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.is_empty() {
        true => "<none>".to_owned(),
        false => items.join(","),
    }
}
