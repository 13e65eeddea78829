//! Bad input: one clear error with file, line and column, exit code 2, nothing done.

mod common;

use std::fs;

use common::{root, scratch, stderr, stdout, switchboard, unbroken};

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
fn a_mode_that_is_none() {
    check(
        "mode",
        ("[iptables]", "[userspace]"),
        &["scenario.yaml:6:13", "userspace", "iptables"],
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
        &["pod.yaml:3:18", "RFC 1123 subdomain"],
    );
}

#[test]
fn what_the_api_server_refuses_is_shown_at_its_field() {
    check(
        "refused-port",
        (
            "image: c}",
            "image: c, ports: [{containerPort: 80}, {containerPort: 0}]}",
        ),
        &["pod.yaml:7:72", "containerPort"],
    );
    check(
        "no-time-to-think",
        (
            "{name: client}",
            "{name: client, annotations: {switchboard.dev/respond-after: soon}}",
        ),
        &["pod.yaml:3:71", "no duration"],
    );
    check(
        "no-place-to-listen",
        (
            "{name: client}",
            "{name: client, annotations: {switchboard.dev/listen: x}}",
        ),
        &["pod.yaml:3:64", "no place to listen at"],
    );
}

#[test]
fn a_tab_is_called_a_tab() {
    check(
        "tab",
        ("  steps:", "\tsteps:"),
        &["scenario.yaml:10:1", "tab"],
    );
}

#[test]
fn a_key_given_twice_is_shown_the_second_time() {
    check(
        "twice",
        ("  steps:", "  manifests: []\n  steps:"),
        &["scenario.yaml:10:3", "manifests"],
    );
}

/// The snippet is of the manifest beside the scenario, not of a file of that name where the user happens to be.
#[test]
fn the_line_shown_is_of_the_file_that_was_read() {
    let folder = scratch("bad-beside");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/scenario.yaml"), GOOD).unwrap();
    fs::write(
        folder.join("sub/pod.yaml"),
        POD.replace("name: client", "name: Client"),
    )
    .unwrap();
    fs::write(folder.join("pod.yaml"), "a: b\n".repeat(9)).unwrap();
    let output = switchboard(&folder, &["run", "sub/scenario.yaml"]);
    let said = stderr(&output);
    assert!(
        said.contains("metadata: {name: Client}") && !said.contains("a: b"),
        "{said}"
    );
}

#[test]
fn what_is_no_regular_file() {
    for (name, path, why) in [
        ("directory", "../", "it is a directory"),
        ("device", "/dev/zero", "it is no regular file"),
        ("nowhere", "nowhere.yaml", "No such file"),
    ] {
        let said = format!("cannot read {path}: {why}");
        let file = format!("[\"{path}\"]");
        check(name, ("[pod.yaml]", &file), &["scenario.yaml:9:15"]);
        let folder = scratch(&format!("read-{name}"));
        fs::write(
            folder.join("scenario.yaml"),
            GOOD.replace("[pod.yaml]", &file),
        )
        .unwrap();
        let output = switchboard(&folder, &["run", "scenario.yaml"]);
        let text = unbroken(&stderr(&output));
        assert_eq!(text.matches("cannot read").count(), 1, "{text}");
        assert!(text.contains(&said), "{text}");
    }
    let output = switchboard(&root(), &["run", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_too_large_is_not_read() {
    let folder = scratch("large");
    let file = fs::File::create(folder.join("scenario.yaml")).unwrap();
    file.set_len(65 * 1024 * 1024).unwrap();
    let output = switchboard(&folder, &["run", "scenario.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("larger than 64 MiB"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn long_lines_are_clipped() {
    let folder = scratch("long");
    let long = "x".repeat(1_000_000);
    let text = format!("{{kind: Scenario, metadata: {{title: \"{long}\"}}, apiVersion: v7}}\n");
    fs::write(folder.join("scenario.yaml"), text).unwrap();
    let said = stderr(&switchboard(&folder, &["run", "scenario.yaml"]));
    assert!(said.len() < 2_000, "{} bytes", said.len());
    let column = 1_000_000 + 53;
    assert!(
        said.contains(&format!("[scenario.yaml:1:{column}]")) && said.contains("apiVersion: v7"),
        "{said}"
    );
    fs::write(folder.join("key.yaml"), format!("{long}: 1\n")).unwrap();
    let said = stderr(&switchboard(&folder, &["run", "key.yaml"]));
    assert!(said.len() < 10_000, "{} bytes", said.len());
}

#[test]
fn two_scenarios_of_one_name_cannot_both_be_captured() {
    let folder = scratch("namesakes");
    for name in ["one.yaml", "two.yaml"] {
        fs::write(folder.join(name), GOOD).unwrap();
    }
    fs::write(folder.join("pod.yaml"), POD).unwrap();
    let run =
        |args: &[&str]| switchboard(&folder, &[&["run", "one.yaml", "two.yaml"], args].concat());
    assert_eq!(run(&[]).status.code(), Some(0));
    let output = run(&["--capture", "captures"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("one.yaml") && said.contains("two.yaml"),
        "{said}"
    );
    assert!(stdout(&output).is_empty() && !folder.join("captures").exists());
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("skipped: there is no /dev/full here");
        return;
    };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["run", "scenarios/clusterip.yaml"])
        .current_dir(root())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("cannot write output"), "{said}");
}

/// Whoever pipes into `head` wants no complaint.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(["run", "scenarios/clusterip.yaml"])
        .current_dir(root())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
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
