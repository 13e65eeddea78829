//! Looking into objects as JSON, where no struct holds what kubectl shows.
//!
//! A field that is missing, or has another type, reads as Go's zero value, which is what kubectl would print.

use serde_json::Value;

/// A text; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer);
    found.and_then(Value::as_str).unwrap_or_default()
}

/// A text that is set.
pub(crate) fn given<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    Some(text(value, pointer)).filter(|text| !text.is_empty())
}

/// A whole number; 0 if there is none.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    let found = value.pointer(pointer);
    found.and_then(Value::as_i64).unwrap_or_default()
}

/// A flag; false if there is none.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    let found = value.pointer(pointer);
    found.and_then(Value::as_bool).unwrap_or_default()
}

/// A list; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer);
    found
        .and_then(Value::as_array)
        .map_or(&[], |items| items.as_slice())
}

/// The texts of a list.
pub(crate) fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let items = list(value, pointer).iter();
    items.filter_map(Value::as_str).collect()
}

/// How many entries a mapping has.
pub(crate) fn entries(value: &Value, pointer: &str) -> usize {
    let found = value.pointer(pointer);
    found
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

/// A mapping's entries in order of their keys.
pub(crate) fn pairs<'a>(value: &'a Value, pointer: &str) -> Vec<(&'a str, &'a Value)> {
    let found = value.pointer(pointer).and_then(Value::as_object);
    let mut pairs: Vec<_> = found
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    pairs.sort_by_key(|(key, _)| *key);
    pairs
}

/// A number or a text, without quotes: quantities, and ports that may be named.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A field as plain text.
pub(crate) fn plain_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(plain).unwrap_or_default()
}
