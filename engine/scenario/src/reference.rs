//! References to things of a cluster: `kind/name` or `kind/ns/name`.
//!
//! Their spelling is checked when a scenario is read; what they name is judged when the step runs, because
//! objects come and go. A workload stands for its Pods: as a source, for the first ready one by name.

use api::yaml::closest;
use api::{Kind, Object, ObjectKey};
use control::{ReferenceError, Sender, Source, World, is_pod_of, is_ready_pod};

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceSpelling {
    /// Too few or too many parts, or an empty one.
    #[error("{text:?} is no reference: expected kind/name or kind/namespace/name")]
    Shape {
        /// What was written.
        text: String,
    },
    /// Kubernetes has no such kind.
    #[error("{word:?} is no kind of object{}", hint(.word))]
    Kind {
        /// What was written in the kind's place.
        word: String,
    },
    /// A kind without namespaces was given one.
    #[error("a {kind} lives in no namespace: write {}/{name}", kind.singular())]
    Namespaced {
        /// The kind.
        kind: Kind,
        /// The object's name.
        name: String,
    },
    /// A kind that cannot stand here.
    #[error("{text:?} cannot stand here: expected {expected}")]
    Place {
        /// What was written.
        text: String,
        /// What may stand here.
        expected: &'static str,
    },
}

/// Who sends, as a scenario names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRef {
    /// A Pod or a workload.
    Pods(PodsRef),
    /// A process on a node of `spec.cluster`.
    Node(String),
    /// A host of `spec.cluster.outside`.
    Outside(String),
}

/// One Pod, or all Pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodsRef(ObjectKey);

/// Kinds whose objects stand for their Pods.
const WORKLOADS: [&str; 6] = [
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "ReplicationController",
];

/// Reads a reference to any object; `namespace` is what a short one means.
///
/// # Errors
/// When it is misspelled; whether the object exists is another question.
pub fn object_key(text: &str, namespace: &str) -> Result<ObjectKey, ReferenceSpelling> {
    let shape = || ReferenceSpelling::Shape {
        text: text.to_owned(),
    };
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(shape());
    }
    let key_of = |word: &str, namespace: &str, name: &str| {
        ObjectKey::of_resource(word, namespace, name).ok_or_else(|| ReferenceSpelling::Kind {
            word: word.to_owned(),
        })
    };
    match parts[..] {
        [word, name] => key_of(word, namespace, name),
        [word, namespace, name] => match key_of(word, namespace, name)? {
            key if key.namespace.is_some() => Ok(key),
            key => Err(ReferenceSpelling::Namespaced {
                kind: key.kind,
                name: key.name,
            }),
        },
        _ => Err(shape()),
    }
}

impl PodsRef {
    /// Reads a reference to a Pod or a workload.
    ///
    /// # Errors
    /// When it is misspelled or of another kind.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, ReferenceSpelling> {
        let key = object_key(text, namespace)?;
        if key.kind == Kind::Pod || WORKLOADS.contains(&key.kind.name()) {
            return Ok(Self(key));
        }
        let expected = "pod/… or a workload such as deployment/…";
        Err(ReferenceSpelling::Place {
            text: text.to_owned(),
            expected,
        })
    }

    /// The key of the Pod or workload itself.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.0
    }

    /// The keys of the Pods that it stands for at this instant, by name.
    ///
    /// # Errors
    /// When there is no such Pod or workload.
    pub fn pods(&self, world: &dyn World) -> Result<Vec<ObjectKey>, ReferenceError> {
        let Self(key) = self;
        if world.get(key).is_err() {
            return Err(missing(world, key));
        }
        if key.kind == Kind::Pod {
            return Ok(vec![key.clone()]);
        }
        let pods = world.list(Kind::Pod, key.namespace.as_deref());
        let owners = |key: &ObjectKey| Some(world.get(key).ok()?.meta().owner_references.clone());
        let keys = pods
            .iter()
            .filter(|pod| is_pod_of(pod, key, owners))
            .map(Object::key);
        Ok(keys.collect())
    }
}

impl SourceRef {
    /// Reads `pod/…`, a workload, `node/…` or `outside/…`.
    ///
    /// # Errors
    /// When it is misspelled or of another kind.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, ReferenceSpelling> {
        if let Some(name) = text.strip_prefix("outside/") {
            return match name {
                "" => Err(ReferenceSpelling::Shape {
                    text: text.to_owned(),
                }),
                name => Ok(Self::Outside(name.to_owned())),
            };
        }
        match object_key(text, namespace)? {
            key if key.kind == Kind::Node => Ok(Self::Node(key.name)),
            _ => PodsRef::parse(text, namespace)
                .map(Self::Pods)
                .map_err(|error| match error {
                    ReferenceSpelling::Place { text, .. } => {
                        let expected =
                            "pod/…, a workload such as deployment/…, node/… or outside/…";
                        ReferenceSpelling::Place { text, expected }
                    }
                    error => error,
                }),
        }
    }

    /// Who sends by this name as time passes: of a workload, every ready Pod.
    ///
    /// # Errors
    /// When a workload does not exist. Whether a single Pod, a node or a host exists, the world says.
    pub fn sender(&self, world: &dyn World) -> Result<Sender, ReferenceError> {
        match self {
            Self::Pods(PodsRef(key)) if key.kind != Kind::Pod => match world.get(key) {
                Ok(_) => Ok(Sender::PodsOf(key.clone())),
                Err(_) => Err(missing(world, key)),
            },
            _ => self.resolve(world).map(Sender::One),
        }
    }

    /// Who it is at this instant.
    ///
    /// # Errors
    /// When a workload does not exist or has no ready Pod. Whether a single Pod, a node or a host exists,
    /// the world says.
    pub fn resolve(&self, world: &dyn World) -> Result<Source, ReferenceError> {
        match self {
            Self::Node(name) => Ok(Source::Node(name.clone())),
            Self::Outside(name) => Ok(Source::Outside(name.clone())),
            Self::Pods(PodsRef(key)) if key.kind == Kind::Pod => Ok(Source::Pod(key.clone())),
            Self::Pods(pods) => {
                let keys = pods.pods(world)?;
                let is_ready =
                    |key: &&ObjectKey| world.get(key).is_ok_and(|pod| is_ready_pod(&pod));
                match keys.iter().find(is_ready) {
                    Some(key) => Ok(Source::Pod(key.clone())),
                    None => Err(ReferenceError {
                        wanted: format!("ready Pod of {}", pods.0),
                        existing: keys.iter().map(ToString::to_string).collect(),
                    }),
                }
            }
        }
    }
}

fn hint(word: &str) -> String {
    let known: Vec<String> = Kind::LIVE.iter().map(|kind| kind.singular()).collect();
    let known = known
        .iter()
        .map(String::as_str)
        .chain(["outside", "deployment"]);
    closest(&word.to_ascii_lowercase(), known)
        .map_or_else(String::new, |close| format!("; did you mean {close}/…?"))
}

fn missing(world: &dyn World, key: &ObjectKey) -> ReferenceError {
    let existing = world.list(key.kind, key.namespace.as_deref());
    ReferenceError {
        wanted: key.to_string(),
        existing: existing
            .iter()
            .map(|object| object.key().to_string())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(object_key(text, "shop").unwrap().to_string(), expected);
    }

    #[test]
    fn short_and_long_references() {
        check("service/web", "service/shop/web");
        check("svc/web", "service/shop/web");
        check("pod/default/a", "pod/default/a");
        check("node/node-a", "node/node-a");
        check("deployment/web", "deployment/shop/web");
        check(
            "gateway.gateway.networking.k8s.io/web",
            "gateway.gateway.networking.k8s.io/shop/web",
        );
    }

    fn check_refused(text: &str, message: &str) {
        assert_eq!(object_key(text, "shop").unwrap_err().to_string(), message);
    }

    #[test]
    fn refuses_what_names_nothing() {
        check_refused(
            "web",
            "\"web\" is no reference: expected kind/name or kind/namespace/name",
        );
        check_refused(
            "pod/",
            "\"pod/\" is no reference: expected kind/name or kind/namespace/name",
        );
        check_refused(
            "serivce/web",
            "\"serivce\" is no kind of object; did you mean service/…?",
        );
        check_refused("gizmo/web", "\"gizmo\" is no kind of object");
        check_refused("node/x/a", "a Node lives in no namespace: write node/a");
    }

    #[test]
    fn a_service_is_no_source() {
        assert_eq!(
            SourceRef::parse("service/web", "shop")
                .unwrap_err()
                .to_string(),
            "\"service/web\" cannot stand here: expected pod/…, a workload such as deployment/…, node/… or outside/…"
        );
        assert_eq!(
            SourceRef::parse("outside/laptop", "shop"),
            Ok(SourceRef::Outside("laptop".to_owned()))
        );
    }
}
