//! Objects as `kubectl get -o` prints them.
//!
//! **Source of the semantics.** kubectl sorts keys by name; JSON is indented by four blanks, YAML by two without
//! indenting lists; several objects are a `List`; `name` prints `service/web`, `endpointslice.discovery.k8s.io/x`.

use std::collections::BTreeMap;

use api::Object;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::step::Output;

/// Prints objects; `is_list` says whether a kind was asked for rather than one object.
#[must_use]
pub fn print(objects: &[Object], is_list: bool, output: Output) -> String {
    match output {
        Output::Name => {
            let lines = objects
                .iter()
                .map(|object| format!("{}/{}\n", object.key().singular(), object.meta().name));
            lines.collect()
        }
        Output::Yaml => serde_yaml::to_string(&sorted(to_json(objects, is_list)))
            .expect("JSON is always YAML too"),
        Output::Json => {
            let mut bytes = Vec::new();
            let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, indented);
            sorted(to_json(objects, is_list))
                .serialize(&mut serializer)
                .expect("a vector takes all that is written");
            bytes.push(b'\n');
            String::from_utf8(bytes).expect("JSON is text")
        }
    }
}

/// Objects as JSON: one, or a `List`.
#[must_use]
pub fn to_json(objects: &[Object], is_list: bool) -> Json {
    let mut items = objects
        .iter()
        .map(|object| Json::Object(object.to_fields()));
    match (is_list, items.next()) {
        (false, Some(object)) => object,
        (_, first) => {
            let items: Vec<Json> = first.into_iter().chain(items).collect();
            json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
        }
    }
}

/// The same with the keys of all objects in the order of their names.
fn sorted(json: Json) -> Json {
    match json {
        Json::Object(fields) => {
            let fields: BTreeMap<String, Json> = fields
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Json::Object(fields.into_iter().collect())
        }
        Json::Array(items) => items.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use api::{ObjectMeta, Service};

    use super::*;

    fn check(output: Output, is_list: bool, expected: &str) {
        let mut service = Service {
            metadata: ObjectMeta::named("default", "web"),
            ..Service::default()
        };
        service
            .metadata
            .labels
            .insert("app".to_owned(), "web".to_owned());
        assert_eq!(print(&[service.into()], is_list, output), expected);
    }

    #[test]
    fn keys_are_sorted_and_lists_have_kubectls_shape() {
        check(Output::Name, true, "service/web\n");
        check(
            Output::Yaml,
            false,
            "apiVersion: v1\nkind: Service\nmetadata:\n  labels:\n    app: web\n  name: web\n  namespace: default\nspec: {}\nstatus:\n  loadBalancer: {}\n",
        );
        check(
            Output::Json,
            true,
            r#"{
    "apiVersion": "v1",
    "items": [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "labels": {
                    "app": "web"
                },
                "name": "web",
                "namespace": "default"
            },
            "spec": {},
            "status": {
                "loadBalancer": {}
            }
        }
    ],
    "kind": "List",
    "metadata": {
        "resourceVersion": ""
    }
}
"#,
        );
    }
}
