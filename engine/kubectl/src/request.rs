//! Which objects a command line names.
//!
//! **Source of the semantics.** S: `cli-runtime/pkg/resource/builder.go`: `svc`, `svc web api`, `svc/web pod/a`,
//! `svc,pods`, `all`.

use api::yaml::closest;
use api::{Kind, Object, ObjectKey, Selector, Status};

/// The kinds that `all` stands for, as far as there are any here.
const ALL: [&str; 10] = [
    "pods",
    "replicationcontrollers",
    "services",
    "daemonsets",
    "deployments",
    "replicasets",
    "statefulsets",
    "horizontalpodautoscalers",
    "cronjobs",
    "jobs",
];

/// Where objects are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In one namespace.
    Namespace(String),
    /// In all of them: `-A`.
    All,
}

impl Scope {
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Namespace(namespace) => Some(namespace),
            Self::All => None,
        }
    }
}

/// Which objects are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resources {
    /// All of some kinds.
    Kinds(Vec<Kind>),
    /// Some by their names.
    Named(Vec<ObjectKey>),
}

/// Why a command line names no objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing was named.
    #[error("you must specify the type of resource to get: svc, endpointslices, pods …")]
    Nothing,
    /// There is no such kind.
    #[error("the server doesn't have a resource type {word:?}{}", hint(.word))]
    UnknownKind {
        /// What was written.
        word: String,
    },
    /// `svc/web pods`
    #[error(
        "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'get resource/<resource_name>' instead of 'get resource resource/<resource_name>'"
    )]
    Mixed,
    /// `svc/` or `svc/a/b`
    #[error(
        "{text:?} names no object: arguments in resource/name form must have a single resource and name"
    )]
    Shape {
        /// What was written.
        text: String,
    },
    /// `svc,pods web`
    #[error("you must specify only one resource type when you name objects")]
    NamesOfSeveralKinds,
    /// `svc web -A`
    #[error("a resource cannot be retrieved by name across all namespaces")]
    AcrossNamespaces,
    /// `svc web -l app=web`
    #[error("name cannot be provided when a selector is specified")]
    NameAndSelector,
}

fn hint(word: &str) -> String {
    let plurals: Vec<&str> = Kind::all().map(Kind::plural).collect();
    let close = closest(&word.to_ascii_lowercase(), plurals.iter().copied());
    close.map_or_else(String::new, |close| format!("; did you mean {close:?}?"))
}

impl Resources {
    /// Reads the arguments of `get` or `describe`.
    ///
    /// # Errors
    /// When they name no objects, or name them in a way that the flags forbid.
    pub fn parse(
        words: &[&str],
        scope: &Scope,
        selector: Option<&Selector>,
    ) -> Result<Self, RequestError> {
        let resources = match words {
            [] => return Err(RequestError::Nothing),
            words if words.iter().any(|word| word.contains('/')) => {
                let keys = words.iter().map(|word| pair(word, scope));
                Self::Named(keys.collect::<Result<_, _>>()?)
            }
            [kinds] => Self::Kinds(kinds_of(kinds)?),
            [kind, names @ ..] => match kinds_of(kind)?[..] {
                [kind] => Self::Named(names.iter().map(|name| key(kind, name, scope)).collect()),
                _ => return Err(RequestError::NamesOfSeveralKinds),
            },
        };
        match &resources {
            Self::Named(_) if selector.is_some() => Err(RequestError::NameAndSelector),
            Self::Named(keys)
                if *scope == Scope::All && keys.iter().any(|key| key.kind.is_namespaced()) =>
            {
                Err(RequestError::AcrossNamespaces)
            }
            _ => Ok(resources),
        }
    }

    /// The kinds asked for, in order, each once where it follows itself.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = match self {
            Self::Kinds(kinds) => kinds.clone(),
            Self::Named(keys) => keys.iter().map(|key| key.kind).collect(),
        };
        kinds.dedup();
        kinds
    }
}

fn kinds_of(words: &str) -> Result<Vec<Kind>, RequestError> {
    let words = words.split(',').flat_map(|word| match word {
        "all" => ALL.to_vec(),
        word => vec![word],
    });
    let kinds: Result<Vec<Kind>, RequestError> = words.map(kind_of).collect();
    let mut unique = Vec::new();
    for kind in kinds? {
        if !unique.contains(&kind) {
            unique.push(kind);
        }
    }
    Ok(unique)
}

fn kind_of(word: &str) -> Result<Kind, RequestError> {
    Kind::of_resource(word).ok_or_else(|| RequestError::UnknownKind {
        word: word.to_owned(),
    })
}

fn pair(word: &str, scope: &Scope) -> Result<ObjectKey, RequestError> {
    let (kind, name) = word.split_once('/').ok_or(RequestError::Mixed)?;
    if kind.is_empty() || name.is_empty() || name.contains('/') {
        return Err(RequestError::Shape {
            text: word.to_owned(),
        });
    }
    Ok(key(kind_of(kind)?, name, scope))
}

fn key(kind: Kind, name: &str, scope: &Scope) -> ObjectKey {
    ObjectKey::new(kind, scope.namespace().unwrap_or_default(), name)
}

/// Whoever can be asked for objects.
pub trait Objects {
    /// One object.
    ///
    /// # Errors
    /// Not found, in kubectl's words.
    fn get(&self, key: &ObjectKey) -> Result<Object, Status>;

    /// All objects of a kind in a namespace (or in all), by name.
    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object>;
}

impl Objects for api::ApiServer {
    fn get(&self, key: &ObjectKey) -> Result<Object, Status> {
        let found = Self::get(self, key).cloned();
        found.ok_or_else(|| Status::not_found(key))
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        Self::list(self, kind, namespace).cloned().collect()
    }
}

/// Objects of one kind that were found.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) objects: Vec<Object>,
}

/// What a request found, and what it did not.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub(crate) groups: Vec<Group>,
    pub(crate) errors: Vec<Status>,
    /// One object was asked for by its name.
    pub(crate) is_one: bool,
}

impl Found {
    /// Looks for what is asked for.
    #[must_use]
    pub fn of(
        resources: &Resources,
        scope: &Scope,
        selector: Option<&Selector>,
        objects: &(impl Objects + ?Sized),
    ) -> Self {
        let mut found = Self::default();
        match resources {
            Resources::Kinds(kinds) => {
                for &kind in kinds {
                    let mut listed = objects.list(kind, scope.namespace());
                    if let Some(selector) = selector {
                        listed.retain(|object| selector.matches(&object.meta().labels));
                    }
                    let objects = listed;
                    found.groups.push(Group { kind, objects });
                }
            }
            Resources::Named(keys) => {
                found.is_one = keys.len() == 1;
                for key in keys {
                    match objects.get(key) {
                        Ok(object) => found.add(object),
                        Err(status) => found.errors.push(status),
                    }
                }
            }
        }
        found
    }

    fn add(&mut self, object: Object) {
        let kind = object.kind();
        match self.groups.last_mut() {
            Some(group) if group.kind == kind => group.objects.push(object),
            _ => self.groups.push(Group {
                kind,
                objects: vec![object],
            }),
        }
    }

    /// The objects, in order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.groups.iter().flat_map(|group| &group.objects)
    }

    /// What the API server said of those that it does not have.
    #[must_use]
    pub fn errors(&self) -> &[Status] {
        &self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Resources, String> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let scope = Scope::Namespace("shop".to_owned());
        Resources::parse(&words, &scope, None).map_err(|error| error.to_string())
    }

    fn check_named(words: &str, expected: &[&str]) {
        let Ok(Resources::Named(keys)) = parsed(words) else {
            panic!("{words}");
        };
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn kinds_and_names() {
        assert_eq!(parsed("svc"), Ok(Resources::Kinds(vec![Kind::Service])));
        assert_eq!(
            parsed("svc,po,services").map(|resources| resources.kinds()),
            Ok(vec![Kind::Service, Kind::Pod])
        );
        check_named("svc web api", &["service/shop/web", "service/shop/api"]);
        check_named("svc/web no/a", &["service/shop/web", "node/a"]);
        let all = parsed("all").unwrap().kinds();
        assert_eq!((all[0], all[2]), (Kind::Pod, Kind::Service));
    }

    fn check_refused(words: &str, expected: &str) {
        assert_eq!(parsed(words).unwrap_err(), expected);
    }

    #[test]
    fn refuses_in_kubectls_words() {
        check_refused(
            "serivces",
            "the server doesn't have a resource type \"serivces\"; did you mean \"services\"?",
        );
        check_refused(
            "svc,po a",
            "you must specify only one resource type when you name objects",
        );
        check_refused(
            "svc/a/b",
            "\"svc/a/b\" names no object: arguments in resource/name form must have a single resource and name",
        );
        assert!(
            parsed("svc pod/a")
                .unwrap_err()
                .starts_with("there is no need to specify")
        );
        assert!(parsed("").is_err() && parsed("svc/").is_err() && parsed("/a").is_err());
        let all = Resources::parse(&["svc", "a"], &Scope::All, None);
        assert_eq!(all, Err(RequestError::AcrossNamespaces));
        let selector = "a=b".parse().unwrap();
        let scope = Scope::Namespace("shop".to_owned());
        let both = Resources::parse(&["svc", "a"], &scope, Some(&selector));
        assert_eq!(both, Err(RequestError::NameAndSelector));
        assert!(Resources::parse(&["no", "a"], &Scope::All, None).is_ok());
    }
}
