//! Taints of nodes and tolerations of Pods.
//!
//! **Source of the semantics.** S: `pkg/apis/core/validation/validation.go` (validateNodeTaints,
//! ValidateTolerations).

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Errors, meta, one_of, text};
use crate::field::FieldError;
use crate::object::{Taint, Toleration};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks a Node's taints at `field`.
pub(crate) fn taint_errors(taints: &[Taint], field: &str) -> Errors {
    let mut errors = Errors::new();
    let mut seen = BTreeSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let field = format!("{field}[{index}]");
        errors.extend(key_errors(&taint.key, &field));
        errors.extend(value_error(&taint.value, &format!("{field}.value")));
        let at_effect = format!("{field}.effect");
        if taint.effect.is_empty() {
            errors.push(FieldError::required(at_effect, ""));
        } else {
            errors.extend(one_of(&at_effect, &taint.effect, &EFFECTS));
        }
        if !seen.insert((&taint.effect, &taint.key)) {
            let detail = "taints must be unique by key and effect pair";
            errors.push(FieldError::duplicate_because(
                field,
                &TaintInGo::of(taint),
                detail,
            ));
        }
    }
    errors
}

/// Checks a Pod's tolerations at `field`.
pub(crate) fn toleration_errors(tolerations: &[Toleration], field: &str) -> Errors {
    let entries = tolerations.iter().enumerate();
    entries
        .flat_map(|(index, toleration)| one_toleration(toleration, &format!("{field}[{index}]")))
        .collect()
}

fn one_toleration(toleration: &Toleration, field: &str) -> Errors {
    let mut errors = Errors::new();
    let (operator, at_operator) = (toleration.operator.as_str(), format!("{field}.operator"));
    let at_effect = format!("{field}.effect");
    if !toleration.key.is_empty() {
        errors.extend(key_errors(&toleration.key, field));
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&at_operator, &operator, detail));
    }
    if toleration.toleration_seconds.is_some() && toleration.effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&at_effect, &toleration.effect, detail));
    }
    match operator {
        "" | "Equal" => errors.extend(value_error(&toleration.value, &at_operator)),
        "Exists" if !toleration.value.is_empty() => {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&at_operator, &toleration.value, detail));
        }
        "Exists" => {}
        other => errors.extend(one_of(&at_operator, other, &["Equal", "Exists"])),
    }
    if !toleration.effect.is_empty() {
        errors.extend(one_of(&at_effect, &toleration.effect, &EFFECTS));
    }
    errors
}

fn key_errors(key: &str, field: &str) -> Errors {
    meta::complaints(&format!("{field}.key"), key, text::qualified_name(key))
}

/// All complaints about a value in one error, as the server words it.
fn value_error(value: &str, field: &str) -> Option<FieldError> {
    let found = text::label_value(value);
    (!found.is_empty()).then(|| FieldError::invalid(field, &value, &found.join(";")))
}

/// A taint as Go prints it, where its fields have no JSON names.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaintInGo<'a> {
    key: &'a str,
    value: &'a str,
    effect: &'a str,
    time_added: Option<&'a str>,
}

impl<'a> TaintInGo<'a> {
    fn of(taint: &'a Taint) -> Self {
        Self {
            key: &taint.key,
            value: &taint.value,
            effect: &taint.effect,
            time_added: taint.time_added.as_deref(),
        }
    }
}
