//! Objects without an effect: whoever applies one is told, once.

use super::{replay, texts};

#[test]
fn a_step_that_applies_them_says_so() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME}, spec: {podSelector: {}}}";
    let steps = ["a", "b"].map(|name| format!("  - apply: [{}]\n", policy.replace("NAME", name)));
    let report = replay(&steps.concat());
    let warnings = report.steps.iter().map(|step| &step.observed["warnings"]);
    let warnings: Vec<String> = warnings.map(ToString::to_string).collect();
    let said = "[\"NetworkPolicy objects are stored, but have no effect on this network\"]";
    assert_eq!(warnings, texts(&[said, "null"]));
}
