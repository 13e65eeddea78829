//! As much of JSON Schema as the schema of scenarios uses; any other keyword is a mistake in it.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use serde_yaml::Value;

/// Words about a schema that refuse nothing.
const NOTES: [&str; 4] = ["$schema", "title", "description", "definitions"];

/// A schema.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    /// The whole of it, with its definitions.
    root: &'a Json,
    /// The part that is meant.
    part: &'a Json,
}

/// A place in the schema.
pub(crate) type Mark = *const Json;

/// What the schema says of a mapping.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Nothing.
    Unknown,
    /// Any keys.
    Free,
    /// These keys.
    Closed {
        keys: BTreeSet<String>,
        /// The places that say so.
        marks: BTreeSet<Mark>,
    },
}

impl<'a> Schema<'a> {
    /// A whole schema.
    pub(crate) fn of(root: &'a Json) -> Self {
        Self { root, part: root }
    }

    fn at(self, part: &'a Json) -> Self {
        Self { part, ..self }
    }

    /// What a reference such as `#/definitions/get` means.
    fn defined(self, reference: &Json) -> Self {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
        let part = pointer.and_then(|pointer| self.root.pointer(pointer));
        self.at(part.unwrap_or_else(|| panic!("{reference} is not defined")))
    }

    /// Whether a value is valid, or the place of the first fault.
    pub(crate) fn check(self, value: &Value) -> Result<(), String> {
        let Some(words) = self.part.as_object() else {
            return Err(format!("{} is no schema", self.part));
        };
        for (word, said) in words {
            let is_met = match word.as_str() {
                note if NOTES.contains(&note) => true,
                "type" => type_is(said, value),
                "$ref" => return self.defined(said).check(value),
                "const" => json(value) == *said,
                "enum" => said.as_array().unwrap().contains(&json(value)),
                "minimum" => value
                    .as_i64()
                    .is_none_or(|value| value >= said.as_i64().unwrap()),
                "maximum" => value
                    .as_i64()
                    .is_none_or(|value| value <= said.as_i64().unwrap()),
                "required" => {
                    let mut keys = said.as_array().unwrap().iter().filter_map(Json::as_str);
                    keys.all(|key| value.get(key).is_some())
                }
                "anyOf" => {
                    let tried = said.as_array().unwrap().iter();
                    let outcomes: Vec<_> = tried.map(|one| self.at(one).check(value)).collect();
                    match outcomes.iter().any(Result::is_ok) {
                        true => true,
                        false => return Err(format!("none of: {outcomes:?}")),
                    }
                }
                "items" => {
                    let items = value.as_sequence().into_iter().flatten();
                    for (index, item) in items.enumerate() {
                        self.at(said)
                            .check(item)
                            .map_err(|why| format!("[{index}] {why}"))?;
                    }
                    true
                }
                "properties" => {
                    for (key, below) in value.as_mapping().into_iter().flatten() {
                        let key = key.as_str().unwrap_or_default();
                        if let Some(said) = said.get(key) {
                            self.at(said)
                                .check(below)
                                .map_err(|why| format!(".{key} {why}"))?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = |key: &Value| {
                        words["properties"]
                            .get(key.as_str().unwrap_or_default())
                            .is_some()
                    };
                    assert_eq!(*said, Json::Bool(false), "a schema of this crate");
                    value
                        .as_mapping()
                        .is_none_or(|mapping| mapping.keys().all(known))
                }
                _ => panic!("{word} is not checked by this test"),
            };
            if !is_met {
                return Err(format!("is not as {word} {said} wants it"));
            }
        }
        Ok(())
    }

    /// What it says of the mapping that `way` leads to.
    pub(crate) fn shape_at(self, value: &Value, way: &[Value]) -> Shape {
        let mut places = self.choices();
        let mut here = value;
        for step in way {
            // Of several shapes of a step, the one that has its verb.
            let fits = |one: &&Json| {
                let required = one.get("required").and_then(Json::as_array);
                let mut required = required.into_iter().flatten().filter_map(Json::as_str);
                required.all(|key| here.get(key).is_some())
            };
            let fitting: Vec<&Json> = places.into_iter().filter(fits).collect();
            let below = fitting.iter().filter_map(|one| match step {
                Value::String(key) => one.get("properties")?.get(key),
                _ => one.get("items"),
            });
            let below: Vec<&Json> = below.flat_map(|one| self.at(one).choices()).collect();
            let is_free = |one: &&Json| one["type"] == "object" && one.get("properties").is_none();
            if below.is_empty() && fitting.iter().any(is_free) {
                return Shape::Free;
            }
            places = below;
            here = match step {
                Value::String(_) => &here[step],
                index => &here[usize::try_from(index.as_u64().unwrap()).unwrap()],
            };
        }
        // Of several sorts of one thing, the one whose words these are.
        let is_meant = |one: &&Json| {
            let keys = one.get("properties").and_then(Json::as_object);
            let mut keys = keys.into_iter().flatten();
            keys.all(|(key, said)| match (said.get("enum"), here.get(key)) {
                (Some(words), Some(word)) => words.as_array().unwrap().contains(&json(word)),
                _ => true,
            })
        };
        places.retain(|one| one["type"] == "object" && is_meant(one));
        match places.iter().any(|one| one.get("properties").is_none()) {
            _ if places.is_empty() => Shape::Unknown,
            true => Shape::Free,
            false => {
                let keys = places
                    .iter()
                    .flat_map(|one| one["properties"].as_object().unwrap().keys());
                let marks = places.iter().map(|one| std::ptr::from_ref::<Json>(one));
                Shape::Closed {
                    keys: keys.cloned().collect(),
                    marks: marks.collect(),
                }
            }
        }
    }

    /// Every place with a mapping of known keys, with one of them.
    pub(crate) fn closed_mappings(self) -> Vec<(Mark, String)> {
        let mut found = Vec::new();
        let definitions = self.root["definitions"].as_object();
        let mut open = vec![self.root];
        open.extend(definitions.into_iter().flat_map(|all| all.values()));
        while let Some(one) = open.pop() {
            if let Some(properties) = one.get("properties").and_then(Json::as_object) {
                let keys: Vec<_> = properties.keys().map(String::as_str).collect();
                found.push((std::ptr::from_ref(one), keys.join(", ")));
                open.extend(properties.values());
            }
            open.extend(one.get("items"));
            open.extend(
                one.get("anyOf")
                    .and_then(Json::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        found
    }

    /// The schemas that a value may follow, without those that only name or list others.
    fn choices(self) -> Vec<&'a Json> {
        if let Some(reference) = self.part.get("$ref") {
            return self.defined(reference).choices();
        }
        match self.part.get("anyOf").and_then(Json::as_array) {
            Some(choices) => choices
                .iter()
                .flat_map(|one| self.at(one).choices())
                .collect(),
            None => vec![self.part],
        }
    }
}

fn json(value: &Value) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

fn type_is(said: &Json, value: &Value) -> bool {
    let is = |word: &Json| match word.as_str().unwrap() {
        "object" => value.is_mapping(),
        "array" => value.is_sequence(),
        "string" => value.is_string(),
        "boolean" => value.is_bool(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("type {other} is not checked by this test"),
    };
    match said.as_array() {
        Some(words) => words.iter().any(is),
        None => is(said),
    }
}
