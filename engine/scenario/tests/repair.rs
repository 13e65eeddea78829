//! `await`: what comes after needs a repair that the user brings; and `explain` and `matrix` in a world that is nothing
//! but objects.

mod fake;

use api::yaml::Source;
use control::ProxyMode;
use fake::Fake;
use switchboard_scenario::{
    At, Outcome, RunError, Scenario, ScenarioReport, human, load, load_repair, run, run_until,
};

const LAB: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: lab}
spec:
  namespace: shop
  cluster:
    modes: [iptables]
    nodes: [{name: node-a}]
  steps:
  - name: broken
    get: {resource: service/web}
    expect: {error: {contains: NotFound}}
  - await: fix
  - name: mended
    get: {resource: service/web}
    expect: {object: {metadata: {namespace: shop}}}
";
const FIX: &str =
    "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}";

fn lab() -> Scenario {
    let mut no_files = |path: &str| Err(path.to_owned());
    load(&Source::new("lab.yaml", LAB), &mut no_files)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .remove(0)
}

fn repaired(fix: &str) -> Scenario {
    let source = Source::new("fix.yaml", fix);
    let mut scenario = lab();
    let repair = load_repair(&source, &scenario).unwrap_or_else(|problems| panic!("{problems}"));
    scenario.repair = Some(repair);
    scenario
}

fn replay(scenario: &Scenario) -> ScenarioReport {
    let world = &mut Fake::default();
    run(scenario, ProxyMode::Iptables, world, &mut |_| ()).unwrap()
}

fn outcomes(report: &ScenarioReport) -> Vec<Outcome> {
    report.steps.iter().map(|step| step.outcome).collect()
}

#[test]
fn without_a_repair_the_rest_is_skipped_and_that_is_said() {
    let report = replay(&lab());
    let skipped = Outcome::Skipped;
    assert_eq!(outcomes(&report), [Outcome::Passed, skipped, skipped]);
    assert!(report.passed());
    let text = human::render_scenario(&report, false);
    assert!(
        text.contains("from here on the scenario awaits \"fix\""),
        "{text}"
    );
    assert!(
        text.contains("mended: service/web   skipped: awaits fix"),
        "{text}"
    );
}

#[test]
fn a_repair_is_applied_in_the_scenarios_namespace() {
    let report = replay(&repaired(FIX));
    assert_eq!(
        outcomes(&report),
        [Outcome::Passed; 3],
        "{:?}",
        report.steps
    );
}

#[test]
fn a_wrong_repair_fails_what_comes_after() {
    let report = replay(&repaired(&FIX.replace("name: web", "name: wep")));
    let passed = Outcome::Passed;
    assert_eq!(outcomes(&report), [passed, passed, Outcome::Failed]);
}

#[test]
fn what_comes_after_a_repair_is_no_place_to_stop_without_one() {
    let stop = |scenario: &Scenario, name: &str| {
        let at = At::Step(name.to_owned());
        let world = &mut Fake::default();
        run_until(scenario, ProxyMode::Iptables, world, &at, &mut |_| ()).map(drop)
    };
    assert_eq!(stop(&lab(), "broken"), Ok(()));
    assert_eq!(stop(&repaired(FIX), "mended"), Ok(()));
    let (name, what) = ("mended".to_owned(), "fix".to_owned());
    assert_eq!(stop(&lab(), "mended"), Err(RunError::Awaits { name, what }));
}

#[test]
fn problems_of_a_repair_have_their_place() {
    let complaints = |text: &str| {
        let problems = load_repair(&Source::new("fix.yaml", text), &lab()).unwrap_err();
        problems.to_string()
    };
    assert!(
        complaints("a: [").starts_with("fix.yaml:"),
        "{}",
        complaints("a: [")
    );
    let unknown = FIX.replace("port: 80", "prot: 80");
    assert!(
        complaints(&unknown).starts_with("fix.yaml:1:"),
        "{}",
        complaints(&unknown)
    );
    let both = format!("{unknown}\n---\n{unknown}");
    assert_eq!(complaints(&both).matches("fix.yaml:").count(), 2);
}

#[test]
fn nothing_is_explained_where_nobody_can_look() {
    let text = LAB
        .replace("await: fix", "explain: service/web")
        .replace("  - name: mended", "  - matrix: {}\n  - name: mended");
    let mut no_files = |path: &str| Err(path.to_owned());
    let scenario = load(&Source::new("lab.yaml", text), &mut no_files)
        .unwrap()
        .remove(0);
    let report = replay(&scenario);
    for step in &report.steps[1..3] {
        assert_eq!(step.outcome, Outcome::Failed);
        assert!(
            step.why[0].contains("cannot be looked into"),
            "{:?}",
            step.why
        );
    }
}

/// What no manifest does: a document of kind `Repair` with steps, between manifests or alone.
#[test]
fn a_repair_may_be_steps() {
    let steps = |steps: &str| {
        let kind = "apiVersion: switchboard.dev/v1alpha1\nkind: Repair";
        format!("{kind}\nspec: {{steps: [{steps}]}}\n")
    };
    let outcome = |fix: &str| outcomes(&replay(&repaired(fix)));
    let passed = Outcome::Passed;
    let made = format!("{FIX}\n---\n{}", steps("{wait: 1s}"));
    assert_eq!(outcome(&made), [passed; 3]);
    let unmade = format!("{made}---\n{}", steps("{delete: service/web}"));
    assert_eq!(outcome(&unmade), [passed, passed, Outcome::Failed]);
    let made_again = format!("{unmade}---\n{FIX}\n");
    assert_eq!(outcome(&made_again), [passed; 3]);
}

#[test]
fn a_repair_does_only_what_repairs() {
    let complaint = |step: &str| {
        let text = format!(
            "apiVersion: switchboard.dev/v1alpha1\nkind: Repair\nspec: {{steps: [{step}]}}\n"
        );
        let problems = load_repair(&Source::new("fix.yaml", text), &lab()).unwrap_err();
        problems.to_string()
    };
    for (step, wanted) in [
        ("{explain: service/web}", "this step repairs nothing"),
        ("{name: a, wait: 1s}", "unknown key `name`"),
        ("{wait: 1s, expect: {}}", "a repair expects nothing"),
        ("{heal: cut}", "no fault before this step is called \"cut\""),
        (
            "{proxy: {node: node-b, restart: true}}",
            "no node \"node-b\"",
        ),
        ("{apply: {file: web.yaml}}", "a repair is one file"),
    ] {
        let said = complaint(step);
        assert!(said.starts_with("fix.yaml:3:"), "{said}");
        assert!(said.contains(wanted), "{said}");
    }
    let other = Source::new(
        "fix.yaml",
        "{apiVersion: switchboard.dev/v1alpha1, kind: Fix}",
    );
    let said = load_repair(&other, &lab()).unwrap_err().to_string();
    assert!(said.contains("Repair"), "{said}");
}
