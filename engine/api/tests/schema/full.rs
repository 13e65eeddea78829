//! Objects with every field of the real schema.

use api::Kind;
use serde_json::{Map, Value, json};
use switchboard_api as api;

use crate::real::Real;

/// One full object of every kind that has a struct.
pub(crate) fn objects(real: &Real) -> Vec<(Kind, Value)> {
    let live = Kind::LIVE.into_iter();
    live.map(|kind| {
        let root = real.kinds.iter().find(|(version, name, _)| {
            (version.as_str(), name.as_str()) == (kind.api_version(), kind.name())
        });
        let (_, _, definition) = root.unwrap_or_else(|| panic!("{kind}"));
        let mut object = full(real, &real.definitions[definition]);
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        (kind, object)
    })
    .collect()
}

/// A value that is not the zero of its type, with every field; numbers are the greatest of their type.
fn full(real: &Real, schema: &Value) -> Value {
    if let Some((name, schema)) = real.referred(schema) {
        return match name.rsplit('.').next() {
            Some("IntOrString") => json!("a-name"),
            Some("Quantity") => json!("100m"),
            Some("FieldsV1" | "RawExtension") => json!({"f:any": {"thing": [1, null, true]}}),
            Some("Time") => json!("2030-01-01T00:00:00Z"),
            Some("MicroTime") => json!("2030-01-01T00:00:00.000001Z"),
            _ => full(real, schema),
        };
    }
    let format = schema.get("format").and_then(Value::as_str);
    match (schema["type"].as_str().unwrap(), format) {
        ("string", Some("byte")) => json!("YQ=="),
        ("string", _) => json!("text"),
        ("boolean", _) => json!(true),
        ("integer", Some("int32")) => json!(i32::MAX),
        ("integer", _) => json!(i64::MAX),
        ("array", _) => json!([full(real, &schema["items"])]),
        ("object", _) => match schema.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                let fields = properties.iter();
                let fields: Map<_, _> = fields
                    .map(|(field, schema)| (field.clone(), full(real, schema)))
                    .collect();
                fields.into()
            }
            None => json!({"key": full(real, &schema["additionalProperties"])}),
        },
        other => panic!("{other:?}"),
    }
}
