//! The templates that a StatefulSet or DaemonSet has had, each kept in a ControllerRevision.
//!
//! **What.** A revision is named after a hash of its template. The template of today is written as a new revision,
//! or is an old one again, which then gets the highest number; old ones that nobody uses go.
//! **Source of the semantics.** S: `pkg/controller/history/controller_history.go`,
//! `pkg/controller/statefulset/stateful_set_utils.go` (getPatch), `apimachinery/pkg/util/rand/rand.go`
//! (SafeEncodeString).
//!
//! Deviation: the hash is FNV-1 of the template's JSON with sorted keys, for both kinds. Kubernetes does so for
//! StatefulSets; its JSON has fields that the stored template here has not, so the hashes are others, and for
//! DaemonSets it hashes Go's printout of the template. Two templates of one hash are not told apart by a collision
//! count: the second one's revision is refused. Revisions without a controller are not adopted.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{
    DeleteOptions, Inert, InertType, Kind, ObjectKey, ObjectMeta, OwnerReference, PodTemplateSpec,
    Rest,
};
use serde_json::{Map, Value, json};

use crate::controller::Effect;

/// Characters of which no bad word can be made.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How much of its set's name the name of a revision begins with.
const PREFIX_MAX: usize = 223;

/// The kind of revisions.
pub(crate) fn kind() -> Kind {
    Kind::of_manifest("apps/v1", "ControllerRevision").unwrap_or(Kind::CUSTOM)
}

/// One template that a set has or had.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    object: Arc<Inert>,
}

/// The owner of revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) kind: Kind,
    pub(crate) meta: &'a ObjectMeta,
    pub(crate) template: &'a PodTemplateSpec,
    /// The label that carries the hash.
    pub(crate) hash_label: &'static str,
    /// The hash that the present template has elsewhere: of a set that was dumped without its revisions.
    pub(crate) hash: Option<&'a str>,
}

impl Revision {
    pub(crate) fn new(object: Arc<Inert>) -> Self {
        Self { object }
    }

    pub(crate) fn name(&self) -> &str {
        &self.object.metadata.name
    }

    /// Its number; the highest is the newest.
    pub(crate) fn number(&self) -> i64 {
        let number = self.object.rest.get("revision").and_then(Value::as_i64);
        number.unwrap_or(0)
    }

    /// The hash of its template, as the label of that name gives it.
    pub(crate) fn hash(&self, label: &str) -> &str {
        let hash = self.object.metadata.labels.get(label);
        hash.map_or("", String::as_str)
    }

    /// Its template, if it can be read.
    pub(crate) fn template(&self) -> Option<PodTemplateSpec> {
        let mut template = self.data()?.get("spec")?.get("template")?.clone();
        template.as_object_mut()?.shift_remove("$patch");
        serde_json::from_value(template).ok()
    }

    fn data(&self) -> Option<&Value> {
        self.object.rest.get("data")
    }
}

/// The revision of the owner's present template among the known ones, and what must be written for it to be there
/// with the highest number.
pub(crate) fn of_today(owner: Owner<'_>, known: &[Revision]) -> (Revision, Option<Effect>) {
    let newest = known.iter().map(Revision::number).max().unwrap_or(0);
    let equal = known
        .iter()
        .filter(|found| found.template().as_ref() == Some(owner.template));
    let Some(found) = equal.max_by_key(|found| found.number()) else {
        let object = new(owner, newest.saturating_add(1));
        let effect = Effect::Create(object.clone().into());
        return (Revision::new(Arc::new(object)), Some(effect));
    };
    if found.number() == newest {
        return (found.clone(), None);
    }
    let mut object = Inert::clone(&found.object);
    object
        .rest
        .insert("revision", newest.saturating_add(1).into());
    let effect = Effect::Update(object.clone().into());
    (Revision::new(Arc::new(object)), Some(effect))
}

/// Deletes the oldest revisions that are not live, down to `limit` of them.
pub(crate) fn cleanup(
    known: &[Revision],
    live: &BTreeSet<&str>,
    limit: Option<i32>,
) -> Vec<Effect> {
    let mut idle: Vec<&Revision> = known.iter().collect();
    idle.retain(|revision| !live.contains(revision.name()));
    idle.sort_by_key(|revision| revision.number());
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
    let surplus = idle.len().saturating_sub(limit);
    let delete = |revision: &&Revision| {
        let meta = &revision.object.metadata;
        let uid = Some(meta.uid.clone());
        let options = DeleteOptions {
            uid,
            ..DeleteOptions::default()
        };
        Effect::Delete(ObjectKey::new(kind(), &meta.namespace, &meta.name), options)
    };
    idle.iter().take(surplus).map(delete).collect()
}

fn new(owner: Owner<'_>, number: i64) -> Inert {
    let data = data(owner.template);
    let hash = match owner.hash {
        Some(hash) => hash.to_owned(),
        None => hash(&data.to_string()),
    };
    let prefix: String = owner.meta.name.chars().take(PREFIX_MAX).collect();
    let mut labels = owner.template.metadata.labels.clone();
    labels.insert(owner.hash_label.to_owned(), hash.clone());
    let stock = match kind() {
        Kind::Other(kind) => Some(InertType::Stock(kind)),
        _ => None,
    };
    let mut rest = Map::new();
    rest.insert("data".to_owned(), data);
    rest.insert("revision".to_owned(), number.into());
    Inert {
        kind: stock.expect("a stock cluster has revisions, and they have no effect"),
        metadata: ObjectMeta {
            labels,
            annotations: owner.meta.annotations.clone(),
            owner_references: vec![OwnerReference::to_controller(owner.kind, owner.meta)],
            ..ObjectMeta::named(&owner.meta.namespace, &format!("{prefix}-{hash}"))
        },
        rest: Rest::new(rest),
    }
}

/// The template as a strategic merge patch, its keys sorted.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), "replace".into());
    }
    template.sort_all_objects();
    json!({"spec": {"template": template}})
}

/// FNV-1 in 32 bits, its decimal digits spelled with safe characters.
fn hash(text: &str) -> String {
    let sum = text.bytes().fold(0x811c_9dc5_u32, |sum, byte| {
        sum.wrapping_mul(0x0100_0193) ^ u32::from(byte)
    });
    let safe = |digit: u8| char::from(SAFE[usize::from(digit) % SAFE.len()]);
    sum.to_string().bytes().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        let fields = json!({
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        });
        serde_json::from_value(fields).unwrap()
    }

    fn today(template: &PodTemplateSpec, known: &[Revision]) -> (Revision, Option<Effect>) {
        let owner = Owner {
            kind: Kind::StatefulSet,
            meta: &ObjectMeta::named("default", "db"),
            template,
            hash: None,
            hash_label: "hash",
        };
        of_today(owner, known)
    }

    #[test]
    fn the_hash_is_fnv_1_in_safe_characters() {
        // FNV-1 of "a" is 0x050c5d7e, in decimal 84696446.
        assert_eq!(hash("a"), "d8bfb88b");
    }

    #[test]
    fn a_template_comes_back_with_the_highest_number() {
        let [old, new] = ["a:1", "a:2"].map(template);
        let (first, write) = today(&old, &[]);
        assert!(matches!(write, Some(Effect::Create(_))));
        assert_eq!((first.number(), first.template()), (1, Some(old.clone())));
        assert_eq!(first.name(), format!("db-{}", first.hash("hash")));
        let known = [first.clone()];
        assert!(today(&old, &known).1.is_none(), "it is there");
        let (second, _) = today(&new, &known);
        assert_ne!(first.name(), second.name());
        let (again, write) = today(&old, &[first.clone(), second]);
        assert!(matches!(write, Some(Effect::Update(_))));
        assert_eq!((again.name(), again.number()), (first.name(), 3));
    }

    #[test]
    fn the_oldest_idle_revisions_go() {
        let mut known = Vec::new();
        for image in ["a:1", "a:2", "a:3", "a:4"] {
            let (revision, _) = today(&template(image), &known);
            known.push(revision);
        }
        let live = BTreeSet::from([known[0].name(), known[3].name()]);
        let gone = cleanup(&known, &live, Some(1));
        let [Effect::Delete(key, _)] = gone.as_slice() else {
            panic!("{gone:?}");
        };
        assert_eq!(key.name, known[1].name());
        assert!(cleanup(&known, &live, None).is_empty());
    }
}
