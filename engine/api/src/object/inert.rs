//! Objects that networking ignores: of kinds that Kubernetes has, and custom resources.
//!
//! Deviation: a real cluster knows custom resources by their definitions. Here any kind of a foreign group is taken for
//! one, so that an application's manifests load without them; its plural is guessed, nothing is validated, and its
//! objects live in namespaces whatever the definition's scope.

use serde::de::Error as _;
use serde_json::{Map, Value};

use super::{InertKind, Kind, ObjectMeta, Rest};

/// An object of a kind that networking ignores: stored and printed, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inert {
    /// Which kind.
    pub kind: InertType,
    /// `metadata`
    pub metadata: ObjectMeta,
    /// Everything else.
    pub rest: Rest,
}

/// Which kind an inert object is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InertType {
    /// One that a stock cluster serves.
    Stock(InertKind),
    /// One that somebody defined.
    Custom(CustomKind),
}

/// The kind of a custom resource, as its manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomKind {
    /// `gateway.networking.k8s.io/v1`
    pub api_version: String,
    /// `Gateway`
    pub kind: String,
}

impl CustomKind {
    /// The API group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// As kubectl's result lines name it: `gateway.gateway.networking.k8s.io`.
    #[must_use]
    pub fn singular(&self) -> String {
        format!("{}.{}", self.kind.to_ascii_lowercase(), self.group())
    }
}

impl InertType {
    /// Which kind; the same one for all custom resources.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Stock(kind) => Kind::Other(*kind),
            Self::Custom(_) => Kind::CUSTOM,
        }
    }

    pub(super) fn custom(&self) -> Option<&CustomKind> {
        match self {
            Self::Stock(_) => None,
            Self::Custom(custom) => Some(custom),
        }
    }

    /// A custom resource must say what it is.
    pub(super) fn read(
        kind: InertKind,
        api_version: Option<Value>,
        name: Option<Value>,
    ) -> Result<Self, serde_json::Error> {
        if Kind::Other(kind) != Kind::CUSTOM {
            return Ok(Self::Stock(kind));
        }
        match (api_version, name) {
            (Some(Value::String(api_version)), Some(Value::String(kind))) => {
                Ok(Self::Custom(CustomKind { api_version, kind }))
            }
            _ => Err(serde_json::Error::custom(
                "apiVersion and kind must be texts",
            )),
        }
    }
}

impl Inert {
    pub(super) fn read(
        kind: InertType,
        mut fields: Map<String, Value>,
    ) -> Result<Self, serde_json::Error> {
        let metadata = fields.shift_remove("metadata");
        let metadata = metadata.unwrap_or_else(|| Map::new().into());
        Ok(Self {
            kind,
            metadata: serde_json::from_value(metadata)?,
            rest: Rest::new(fields),
        })
    }

    pub(super) fn written(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("metadata".to_owned(), super::written(&self.metadata).into());
        let rest = self.rest.iter();
        fields.extend(rest.map(|(field, value)| (field.clone(), value.clone())));
        fields
    }
}

/// The plural of a kind's name in lower case, as English forms it.
pub(super) fn plural(kind: &str) -> String {
    let vowel_y = ["ay", "ey", "oy", "uy"];
    let hissing = ["s", "x", "ch", "sh"];
    match kind.strip_suffix('y') {
        Some(stem) if !vowel_y.iter().any(|end| kind.ends_with(end)) => format!("{stem}ies"),
        _ if hissing.iter().any(|end| kind.ends_with(end)) => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_of_well_known_custom_resources() {
        for (kind, expected) in [
            ("gateway", "gateways"),
            ("httproute", "httproutes"),
            ("gatewayclass", "gatewayclasses"),
            ("networkpolicy", "networkpolicies"),
            ("mesh", "meshes"),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }
}
