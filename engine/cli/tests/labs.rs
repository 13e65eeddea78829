//! The labs: each is broken as it says, `explain` finds why, what it tells people to type shows it, and its repair helps.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::lab::{Lab, labs};
use common::{root, scratch, stderr, stdout, switchboard};
use serde_json::{Value, json};

fn run(args: &[&str]) -> Output {
    switchboard(&root(), args)
}

/// `explain --output json` of everything in a lab.
fn diagnoses(lab: &Lab) -> Vec<Value> {
    let output = run(&["explain", "--in", &lab.folder(), "--output", "json"]);
    let list: Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    list["items"].as_array().expect("it is a list").clone()
}

#[test]
fn every_lab_is_broken_as_it_says_and_stops_there() {
    for lab in labs() {
        let output = run(&["run", &lab.file()]);
        assert!(output.status.success(), "{}\n{}", lab.name, stdout(&output));
        assert!(
            stdout(&output).contains("the scenario awaits \"fix\""),
            "{}",
            lab.name
        );
    }
}

#[test]
fn every_repair_helps() {
    for lab in labs() {
        let output = run(&["run", &lab.file(), "--with", &lab.fix()]);
        let text = format!("{}\n{}{}", lab.name, stdout(&output), stderr(&output));
        assert!(output.status.success(), "{text}");
        assert!(!stdout(&output).contains("skipped"), "{text}");
    }
}

/// What `explain` says to the question of one of a lab's steps.
fn explained(lab: &Lab, step: &str, with: &[&str]) -> Value {
    let question = lab.question(step);
    let question: Vec<&str> = question.iter().map(String::as_str).collect();
    let (file, output) = (lab.file(), ["--output", "json"]);
    let args = [&["explain"][..], &question, &["--in", &file], with, &output].concat();
    let output = run(&args);
    let json: Value = serde_json::from_str(&stdout(&output))
        .unwrap_or_else(|why| panic!("{}: {why}\n{}", lab.name, stderr(&output)));
    let code = match json["verdict"].as_str() {
        Some("healthy") => 0,
        Some("broken") => 1,
        _ => 3,
    };
    assert_eq!(output.status.code(), Some(code), "{}: {json:#}", lab.name);
    json
}

/// What a lab is about comes first; once it is repaired, nothing is wrong any more.
#[test]
fn every_lab_is_explained_broken_and_repaired() {
    for lab in labs() {
        let broken = explained(&lab, "why", &[]);
        let first = &broken["findings"][0];
        assert_eq!(first["id"], lab.id(), "{}: {broken:#}", lab.name);
        for part in ["sees", "why", "fix"] {
            assert!(first[part].as_str().is_some_and(|text| !text.is_empty()));
        }
        let repaired = explained(&lab, "healthy", &["--with", &lab.fix()]);
        assert_eq!(repaired["verdict"], "healthy", "{}: {repaired:#}", lab.name);
        assert_eq!(repaired["findings"], json!([]), "{}", lab.name);
    }
}

/// Whoever names nothing but the lab is told as well, where it does not take a client to see it.
#[test]
fn a_lab_is_explained_without_a_question() {
    let mut explained = 0;
    for lab in labs() {
        let question = lab.question("why");
        let [service] = &question[..] else {
            continue;
        };
        let about = service.strip_prefix("service/").expect("a Service");
        let asked = if about.contains('/') {
            service.clone()
        } else {
            format!("service/default/{about}")
        };
        let items = diagnoses(&lab);
        let found = items.iter().find(|item| item["service"] == asked.as_str());
        // A Service of that name is not there.
        let Some(found) = found else { continue };
        assert_eq!(
            found["findings"][0]["id"],
            lab.id(),
            "{}: {found:#}",
            lab.name
        );
        explained += 1;
    }
    assert!(explained > 20, "{explained}");
}

/// DBG-82 … DBG-86: kubectl's tables, as the findings promise them.
#[test]
fn what_people_are_told_to_type_prints_what_they_are_told() {
    let mut typed = 0;
    for lab in labs() {
        let folder = lab.folder();
        for diagnosis in diagnoses(&lab) {
            let findings = diagnosis["findings"].as_array().expect("a list");
            for check in findings
                .iter()
                .flat_map(|finding| finding["confirm"].as_array().expect("a list"))
            {
                let command = check["command"].as_str().expect("a command");
                let Some(rest) = command.strip_prefix("kubectl get ") else {
                    continue;
                };
                if rest.starts_with("--raw") {
                    continue;
                }
                let rest = rest.replace('\'', "");
                let mut args = vec!["get"];
                args.extend(rest.split(' '));
                args.extend(["--in", &folder]);
                let output = run(&args);
                let printed = format!("{}{}", stdout(&output), stderr(&output));
                let promised = check["prints"].as_str().unwrap_or_default();
                let told = format!("{folder}: {command}\n{printed}");
                assert!(printed.contains(promised), "{told}");
                assert_ne!(output.status.code(), Some(2), "{told}");
                typed += 1;
            }
        }
    }
    assert!(typed > 20, "{typed}");
}

/// DBG-3, DBG-10, DBG-11, DBG-95: refused, and by whom; DBG-13: what kubectl shows of it.
#[test]
fn a_selector_that_matches_nothing_is_explained() {
    let lab = "scenarios/labs/selector-mismatch/";
    let output = run(&["explain", "--in", lab]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for part in [
        "get \"connection refused\", from the node and not from a Pod",
        "the Service selects app=my-fancy-app,tier=backend, and 0 of 3 Pods match: all have tier=frontend",
        "change spec.selector.tier to frontend, or the Pods' label tier to backend",
        "kubectl get endpoints my-internal-backend-api -n default → <none>",
        "(certain) [DBG-21]",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let output = run(&["get", "endpoints", "my-internal-backend-api", "--in", lab]);
    assert!(stdout(&output).contains("<none>"));
}

/// The lab's manifests with another repair.
fn repaired(text: &str) -> Output {
    let fix: PathBuf = scratch("wrong-repair").join("fix.yaml");
    fs::write(&fix, text).unwrap();
    let fix = fix.to_string_lossy();
    let lab = "scenarios/labs/selector-mismatch/lab.yaml";
    run(&["run", lab, "--with", &fix, "--mode", "nftables"])
}

#[test]
fn a_wrong_repair_says_what_is_still_unmet() {
    let fix = fs::read_to_string(root().join("scenarios/labs/selector-mismatch/fix.yaml")).unwrap();
    let output = repaired(&fix.replace("tier: frontend", "tier: fronted"));
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("is not enough. Still unmet:"), "{text}");
    assert!(text.contains("connect: answered:"), "{text}");
    let refused = repaired(&fix.replace("port: 80,", "port: 99999,"));
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    let no_yaml = repaired("spec: [");
    assert_eq!(no_yaml.status.code(), Some(2));
    assert!(
        stderr(&no_yaml).contains("fix.yaml:"),
        "{}",
        stderr(&no_yaml)
    );
}

#[test]
fn a_repair_for_nothing_is_bad_input() {
    let fix = "scenarios/labs/named-port/fix.yaml";
    let output = run(&["run", "scenarios/clusterip.yaml", "--with", fix]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("does not await anything"));
    let lab = "scenarios/labs/named-port/lab.yaml";
    let output = run(&["explain", "--in", lab, "--at", "answered"]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("awaits"), "{}", stderr(&output));
}

/// Conformance scenarios that end with a Service that does not work, and why.
const BROKEN_ON_PURPOSE: [(&str, &str); 6] = [
    ("headless.yaml", "db selects no Pod"),
    (
        "mirrored-endpoints.yaml",
        "the Endpoints of legacy are deleted",
    ),
    ("multi-port.yaml", "no Pod of both declares port admin"),
    ("node-port.yaml", "second asks for a port that is taken"),
    (
        "one-port-two-protocols.yaml",
        "datagram declares no TCP port",
    ),
    ("terminating-endpoints.yaml", "old selects no Pod"),
];

/// No false alarm: what the conformance scenarios end with has no fault. Labs say themselves what their repairs leave.
#[test]
fn what_works_is_not_called_broken() {
    let folder = root().join("scenarios/conformance");
    let entries = fs::read_dir(folder).expect("there are conformance scenarios");
    let names = entries.map(|entry| entry.expect("the folder can be read").file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let mut asked = 0;
    for name in names.filter(|name| name.ends_with(".yaml")) {
        let output = run(&["explain", "--in", &format!("scenarios/conformance/{name}")]);
        let code = output.status.code();
        let is_broken = code == Some(1);
        let is_meant = BROKEN_ON_PURPOSE.iter().any(|(broken, _)| *broken == name);
        assert!(
            is_broken == is_meant && matches!(code, Some(0 | 1 | 3)),
            "{name}: {code:?}\n{}{}",
            stdout(&output),
            stderr(&output)
        );
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}

/// DBG-66: exit codes.
#[test]
fn manifests_of_any_kind_are_explained() {
    let shop = "scenarios/manifests/shop.yaml";
    let from_file = run(&["explain", "--in", shop]);
    assert_eq!(from_file.status.code(), Some(0), "{}", stderr(&from_file));
    let text = fs::read_to_string(root().join(shop)).unwrap();
    let from_stdin = piped(&root(), &["explain", "--in", "-"], &text);
    assert_eq!(stdout(&from_stdin), stdout(&from_file));
    let nothing = piped(
        &root(),
        &["explain", "--in", "-"],
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n",
    );
    assert_eq!(nothing.status.code(), Some(3), "{}", stderr(&nothing));
    let healthy = [
        "explain",
        "service/my-internal-backend-api",
        "--in",
        "scenarios/clusterip.yaml",
        "--at",
        "publish",
    ];
    let healthy = run(&healthy);
    assert_eq!(healthy.status.code(), Some(0), "{}", stdout(&healthy));
}

fn piped(folder: &Path, args: &[&str], text: &str) -> Output {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command was built for this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn pages_are_printed_by_their_numbers() {
    let page = run(&["explain", "dbg-21"]);
    assert_eq!(page.status.code(), Some(0));
    assert!(stdout(&page).starts_with("DBG-21: The selector matches no Pod\n"));
    let none = run(&["explain", "DBG-61"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("DBG-75"), "{}", stderr(&none));
    assert_eq!(run(&["explain"]).status.code(), Some(2));
}

#[test]
fn who_asks_exists_and_a_port_is_one_of_a_service() {
    let within = ["explain", "--in", "scenarios/labs/internal-policy-local"];
    let ask = |more: &[&str]| run(&[&within[..], more].concat());
    for nobody in ["pod/nobody", "node/nowhere", "outside/nobody"] {
        let output = ask(&["service/web", "--from", nobody]);
        assert_eq!(output.status.code(), Some(2), "{nobody}");
        let text = stderr(&output);
        assert!(text.contains("at this instant; "), "{nobody}\n{text}");
    }
    let far = ask(&["service/web", "--from", "pod/client", "--port", "80"]);
    assert_eq!(far.status.code(), Some(1), "{}", stderr(&far));
    assert_eq!(ask(&["--port", "80"]).status.code(), Some(2));
    let everything = ask(&["--from", "pod/client"]);
    assert!(!stdout(&everything).contains("kube-system"));
}

/// Nobody misses what was deleted on purpose, whatever was refused before.
#[test]
fn a_deleted_service_has_no_refusal() {
    let scenario = scratch("deleted").join("deleted.yaml");
    let service = |spec: &str| {
        format!(
            "[{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{ports: [{spec}]}}}}]"
        )
    };
    let text = format!(
        "apiVersion: switchboard.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: deleted, title: Deleted}}\n\
         spec:\n  cluster: {{nodes: [{{name: node-a}}]}}\n  steps:\n  - apply: {}\n  - apply: {}\n    \
         expect: {{error: {{contains: invalid}}}}\n  - delete: service/web\n",
        service("{port: 80}"),
        service("{port: 99999}")
    );
    fs::write(&scenario, text).unwrap();
    let scenario = scenario.to_string_lossy();
    let output = run(&["explain", "--in", &scenario]);
    let text = format!("{}{}", stdout(&output), stderr(&output));
    assert!(!text.contains("service/default/web"), "{text}");
    assert_eq!(output.status.code(), Some(3), "{text}");
}

/// Pages name labs that there are, and every lab stands on a page.
#[test]
fn pages_and_labs_go_together() {
    let text = fs::read_to_string(root().join("engine/explain/pages.md")).unwrap();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("**Lab:** "));
    let mut named: Vec<String> = lines
        .flat_map(|line| line.split(", "))
        .map(|lab| lab.trim_matches('`').to_owned())
        .collect();
    named.sort();
    named.dedup();
    let labs: Vec<String> = labs().into_iter().map(|lab| lab.name).collect();
    assert_eq!(named, labs);
}

/// Which lab shows a failure mode, or why none does; and a lab stands on the page of what it is about.
#[test]
fn every_failure_mode_has_a_lab_or_a_reason() {
    for page in explain::pages() {
        let has = |part: &str| page.text.lines().any(|line| line.starts_with(part));
        assert_ne!(has("**Lab:** "), has("**No lab:** "), "{}", page.id);
    }
    for lab in labs() {
        let page = explain::page(lab.id()).expect("it has a page");
        let named = format!("`{}`", lab.name);
        assert!(page.text.contains(&named), "{}: {}", lab.name, page.id);
    }
}

/// DBG-45, DBG-46, DBG-47, DBG-59: what the API server refuses leads to a page.
#[test]
fn refusals_name_their_page() {
    let service = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{{spec}}}\n")
    };
    for (spec, id) in [
        ("ports: [{port: 80, targetPort: \"8080\"}]", "DBG-59"),
        ("clusterIP: 10.96.0.1, ports: [{port: 80}]", "DBG-45"),
        ("clusterIP: 192.0.2.1, ports: [{port: 80}]", "DBG-45"),
        (
            "type: NodePort, ports: [{port: 80, nodePort: 80}]",
            "DBG-47",
        ),
        ("ports: [{port: 80}, {port: 81}]", "DBG-33"),
    ] {
        let output = piped(&root(), &["explain", "--in", "-"], &service(spec));
        assert_eq!(output.status.code(), Some(2), "{spec}");
        let text = stderr(&output);
        assert!(text.contains(id), "{spec}\n{text}");
    }
}
