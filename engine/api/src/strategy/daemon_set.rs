//! DaemonSet: defaults and checks.
//!
//! **Source of the semantics.** S: `pkg/apis/apps/v1/defaults.go`, `pkg/apis/apps/validation/validation.go`
//! (ValidateDaemonSetSpec: a selector that is missing shows only in that the template does not match it),
//! `pkg/registry/apps/daemonset/strategy.go`.

use super::{pod, workload};
use crate::field::FieldError;
use crate::object::{DaemonSet, IntOrString, RollingUpdate, UpdateStrategy};
use crate::validate::{Errors, immutable, pod_spec, selector};

pub(super) fn complete(set: &mut DaemonSet) {
    let spec = &mut set.spec;
    pod::defaults::template_spec(&mut spec.template.spec);
    let strategy = &mut spec.update_strategy;
    if strategy.strategy_type.is_empty() {
        "RollingUpdate".clone_into(&mut strategy.strategy_type);
    }
    if strategy.strategy_type == "RollingUpdate" {
        let figures = strategy.rolling_update.get_or_insert_default();
        figures.max_unavailable.get_or_insert(IntOrString::Int(1));
        figures.max_surge.get_or_insert(IntOrString::Int(0));
    }
    spec.revision_history_limit.get_or_insert(10);
}

pub(super) fn errors(set: &DaemonSet, old: Option<&DaemonSet>) -> Errors {
    let spec = &set.spec;
    let chosen = spec.selector.as_ref();
    let mut errors = Errors::new();
    if let Some(chosen) = chosen {
        errors.extend(selector::errors(chosen, "spec.selector"));
    }
    if !workload::is_broken(chosen) {
        errors.extend(workload::mismatch(chosen, &spec.template));
    }
    if let Some(chosen) = chosen.filter(|chosen| workload::is_empty(chosen)) {
        let detail = "empty selector is invalid for daemonset";
        errors.push(FieldError::invalid("spec.selector", chosen, detail));
    }
    errors.extend(pod_spec::template_errors(&spec.template, "spec.template"));
    errors.extend(workload::endless_errors(&spec.template, "DaemonSet"));
    errors.extend(workload::counts([(
        "minReadySeconds",
        Some(spec.min_ready_seconds),
    )]));
    errors.extend(strategy_errors(&spec.update_strategy));
    errors.extend(workload::counts([(
        "revisionHistoryLimit",
        spec.revision_history_limit,
    )]));
    if let Some(old) = old {
        errors.extend(immutable(
            "spec.selector",
            &spec.selector,
            &old.spec.selector,
        ));
    }
    errors
}

pub(super) fn warnings(set: &DaemonSet, old: Option<&DaemonSet>) -> Vec<String> {
    let old = old.map(|old| &old.metadata);
    workload::template_warnings(&set.metadata, old, &set.spec.template)
}

fn strategy_errors(strategy: &UpdateStrategy) -> Errors {
    let (field, at_figures) = ("spec.updateStrategy", "spec.updateStrategy.rollingUpdate");
    match (strategy.strategy_type.as_str(), &strategy.rolling_update) {
        ("OnDelete", _) => Errors::new(),
        ("RollingUpdate", Some(figures)) => figure_errors(figures, at_figures),
        ("RollingUpdate", None) => vec![FieldError::required(at_figures, "")],
        _ => {
            let shown = workload::strategy_in_go(strategy, workload::surge_in_go);
            let supported = ["RollingUpdate", "OnDelete"];
            vec![FieldError::unsupported(field, &shown, &supported)]
        }
    }
}

/// Exactly one of the two figures makes room for a new Pod.
fn figure_errors(figures: &RollingUpdate, field: &str) -> Errors {
    let missing = figures.max_unavailable.clone().unwrap_or_default();
    let surplus = figures.max_surge.clone().unwrap_or_default();
    let (at_missing, at_surplus) = (
        format!("{field}.maxUnavailable"),
        format!("{field}.maxSurge"),
    );
    let mut errors = workload::amount_errors(&missing, &at_missing);
    errors.extend(workload::amount_errors(&surplus, &at_surplus));
    errors.extend(workload::above_all(&missing, &at_missing));
    errors.extend(workload::above_all(&surplus, &at_surplus));
    match (
        workload::is_nothing(&missing),
        workload::is_nothing(&surplus),
    ) {
        (true, true) => {
            let detail = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(at_missing, detail));
        }
        (false, false) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(at_surplus, &surplus, detail));
        }
        _ => {}
    }
    errors
}
