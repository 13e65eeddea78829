//! Parts that schemas are built from.

use serde_json::{Map, Value as Json, json};

/// A mapping with these keys and no others.
pub(super) fn closed(properties: &[(&str, Json)], required: &[&str]) -> Json {
    let properties = properties.iter().cloned();
    let properties: Map<String, Json> = properties
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// A mapping whose keys are the user's.
pub(super) fn open(what: &str) -> Json {
    json!({"type": "object", "description": what})
}

/// The same with a description.
pub(super) fn described(mut schema: Json, what: &str) -> Json {
    schema["description"] = what.into();
    schema
}

pub(super) fn text(what: &str) -> Json {
    json!({"type": "string", "description": what})
}

pub(super) fn boolean(what: &str) -> Json {
    json!({"type": "boolean", "description": what})
}

pub(super) fn integer(least: u64) -> Json {
    json!({"type": "integer", "minimum": least})
}

/// `5ms`, `1m30s`.
pub(super) fn duration(what: &str) -> Json {
    json!({"type": "string", "description": format!("{what}; a duration such as 5ms or 1m30s")})
}

/// `30`, `28..30`, `..5`.
pub(super) fn range(what: &str) -> Json {
    json!({"type": ["integer", "string"], "description": format!("{what}: 30, 28..30, ..5 or 5..")})
}

pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Json {
    json!({"enum": words.into_iter().collect::<Vec<_>>()})
}

pub(super) fn list(item: Json) -> Json {
    let mut schema = json!({"type": "array"});
    schema["items"] = item;
    schema
}

pub(super) fn any_of(choices: &[Json]) -> Json {
    json!({"anyOf": choices})
}

pub(super) fn one_or_list(item: &Json) -> Json {
    any_of(&[item.clone(), list(item.clone())])
}
