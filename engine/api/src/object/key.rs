//! What identifies an object.

use std::fmt;
use std::sync::Arc;

use super::inert::plural;
use super::{CustomKind, Kind};

/// What identifies an object: kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for kinds without one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Which custom resource it is, as kubectl's result lines name it: `gateway.gateway.networking.k8s.io`. Only
    /// [`Kind::CUSTOM`] has one.
    pub(crate) custom: Option<Arc<str>>,
}

impl ObjectKey {
    /// The key of an object; `namespace` is ignored for kinds without one.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = kind.is_namespaced().then(|| namespace.to_owned());
        Self {
            kind,
            namespace,
            name: name.to_owned(),
            custom: None,
        }
    }

    /// The key of an object whose kind is named by a word as on a command line: any spelling of a kind that
    /// [`Kind::of_resource`] knows, or a custom resource in the singular with its group
    /// (`gateway.gateway.networking.k8s.io`).
    #[must_use]
    pub fn of_resource(word: &str, namespace: &str, name: &str) -> Option<Self> {
        if let Some(kind) = Kind::of_resource(word) {
            return Some(Self::new(kind, namespace, name));
        }
        let custom = word.to_ascii_lowercase();
        let (kind, group) = custom.split_once('.')?;
        (!kind.is_empty() && !Kind::is_stock_group(group)).then(|| Self {
            custom: Some(custom.into()),
            ..Self::new(Kind::CUSTOM, namespace, name)
        })
    }

    /// As kubectl's result lines name its kind: `service`, `gateway.gateway.networking.k8s.io`.
    #[must_use]
    pub fn singular(&self) -> String {
        match &self.custom {
            Some(custom) => custom.to_string(),
            None => self.kind.singular(),
        }
    }

    /// As error messages name its kind: `services`, `gateways.gateway.networking.k8s.io`.
    #[must_use]
    pub fn resource(&self) -> String {
        match self
            .custom
            .as_deref()
            .and_then(|custom| custom.split_once('.'))
        {
            Some((kind, group)) => format!("{}.{group}", plural(kind)),
            None => self.kind.resource(),
        }
    }
}

impl CustomKind {
    /// The key of an object of this kind.
    pub(super) fn key(&self, namespace: &str, name: &str) -> ObjectKey {
        ObjectKey {
            custom: Some(self.singular().into()),
            ..ObjectKey::new(Kind::CUSTOM, namespace, name)
        }
    }
}

impl fmt::Display for ObjectKey {
    /// `service/default/web`, `node/node-a`, `gateway.gateway.networking.k8s.io/default/web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.custom {
            Some(custom) => write!(f, "{custom}/")?,
            None => write!(f, "{}/", self.kind.name().to_ascii_lowercase())?,
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}
