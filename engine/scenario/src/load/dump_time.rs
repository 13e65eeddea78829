//! The times of a dump, seen from a clock that begins when every scenario does.
//!
//! **Why.** A dump is of a later day than the virtual clock's first: what it holds would begin in the future, have no age and
//! never have waited for anything. So all of its times are moved alike: the latest is the scenario's beginning.

use api::{Object, earlier_timestamp, parse_timestamp};
use serde_json::{Map, Value};

/// Mappings of a user's own texts: a time in them is nobody's clock.
const TEXTS: [&str; 4] = ["annotations", "labels", "data", "matchLabels"];

/// Moves the times of objects, if the latest is after the clock's beginning.
pub(super) fn move_times(objects: &mut [Object]) {
    let mut latest = 0;
    for object in &*objects {
        let mut value = Value::Object(object.to_fields());
        each_text(&mut value, &mut |text| {
            if let Some(at) = parse_timestamp(text) {
                latest = latest.max(at.as_nanos().div_ceil(1_000_000_000));
            }
        });
    }
    if latest == 0 {
        return;
    }
    for object in objects {
        let mut value = Value::Object(object.to_fields());
        each_text(&mut value, &mut |text| {
            if let Some(earlier) = earlier_timestamp(text, latest) {
                *text = earlier;
            }
        });
        if let Value::Object(fields) = value
            && let Ok(moved) = Object::from_fields(object.kind(), fields)
        {
            *object = moved;
        }
    }
}

fn each_text(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, visit)),
        Value::Object(fields) => each_field(fields, visit),
        _ => {}
    }
}

fn each_field(fields: &mut Map<String, Value>, visit: &mut impl FnMut(&mut String)) {
    let own = fields
        .iter_mut()
        .filter(|(key, _)| !TEXTS.contains(&key.as_str()));
    own.for_each(|(_, value)| each_text(value, visit));
}
