//! The volumes of a Pod.
//!
//! Deviation: kinds of volumes that are not in the table are shown as `<unknown>`.

use serde_json::Value;

use super::page::Page;
use crate::fields::{flag, given, list, plain_at, text};

pub(super) fn write(page: &mut Page, volumes: &[Value]) {
    if volumes.is_empty() {
        page.field(0, "Volumes", "<none>");
        return;
    }
    page.line(0, format_args!("Volumes:"));
    for volume in volumes {
        page.line(1, format_args!("{}:", text(volume, "/name")));
        match source(volume) {
            Some((what, fields)) => {
                page.field(2, "Type", what);
                for (name, value) in fields {
                    page.field(2, name, &value);
                }
            }
            None => page.line(1, format_args!("<unknown>")),
        }
    }
}

type Source = (&'static str, Vec<(&'static str, String)>);

fn source(volume: &Value) -> Option<Source> {
    let optional = |of: &Value| ("Optional", flag(of, "/optional").to_string());
    let named = |of: &Value, field: &str| text(of, field).to_owned();
    if let Some(path) = volume.get("hostPath") {
        let kind = given(path, "/type").unwrap_or("<none>").to_owned();
        let fields = vec![("Path", named(path, "/path")), ("HostPathType", kind)];
        return Some(("HostPath (bare host directory volume)", fields));
    }
    if let Some(empty) = volume.get("emptyDir") {
        let limit = match plain_at(empty, "/sizeLimit") {
            unset if unset.is_empty() => "<unset>".to_owned(),
            limit => limit,
        };
        let fields = vec![("Medium", named(empty, "/medium")), ("SizeLimit", limit)];
        return Some((
            "EmptyDir (a temporary directory that shares a pod's lifetime)",
            fields,
        ));
    }
    if let Some(secret) = volume.get("secret") {
        let fields = vec![
            ("SecretName", named(secret, "/secretName")),
            optional(secret),
        ];
        return Some(("Secret (a volume populated by a Secret)", fields));
    }
    if let Some(map) = volume.get("configMap") {
        let fields = vec![("Name", named(map, "/name")), optional(map)];
        return Some(("ConfigMap (a volume populated by a ConfigMap)", fields));
    }
    if let Some(claim) = volume.get("persistentVolumeClaim") {
        let read_only = flag(claim, "/readOnly").to_string();
        let fields = vec![
            ("ClaimName", named(claim, "/claimName")),
            ("ReadOnly", read_only),
        ];
        return Some((
            "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
            fields,
        ));
    }
    let projected = volume.get("projected")?;
    let sources = list(projected, "/sources").iter();
    let fields = sources.flat_map(|source| {
        if let Some(secret) = source.get("secret") {
            vec![("SecretName", named(secret, "/name")), optional(secret)]
        } else if source.get("downwardAPI").is_some() {
            vec![("DownwardAPI", "true".to_owned())]
        } else if let Some(map) = source.get("configMap") {
            vec![("ConfigMapName", named(map, "/name")), optional(map)]
        } else if let Some(token) = source.get("serviceAccountToken") {
            vec![(
                "TokenExpirationSeconds",
                plain_at(token, "/expirationSeconds"),
            )]
        } else {
            Vec::new()
        }
    });
    Some((
        "Projected (a volume that contains injected data from multiple sources)",
        fields.collect(),
    ))
}
