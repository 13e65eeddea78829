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

/// A value as Go prints it, which JSON is not: `map[app:web]`, `[a b]`.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(_) => {
            let fields = pairs(value, "").into_iter();
            let fields: Vec<String> = fields
                .map(|(key, value)| format!("{key}:{}", go_text(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Null => "<nil>".to_owned(),
        scalar => plain(scalar),
    }
}

/// A field as plain text.
pub(crate) fn plain_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(plain).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_as_go_prints_them() {
        let value = json!({"tier": "a", "app": ["web", 1, null, {}]});
        assert_eq!(go_text(&value), "map[app:[web 1 <nil> map[]] tier:a]");
    }
}
