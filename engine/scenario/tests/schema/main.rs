//! The schema and the reader of scenarios know the same keys, and the committed schema is this one.
//!
//! To bring the file up to date: `UPDATE_SCHEMA=1 cargo test -p switchboard-scenario --test schema`. A new key or verb
//! stands in three places: the reader (`src/load`), the schema (`src/schema`) and `every-key.yaml` beside this file.

mod validate;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use api::yaml::{Source, split};
use serde_yaml::Value;
use switchboard_scenario::{Problems, load, schema};
use validate::{Schema, Shape};

const EVERY_KEY: &str = include_str!("every-key.yaml");
/// Like no key of the language, so that the reader lists all that it knows.
const UNKNOWN: &str = "qqqqqqqqqqqq";

/// What other files hold: each is read both as manifests and as a dump.
const OTHER_FILE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}";

/// What the file of a proxy's configuration holds.
const PROXY_FILE: &str = "{kind: KubeProxyConfiguration, clusterCIDR: 10.244.0.0/16}";

fn read(text: &str) -> Result<(), Problems> {
    let source = Source::new("s.yaml", text);
    let other = |path: &str| match path {
        "proxy.yaml" => Ok(PROXY_FILE.to_owned()),
        _ => Ok(OTHER_FILE.to_owned()),
    };
    load(&source, &mut |path: &str| other(path)).map(|_| ())
}

fn documents(text: &str) -> Vec<Value> {
    let documents = split(&Source::new("s.yaml", text)).unwrap();
    documents
        .into_iter()
        .map(|document| document.value)
        .collect()
}

/// A way down into a value.
type Way = Vec<Value>;

/// The ways to all mappings of a value.
fn mappings(value: &Value, way: &Way, found: &mut Vec<Way>) {
    let below = |step: Value| [&way[..], &[step]].concat();
    match value {
        Value::Mapping(mapping) => {
            found.push(way.clone());
            for (key, value) in mapping {
                mappings(value, &below(key.clone()), found);
            }
        }
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate() {
                mappings(item, &below(index.into()), found);
            }
        }
        _ => {}
    }
}

/// The same value with an unknown key in the mapping at `way`.
fn spoiled(value: &Value, way: &[Value]) -> Value {
    let mut value = value.clone();
    let mut place = &mut value;
    for step in way {
        place = match step {
            Value::Number(index) => &mut place[usize::try_from(index.as_u64().unwrap()).unwrap()],
            key => place.get_mut(key).unwrap(),
        };
    }
    let mapping = place.as_mapping_mut().unwrap();
    mapping.insert(UNKNOWN.into(), 1.into());
    value
}

/// The keys that the reader says are known where it met the unknown one.
fn known(problems: &Problems) -> Option<BTreeSet<String>> {
    let unknown = format!("unknown key `{UNKNOWN}`");
    let problem = problems.iter().find(|problem| problem.message == unknown)?;
    let listed = problem.help.as_ref()?.strip_prefix("known here: ")?;
    let keys = listed.split(", ").filter(|key| !key.is_empty());
    Some(keys.map(str::to_owned).collect())
}

#[test]
fn every_mapping_has_the_same_keys_for_both() {
    let schema = schema::scenario();
    let schema = Schema::of(&schema);
    let mut visited = BTreeSet::new();
    let mut compared = 0;
    for document in documents(EVERY_KEY) {
        let text = serde_yaml::to_string(&document).unwrap();
        read(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let mut ways = Vec::new();
        mappings(&document, &Vec::new(), &mut ways);
        for way in ways {
            let spoiled = spoiled(&document, &way);
            let refused = read(&serde_yaml::to_string(&spoiled).unwrap()).err();
            let shape = schema.shape_at(&document, &way);
            let place = format!("{way:?}: {shape:?}");
            match (&shape, &refused) {
                (Shape::Unknown, _) => panic!("the schema says nothing of {place}"),
                (Shape::Free, None) => {}
                // What stands in a Kubernetes object is not the language's.
                (Shape::Free, Some(problems)) => assert!(known(problems).is_none(), "{place}"),
                (Shape::Closed { .. }, None) => panic!("the reader takes any key at {place}"),
                (Shape::Closed { keys, marks }, Some(problems)) => {
                    if let Some(known) = known(problems) {
                        compared += 1;
                        assert_eq!(
                            *keys, known,
                            "the schema, and what the reader knows, at {place}"
                        );
                    }
                    assert!(
                        schema.check(&spoiled).is_err(),
                        "the schema takes any key at {place}"
                    );
                    visited.extend(marks.iter().copied());
                }
            }
        }
    }
    // All but the mappings by mode or outcome, whose keys are words.
    assert!(compared > 150, "only {compared}");
    let all = schema.closed_mappings();
    let missing: Vec<_> = all
        .iter()
        .filter(|(mark, _)| !visited.contains(mark))
        .collect();
    assert!(
        missing.is_empty(),
        "every-key.yaml lacks a mapping of the schema: {missing:?}"
    );
}

#[test]
fn every_scenario_here_is_valid() {
    let schema = schema::scenario();
    let mut files = Vec::new();
    yaml_files(&root().join("scenarios"), &mut files);
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for document in documents(&text) {
            if document.get("kind").and_then(Value::as_str) == Some("Scenario") {
                let outcome = Schema::of(&schema).check(&document);
                assert_eq!(outcome, Ok(()), "{}", file.display());
                count += 1;
            }
        }
    }
    assert!(count > 60, "only {count} scenarios");
    for document in documents(EVERY_KEY) {
        assert_eq!(Schema::of(&schema).check(&document), Ok(()));
    }
}

#[test]
fn values_of_another_sort_are_refused() {
    let schema = schema::scenario();
    let good = &documents(EVERY_KEY)[0];
    let check = |from: &str, to: &str| {
        let text = serde_yaml::to_string(good).unwrap();
        assert!(text.contains(from), "{from:?} in {text}");
        let bad = &documents(&text.replacen(from, to, 1))[0];
        assert!(Schema::of(&schema).check(bad).is_err(), "{to}");
        assert!(read(&serde_yaml::to_string(bad).unwrap()).is_err(), "{to}");
    };
    check("seed: 7", "seed: many");
    check("kind: Scenario", "kind: Scene");
    check("outcome: connected", "outcome: fine");
    check("spread: uniform", "spread: even");
    check("count: 30", "count: 0");
    check("rcode: NOERROR", "rcode: FINE");
    check("verdict:", "verdikt:");
    check("mtu: 1500", "mtu: 100");
}

#[test]
fn the_committed_schema_is_this_one() {
    let path = root().join("scenarios/schema.json");
    let text = format!("{:#}\n", schema::scenario());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "scenarios/schema.json is out of date: run `UPDATE_SCHEMA=1 cargo test -p switchboard-scenario --test schema`"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
}
