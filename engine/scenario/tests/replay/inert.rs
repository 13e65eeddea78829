//! Objects without an effect: whoever applies one is told, once.

use base::SimTime;
use control::ProxyMode;
use switchboard_scenario::{Ongoing, Step, run_steps};

use super::fake::Fake;
use super::{replay, scenario, texts};

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

/// As of one run, of steps that are given one after another.
#[test]
fn what_was_said_is_not_said_again_by_a_later_step() {
    let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME}, spec: {podSelector: {}}}";
    let steps = ["a", "b"].map(|name| format!("  - apply: [{}]\n", policy.replace("NAME", name)));
    let scenario = scenario(&steps.concat());
    let (mut world, mut ongoing) = (Fake::default(), Ongoing::default());
    let mut run = |step: &Step| {
        let (mode, steps) = (ProxyMode::Nftables, std::slice::from_ref(step));
        let report = run_steps(
            &scenario,
            mode,
            &mut world,
            steps,
            SimTime::MAX,
            &mut ongoing,
        );
        let report = report.unwrap();
        report.steps[0].observed["warnings"].is_null()
    };
    let is_silent: Vec<bool> = scenario.steps.iter().map(&mut run).collect();
    assert_eq!(is_silent, [false, true]);
}
