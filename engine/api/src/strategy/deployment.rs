//! Deployment: defaults and checks.
//!
//! **Source of the semantics.** `recorded/validation.yaml` (`dep-*`); S: `pkg/apis/apps/v1/defaults.go`,
//! `pkg/apis/apps/validation/validation.go` (ValidateDeploymentSpec), `pkg/registry/apps/deployment/strategy.go`.

use super::{pod, workload};
use crate::field::FieldError;
use crate::object::{Deployment, DeploymentSpec, IntOrString, RollingUpdate, UpdateStrategy};
use crate::validate::{Errors, immutable};

const STRATEGIES: [&str; 2] = ["Recreate", "RollingUpdate"];

pub(super) fn complete(deployment: &mut Deployment) {
    let spec = &mut deployment.spec;
    pod::defaults::template_spec(&mut spec.template.spec);
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    spec.progress_deadline_seconds.get_or_insert(600);
    let strategy = &mut spec.strategy;
    if strategy.strategy_type.is_empty() {
        "RollingUpdate".clone_into(&mut strategy.strategy_type);
    }
    if strategy.strategy_type == "RollingUpdate" {
        let figures = strategy.rolling_update.get_or_insert_default();
        let quarter = || IntOrString::String("25%".to_owned());
        figures.max_unavailable.get_or_insert_with(quarter);
        figures.max_surge.get_or_insert_with(quarter);
    }
}

pub(super) fn errors(deployment: &Deployment, old: Option<&Deployment>) -> Errors {
    let spec = &deployment.spec;
    let selector = spec.selector.as_ref();
    let mut errors = workload::counts([("replicas", spec.replicas)]);
    errors.extend(workload::selector_errors(
        selector,
        "empty selector is invalid for deployment",
    ));
    errors.extend(workload::template_errors(selector, &spec.template));
    errors.extend(strategy_errors(&spec.strategy));
    errors.extend(workload::counts([
        ("minReadySeconds", Some(spec.min_ready_seconds)),
        ("revisionHistoryLimit", spec.revision_history_limit),
        ("progressDeadlineSeconds", spec.progress_deadline_seconds),
    ]));
    errors.extend(deadline_error(spec));
    if let Some(old) = old {
        errors.extend(immutable(
            "spec.selector",
            &spec.selector,
            &old.spec.selector,
        ));
    }
    errors
}

pub(super) fn warnings(deployment: &Deployment, old: Option<&Deployment>) -> Vec<String> {
    let old = old.map(|old| &old.metadata);
    workload::warnings(&deployment.metadata, old, &deployment.spec.template)
}

fn deadline_error(spec: &DeploymentSpec) -> Option<FieldError> {
    let early = |seconds: &i32| *seconds <= spec.min_ready_seconds;
    spec.progress_deadline_seconds.filter(early).map(|seconds| {
        let field = "spec.progressDeadlineSeconds";
        FieldError::invalid(field, &seconds, "must be greater than minReadySeconds")
    })
}

fn strategy_errors(strategy: &UpdateStrategy) -> Errors {
    let (field, at_figures) = ("spec.strategy", "spec.strategy.rollingUpdate");
    match (strategy.strategy_type.as_str(), &strategy.rolling_update) {
        ("Recreate", Some(_)) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            vec![FieldError::forbidden(at_figures, detail)]
        }
        ("Recreate", None) => Errors::new(),
        ("RollingUpdate", Some(figures)) => figure_errors(figures, at_figures),
        ("RollingUpdate", None) => {
            let detail = "this should be defaulted and never be nil";
            vec![FieldError::required(at_figures, detail)]
        }
        _ => {
            let shown = workload::strategy_in_go(strategy, workload::surge_in_go);
            vec![FieldError::unsupported(field, &shown, &STRATEGIES)]
        }
    }
}

fn figure_errors(figures: &RollingUpdate, field: &str) -> Errors {
    let missing = figures.max_unavailable.clone().unwrap_or_default();
    let surplus = figures.max_surge.clone().unwrap_or_default();
    let at_missing = format!("{field}.maxUnavailable");
    let mut errors = workload::amount_errors(&missing, &at_missing);
    errors.extend(workload::amount_errors(
        &surplus,
        &format!("{field}.maxSurge"),
    ));
    if workload::is_nothing(&missing) && workload::is_nothing(&surplus) {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(&at_missing, &missing, detail));
    }
    errors.extend(workload::above_all(&missing, &at_missing));
    errors
}
