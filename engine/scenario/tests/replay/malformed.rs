//! Manifests that make no object: an error of the scenario, but for a step that expects to be refused (API-13).

use switchboard_scenario::{Outcome, StepReport};

use super::replay;

const UNKNOWN: &str = r#"Error from server (BadRequest): error when creating "STDIN": Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.prots""#;
const MISTYPED: &str = r#"Error from server (BadRequest): error when creating "STDIN": Service in version "v1" cannot be handled as a Service: json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32"#;

fn outcomes(steps: &[StepReport]) -> Vec<bool> {
    let passed = steps.iter().map(|step| step.outcome == Outcome::Passed);
    passed.collect()
}

#[test]
fn who_expects_a_refusal_hears_of_a_malformed_manifest_what_kubectl_prints() {
    let report = replay(&format!(
        "  - apply: [{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{prots: []}}}}]
    expect: {{error: '{UNKNOWN}'}}
  - apply: |
      apiVersion: v1
      kind: Service
      metadata: {{name: web}}
      spec: {{ports: [{{port: '80'}}]}}
    expect: {{error: '{MISTYPED}'}}
  - apply: 'kind: [Service'
    expect: {{error: {{contains: error parsing STDIN}}}}
  - apply: [{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{prots: []}}}}]
    expect: {{error: something else}}
"
    ));
    assert_eq!(outcomes(&report.steps), [true, true, true, false]);
    assert_eq!(report.steps[3].seen, [UNKNOWN]);
}

/// As kubectl does.
#[test]
fn what_stands_beside_a_malformed_manifest_is_written() {
    let report = replay(
        "  - apply:
    - {apiVersion: v1, kind: Service, metadata: {name: bad}, spec: {prots: []}}
    - {apiVersion: v1, kind: Service, metadata: {name: good}, spec: {ports: [{port: 80}]}}
    expect: {error: {contains: unknown field}}
  - get: {resource: svc/good}
",
    );
    assert_eq!(outcomes(&report.steps), [true, true]);
    assert_eq!(report.steps[0].asked, "a malformed manifest, service/good");
}
