//! IPAddress: one object per virtual IP that is taken (ALLOC-36, ALLOC-37; S: networking/v1 `types.go`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{ObjectMeta, Service};
use crate::family::IpFamily;

/// The label that tells the family of an IPAddress.
pub const LABEL_ADDRESS_FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// The label that tells who made an IPAddress.
pub const LABEL_ADDRESS_MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// The API server, which makes one for each address of a Service.
const MANAGER: &str = "ipallocator.k8s.io";

/// An IPAddress; its name is the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAddress {
    /// `metadata`
    pub metadata: ObjectMeta,
    /// `spec`
    pub spec: IpAddressSpec,
}

/// `spec` of an IPAddress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAddressSpec {
    /// Who has the address; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ParentReference>,
}

/// Who has an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentReference {
    /// The API group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// `services`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl IpAddress {
    /// What says that a Service has an address.
    #[must_use]
    pub fn of_service(address: IpAddr, service: &Service) -> Self {
        let mut metadata = ObjectMeta::named("", &address.to_string());
        let family = IpFamily::of(address).to_string();
        for (key, value) in [
            (LABEL_ADDRESS_FAMILY, family),
            (LABEL_ADDRESS_MANAGED_BY, MANAGER.to_owned()),
        ] {
            metadata.labels.insert(key.to_owned(), value);
        }
        let parent_ref = Some(ParentReference::to_service(&service.metadata));
        Self {
            metadata,
            spec: IpAddressSpec { parent_ref },
        }
    }

    /// The address, which is its name; a stored one has one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.metadata.name.parse().ok()
    }

    /// Whether the API server made it, by what its label says.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        let manager = self.metadata.labels.get(LABEL_ADDRESS_MANAGED_BY);
        manager.is_some_and(|manager| manager == MANAGER)
    }

    /// Whether it has the labels of one that the API server made.
    #[must_use]
    pub fn is_labelled(&self) -> bool {
        let family = self.metadata.labels.get(LABEL_ADDRESS_FAMILY);
        let own = self.address().map(|address| IpFamily::of(address).name());
        self.is_managed() && own.is_some() && family.map(String::as_str) == own
    }

    /// Who has the address, if it is a Service.
    #[must_use]
    pub fn service(&self) -> Option<&ParentReference> {
        let parent = self.spec.parent_ref.as_ref();
        parent.filter(|parent| parent.group.is_empty() && parent.resource == "services")
    }
}

impl ParentReference {
    /// The Service that has this metadata.
    #[must_use]
    pub fn to_service(service: &ObjectMeta) -> Self {
        Self {
            group: String::new(),
            resource: "services".to_owned(),
            namespace: service.namespace.clone(),
            name: service.name.clone(),
        }
    }

    /// Whether it names this Service.
    #[must_use]
    pub fn names(&self, service: &Service) -> bool {
        let meta = &service.metadata;
        (&self.namespace, &self.name) == (&meta.namespace, &meta.name)
    }
}
