//! Whatever a manifest holds, it is written or refused; nothing panics and nothing is half done.
//!
//! Noise seldom gets past the YAML reader, so most inputs here are manifests that were sent to a real server, with
//! something changed. `fuzz/fuzz_targets/manifest.rs` does the same with a fuzzer's inputs.

mod exercise;

use std::sync::LazyLock;

use exercise::exercise;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};
use switchboard_api as api;

/// The manifests of the recording.
static RECORDED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let text = include_str!("../recorded/validation.yaml");
    let cases: Vec<Value> = serde_yaml::from_str(text).unwrap();
    let manifests = cases.into_iter().map(|mut case| case["manifest"].take());
    manifests.filter(Value::is_object).collect()
});

/// One change somewhere in a manifest.
#[derive(Clone, Debug)]
enum Change {
    /// The value becomes another one.
    Put(Value),
    /// The value becomes one from elsewhere, in this manifest or another.
    Graft(Index, Index),
    /// The field or item goes.
    Remove,
    /// The item comes twice, the field once more under another name.
    Double,
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        Just(json!({"": null})),
        prop_oneof![
            Just(0),
            Just(-1),
            Just(65_536),
            Just(i64::MAX),
            Just(i64::MIN),
            any::<i64>()
        ]
        .prop_map(Value::from),
        prop_oneof![Just(1.5), Just(1e300), Just(-0.0)].prop_map(Value::from),
        prop_oneof![
            Just(""),
            Just("None"),
            Just("::"),
            Just("10.96.0.1"),
            Just("Ünï/ço%de"),
            Just("Local")
        ]
        .prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[a-z]{64,300}".prop_map(Value::from),
    ]
}

fn change() -> impl Strategy<Value = (Index, Change)> {
    let change = prop_oneof![
        4 => odd_value().prop_map(Change::Put),
        3 => any::<(Index, Index)>().prop_map(|(from, place)| Change::Graft(from, place)),
        1 => Just(Change::Remove),
        1 => Just(Change::Double),
    ];
    (any::<Index>(), change)
}

/// Pointers to every value inside, the outermost first.
fn pointers(value: &Value) -> Vec<String> {
    fn visit(value: &Value, pointer: &str, into: &mut Vec<String>) {
        into.push(pointer.to_owned());
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    visit(value, &format!("{pointer}/{key}"), into);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    visit(value, &format!("{pointer}/{index}"), into);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    visit(value, "", &mut found);
    found
}

fn alter(manifest: &mut Value, place: &Index, change: &Change, all: &[Value]) {
    let pointer = place.get(&pointers(manifest)).clone();
    match change {
        Change::Put(value) => *manifest.pointer_mut(&pointer).unwrap() = value.clone(),
        Change::Graft(from, inner) => {
            let from = from.get(all);
            let graft = inner.get(&pointers(from)).clone();
            let graft = from.pointer(&graft).unwrap().clone();
            *manifest.pointer_mut(&pointer).unwrap() = graft;
        }
        Change::Remove | Change::Double => {
            let Some((above, last)) = pointer.rsplit_once('/') else {
                return;
            };
            let last = last.replace("~1", "/").replace("~0", "~");
            match (manifest.pointer_mut(above).unwrap(), change) {
                (Value::Object(fields), Change::Remove) => drop(fields.shift_remove(&last)),
                (Value::Object(fields), _) => double(fields, &last),
                (Value::Array(items), Change::Remove) => drop(items.pop()),
                (Value::Array(items), _) => items.extend(items.first().cloned()),
                _ => {}
            }
        }
    }
}

fn double(fields: &mut Map<String, Value>, field: &str) {
    let value = fields[field].clone();
    fields.insert(format!("{field}s"), value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn altered_manifests_are_written_or_refused(
        start in any::<Index>(),
        changes in prop::collection::vec(change(), 1..4),
        as_yaml in any::<bool>(),
        twice in any::<bool>(),
    ) {
        let original = start.get(&RECORDED);
        let mut manifest = original.clone();
        for (place, change) in &changes {
            alter(&mut manifest, place, change, &RECORDED);
        }
        let items = if twice { vec![original.clone(), manifest] } else { vec![manifest] };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        match as_yaml {
            true => exercise(&serde_yaml::to_string(&list).unwrap()),
            false => exercise(&list.to_string()),
        }
    }

    #[test]
    fn noise_is_refused(text in "\\PC{0,80}|[-a-z0-9:{}\\[\\]&*!|>'\" \t\n#,]{0,80}") {
        exercise(&text);
    }
}

#[test]
fn recorded_manifests_go_through_every_verb() {
    for manifest in RECORDED.iter() {
        exercise(&manifest.to_string());
    }
}

/// Inputs that once made something panic.
#[test]
fn earlier_finds_stay_found() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    for file in std::fs::read_dir(folder).into_iter().flatten() {
        exercise(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
}
