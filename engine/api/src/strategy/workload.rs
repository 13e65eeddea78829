//! What the kinds that make Pods have in common: selector, template, figures of a rolling update.
//!
//! **Source of the semantics.** `recorded/validation.yaml` (`dep-*`); S: `pkg/apis/apps/validation/validation.go`.

use serde_json::{Value, json};

use super::pod;
use crate::field::FieldError;
use crate::object::{
    IntOrString, LabelSelector, ObjectMeta, PodTemplateSpec, RollingUpdate, UpdateStrategy,
};
use crate::validate::{Errors, meta, not_negative, one_of, pod_spec, selector, text};

/// Checks the selector of a kind that must have one; `empty` is what is said of one that selects everything.
pub(super) fn selector_errors(chosen: Option<&LabelSelector>, empty: &str) -> Errors {
    let field = "spec.selector";
    let Some(chosen) = chosen else {
        return vec![FieldError::required(field, "")];
    };
    let mut errors = selector::errors(chosen, field);
    if is_empty(chosen) {
        errors.push(FieldError::invalid(field, chosen, empty));
    }
    errors
}

/// Whether a selector cannot be held against labels.
pub(super) fn is_broken(chosen: Option<&LabelSelector>) -> bool {
    chosen.is_some_and(|chosen| !selector::errors(chosen, "").is_empty())
}

/// Whether a selector selects everything.
pub(super) fn is_empty(chosen: &LabelSelector) -> bool {
    chosen.match_labels.is_empty() && chosen.match_expressions.is_empty()
}

/// The Pods of a workload must be its own; no selector selects nothing.
pub(super) fn mismatch(
    chosen: Option<&LabelSelector>,
    template: &PodTemplateSpec,
) -> Option<FieldError> {
    let labels = &template.metadata.labels;
    let matches = chosen.is_some_and(|chosen| selector::selects(chosen, labels));
    (!matches).then(|| {
        let field = "spec.template.metadata.labels";
        let detail = "`selector` does not match template `labels`";
        // Go prints a map that was never made as null.
        let shown = (!labels.is_empty()).then_some(labels);
        FieldError::invalid(field, &shown, detail)
    })
}

/// The template of a Deployment or ReplicaSet, after its selector was checked.
pub(super) fn template_errors(
    chosen: Option<&LabelSelector>,
    template: &PodTemplateSpec,
) -> Errors {
    if is_broken(chosen) {
        return vec![FieldError::invalid(
            "spec.selector",
            &chosen,
            "invalid label selector",
        )];
    }
    let mut errors = Errors::new();
    errors.extend(mismatch(chosen, template));
    errors.extend(pod_spec::template_errors(template, "spec.template"));
    errors.extend(endless_errors(template, "ReplicaSet"));
    errors
}

/// The Pods of a workload of `kind` run for ever.
pub(super) fn endless_errors(template: &PodTemplateSpec, kind: &str) -> Errors {
    let field = "spec.template.spec";
    let mut errors = Errors::new();
    let policy = &template.spec.restart_policy;
    errors.extend(one_of(
        &format!("{field}.restartPolicy"),
        policy,
        &["Always"],
    ));
    if template.spec.rest.get("activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(
            format!("{field}.activeDeadlineSeconds"),
            &detail,
        ));
    }
    errors
}

/// What is warned of in a template, when it is new or may have changed.
pub(super) fn template_warnings(
    meta: &ObjectMeta,
    old: Option<&ObjectMeta>,
    template: &PodTemplateSpec,
) -> Vec<String> {
    if old.is_some_and(|old| old.generation == meta.generation) {
        return Vec::new();
    }
    pod::template_warnings(template)
}

/// The same of a kind whose name begins those of its Pods.
pub(super) fn warnings(
    meta: &ObjectMeta,
    old: Option<&ObjectMeta>,
    template: &PodTemplateSpec,
) -> Vec<String> {
    let named = old.is_none().then(|| name_warnings(&meta.name));
    let mut warnings = Vec::from_iter(named.into_iter().flatten());
    warnings.extend(template_warnings(meta, old, template));
    warnings
}

/// Warnings about the name of a kind whose Pods are named after it.
fn name_warnings(name: &str) -> Vec<String> {
    let found = text::label(name);
    if found.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
        found.join(" ")
    )]
}

/// Numbers that must not be below zero.
pub(super) fn counts<const N: usize>(numbers: [(&str, Option<i32>); N]) -> Errors {
    let given = numbers
        .into_iter()
        .filter_map(|(part, number)| Some((part, number?)));
    given
        .filter_map(|(part, number)| not_negative(&format!("spec.{part}"), number.into()))
        .collect()
}

/// A number of Pods, or a percentage of them.
pub(super) fn amount_errors(amount: &IntOrString, field: &str) -> Errors {
    match amount {
        IntOrString::Int(number) => not_negative(field, (*number).into()).into_iter().collect(),
        IntOrString::String(text) => meta::complaints(field, text, text::percent(text)),
    }
}

/// No more than all.
pub(super) fn above_all(amount: &IntOrString, field: &str) -> Option<FieldError> {
    let above = percentage(amount).is_some_and(|percent| percent > 100);
    above.then(|| FieldError::invalid(field, amount, "must not be greater than 100%"))
}

/// Whether an amount comes to nothing.
pub(super) fn is_nothing(amount: &IntOrString) -> bool {
    let number = match amount {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => {
            percentage(amount).unwrap_or_else(|| text.parse().unwrap_or(0))
        }
    };
    number == 0
}

fn percentage(amount: &IntOrString) -> Option<i64> {
    match amount {
        IntOrString::String(text) if text::percent(text).is_empty() => {
            let digits = text.strip_suffix('%')?;
            // Beyond any number is beyond a hundred.
            Some(digits.parse().unwrap_or(i64::MAX))
        }
        _ => None,
    }
}

/// A strategy as Go prints it, where its fields have no JSON names.
pub(super) fn strategy_in_go(
    strategy: &UpdateStrategy,
    figures: impl Fn(&RollingUpdate) -> Value,
) -> Value {
    json!({
        "Type": strategy.strategy_type,
        "RollingUpdate": strategy.rolling_update.as_ref().map(figures),
    })
}

/// The figures of a Deployment or DaemonSet as Go prints them.
pub(super) fn surge_in_go(figures: &RollingUpdate) -> Value {
    json!({
        "MaxUnavailable": figures.max_unavailable.clone().unwrap_or_default(),
        "MaxSurge": figures.max_surge.clone().unwrap_or_default(),
    })
}
