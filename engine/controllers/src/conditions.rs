//! `status.conditions` of workloads.

use api::{Condition, Rest};
use serde_json::json;

const FIELD: &str = "conditions";

/// The conditions among the fields of a status; what is no list of conditions counts as none.
pub(crate) fn read(status: &Rest) -> Vec<Condition> {
    status.typed(FIELD).unwrap_or_default()
}

/// Puts conditions among the fields of a status.
pub(crate) fn write(status: &mut Rest, conditions: &[Condition]) {
    if conditions.is_empty() {
        status.remove(FIELD);
    } else {
        status.insert(FIELD, json!(conditions));
    }
}

/// The condition of a type.
pub(crate) fn find<'a>(conditions: &'a [Condition], name: &str) -> Option<&'a Condition> {
    let mut found = conditions.iter();
    found.find(|condition| condition.condition_type == name)
}

/// A text field of a condition; empty where it has none.
pub(crate) fn text<'a>(condition: &'a Condition, field: &str) -> &'a str {
    let value = condition.rest.get(field).and_then(|value| value.as_str());
    value.unwrap_or_default()
}
