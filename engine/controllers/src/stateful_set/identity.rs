//! What is a StatefulSet Pod's own: its number, its name, its claims.
//!
//! **Source of the semantics.** EP-15; S: `pkg/controller/statefulset/stateful_set_utils.go` (getParentNameAndOrdinal,
//! newStatefulSetPod, updateIdentity, updateStorage, getPersistentVolumeClaims).

use api::{Inert, Kind, Object, ObjectMeta, OwnerReference, Pod, StatefulSet};
use serde_json::{Value, json};

use super::State;
use crate::pod_state::LABEL_REVISION;
use crate::revision::Revision;

const LABEL_POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const LABEL_POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The number in the name of a set's Pod; `None` for another's.
pub(super) fn ordinal_of(set: &str, pod: &str) -> Option<i64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    // Kubernetes would take leading zeros; nobody has ever written them.
    let ordinal: u32 = digits.parse().ok()?;
    (ordinal.to_string() == digits).then_some(ordinal.into())
}

/// The kind of volume claims.
pub(super) fn claim_kind() -> Option<Kind> {
    Kind::of_manifest("v1", "PersistentVolumeClaim")
}

impl State {
    /// The Pod of a number, made from a revision.
    pub(super) fn pod(&self, ordinal: i64, revision: &Revision) -> Pod {
        let set = &self.set;
        let (meta, spec) = (&set.metadata, &set.spec);
        let template = revision.template();
        let template = template.unwrap_or_else(|| spec.template.clone());
        let name = format!("{}-{ordinal}", meta.name);
        let mut labels = template.metadata.labels;
        labels.insert(LABEL_POD_NAME.to_owned(), name.clone());
        labels.insert(LABEL_POD_INDEX.to_owned(), ordinal.to_string());
        labels.insert(LABEL_REVISION.to_owned(), revision.name().to_owned());
        let mut pod = Pod {
            metadata: ObjectMeta {
                labels,
                annotations: template.metadata.annotations,
                finalizers: template.metadata.finalizers,
                owner_references: vec![OwnerReference::to_controller(Kind::StatefulSet, meta)],
                ..ObjectMeta::named(&meta.namespace, &name)
            },
            spec: template.spec,
            ..Pod::default()
        };
        pod.spec.hostname.clone_from(&name);
        pod.spec.subdomain.clone_from(&spec.service_name);
        mount_claims(&mut pod, set);
        pod
    }
}

/// The claims of a Pod of the set; templates that are none are left out.
pub(super) fn claims_of(set: &StatefulSet, pod: &Pod) -> Vec<Inert> {
    let claim = |template: &Value| {
        let fields = template.as_object()?.clone();
        let Ok(Object::Other(claim)) = Object::from_fields(claim_kind()?, fields) else {
            return None;
        };
        let mut claim = Inert::clone(&claim);
        let meta = &mut claim.metadata;
        meta.name = claim_name(&meta.name, &pod.metadata.name);
        meta.namespace.clone_from(&set.metadata.namespace);
        let chosen = set
            .spec
            .selector
            .iter()
            .flat_map(|found| &found.match_labels);
        let chosen = chosen.map(|(key, value)| (key.clone(), value.clone()));
        meta.labels.extend(chosen);
        Some(claim)
    };
    claim_templates(set).iter().filter_map(claim).collect()
}

fn claim_templates(set: &StatefulSet) -> &[Value] {
    let templates = set.spec.rest.get("volumeClaimTemplates");
    templates
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn claim_name(template: &str, pod: &str) -> String {
    format!("{template}-{pod}")
}

/// Adds a volume for each claim, instead of one of that name.
fn mount_claims(pod: &mut Pod, set: &StatefulSet) {
    let templates = claim_templates(set);
    let named =
        |template: &Value| Some(template.get("metadata")?.get("name")?.as_str()?.to_owned());
    let names: Vec<String> = templates.iter().filter_map(named).collect();
    if names.is_empty() {
        return;
    }
    let mut volumes: Vec<Value> = pod.spec.rest.typed("volumes").unwrap_or_default();
    volumes.retain(|volume| {
        let name = volume.get("name").and_then(Value::as_str);
        name.is_none_or(|name| !names.iter().any(|claim| claim == name))
    });
    volumes.extend(names.iter().map(|name| {
        let claim = claim_name(name, &pod.metadata.name);
        json!({"name": name, "persistentVolumeClaim": {"claimName": claim}})
    }));
    pod.spec.rest.insert("volumes", volumes.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_read_from_names() {
        for (pod, expected) in [
            ("web-0", Some(0)),
            ("web-17", Some(17)),
            ("web-a-1", None),
            ("web-", None),
            ("web-01", None),
            ("web--1", None),
            ("web-+1", None),
            ("web1", None),
            ("db-1", None),
            ("web-99999999999", None),
        ] {
            assert_eq!(ordinal_of("web", pod), expected, "{pod}");
        }
    }
}
