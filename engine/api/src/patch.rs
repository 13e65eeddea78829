//! JSON merge patches, as `kubectl patch --type merge` sends them.
//!
//! **Source of the semantics.** RFC 7386; API-84; S: `apiserver/pkg/endpoints/handlers/patch.go`.

use base::SimTime;
use serde_json::{Map, Value};

use crate::object::{Object, ObjectKey};
use crate::schema::{Fault, faults};
use crate::server::{ApiServer, Verb, Written};
use crate::status::Status;
use crate::yaml::Segment;

impl ApiServer {
    /// Merges `patch` into a stored object: a field that is null goes, an object is merged, anything else is
    /// replaced. A resourceVersion in the patch must be the stored one; name, namespace and kind stay.
    ///
    /// # Errors
    /// Not found, a field of a wrong type, and what [`ApiServer::replace`] refuses.
    pub fn patch(
        &mut self,
        key: &ObjectKey,
        patch: &Map<String, Value>,
        now: SimTime,
    ) -> Result<Written, Status> {
        let (old, object, unknown) = self.merge_into(key, patch)?;
        let mut written = self.overwrite(object, &old, Verb::Patched, now)?;
        written.warnings.splice(0..0, unknown);
        Ok(written)
    }

    /// The stored object as [`ApiServer::patch`] would write it, before defaults and checks. Changes nothing.
    ///
    /// # Errors
    /// Not found, and a field of a wrong type.
    pub fn merged(&self, key: &ObjectKey, patch: &Map<String, Value>) -> Result<Object, Status> {
        self.merge_into(key, patch).map(|(_, object, _)| object)
    }

    /// The stored object, the same with the patch in it, and warnings of fields that do not exist.
    fn merge_into(
        &self,
        key: &ObjectKey,
        patch: &Map<String, Value>,
    ) -> Result<(Object, Object, Vec<String>), Status> {
        let old = self.get(key).cloned();
        let old = old.ok_or_else(|| Status::not_found(key))?;
        let mut fields = Value::Object(old.to_fields());
        merge_patch(&mut fields, patch);
        let unknown = drop_unknown(key, &mut fields)?;
        let Value::Object(fields) = fields else {
            unreachable!("merging an object into an object gives one")
        };
        check_identity(key, &old, &fields)?;
        let object = Object::from_fields(key.kind, fields)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        Ok((old, object, unknown))
    }
}

/// Merges a patch into a value: RFC 7386.
pub fn merge_patch(into: &mut Value, patch: &Map<String, Value>) {
    if !into.is_object() {
        *into = Map::new().into();
    }
    let Value::Object(fields) = into else {
        unreachable!("it was made an object above")
    };
    for (field, value) in patch {
        match value {
            Value::Null => drop(fields.shift_remove(field)),
            Value::Object(patch) => merge_patch(fields.entry(field).or_insert(Value::Null), patch),
            value => drop(fields.insert(field.clone(), value.clone())),
        }
    }
}

/// Removes fields that do not exist, and warns of them: a patch is not decoded strictly, as kubectl sends it.
fn drop_unknown(key: &ObjectKey, fields: &mut Value) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    for fault in faults(key.kind, fields) {
        match fault {
            Fault::Mistyped(mistyped) => {
                return Err(Status::invalid_patch(
                    &fields.to_string(),
                    &mistyped.message,
                ));
            }
            Fault::Unknown { path, .. } => {
                warnings.push(format!("unknown field \"{path}\""));
                remove(fields, path.segments());
            }
        }
    }
    Ok(warnings)
}

fn remove(value: &mut Value, path: &[Segment]) {
    match (path, value) {
        ([Segment::Key(last)], Value::Object(fields)) => drop(fields.shift_remove(last)),
        ([Segment::Key(key), rest @ ..], Value::Object(fields)) => {
            fields
                .get_mut(key)
                .into_iter()
                .for_each(|inner| remove(inner, rest));
        }
        ([Segment::Index(index), rest @ ..], Value::Array(items)) => {
            items
                .get_mut(*index)
                .into_iter()
                .for_each(|inner| remove(inner, rest));
        }
        _ => {}
    }
}

/// A patch cannot turn an object into another one.
fn check_identity(
    key: &ObjectKey,
    old: &Object,
    fields: &Map<String, Value>,
) -> Result<(), Status> {
    let stored = [("apiVersion", old.api_version()), ("kind", old.kind_name())];
    for (field, stored) in stored {
        let given = fields
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default();
        if given != stored {
            return Err(Status::bad_request(format!(
                "the {field} in the data ({given}) does not match the expected {field} ({stored})"
            )));
        }
    }
    let metadata = fields.get("metadata");
    let text = |field| {
        let value = metadata.and_then(|metadata| metadata.get(field));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    let given = (text("name"), text("namespace"));
    if given.0 != old.meta().name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            given.0, key.name
        )));
    }
    if given.1 != old.meta().namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({}) does not match the namespace on the request ({})",
            given.1,
            old.meta().namespace
        )));
    }
    Ok(())
}
