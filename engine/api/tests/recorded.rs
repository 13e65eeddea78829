//! Replays the requests that were recorded on a real Kubernetes 1.36.2 and compares kubectl's texts, the server's
//! HTTP answers and the stored objects of all kinds.
//!
//! Of an object's metadata the recording holds labels and annotations only.

use std::collections::BTreeSet;

use api::{ApiConfig, ApiServer, DecodeFailure, Object, Status, Written, decode, yaml};
use base::{Seed, SimTime};
use serde_json::{Value, json};
use switchboard_api as api;

/// Requests that are not compared, and why.
const NOT_COMPARABLE: &[(&str, &str, &str)] = &[
    (
        "svc-name-empty",
        "create",
        "the real server allocates first, and says of the IPAddress that it cannot belong to nobody",
    ),
    (
        "svc-name-slash",
        "create",
        "the real server allocates first, and says of the IPAddress that its owner's name is bad",
    ),
];

/// Where a stored object is not as recorded, and why; each of them must be found.
const DIFFERENCES: &[(&str, &str, &str)] = &[];

/// Which ids of the reference which of the requests show; every request must be there.
const SHOWN: &[(&str, &[&str])] = &[
    ("API-1", &["svc-no-ports"]),
    (
        "API-2",
        &[
            "svc-port-0",
            "svc-dup-port-names",
            "es-hints-nine",
            "ep-hostname-key",
        ],
    ),
    (
        "API-3",
        &["svc-cips-mismatch", "svc-port-0", "dep-selector-mismatch"],
    ),
    ("API-4", &["svc-type-bad", "pod-dns-bad"]),
    ("API-5", &["es-hints-nine", "es-20001-ports"]),
    ("API-6", &["svc-port-0", "dep-no-selector"]),
    ("API-7", &["svc-port-0", "svc-no-ports"]),
    ("API-8", &["svc-already-exists", "obj-missing-ns"]),
    ("API-9", &["svc-already-exists", "obj-missing-ns"]),
    ("API-12", &["svc-hc-range"]),
    (
        "API-14",
        &["svc-name-dot", "svc-name-underscore", "svc-name-dash-end"],
    ),
    ("API-15", &["svc-name-underscore", "svc-name-dot"]),
    ("API-17", &["es-name-bad", "pod-name-upper"]),
    ("API-18", &["ns-64", "svc-port-name-64", "pod-label-64"]),
    (
        "API-19",
        &[
            "ns-underscore",
            "pod-name-upper",
            "es-name-bad",
            "ep-name-bad",
        ],
    ),
    (
        "API-20",
        &["svc-label-bad", "svc-sel-long", "pod-label-bad"],
    ),
    (
        "API-21",
        &[
            "svc-label-key-bad",
            "svc-label-key-two-slashes",
            "svc-ann-key-bad",
        ],
    ),
    (
        "API-22",
        &[
            "svc-tport-name-upper",
            "svc-tport-double-dash",
            "pod-port-name-upper",
        ],
    ),
    ("API-23", &["svc-port-0", "svc-tport-65536", "ep-port-0"]),
    (
        "API-24",
        &[
            "svc-cip-badstr",
            "svc-cip-leading-zero",
            "svc-lbsr-bad",
            "es-ip6-mapped",
        ],
    ),
    (
        "API-25",
        &[
            "svc-extip-loopback",
            "es-ip-unspec",
            "ep-linklocal",
            "svc-extip-linklocal-mcast",
        ],
    ),
    ("API-26", &["svc-target-port"]),
    ("API-27", &["svc-target-port", "svc-proto-bad"]),
    ("API-28", &["obj-list-kind", "svc-target-port-name"]),
    ("API-39", &["svc-no-ports"]),
    ("API-41", &["svc-extname-with-cip", "svc-extname-ipfam"]),
    (
        "API-42",
        &[
            "svc-extname-missing",
            "svc-extname-empty",
            "svc-extname-upper",
        ],
    ),
    (
        "API-43",
        &[
            "svc-port-0",
            "svc-port-neg",
            "svc-proto-bad",
            "svc-tport-65536",
        ],
    ),
    ("API-44", &["svc-dup-ports"]),
    ("API-46", &["svc-sel-long", "svc-sel-bad-key"]),
    ("API-47", &["svc-aff-bad", "svc-aff-timeout-0"]),
    ("API-48", &["svc-type-bad", "svc-type-lower"]),
    (
        "API-49",
        &[
            "svc-cips-mismatch",
            "svc-cips-none-plus",
            "x2-cips-three",
            "svc-cips-two-v4",
        ],
    ),
    ("API-50", &["svc-policy-bad", "svc-fam-three"]),
    ("API-51", &["svc-lbsr-bad", "svc-lbsr-ann"]),
    ("API-53", &["svc-etp-cluster-on-clusterip"]),
    ("API-54", &["svc-hc-no-local"]),
    ("API-55", &["svc-itp-bad", "svc-etp-bad"]),
    ("API-56", &["svc-td-foo", "svc-td-empty"]),
    ("API-57", &["svc-cip-taken", "svc-cip-taken-other"]),
    (
        "API-68",
        &[
            "svc-fam-two-no-policy",
            "dual-single-two-fam",
            "x2-dual-single-two-ips",
        ],
    ),
    ("API-69", &["svc-policy-require-none"]),
    ("API-76", &["pod-dup-port-names", "pod-cport-missing"]),
    ("API-79", &["ns-default-exists"]),
    (
        "API-80",
        &["ep-subset-empty", "ep-empty", "ep-notready", "ep-bad-ip"],
    ),
    (
        "API-81",
        &["es-20001-ports", "es-hints-nine", "es-no-addresses"],
    ),
    (
        "API-82",
        &["es-at-bad", "es-at-v6-v4addr", "es-port-dup-name"],
    ),
    ("API-85", &["x2-finalizer-bad"]),
    ("ALLOC-20", &["svc-cip-taken"]),
    ("ALLOC-24", &["svc-cip-taken"]),
    ("ALLOC-50", &["svc-np-high", "svc-np-80"]),
    ("ALLOC-51", &["svc-np-taken"]),
    ("ALLOC-58", &["svc-hc-range", "svc-hc-eq-nodeport"]),
];

/// What came of a request.
struct Outcome {
    text: String,
    object: Option<Value>,
    http: Option<Value>,
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
    let refused = |text: String| Outcome {
        http: bad_request(&text),
        text,
        object: None,
    };
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
                Err(status) => {
                    return Outcome {
                        text: status.kubectl_text(),
                        object: None,
                        http: Some(http(&status)),
                    };
                }
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
        http: None,
    }
}

/// A refusal as the recording writes it.
fn http(status: &Status) -> Value {
    let mut answer = json!({
        "code": status.code,
        "reason": status.reason.to_string(),
        "message": status.message,
    });
    let causes = status.causes.iter().map(|cause| {
        let fields = [
            ("reason", cause.reason),
            ("message", &cause.message),
            ("field", &cause.field),
        ];
        let given = fields.into_iter().filter(|(_, text)| !text.is_empty());
        given
            .map(|(field, text)| (field.to_owned(), Value::from(text)))
            .collect()
    });
    let causes: Vec<Value> = causes.collect();
    if !causes.is_empty() {
        answer["causes"] = causes.into();
    }
    answer
}

/// What the server says of an object that it cannot read; kubectl prints a line around it.
fn bad_request(text: &str) -> Option<Value> {
    let line = text.lines().find(|line| !line.starts_with("Warning: "))?;
    let message =
        line.strip_prefix("Error from server (BadRequest): error when creating \"STDIN\": ")?;
    Some(json!({"code": 400, "reason": "BadRequest", "message": message}))
}

/// The manifests that were too long to be written down.
fn manifest(case: &Value) -> Value {
    let count = match case["id"].as_str() {
        Some("es-101-ports") => 101,
        Some("es-20001-ports") => 20_001,
        _ => return case["manifest"].clone(),
    };
    let ports = (0..count).map(|index| json!({"name": format!("p{index}"), "port": 80}));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}],
        "ports": ports.collect::<Vec<_>>(),
    })
}

/// `<dynamic>` stands for any text, null for what is not there.
fn same(expected: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (expected, found) {
        (Value::String(text), Value::String(_) | Value::Number(_))
            if text.starts_with("<dynamic") => {}
        (Value::Object(expected), Value::Object(found)) => {
            for (field, value) in expected {
                match found.get(field) {
                    Some(other) => same(value, other, &format!("{path}.{field}"), differences),
                    None if value.is_null() => {}
                    None => differences.push(format!("{path}.{field}: missing")),
                }
            }
            let others = found.keys().filter(|field| !expected.contains_key(*field));
            for field in others.filter(|_| path != ".metadata") {
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

/// Everything in which a request's answer is not as recorded.
fn judge(case: &Value, verb: &str, result: &Value) -> Vec<String> {
    let id = case["id"].as_str().unwrap();
    let manifest = manifest(case);
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
    let outcome = send(&mut server, verb, &manifest);
    let recorded = |field: &str| {
        result[field]
            .as_str()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    let mut differences = Vec::new();
    let several = matches!(&manifest, Value::String(text) if text.contains("---"));
    if outcome.object.is_none() && !several && server.revision() != before {
        differences.push("a refused request was logged".to_owned());
    }
    let (stdout, stderr) = (recorded("stdout"), recorded("stderr"));
    let expected = if stdout.is_empty() || several {
        stderr
    } else {
        [stderr, stdout].join("\n")
    };
    let sent = manifest.to_string();
    let expected = without_chosen_addresses(expected.trim(), &sent);
    let found = without_chosen_addresses(&outcome.text, &sent);
    let generated = id == "svc-generate-name" && found.starts_with("service/web-");
    if expected != found && !generated {
        differences.push(format!("recorded\n    {expected}\n  found\n    {found}"));
    }
    // A kind that the server does not know is refused by kubectl, and the recorded answer is that of a bare request.
    let asked = !outcome.text.contains("resource mapping not found");
    if let Some(recorded) = case.get("http").filter(|_| verb == "create" && asked) {
        let found = outcome.http.unwrap_or_default();
        same(recorded, &found, " HTTP", &mut differences);
    }
    if let (Some(recorded), Some(found)) = (result.get("object"), outcome.object) {
        same(recorded, &comparable(recorded, found), "", &mut differences);
    }
    differences
}

/// Of a stored object what the recording speaks of.
fn comparable(recorded: &Value, mut found: Value) -> Value {
    if recorded.get("endpointCount").is_some() {
        let endpoints = found["endpoints"].as_array().map_or(0, Vec::len);
        return json!({"endpointCount": endpoints});
    }
    let fields = found.as_object_mut().unwrap();
    fields.shift_remove("apiVersion");
    fields.shift_remove("kind");
    if recorded.get("metadata").is_none() {
        fields.shift_remove("metadata");
    }
    found
}

fn cases() -> Vec<Value> {
    let text = include_str!("recorded/validation.yaml");
    let mut cases: Vec<Value> = serde_yaml::from_str(text).unwrap();
    cases.retain(|case| case.get("op").is_some());
    cases
}

#[test]
fn answers_as_recorded() {
    let mut failures = Vec::new();
    let mut expected: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut judged = 0;
    for case in &cases() {
        let id = case["id"].as_str().unwrap();
        let results = case["result"].as_object().unwrap();
        for (verb, result) in results {
            let result = if result == "same" {
                &results[case["op"].as_str().unwrap()]
            } else {
                result
            };
            let is_excused = |(excused, of, _): &(&str, &str, &str)| (*excused, *of) == (id, verb);
            if NOT_COMPARABLE.iter().any(is_excused) {
                continue;
            }
            judged += 1;
            for difference in judge(case, verb, result) {
                let known = DIFFERENCES
                    .iter()
                    .find(|(of, text, _)| *of == id && *text == difference);
                match known {
                    Some((id, text, _)) => drop(expected.insert((*id, *text))),
                    None => failures.push(format!("{id} ({verb}): {difference}")),
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {judged}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    let all = DIFFERENCES
        .iter()
        .map(|(id, text, _)| (*id, *text))
        .collect();
    assert_eq!(
        expected, all,
        "a difference that is no more must not be listed"
    );
    assert!(judged > 420, "{judged} requests were judged");
}

#[test]
fn what_the_requests_show_is_among_them() {
    let cases = cases();
    let known: BTreeSet<&str> = cases
        .iter()
        .filter_map(|case| case["id"].as_str())
        .collect();
    for (id, requests) in SHOWN {
        for request in *requests {
            assert!(known.contains(request), "{id}: no request {request}");
        }
    }
}
