//! Client-side apply, as kubectl does it: a three-way merge over the annotation with what was applied last.
//!
//! **Source of the semantics.** `recorded/api-requests.md` ("apply (create)", "apply a change"); S:
//! `kubectl/pkg/cmd/apply`, `apimachinery/pkg/util/jsonmergepatch`.
//!
//! Deviation: lists are replaced as a whole, where kubectl's strategic merge merges lists of objects by key. For
//! manifests that one user writes the result is the same: defaults are filled in again. A Service's ports are
//! merged, so that an entry that gets a name keeps its node port; their key is port and protocol, where kubectl's
//! is the port alone and makes a mess of TCP and UDP at one number (kubernetes issue 39188).

use serde_json::{Map, Value};

use crate::object::{Kind, Object, ObjectKey};
use crate::status::Status;
use crate::validate::text;

/// Where kubectl keeps what was applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What kubectl refuses to apply: it asks for the object by name first.
pub(crate) fn check_applicable(manifest: &Object) -> Result<(), Status> {
    let (kind, api_version, meta) = (
        manifest.kind_name(),
        manifest.api_version(),
        manifest.meta(),
    );
    let complaint = match meta.name.as_str() {
        "" if !meta.generate_name.is_empty() => {
            let prefix = &meta.generate_name;
            return Err(Status::client(format!(
                "from {prefix}: cannot use generate name with apply"
            )));
        }
        "" => "resource name may not be empty".to_owned(),
        name => {
            let found = text::path_segment(name);
            if found.is_empty() {
                return Ok(());
            }
            format!("invalid resource name \"{name}\": [{}]", found.join(" "))
        }
    };
    let resource = manifest.key().resource();
    let resource = resource.split('.').next().unwrap_or_default();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    Err(Status::client(format!(
        "error when retrieving current configuration of:\nResource: \"{group}/{version}, Resource={resource}\", GroupVersionKind: \"{group}/{version}, Kind={kind}\"\nName: \"{}\", Namespace: \"{}\"\nfrom server for: \"STDIN\": {complaint}",
        meta.name, meta.namespace,
    )))
}

/// What kubectl warns about when it applies over an object that it did not apply before.
pub(crate) fn missing_annotation(key: &ObjectKey) -> String {
    let resource = key.resource();
    format!(
        "resource {resource}/{} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
        key.name
    )
}

/// The annotation's text for a manifest: compact JSON, keys sorted, a final newline.
pub(crate) fn last_applied(manifest: &Object) -> String {
    let mut fields = manifest_fields(manifest);
    let metadata = fields
        .entry("metadata")
        .or_insert_with(|| Map::new().into());
    if let Value::Object(metadata) = metadata {
        metadata
            .entry("annotations")
            .or_insert_with(|| Map::new().into());
    }
    format!("{}\n", sorted(Value::Object(fields)))
}

/// The stored object with the manifest merged over it; fields that `last_applied` has and the manifest has no
/// more are removed.
pub(crate) fn merged(stored: &Object, manifest: &Object) -> Map<String, Value> {
    let annotation = stored.meta().annotations.get(LAST_APPLIED);
    let original = annotation.and_then(|text| serde_json::from_str(text).ok());
    let original = original.unwrap_or_default();
    let mut fields = stored.to_fields();
    let mut wanted = manifest_fields(manifest);
    if stored.kind() == Kind::Service {
        merge_ports(&fields, &original, &mut wanted);
    }
    merge(&mut fields, &original, wanted);
    fields
}

/// The manifest's fields without those that only our structs print.
fn manifest_fields(manifest: &Object) -> Map<String, Value> {
    let mut fields = manifest.to_fields();
    let annotations = fields
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"));
    if let Some(Value::Object(annotations)) = annotations {
        annotations.shift_remove(LAST_APPLIED);
    }
    for field in ["spec", "status"] {
        if fields.get(field).is_some_and(is_hollow) {
            fields.shift_remove(field);
        }
    }
    fields
}

/// Nothing but empty mappings.
fn is_hollow(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|fields| fields.values().all(is_hollow))
}

fn merge(
    current: &mut Map<String, Value>,
    original: &Map<String, Value>,
    wanted: Map<String, Value>,
) {
    current.retain(|field, _| !original.contains_key(field) || wanted.contains_key(field));
    for (field, value) in wanted {
        match (current.get_mut(&field), value) {
            (Some(Value::Object(current)), Value::Object(wanted)) => {
                let before = original.get(&field).and_then(Value::as_object);
                merge(current, before.unwrap_or(&Map::new()), wanted);
            }
            (_, value) => {
                current.insert(field, value);
            }
        }
    }
}

/// Completes the wanted entries of `spec.ports` from the stored ones of the same key, and adds stored ones that
/// somebody else has added.
fn merge_ports(
    current: &Map<String, Value>,
    original: &Map<String, Value>,
    wanted: &mut Map<String, Value>,
) {
    let mut stored = ports(current).to_vec();
    let given = wanted
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("ports"));
    let Some(Value::Array(given)) = given else {
        return;
    };
    let nothing = Map::new();
    for entry in given.iter_mut() {
        let key = port_key(entry);
        let Some(place) = stored.iter().position(|stored| port_key(stored) == key) else {
            continue;
        };
        let mut before = ports(original).iter();
        let before = before.find(|before| port_key(before) == key);
        let before = before.and_then(Value::as_object).unwrap_or(&nothing);
        let asked = std::mem::replace(entry, stored.remove(place));
        if let (Value::Object(entry), Value::Object(asked)) = (entry, asked) {
            merge(entry, before, asked);
        }
    }
    let original: Vec<_> = ports(original).iter().map(port_key).collect();
    stored.retain(|stored| !original.contains(&port_key(stored)));
    given.extend(stored);
}

fn ports(fields: &Map<String, Value>) -> &[Value] {
    let ports = fields.get("spec").and_then(|spec| spec.get("ports"));
    ports.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn port_key(entry: &Value) -> (Option<i64>, &str) {
    let protocol = entry.get("protocol").and_then(Value::as_str);
    (
        entry.get("port").and_then(Value::as_i64),
        protocol
            .filter(|protocol| !protocol.is_empty())
            .unwrap_or("TCP"),
    )
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            fields
                .into_iter()
                .map(|(field, value)| (field, sorted(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}
