//! A strategic merge patch, as the merge patch that does the same to one object.
//!
//! **Source of the semantics.** S: `apimachinery/pkg/util/strategicpatch`; the `patchMergeKey`s of `api/core/v1/types.go`.
//!
//! Deviation: of the directives there are `$patch: replace` and `$patch: delete`; others are refused.

use serde_json::{Map, Value as Json};

/// Lists whose items have keys: the field that holds the list, and the field of an item.
const KEYED: [(&str, &str); 13] = [
    ("conditions", "type"),
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ownerReferences", "uid"),
    ("podIPs", "ip"),
    ("secrets", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeMounts", "mountPath"),
    ("volumes", "name"),
];
/// What a patch says of a mapping or an item besides its fields.
const DIRECTIVE: &str = "$patch";

/// The merge patch (RFC 7386) that makes of `object` what `patch` would.
///
/// # Errors
/// When an item of a list has no key, or a directive is not supported.
pub(super) fn merge_patch(object: &Json, patch: &Json) -> Result<Json, String> {
    let keyed = Keyed {
        is_service: object["kind"] == "Service",
    };
    match patch {
        Json::Object(patch) => keyed.fields(object, patch, "").map(Json::Object),
        other => Ok(other.clone()),
    }
}

/// Which lists have keys in an object.
struct Keyed {
    is_service: bool,
}

impl Keyed {
    /// The field that an item of the list in `field` is known by; `None` where a list is replaced as a whole.
    fn key_of(&self, parent: &str, field: &str) -> Option<&'static str> {
        match (parent, field) {
            ("spec", "ports") if self.is_service => Some("port"),
            ("containers" | "initContainers", "ports") => Some("containerPort"),
            _ => {
                let mut known = KEYED.iter();
                known.find(|(list, _)| *list == field).map(|(_, key)| *key)
            }
        }
    }

    /// `parent` is the field that holds `object`, or the list of which it is an item.
    fn fields(
        &self,
        object: &Json,
        patch: &Map<String, Json>,
        parent: &str,
    ) -> Result<Map<String, Json>, String> {
        let mut merged = Map::new();
        for (field, value) in patch.iter().filter(|(field, _)| *field != DIRECTIVE) {
            if field.starts_with('$') {
                return Err(format!(
                    "{field} in a patch is not supported here: use --type merge"
                ));
            }
            let present = &object[field];
            let value = match (value, self.key_of(parent, field)) {
                (Json::Object(inner), _) => self.fields(present, inner, field)?.into(),
                (Json::Array(items), Some(key)) => self.list(present, items, field, key)?.into(),
                (Json::Array(items), None) if field == "finalizers" => joined(present, items),
                (value, _) => value.clone(),
            };
            merged.insert(field.clone(), value);
        }
        match patch.get(DIRECTIVE) {
            None => {}
            Some(replace) if replace == "replace" => {
                let present = object.as_object().into_iter().flat_map(Map::keys);
                for gone in present.filter(|field| !patch.contains_key(*field)) {
                    merged.insert(gone.clone(), Json::Null);
                }
            }
            Some(other) => return Err(format!("{DIRECTIVE}: {other} is not supported here")),
        }
        Ok(merged)
    }

    /// The whole list: an item of the patch is merged into the one of its key. New ones stand before those that follow on
    /// the server.
    fn list(
        &self,
        present: &Json,
        patch: &[Json],
        field: &str,
        key: &str,
    ) -> Result<Vec<Json>, String> {
        let present = present.as_array().map_or(&[][..], Vec::as_slice);
        let place_of = |item: &Json| present.iter().position(|other| other[key] == item[key]);
        let is_named = |place: usize| patch.iter().any(|item| place_of(item) == Some(place));
        let mut rest = (0..present.len())
            .filter(|place| !is_named(*place))
            .peekable();
        let mut list = Vec::new();
        for item in patch {
            if item[key].is_null() {
                return Err(format!("error: {field}: an item of the patch has no {key}"));
            }
            let place = place_of(item);
            while let Some(before) = rest.next_if(|other| place.is_some_and(|place| *other < place))
            {
                list.push(present[before].clone());
            }
            match item[DIRECTIVE].as_str() {
                Some("delete") => {}
                _ => list.push(self.item(place.map(|place| &present[place]), item, field)?),
            }
        }
        list.extend(rest.map(|place| present[place].clone()));
        Ok(list)
    }

    fn item(&self, present: Option<&Json>, item: &Json, field: &str) -> Result<Json, String> {
        let Json::Object(patch) = item else {
            return Ok(item.clone());
        };
        let mut whole = present.cloned().unwrap_or_else(|| Json::Object(Map::new()));
        let merged = self.fields(&whole, patch, field)?;
        api::merge_patch(&mut whole, &merged);
        Ok(whole)
    }
}

/// A list of texts with those that it has not yet.
fn joined(present: &Json, more: &[Json]) -> Json {
    let present = present.as_array().map_or(&[][..], Vec::as_slice);
    let new = more.iter().filter(|item| !present.contains(item));
    present.iter().chain(new).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(object: &Json, patch: &Json, expected: &Json) {
        let mut seen = object.clone();
        let merged = merge_patch(object, patch).unwrap();
        api::merge_patch(&mut seen, merged.as_object().unwrap());
        assert_eq!(seen, *expected, "{patch}");
    }

    #[test]
    fn ports_of_a_service_are_known_by_their_numbers() {
        let service = |ports: Json| json!({"kind": "Service", "spec": {"ports": ports, "externalIPs": ["192.0.2.1"]}});
        let of = service(
            json!([{"name": "a", "port": 80, "targetPort": 80}, {"name": "b", "port": 443}]),
        );
        let patch = |ports: Json| json!({"spec": {"ports": ports}});
        check(
            &of,
            &patch(json!([{"port": 80, "targetPort": 8080}])),
            &service(
                json!([{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 443}]),
            ),
        );
        check(
            &of,
            &patch(json!([{"port": 80, "$patch": "delete"}])),
            &service(json!([{"name": "b", "port": 443}])),
        );
        check(
            &of,
            &patch(json!([{"port": 53, "name": "c"}, {"port": 443, "name": null}])),
            &service(
                json!([{"port": 53, "name": "c"}, {"name": "a", "port": 80, "targetPort": 80}, {"port": 443}]),
            ),
        );
        let mut other = service(
            json!([{"name": "a", "port": 80, "targetPort": 80}, {"name": "b", "port": 443}]),
        );
        other["spec"]["externalIPs"] = json!(["192.0.2.2"]);
        check(
            &of,
            &json!({"spec": {"externalIPs": ["192.0.2.2"]}}),
            &other,
        );
    }

    /// The example of Kubernetes' page on patches.
    #[test]
    fn a_new_container_stands_first() {
        let deployment = |containers: Json, tolerations: Json| {
            json!({
                "kind": "Deployment",
                "spec": {"template": {"spec": {"containers": containers, "tolerations": tolerations}}},
            })
        };
        check(
            &deployment(
                json!([{"name": "one", "image": "nginx"}]),
                json!([{"key": "dedicated"}]),
            ),
            &deployment(
                json!([{"name": "two", "image": "redis"}]),
                json!([{"key": "disktype"}]),
            ),
            &deployment(
                json!([{"name": "two", "image": "redis"}, {"name": "one", "image": "nginx"}]),
                json!([{"key": "disktype"}]),
            ),
        );
        check(
            &deployment(
                json!([{"name": "one", "ports": [{"containerPort": 80}]}]),
                json!(null),
            ),
            &deployment(
                json!([{"name": "one", "ports": [{"containerPort": 80, "name": "web"}]}]),
                json!([]),
            ),
            &deployment(
                json!([{"name": "one", "ports": [{"containerPort": 80, "name": "web"}]}]),
                json!([]),
            ),
        );
    }

    #[test]
    fn mappings_are_merged_or_replaced() {
        let object = json!({"kind": "Service", "spec": {"selector": {"app": "a", "tier": "b"}}});
        check(
            &object,
            &json!({"spec": {"selector": {"app": "c"}}}),
            &json!({"kind": "Service", "spec": {"selector": {"app": "c", "tier": "b"}}}),
        );
        check(
            &object,
            &json!({"spec": {"selector": {"app": "c", "tier": null}}}),
            &json!({"kind": "Service", "spec": {"selector": {"app": "c"}}}),
        );
        check(
            &object,
            &json!({"spec": {"selector": {"$patch": "replace", "app": "c"}}}),
            &json!({"kind": "Service", "spec": {"selector": {"app": "c"}}}),
        );
    }

    #[test]
    fn finalizers_are_joined() {
        let of = |finalizers: Json| json!({"metadata": {"finalizers": finalizers}});
        check(
            &of(json!(["a", "b"])),
            &of(json!(["b", "c"])),
            &of(json!(["a", "b", "c"])),
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let service = json!({"kind": "Service", "spec": {"ports": [{"port": 80}]}});
        for (patch, why) in [
            (
                json!({"spec": {"ports": [{"targetPort": 8080}]}}),
                "error: ports: an item of the patch has no port",
            ),
            (
                json!({"spec": {"$setElementOrder/ports": []}}),
                "$setElementOrder/ports in a patch is not supported here: use --type merge",
            ),
            (
                json!({"spec": {"$patch": "delete"}}),
                "$patch: \"delete\" is not supported here",
            ),
        ] {
            assert_eq!(merge_patch(&service, &patch).unwrap_err(), why);
        }
    }
}
