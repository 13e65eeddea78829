//! Bad input: one clear error with file, line and column, exit code 2, nothing done.

mod common;

use std::fs;

use common::{root, scratch, stderr, stdout, switchboard};

const GOOD: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: small}
spec:
  cluster:
    modes: [iptables]
    nodes:
      - {name: node-a, zone: zone-1}
  manifests: [pod.yaml]
  steps:
    - wait: 2s
    - rules: {node: node-a}
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeName: node-a
  containers:
    - {name: c, image: c}
";

/// Runs a scenario with a Pod's manifest beside it; both are broken by replacing a text.
fn check(name: &str, (old, new): (&str, &str), expected: &[&str]) {
    let folder = scratch(&format!("bad-{name}"));
    let (scenario, pod) = match GOOD.contains(old) {
        true => (GOOD.replacen(old, new, 1), POD.to_owned()),
        false => (GOOD.to_owned(), POD.replacen(old, new, 1)),
    };
    assert!(scenario != GOOD || pod != POD, "{name}: nothing was broken");
    fs::write(folder.join("scenario.yaml"), scenario).unwrap();
    fs::write(folder.join("pod.yaml"), pod).unwrap();
    let captures = folder.join("captures");
    let args = [
        "run",
        "scenario.yaml",
        "--capture",
        captures.to_str().unwrap(),
    ];
    let output = switchboard(&folder, &args);
    let said = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(2),
        "{name}: {}{said}",
        stdout(&output)
    );
    for part in expected {
        assert!(
            said.contains(part),
            "{name}: {part:?} is missing in\n{said}"
        );
    }
    assert!(
        stdout(&output).is_empty() && !captures.exists(),
        "{name}: nothing is done"
    );
}

#[test]
fn the_good_one_is_good() {
    let folder = scratch("good");
    fs::write(folder.join("scenario.yaml"), GOOD).unwrap();
    fs::write(folder.join("pod.yaml"), POD).unwrap();
    let output = switchboard(&folder, &["run", "scenario.yaml"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
}

#[test]
fn malformed_yaml() {
    check(
        "yaml",
        ("metadata: {name: small}", "metadata: {name: small"),
        &["scenario.yaml:"],
    );
}

#[test]
fn unknown_key() {
    check(
        "key",
        ("    nodes:", "    nodse:"),
        &["scenario.yaml:7:5", "nodse", "nodes"],
    );
}

#[test]
fn wrong_kind() {
    check(
        "kind",
        ("kind: Scenario", "kind: Scenery"),
        &["scenario.yaml:2:7", "Scenery"],
    );
}

#[test]
fn missing_file() {
    check(
        "file",
        ("[pod.yaml]", "[pods.yaml]"),
        &["scenario.yaml:9:15", "pods.yaml"],
    );
}

#[test]
fn unknown_node() {
    check(
        "node",
        ("{node: node-a}", "{node: node-b}"),
        &["scenario.yaml:12:21", "node-b", "node-a"],
    );
}

#[test]
fn a_mode_of_a_later_version() {
    check(
        "mode",
        ("[iptables]", "[ipvs]"),
        &["scenario.yaml:6:13", "ipvs", "iptables"],
    );
}

#[test]
fn malformed_manifest() {
    check(
        "manifest",
        ("kind: Pod", "kind: Pod\nkind: Pod"),
        &["pod.yaml:"],
    );
}

#[test]
fn a_manifest_that_the_api_server_refuses() {
    check(
        "refused",
        ("name: client", "name: Client"),
        &["pod.yaml:", "RFC 1123 subdomain"],
    );
}

#[test]
fn a_missing_scenario() {
    let output = switchboard(&root(), &["run", "scenarios/nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("scenarios/nowhere.yaml"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_unknown_step_or_node_on_the_command_line() {
    let rules = |node: &str, at: &str| {
        let file = "scenarios/clusterip.yaml";
        switchboard(
            &root(),
            &["rules", "--in", file, "--node", node, "--at", at],
        )
    };
    let output = rules("node-a", "publsh");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("publish"), "{}", stderr(&output));
    let output = rules("node-z", "publish");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("node/node-a"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_pod_that_does_not_exist_fails_its_step_and_names_those_that_do() {
    let folder = scratch("ghost");
    let ghost = "    - resolve: {from: pod/ghost, name: web}\n";
    fs::write(folder.join("scenario.yaml"), format!("{GOOD}{ghost}")).unwrap();
    fs::write(folder.join("pod.yaml"), POD).unwrap();
    let output = switchboard(&folder, &["run", "scenario.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("ghost") && text.contains("pod/default/client"),
        "{text}"
    );
}
