//! `kubectl describe`.
//!
//! **What.** Everything about an object that a person wants to see first, with the events that tell of it; a Service
//! with its endpoints, a Node with its Pods. **Source of the semantics.** API-96; S: `kubectl/pkg/describe/describe.go`,
//! `kubectl/pkg/cmd/describe/describe.go`.
//!
//! Deviation: kinds that are not listed in [`SUPPORTED`] are refused by name.

mod container;
mod endpoints;
mod event;
mod network;
mod node;
mod page;
mod pod;
mod service;
mod volume;

use api::{Kind, Object, Selector};
use base::SimTime;

use crate::get::{Printed, nothing_found, warnings};
use crate::request::{Found, Objects, Resources, Scope};

/// The kinds that can be described.
pub const SUPPORTED: [Kind; 7] = [
    Kind::Service,
    Kind::Endpoints,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Node,
    Kind::ServiceCidr,
    Kind::IpAddress,
];

/// Why objects cannot be described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "describing a {kind} is not supported by this version of switchboard; supported: {}",
    supported()
)]
pub struct DescribeError {
    /// Their kind.
    kind: Kind,
}

fn supported() -> String {
    SUPPORTED.map(Kind::plural).join(", ")
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Describe {
    resources: Resources,
    scope: Scope,
    selector: Option<Selector>,
}

/// Who describes: the cluster, and the present instant.
#[derive(Clone, Copy)]
struct View<'a> {
    objects: &'a dyn Objects,
    now: SimTime,
}

impl Describe {
    /// A request for objects.
    ///
    /// # Errors
    /// When a kind is none of [`SUPPORTED`].
    pub fn new(
        resources: Resources,
        scope: Scope,
        selector: Option<Selector>,
    ) -> Result<Self, DescribeError> {
        let kinds = resources.kinds();
        let refused = kinds.into_iter().find(|kind| !SUPPORTED.contains(kind));
        match refused {
            Some(kind) => Err(DescribeError { kind }),
            None => Ok(Self {
                resources,
                scope,
                selector,
            }),
        }
    }

    /// Describes what there is, with ages as of `now`.
    #[must_use]
    pub fn print(&self, objects: &dyn Objects, now: SimTime) -> Printed {
        let view = View { objects, now };
        let selector = self.selector.as_ref();
        let found = Found::of(&self.resources, &self.scope, selector, objects);
        let mut stderr = warnings(&self.resources);
        let pages: Vec<String> = found
            .objects()
            .map(|object| view.describe(object))
            .collect();
        let mut stdout = pages.join("\n\n");
        let mut is_failure = !found.errors.is_empty();
        if is_failure && found.is_one {
            // A name that no object has may begin the names of others.
            stdout = self.named_alike(&view);
            is_failure = stdout.is_empty();
        }
        if is_failure {
            for status in &found.errors {
                stderr.push_str(&status.error_text());
                stderr.push('\n');
            }
        } else if stdout.is_empty() {
            stderr.push_str(&nothing_found(&self.resources, &self.scope));
        }
        Printed {
            stdout,
            stderr,
            is_failure,
        }
    }

    fn named_alike(&self, view: &View<'_>) -> String {
        let Resources::Named(keys) = &self.resources else {
            return String::new();
        };
        let alike = keys.iter().flat_map(|key| {
            let mut listed = view.objects.list(key.kind, key.namespace.as_deref());
            listed.retain(|object| object.meta().name.starts_with(&key.name));
            listed
        });
        alike
            .map(|object| format!("{}\n", view.describe(&object)))
            .collect()
    }
}

impl View<'_> {
    fn describe(&self, object: &Object) -> String {
        match object {
            Object::Service(service) => service::page(service, self),
            Object::Endpoints(endpoints) => endpoints::page(endpoints, self),
            Object::EndpointSlice(slice) => endpoints::slice(slice),
            Object::Pod(pod) => pod::page(pod, self),
            Object::Node(node) => node::page(node, self),
            Object::ServiceCidr(cidr) => network::service_cidr(cidr, self),
            Object::IpAddress(address) => network::ip_address(address, self),
            _ => unreachable!("a request names supported kinds only"),
        }
    }
}
