//! The main job, as a user runs it: the scenario passes, every flipped expectation fails, nothing varies.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{root, scratch, stderr, stdout, switchboard};
use serde_json::Value as Json;
use serde_yaml::Value;

const SCENARIO: &str = "scenarios/clusterip.yaml";

#[test]
fn the_scenario_passes() {
    let output = switchboard(&root(), &["run", SCENARIO]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let last = stdout(&output)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    assert!(last.starts_with("passed"), "{last}");
}

#[test]
fn the_report_has_the_keys_of_the_contract() {
    let output = switchboard(&root(), &["run", SCENARIO, "--output", "json"]);
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Json| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        keys(&report),
        [
            "apiVersion",
            "kind",
            "switchboardVersion",
            "kubernetesVersion",
            "passed",
            "scenarios"
        ]
    );
    let scenario = &report["scenarios"][0];
    assert_eq!(
        keys(scenario),
        [
            "name",
            "file",
            "mode",
            "plane",
            "seed",
            "passed",
            "durationNs",
            "metrics",
            "steps"
        ]
    );
    assert_eq!(
        keys(&scenario["metrics"]),
        [
            "connections",
            "zones",
            "syncs",
            "programmingLatency",
            "rules",
            "dnsQueries"
        ]
    );
    let steps = scenario["steps"].as_array().unwrap();
    assert!(steps.len() > 15);
    for step in steps {
        assert_eq!(
            keys(step),
            [
                "index", "name", "verb", "line", "startNs", "outcome", "expected", "observed",
                "findings", "why"
            ]
        );
        assert_eq!(step["outcome"], "passed", "{step:#}");
    }
}

#[test]
fn two_runs_are_equal_to_the_byte() {
    let run = |name: &str| {
        let folder = scratch(name);
        let folder_text = folder.to_str().unwrap().to_owned();
        let args = [
            "run",
            SCENARIO,
            "--output",
            "json",
            "--capture",
            &folder_text,
        ];
        (switchboard(&root(), &args).stdout, files_below(&folder))
    };
    let (first, second) = (run("captures-1"), run("captures-2"));
    assert_eq!(first.0, second.0, "reports");
    assert_eq!(first.1, second.1, "captures");
    let packets = first.1.values().filter(|bytes| bytes.len() > 1000).count();
    assert!(
        packets >= 4,
        "several interfaces saw packets: {:?}",
        first.1.keys()
    );
}

#[test]
fn another_seed_gives_another_run() {
    let report = |seed| {
        switchboard(
            &root(),
            &["run", SCENARIO, "--output", "json", "--seed", seed],
        )
    };
    assert_ne!(report("7").stdout, report("8").stdout);
}

/// Each expectation of the scenario, made false, fails its step and says what was seen instead.
#[test]
fn every_flipped_expectation_fails() {
    let text = fs::read_to_string(root().join(SCENARIO)).unwrap();
    let original: Value = serde_yaml::from_str(&text).unwrap();
    let steps = original["spec"]["steps"].as_sequence().unwrap().len();
    let (mut flipped, mut kept) = (0, Vec::new());
    for index in 0..steps {
        let expect = &original["spec"]["steps"][index]["expect"];
        let Some(checks) = expect.as_mapping() else {
            continue;
        };
        for key in checks.keys().map(|key| key.as_str().unwrap()) {
            let Some(wrong) = wrong_value(key, &expect[key]) else {
                let name = original["spec"]["steps"][index]["name"].as_str().unwrap();
                kept.push(format!("{name}: {key}"));
                continue;
            };
            let mut scenario = original.clone();
            scenario["spec"]["steps"][index]["expect"][key] = wrong;
            check_fails(&scenario, index, key);
            flipped += 1;
        }
    }
    assert!(flipped >= 20, "only {flipped} expectations were flipped");
    // `within` says when, and `uniform` is the only spread there is.
    assert_eq!(
        kept,
        [
            "backends-run: within",
            "sixty-connections: spread",
            "two-are-left: spread"
        ]
    );
}

/// A well-formed value that does not hold; `None` for what is no expectation by itself.
fn wrong_value(key: &str, right: &Value) -> Option<Value> {
    let yaml = |text: &str| Some(serde_yaml::from_str(text).unwrap());
    match key {
        "outcome" if right.as_str() == Some("timeout") => yaml("connected"),
        "outcome" => yaml("refused"),
        "outcomes" => yaml("{unreachable: 30}"),
        "backends" => yaml("{exactly: [pod/client]}"),
        "latency" => yaml("{max: ..1ns}"),
        "rcode" if right.as_str() == Some("NXDOMAIN") => yaml("NOERROR"),
        "rcode" => yaml("NXDOMAIN"),
        "answers" => yaml("[10.9.9.9]"),
        "queries" => yaml("99"),
        "object" => yaml("{metadata: {name: somebody-else}}"),
        "contains" => yaml("[no rule says this]"),
        "absent" => yaml("[KUBE-SERVICES, table ip kube-proxy]"),
        "error" => yaml("all is well"),
        "snat" => yaml("true"),
        "endpoints" => yaml("[{to: '10.9.9.9:8080', p: 1/1}]"),
        "verdict" => yaml("reject"),
        "byMode" => yaml("{nftables: {contains: [no rule says this]}}"),
        "within" | "throughout" | "spread" => None,
        other => panic!("the test does not know how to flip {other}"),
    }
}

fn check_fails(scenario: &Value, index: usize, key: &str) {
    let folder = scratch(&format!("flip-{index}-{key}"));
    copy_manifests(&folder);
    fs::write(
        folder.join("flipped.yaml"),
        serde_yaml::to_string(scenario).unwrap(),
    )
    .unwrap();
    let output = switchboard(&folder, &["run", "flipped.yaml", "--output", "json"]);
    let place = format!("step {index}, {key}");
    assert_eq!(
        output.status.code(),
        Some(1),
        "{place}: {}",
        stderr(&output)
    );
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let mode = if key == "byMode" { 1 } else { 0 };
    let step = &report["scenarios"][mode]["steps"][index];
    assert_eq!(step["outcome"], "failed", "{place}");
    assert!(
        !step["observed"].as_object().unwrap().is_empty(),
        "{place}: what was seen"
    );
    let why = step["why"].as_array().unwrap();
    assert!(!why.is_empty(), "{place}: why");
    if step["verb"] == "connect" && key == "outcome" {
        let why = step["why"].to_string();
        let evident = why.contains("KUBE-SEP-") || why.contains("nobody there has the address");
        assert!(
            evident,
            "{place}: by which rule, or where it was lost: {why}"
        );
    }
    let human = switchboard(&folder, &["run", "flipped.yaml"]);
    assert!(stdout(&human).contains("seen"), "{place}");
}

fn copy_manifests(folder: &Path) {
    fs::create_dir_all(folder.join("manifests")).unwrap();
    for entry in fs::read_dir(root().join("scenarios/manifests")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(
            entry.path(),
            folder.join("manifests").join(entry.file_name()),
        )
        .unwrap();
    }
}

fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path).into_iter().map(|(file, bytes)| {
                (
                    path.file_name().map(PathBuf::from).unwrap().join(file),
                    bytes,
                )
            }));
        } else {
            found.insert(path.file_name().unwrap().into(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn rules_are_what_iptables_restore_takes() {
    for (family, tool) in [("ipv4", "iptables-restore"), ("ipv6", "ip6tables-restore")] {
        let args = [
            "rules", "--in", SCENARIO, "--node", "node-a", "--at", "publish", "--family", family,
        ];
        let output = switchboard(&root(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        assert!(text.starts_with("# "), "the instant is said: {text}");
        if family == "ipv4" {
            assert!(text.contains("default/my-internal-backend-api cluster IP"));
        }
        accepted_by(tool, &["--test"], &output.stdout);
    }
}

fn accepted_by(tool: &str, args: &[&str], rules: &[u8]) {
    let file = scratch(tool).join("rules.txt");
    fs::write(&file, rules).unwrap();
    let run = Command::new(tool)
        .args(args)
        .stdin(fs::File::open(&file).unwrap())
        .output();
    let why = match run {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let cannot = [
        "No such file",
        "Permission denied",
        "must be root",
        "Could not fetch rule set",
    ];
    let unprivileged = cannot.iter().any(|text| why.contains(text));
    assert!(
        unprivileged && std::env::var_os("CI").is_none(),
        "{tool} --test: {why}"
    );
    eprintln!("skipped: {tool} cannot run here: {why}");
}

#[test]
fn nftables_rules_are_what_nft_takes() {
    let args = [
        "rules", "--in", SCENARIO, "--node", "node-a", "--at", "publish", "--mode", "nftables",
    ];
    let output = switchboard(&root(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("goto service-"),
        "{}",
        stdout(&output)
    );
    accepted_by("nft", &["-c", "-f", "-"], &output.stdout);
}

#[test]
fn a_trace_names_every_hop_hook_and_rule_both_ways() {
    let args = [
        "trace",
        "--in",
        SCENARIO,
        "--at",
        "publish",
        "--from",
        "pod/client",
        "--to",
        "my-internal-backend-api:80",
    ];
    let human = stdout(&switchboard(&root(), &args));
    for part in [
        "request",
        "reply",
        "pod/default/client",
        "node-a",
        "prerouting",
        "forward",
        "postrouting",
        "KUBE-SERVICES",
        "KUBE-SVC-",
        "KUBE-SEP-",
        "DNAT",
        "33.3 %",
        "Service default/my-internal-backend-api port 80/TCP",
        "ESTABLISHED",
    ] {
        assert!(human.contains(part), "{part} is missing in\n{human}");
    }
    let json = switchboard(&root(), &[&args[..], &["--output", "json"]].concat());
    let trace: Json = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(trace["kind"], "Trace");
    assert_eq!(
        trace["reply"].as_array().unwrap().last().unwrap()["place"],
        "pod/default/client"
    );
}

#[test]
fn a_packet_of_sctp_is_followed_too() {
    let args = "trace --at publish --from pod/client --to 10.103.183.221:80 --protocol sctp --mode nftables --in";
    let mut args: Vec<&str> = args.split(' ').collect();
    args.push(SCENARIO);
    let human = stdout(&switchboard(&root(), &args));
    for part in ["sctp 10.244.1.4:", "cluster-ips-check", "refused"] {
        assert!(human.contains(part), "{part} is missing in\n{human}");
    }
}

/// A client waits until a little after 6s.
#[test]
fn an_instant_in_the_midst_of_a_connection_is_told_as_what_it_is() {
    let output = switchboard(&root(), &["get", "svc", "--in", SCENARIO, "--at", "6s"]);
    let header = String::from_utf8(output.stderr).unwrap();
    let said = "at 6.01432s, the end of what a client had under way at 6s";
    assert!(header.contains(said), "{header}");
}
