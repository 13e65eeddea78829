//! Selectors of workloads and policies.
//!
//! **Source of the semantics.** API-74; S: `apimachinery/pkg/apis/meta/v1/validation/validation.go`,
//! `apimachinery/pkg/apis/meta/v1/helpers.go` (LabelSelectorAsSelector).

use super::{Errors, meta, text};
use crate::field::FieldError;
use crate::object::{LabelRequirement, LabelSelector, StringMap};

/// Checks a selector at `field`.
pub(crate) fn errors(selector: &LabelSelector, field: &str) -> Errors {
    let mut errors = meta::labels(&selector.match_labels, &format!("{field}.matchLabels"));
    for (index, entry) in selector.match_expressions.iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        errors.extend(requirement_errors(entry, &field));
    }
    errors
}

/// Whether a selector without errors selects an object with these labels.
pub(crate) fn selects(selector: &LabelSelector, labels: &StringMap) -> bool {
    let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    let holds = |entry: &LabelRequirement| {
        let value = labels.get(&entry.key);
        let listed = value.is_some_and(|value| entry.values.contains(value));
        match entry.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    };
    selector.match_labels.iter().all(equal) && selector.match_expressions.iter().all(holds)
}

fn requirement_errors(entry: &LabelRequirement, field: &str) -> Errors {
    let mut errors = Errors::new();
    let values = format!("{field}.values");
    match entry.operator.as_str() {
        "In" | "NotIn" if entry.values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values, detail));
        }
        "Exists" | "DoesNotExist" if !entry.values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let field = format!("{field}.operator");
            errors.push(FieldError::invalid(
                field,
                &other,
                "not a valid selector operator",
            ));
        }
    }
    let key = format!("{field}.key");
    errors.extend(meta::complaints(
        &key,
        &entry.key,
        text::qualified_name(&entry.key),
    ));
    for (index, value) in entry.values.iter().enumerate() {
        let field = format!("{values}[{index}]");
        errors.extend(meta::complaints(&field, value, text::label_value(value)));
    }
    errors
}
