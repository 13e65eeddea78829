//! Replays the requests that were recorded on a real Kubernetes 1.36.2 and compares texts and stored objects.
//!
//! Objects are compared where the recording and this program both have a field: what Kubernetes fills in for
//! kinds that only matter in part here (a Pod's tolerations) is not asked for.

use api::{ApiConfig, ApiServer, DecodeFailure, Kind, Object, Status, Written, decode, yaml};
use base::{Seed, SimTime};
use serde_json::Value;
use switchboard_api as api;

/// Requests whose refusal needs what is not here yet: Endpoints, workloads, probes, finalizers.
const LATER: &[&str] = &[
    "ep-subset-empty",
    "ep-loopback",
    "ep-linklocal",
    "ep-bad-ip",
    "ep-missing-ip",
    "ep-port-0",
    "ep-name-bad",
    "pod-readiness-two",
    "pod-readinessgate-bad",
    "dep-selector-mismatch",
    "dep-no-selector",
    "x2-finalizer-bad",
];

/// A kind of a foreign group loads as a custom resource, whatever its definition.
const CUSTOM: &str = "obj-bad-group";

/// Requests whose answers show how the real server keeps its books (IPAddress objects), and manifests of which the
/// recording holds a summary only.
const NOT_COMPARABLE: &[(&str, &str)] = &[
    ("svc-name-empty", "create"),
    ("svc-name-slash", "create"),
    ("es-101-ports", "create"),
    ("es-101-ports", "apply"),
    ("es-20001-ports", "create"),
    ("es-20001-ports", "apply"),
];

struct Outcome {
    text: String,
    object: Option<Value>,
}

fn server(case: &Value) -> ApiServer {
    let ranges: &[&str] = match case["server"].as_str() {
        Some("dual-stack") => &["10.96.0.0/16", "fd00:10:96::/112"],
        _ => &["10.96.0.0/12"],
    };
    let config = ApiConfig {
        service_cidrs: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, SimTime::ZERO)
}

fn send(server: &mut ApiServer, verb: &str, manifest: &Value) -> Outcome {
    let text = match manifest {
        Value::String(text) => text.clone(),
        manifest => manifest.to_string(),
    };
    let refused = |text: String| Outcome { text, object: None };
    let mut last = refused(format!("error: no objects passed to {verb}"));
    let documents = match yaml::split(&yaml::Source::new("STDIN", text)) {
        Ok(documents) => documents,
        Err(problem) => return refused(DecodeFailure::from(problem).kubectl_text()),
    };
    for document in documents {
        let manifests = match decode(&document) {
            Ok(manifests) => manifests,
            Err(failure) => {
                assert!(!failure.problems().is_empty());
                return refused(failure.kubectl_text());
            }
        };
        for manifest in manifests {
            match write(server, verb, manifest.object) {
                Ok(written) => last = told(&written),
                Err(status) => return refused(status.kubectl_text()),
            }
        }
    }
    last
}

fn write(server: &mut ApiServer, verb: &str, object: Object) -> Result<Written, Status> {
    match verb {
        "create" => server.create(object, SimTime::ZERO),
        "apply" => server.apply(object, SimTime::ZERO),
        "replace" => server.replace(object, SimTime::ZERO),
        other => panic!("no verb {other}"),
    }
}

fn told(written: &Written) -> Outcome {
    let warnings = written
        .warnings
        .iter()
        .map(|warning| format!("Warning: {warning}\n"));
    let text = warnings.chain([written.to_string()]).collect();
    Outcome {
        text,
        object: Some(Value::Object(written.object.to_fields())),
    }
}

/// `<dynamic>` stands for any text, and addresses that the recording server happened to choose for any other.
fn same(expected: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::String(text), Value::String(_) | Value::Number(_))
            if text.starts_with("<dynamic") => {}
        (Value::Object(expected), Value::Object(found)) => {
            for (field, value) in expected {
                match found.get(field) {
                    Some(other) => same(value, other, &format!("{path}.{field}"), differences),
                    None => differences.push(format!("{path}.{field}: missing")),
                }
            }
            for field in found.keys().filter(|field| !expected.contains_key(*field)) {
                differences.push(format!("{path}.{field}: not recorded"));
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (value, other)) in expected.iter().zip(found).enumerate() {
                same(value, other, &format!("{path}[{index}]"), differences);
            }
        }
        (expected, found) if expected == found => {}
        (expected, found) => {
            differences.push(format!("{path}: recorded {expected}, found {found}"));
        }
    }
}

/// Texts that name an address which the server chose are compared without it.
fn without_chosen_addresses(text: &str, manifest: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let chosen = bare.parse::<std::net::Ipv4Addr>().is_ok() && !manifest.contains(bare);
        if chosen {
            word.replace(bare, "<dynamic>")
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn judge(case: &Value, verb: &str, result: &Value) -> Result<(), String> {
    let id = case["id"].as_str().unwrap();
    let mut server = server(case);
    for object in case["preceding"].as_array().into_iter().flatten() {
        let first = if case["op"] == "apply" {
            "apply"
        } else {
            "create"
        };
        let outcome = send(&mut server, first, object);
        assert!(outcome.object.is_some(), "{id}: {}", outcome.text);
    }
    let before = server.revision();
    let outcome = send(&mut server, verb, &case["manifest"]);
    let recorded = |field: &str| {
        result[field]
            .as_str()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    let several = matches!(&case["manifest"], Value::String(text) if text.contains("---"));
    if outcome.object.is_none() && !several && server.revision() != before {
        return Err("a refused request was logged".to_owned());
    }
    let manifest = case["manifest"].to_string();
    let (stdout, stderr) = (recorded("stdout"), recorded("stderr"));
    let expected = if stdout.is_empty() || several {
        stderr
    } else {
        [stderr, stdout].join("\n")
    };
    let expected = without_chosen_addresses(expected.trim(), &manifest);
    let found = without_chosen_addresses(&outcome.text, &manifest);
    let generated = id == "svc-generate-name" && found.starts_with("service/web-");
    if expected != found && !generated {
        return Err(format!("recorded\n    {expected}\n  found\n    {found}"));
    }
    let (Some(recorded), Some(mut found)) = (result.get("object"), outcome.object) else {
        return Ok(());
    };
    if found["kind"] != Kind::Service.name() {
        return Ok(());
    }
    for field in ["apiVersion", "kind", "metadata"] {
        found.as_object_mut().unwrap().shift_remove(field);
    }
    let mut differences = Vec::new();
    same(recorded, &found, "", &mut differences);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.join("; "))
    }
}

#[test]
fn answers_as_recorded() {
    let text = include_str!("recorded/validation.yaml");
    let cases: Vec<Value> = serde_yaml::from_str(text).unwrap();
    let mut failures = Vec::new();
    let mut judged = 0;
    for case in cases.iter().filter(|case| case.get("op").is_some()) {
        let id = case["id"].as_str().unwrap();
        if LATER.contains(&id) || id == CUSTOM {
            continue;
        }
        let results = case["result"].as_object().unwrap();
        for (verb, result) in results {
            let result = if result == "same" {
                &results[case["op"].as_str().unwrap()]
            } else {
                result
            };
            if NOT_COMPARABLE.contains(&(id, verb)) {
                continue;
            }
            judged += 1;
            if let Err(difference) = judge(case, verb, result) {
                failures.push(format!("{id} ({verb}): {difference}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {judged}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(judged > 300, "{judged} requests were judged");
}
