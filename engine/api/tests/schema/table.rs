//! The text of the field table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::go_types::go_type_of_field;
use crate::real::Real;

const HEAD: &str = "\
# Fields of Kubernetes 1.36 and their types, spelled as in Go with the API group before the package.
# Generated: UPDATE_SCHEMA=1 cargo test -p switchboard-api --test schema
";

/// Every kind, then every type that has a name: a struct with its fields, or another name of a type.
pub(crate) fn text(real: &Real) -> String {
    let mut text = HEAD.to_owned();
    let mut kinds: Vec<_> = real.kinds.iter().collect();
    kinds.sort();
    for (version, kind, definition) in kinds {
        writeln!(text, "kind {version} {kind} {}", go_name(definition)).unwrap();
    }
    for (name, body) in types(real) {
        text.push_str(&format!("type {name}{body}\n"));
    }
    text
}

/// By name: what follows the name.
fn types(real: &Real) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    for (definition, schema) in &real.definitions {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            continue;
        };
        let name = go_name(definition);
        let mut fields: Vec<_> = properties.iter().collect();
        fields.sort_by_key(|(field, _)| *field);
        let mut body = String::new();
        for (field, schema) in fields {
            let plain = plain_type(real, schema);
            let named = go_type_of_field(&name, field, &plain);
            if let Some((alias, of)) = alias(&named, &plain) {
                types.insert(alias.to_owned(), format!(" {of}"));
            }
            write!(body, "\n  {field} {named}").unwrap();
        }
        types.insert(name, body);
    }
    types
}

/// The type that is named in `named` and what it stands for in `plain`, behind what both begin with.
fn alias<'a>(named: &'a str, plain: &'a str) -> Option<(&'a str, &'a str)> {
    if named == plain {
        return None;
    }
    for container in ["[]", "map[string]"] {
        if let (Some(named), Some(plain)) =
            (named.strip_prefix(container), plain.strip_prefix(container))
        {
            return alias(named, plain);
        }
    }
    Some((named, plain))
}

fn plain_type(real: &Real, schema: &Value) -> String {
    if let Some((definition, schema)) = real.referred(schema) {
        return match go_name(definition).as_str() {
            name @ ("intstr.IntOrString" | "resource.Quantity" | "meta/v1.Time"
            | "meta/v1.MicroTime") => name.to_owned(),
            name if schema.get("properties").is_some() => name.to_owned(),
            // JSON that the user is free in.
            _ => "any".to_owned(),
        };
    }
    let word = |field: &str| {
        schema
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match (word("type"), word("format")) {
        ("string", "byte") => "[]uint8".to_owned(),
        ("string", "") => "string".to_owned(),
        ("boolean", "") => "bool".to_owned(),
        ("integer", format @ ("int32" | "int64")) => format.to_owned(),
        ("number", "double") => "float64".to_owned(),
        ("array", "") => format!("[]{}", plain_type(real, &schema["items"])),
        ("object", "") => format!(
            "map[string]{}",
            plain_type(real, &schema["additionalProperties"])
        ),
        other => panic!("no Go type for {other:?} in {schema}"),
    }
}

/// `io.k8s.api.core.v1.ServicePort` is Go's `v1.ServicePort`, here `core/v1.ServicePort`: groups share names.
fn go_name(definition: &str) -> String {
    let mut parts = definition.rsplit('.');
    let mut part = || parts.next().unwrap_or_default();
    let (name, package, group) = (part(), part(), part());
    let versioned =
        package.starts_with('v') && package[1..].starts_with(|c: char| c.is_ascii_digit());
    if versioned {
        format!("{group}/{package}.{name}")
    } else {
        format!("{package}.{name}")
    }
}
