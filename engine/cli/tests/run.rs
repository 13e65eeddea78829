//! `switchboard run` and `schema`, as a user runs them.

mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use common::{root, scratch, stderr, stdout, switchboard};

/// Two scenarios in one file, each in two modes; the second fails.
const TWO: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: fine}
spec:
  cluster: {modes: [iptables, nftables], nodes: [{name: node-a}]}
  steps:
    - name: dns
      resolve: {from: node/node-a, name: kubernetes.default.svc.cluster.local.}
      expect: {rcode: NOERROR, within: 5s}
---
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: not-fine}
spec:
  cluster: {modes: [iptables, nftables], nodes: [{name: node-a}]}
  steps:
    - {wait: 1s, only: {modes: [iptables]}}
    - name: \"a <name> & \\\"more\\\"\"
      get: {resource: service/kubernetes, output: name}
      expect: {output: service/web}
";

fn with_input(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(args)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn every_number_of_jobs_prints_the_same() {
    let folder = scratch("jobs");
    fs::write(folder.join("two.yaml"), TWO).unwrap();
    for output in ["human", "json", "junit"] {
        let run = |jobs: &str| {
            let args = ["run", "two.yaml", "--output", output, "--jobs", jobs];
            let seen = switchboard(&folder, &args);
            assert_eq!(seen.status.code(), Some(1), "{}", stderr(&seen));
            assert_eq!(stderr(&seen), "", "no bar without a terminal");
            stdout(&seen)
        };
        let one = run("1");
        assert!(
            one.contains("not-fine") || one.contains("kubernetes"),
            "{one}"
        );
        assert_eq!(one, run("2"));
        assert_eq!(one, run("8"));
    }
    let none = switchboard(&folder, &["run", "two.yaml", "--jobs", "0"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn junit_has_a_suite_for_each_run() {
    let folder = scratch("junit");
    fs::write(folder.join("two.yaml"), TWO).unwrap();
    let output = switchboard(&folder, &["run", "two.yaml", "--output", "junit"]);
    let text = stdout(&output);
    let count = |part: &str| text.matches(part).count();
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "));
    assert!(text.ends_with("</testsuites>\n"));
    assert_eq!((count("<testsuite "), count("</testsuite>")), (4, 4));
    assert_eq!(
        (count("<testcase "), count("<failure "), count("<skipped ")),
        (6, 2, 1)
    );
    assert!(
        text.contains("name=\"001 a &lt;name&gt; &amp; &quot;more&quot;\""),
        "{text}"
    );
    assert!(
        text.contains("tests=\"6\" failures=\"2\" errors=\"0\" skipped=\"1\""),
        "{text}"
    );
}

#[test]
fn questions_are_asked_of_standard_input() {
    let scenario = fs::read_to_string(root().join("scenarios/conformance/names.yaml")).unwrap();
    // What it names is beside where the command runs.
    let scenario = scenario.replace("manifests/", "scenarios/conformance/manifests/");
    let questions: [&[&str]; 5] = [
        &["get", "svc", "web", "--no-headers"],
        &["describe", "svc", "web"],
        &["rules", "--node", "node-a"],
        &["explain", "service/web"],
        &["trace", "--from", "pod/client", "--to", "web:80"],
    ];
    for question in questions {
        let output = with_input(&[question, &["--in", "-"]].concat(), &scenario);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{question:?}: {}",
            stderr(&output)
        );
        assert!(stdout(&output).contains("web"), "{question:?}");
    }
    let manifests = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n";
    let output = with_input(&["get", "svc", "web", "--in", "-"], manifests);
    assert!(stdout(&output).contains("10.96.0.7"), "{}", stderr(&output));
    let output = with_input(&["get", "svc", "--in", "-"], "kind: [");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("-:1"), "{}", stderr(&output));
}

#[test]
fn the_schema_is_the_committed_one() {
    let output = switchboard(&root(), &["schema"]);
    let committed = fs::read_to_string(root().join("scenarios/schema.json")).unwrap();
    assert_eq!(stdout(&output), committed);
}
