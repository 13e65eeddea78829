//! StatefulSet: defaults and checks.
//!
//! **Source of the semantics.** S: `pkg/apis/apps/v1/defaults.go`, `pkg/apis/apps/validation/validation.go`
//! (ValidateStatefulSetSpec, ValidateStatefulSetUpdate), `pkg/registry/apps/statefulset/strategy.go`. The server
//! does not look into the template's `spec`: volumes that claims will bring are missing in it.
//!
//! Deviation: volume claims and the first ordinal are kept and not checked.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{pod, workload};
use crate::field::FieldError;
use crate::object::{Rest, RollingUpdate, StatefulSet, StatefulSetSpec, UpdateStrategy};
use crate::validate::{Errors, not_negative, pod_spec};

/// What happens to the volumes of Pods that go.
static RETENTION: LazyLock<Rest> = LazyLock::new(|| {
    let policy = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    Rest::new(Map::from_iter([(RETENTION_POLICY.to_owned(), policy)]))
});
const RETENTION_POLICY: &str = "persistentVolumeClaimRetentionPolicy";

const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub(super) fn complete(set: &mut StatefulSet) {
    let spec = &mut set.spec;
    pod::defaults::template_spec(&mut spec.template.spec);
    if spec.pod_management_policy.is_empty() {
        "OrderedReady".clone_into(&mut spec.pod_management_policy);
    }
    let strategy = &mut spec.update_strategy;
    if strategy.strategy_type.is_empty() {
        "RollingUpdate".clone_into(&mut strategy.strategy_type);
        strategy.rolling_update.get_or_insert_default();
    }
    if strategy.strategy_type == "RollingUpdate"
        && let Some(figures) = &mut strategy.rolling_update
    {
        figures.partition.get_or_insert(0);
    }
    spec.rest.complete(&RETENTION);
    spec.replicas.get_or_insert(1);
    spec.revision_history_limit.get_or_insert(10);
    set.status.replicas.get_or_insert(0);
}

pub(super) fn errors(set: &StatefulSet, old: Option<&StatefulSet>) -> Errors {
    let spec = &set.spec;
    let selector = spec.selector.as_ref();
    let mut errors = Errors::new();
    if !matches!(
        spec.pod_management_policy.as_str(),
        "OrderedReady" | "Parallel"
    ) {
        let field = "spec.podManagementPolicy";
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid(
            field,
            &spec.pod_management_policy,
            detail,
        ));
    }
    errors.extend(strategy_errors(&spec.update_strategy));
    errors.extend(workload::counts([
        ("replicas", spec.replicas),
        ("minReadySeconds", Some(spec.min_ready_seconds)),
    ]));
    errors.extend(workload::selector_errors(
        selector,
        "empty selector is invalid for statefulset",
    ));
    if workload::is_broken(selector) {
        errors.push(FieldError::invalid("spec.selector", &selector, ""));
    } else {
        errors.extend(workload::mismatch(selector, &spec.template));
        errors.extend(pod_spec::template_metadata_errors(
            &spec.template,
            "spec.template",
        ));
    }
    errors.extend(workload::endless_errors(&spec.template, "StatefulSet"));
    if old.is_some_and(|old| without_allowed(spec, &old.spec) != old.spec) {
        errors.push(FieldError::forbidden("spec", FIXED));
    }
    errors
}

pub(super) fn warnings(set: &StatefulSet, old: Option<&StatefulSet>) -> Vec<String> {
    let old = old.map(|old| &old.metadata);
    workload::template_warnings(&set.metadata, old, &set.spec.template)
}

fn strategy_errors(strategy: &UpdateStrategy) -> Errors {
    let (field, at_figures) = ("spec.updateStrategy", "spec.updateStrategy.rollingUpdate");
    match (strategy.strategy_type.as_str(), &strategy.rolling_update) {
        ("OnDelete" | "RollingUpdate", None) => Errors::new(),
        ("OnDelete", Some(figures)) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            vec![FieldError::invalid(
                at_figures,
                &figures_in_go(figures),
                detail,
            )]
        }
        ("RollingUpdate", Some(figures)) => figure_errors(figures, at_figures),
        _ => {
            let shown = workload::strategy_in_go(strategy, figures_in_go);
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            vec![FieldError::invalid(field, &shown, detail)]
        }
    }
}

fn figure_errors(figures: &RollingUpdate, field: &str) -> Errors {
    let partition = figures.partition.unwrap_or(0);
    let mut errors = Errors::new();
    errors.extend(not_negative(
        &format!("{field}.partition"),
        partition.into(),
    ));
    if let Some(missing) = &figures.max_unavailable {
        let field = format!("{field}.maxUnavailable");
        errors.extend(workload::amount_errors(missing, &field));
        if workload::is_nothing(missing) {
            errors.push(FieldError::invalid(&field, missing, "cannot be 0"));
        }
        errors.extend(workload::above_all(missing, &field));
    }
    errors
}

fn figures_in_go(figures: &RollingUpdate) -> Value {
    json!({
        "Partition": figures.partition.unwrap_or(0),
        "MaxUnavailable": figures.max_unavailable,
    })
}

/// The new `spec` with everything as before that an update may change.
fn without_allowed(spec: &StatefulSetSpec, old: &StatefulSetSpec) -> StatefulSetSpec {
    let mut spec = StatefulSetSpec {
        replicas: old.replicas,
        template: old.template.clone(),
        update_strategy: old.update_strategy.clone(),
        min_ready_seconds: old.min_ready_seconds,
        revision_history_limit: old.revision_history_limit,
        ..spec.clone()
    };
    for field in ["ordinals", RETENTION_POLICY] {
        match old.rest.get(field) {
            Some(value) => spec.rest.insert(field, value.clone()),
            None => drop(spec.rest.remove(field)),
        }
    }
    spec
}
