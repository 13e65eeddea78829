//! The API server: verbs over the store.
//!
//! **What.** `create`, `replace`, `apply`, `patch`, `update_status`, `delete` and what ends objects, reads, and what the
//! server does by itself (`upkeep`, `repair`). Every write is judged whole and then done whole: a refused one leaves
//! store, virtual IPs, node ports and log as they were.
//! **Why.** Requests work on a draft of the object and on a copy of the (persistent) pools; only success
//! puts them in place, so there is nothing to undo.
//! **Source of the semantics.** API-33 … API-38, API-59, API-65, API-83 … API-85, API-92, ALLOC-5, ALLOC-25.
//!
//! Deviation: `status` in a manifest is the initial status (the scenario language); later writes of the main
//! resource keep the stored status, as in Kubernetes, unless the object is annotated [`crate::ANNOTATION_STATUS`].

mod addresses;
mod deletion;
mod events;
mod port_repair;
mod propagation;
mod repair;
mod restore;
mod restored_sets;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Rng, Seed, SimTime};
use ipnet::IpNet;

pub use self::propagation::Propagation;
use crate::allocator::{ClusterIps, NodePorts};
use crate::apply::{LAST_APPLIED, check_applicable, last_applied, merged, missing_annotation};
use crate::names::{generate_name, uid};
use crate::object::{
    EndpointSlice, Kind, Namespace, Node, Object, ObjectKey, ObjectMeta, Pod, Service,
};
use crate::status::Status;
use crate::store::{Store, WatchEvent};
use crate::strategy::{self, Pools};
use crate::timestamp::timestamp;

/// How often a generated name is drawn before the request fails (S: apiserver `names.go`).
const NAME_DRAWS: usize = 8;

/// The settings of a cluster's API server.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Ranges of virtual IPs; the first one's family is the default family (ALLOC-1).
    pub service_cidrs: Vec<IpNet>,
    /// First and last node port (ALLOC-46).
    pub node_port_range: std::ops::RangeInclusive<u16>,
    /// The cluster's DNS domain.
    pub dns_domain: String,
    /// Where the API servers are: the endpoints of the Service `kubernetes`, which has none without (ALLOC-5).
    pub api_servers: Vec<SocketAddr>,
    /// Root of what the server draws: addresses, ports, names, identities.
    pub seed: Seed,
}

/// The API server of one cluster.
#[derive(Clone, Debug)]
pub struct ApiServer {
    config: ApiConfig,
    store: Store,
    pools: Pools,
    identities: Rng,
    /// Of the objects that the server makes by itself.
    own_identities: Rng,
    names: Rng,
    upkeep: upkeep::Upkeep,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds of grace; `None` = the Pod's own. Only Pods are deleted gracefully (API-92).
    pub grace: Option<u64>,
    /// Precondition: the object has this identity (API-11).
    pub uid: Option<String>,
    /// Precondition: the object has this version (API-11).
    pub resource_version: Option<String>,
    /// What becomes of its dependents; `None` = what an earlier deletion has said, or in the background.
    pub propagation: Option<Propagation>,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `create`, or `apply` of a new object.
    Created,
    /// `apply` with a change.
    Configured,
    /// `apply` without a change: nothing was written.
    Unchanged,
    /// `replace`.
    Replaced,
    /// `patch` with a change.
    Patched,
    /// `patch` without a change: nothing was written.
    NotPatched,
    /// `delete`; a Pod may still be there, terminating.
    Deleted,
}

/// A write that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What it did.
    pub verb: Verb,
    /// The object as stored; of a deletion, its last state.
    pub object: Object,
    /// What kubectl prints behind `Warning: `.
    pub warnings: Vec<String>,
}

impl std::fmt::Display for Written {
    /// kubectl's line: `service/web created`, `service "web" deleted`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, name) = (self.object.key().singular(), &self.object.meta().name);
        let word = match self.verb {
            Verb::Created => "created",
            Verb::Configured => "configured",
            Verb::Unchanged => "unchanged",
            Verb::Replaced => "replaced",
            Verb::Patched => "patched",
            Verb::NotPatched => "patched (no change)",
            Verb::Deleted => return write!(f, "{kind} \"{name}\" deleted"),
        };
        write!(f, "{kind}/{name} {word}")
    }
}

impl ApiServer {
    /// A cluster as it is after start: its namespaces, its ServiceCIDR, and the Service `default/kubernetes` at the
    /// first usable address (ALLOC-5), which is left out where the first range has none.
    #[must_use]
    pub fn new(config: ApiConfig, now: SimTime) -> Self {
        let pools = Pools {
            cluster_ips: ClusterIps::new(&upkeep::families(&config)),
            cluster_ip_rng: config.seed.split("api/cluster-ips"),
            node_ports: NodePorts::new(config.node_port_range.clone()),
            node_port_rng: config.seed.split("api/node-ports"),
        };
        let mut server = Self {
            store: Store::default(),
            pools,
            identities: config.seed.split("api/identities"),
            own_identities: config.seed.split("api/own-identities"),
            names: config.seed.split("api/names"),
            upkeep: upkeep::Upkeep::default(),
            config,
        };
        server.start(now);
        server
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &ApiConfig {
        &self.config
    }

    /// Stores a new object. A namespaced object without a namespace goes to `default`.
    ///
    /// # Errors
    /// Invalid, taken, unsupported, or no such namespace; `Status` says which.
    pub fn create(&mut self, object: Object, now: SimTime) -> Result<Written, Status> {
        self.insert(object, Verb::Created, now)
            .map_err(|status| status.while_doing("creating"))
    }

    /// Overwrites an object (PUT). A resourceVersion in it must be the stored one (API-84); a Service that does
    /// not exist is created (API-37).
    ///
    /// # Errors
    /// As [`ApiServer::create`], and conflicts.
    pub fn replace(&mut self, object: Object, now: SimTime) -> Result<Written, Status> {
        let object = settled(object);
        let key = object.key();
        let written = match self.store.get(&key).cloned() {
            Some(old) => self.overwrite(object, &old, Verb::Replaced, now),
            None if key.kind == Kind::Service => self.insert(object, Verb::Replaced, now),
            None => Err(Status::not_found(&key)),
        };
        written.map_err(|status| status.while_doing("replacing"))
    }

    /// `kubectl apply`, client-side: creates the object, or merges the manifest over the stored one.
    ///
    /// Deviation: a version in a manifest does not matter to an object that is not there yet, where Kubernetes refuses it:
    /// what was printed of a real cluster can be applied as it is.
    ///
    /// # Errors
    /// As [`ApiServer::create`].
    pub fn apply(&mut self, manifest: Object, now: SimTime) -> Result<Written, Status> {
        let manifest = settled(manifest);
        let key = manifest.key();
        check_applicable(&manifest)?;
        let annotation = last_applied(&manifest);
        let annotate = |mut object: Object| {
            object
                .meta_mut()
                .annotations
                .insert(LAST_APPLIED.to_owned(), annotation);
            object
        };
        let Some(old) = self.store.get(&key).cloned() else {
            let mut object = annotate(manifest);
            object.meta_mut().resource_version.clear();
            return self.create(object, now);
        };
        let object = Object::from_fields(key.kind, merged(&old, &manifest))
            .map_err(|error| Status::internal(&error.to_string()))?;
        let mut written = self
            .overwrite(annotate(object), &old, Verb::Configured, now)
            .map_err(|status| status.while_doing("applying patch"))?;
        if !old.meta().annotations.contains_key(LAST_APPLIED) {
            written.warnings.insert(0, missing_annotation(&key));
        }
        Ok(written)
    }

    /// Writes the status alone; everything else stays as stored (API-34), but for the annotations of a Deployment, which
    /// its controller writes with the status. A resourceVersion or uid in the object must be the stored one.
    ///
    /// # Errors
    /// Not found, a conflict, or a status that is invalid.
    pub fn update_status(&mut self, object: Object, now: SimTime) -> Result<Written, Status> {
        let key = object.key();
        let old = self
            .store
            .get(&key)
            .cloned()
            .ok_or_else(|| Status::not_found(&key))?;
        check_version(&key, object.meta(), old.meta())?;
        let mut updated = old.clone();
        if let Object::Deployment(deployment) = &object {
            let annotations = deployment.metadata.annotations.clone();
            updated.meta_mut().annotations = annotations;
        }
        updated.take_status(object);
        strategy::update_status(&mut updated)?;
        Ok(self.commit(updated, &old, Verb::Configured, Vec::new(), now))
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.store.get(key)
    }

    /// Objects of a kind by namespace and name; all namespaces when `namespace` is `None`.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> impl Iterator<Item = &Object> {
        self.store.list(kind, namespace)
    }

    /// The counter of writes (API-83).
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Every change after `revision`, oldest first: a watch is a position in this log.
    #[must_use]
    pub fn events_after(&self, revision: u64) -> &[WatchEvent] {
        self.store.events_after(revision)
    }

    /// A Service.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Arc<Service>> {
        self.get(&ObjectKey::new(Kind::Service, namespace, name))?
            .as_service()
    }

    /// An EndpointSlice.
    #[must_use]
    pub fn endpoint_slice(&self, namespace: &str, name: &str) -> Option<&Arc<EndpointSlice>> {
        self.get(&ObjectKey::new(Kind::EndpointSlice, namespace, name))?
            .as_endpoint_slice()
    }

    /// A Pod.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.get(&ObjectKey::new(Kind::Pod, namespace, name))?
            .as_pod()
    }

    /// A Node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Arc<Node>> {
        self.get(&ObjectKey::new(Kind::Node, "", name))?.as_node()
    }

    /// A Namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.get(&ObjectKey::new(Kind::Namespace, "", name))?
            .as_namespace()
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    fn insert(&mut self, object: Object, verb: Verb, now: SimTime) -> Result<Written, Status> {
        let mut object = settled(object);
        self.check_namespace_takes(&object)?;
        let mut names = self.names.clone();
        if object.meta().name.is_empty() && !object.meta().generate_name.is_empty() {
            object.meta_mut().name = self.free_name(&object, &mut names);
        }
        let mut pools = self.pools.clone();
        let warnings = strategy::create(&mut object, &mut pools)?;
        let key = object.key();
        if verb == Verb::Created && has_version(object.meta()) {
            let text = "resourceVersion should not be set on objects to be created";
            return Err(Status::unknown(text.to_owned()));
        }
        if self.store.get(&key).is_some() {
            return Err(Status::already_exists(&key));
        }
        let meta = object.meta_mut();
        meta.uid = uid(&mut self.identities);
        meta.creation_timestamp = Some(timestamp(now));
        meta.deletion_timestamp = None;
        meta.deletion_grace_period_seconds = None;
        self.pools = pools;
        self.names = names;
        if let Object::Service(service) = &object {
            self.hold_addresses(service, None, now);
        }
        let object = self.put(object, now);
        Ok(Written {
            verb,
            object,
            warnings,
        })
    }

    pub(crate) fn overwrite(
        &mut self,
        mut object: Object,
        old: &Object,
        verb: Verb,
        now: SimTime,
    ) -> Result<Written, Status> {
        let key = old.key();
        check_version(&key, object.meta(), old.meta())?;
        keep_what_users_do_not_write(&mut object, old);
        let mut pools = self.pools.clone();
        let warnings = strategy::update(&mut object, old, &mut pools)?;
        if deletion::is_over(&object, old) {
            let object = self.end(&key, now);
            return Ok(Written {
                verb,
                object,
                warnings,
            });
        }
        self.pools = pools;
        let after = object.as_service().cloned();
        let services = old.as_service().zip(after.as_ref());
        if let Some((before, after)) = services {
            self.hold_addresses(after, Some(before), now);
        }
        let written = self.commit(object, old, verb, warnings, now);
        if let Some((before, after)) = services {
            self.release_addresses(before, Some(after), now);
        }
        Ok(written)
    }

    /// Puts a new state in place, or nothing if it is the old one (API-83).
    fn commit(
        &mut self,
        mut object: Object,
        old: &Object,
        verb: Verb,
        warnings: Vec<String>,
        now: SimTime,
    ) -> Written {
        object
            .meta_mut()
            .resource_version
            .clone_from(&old.meta().resource_version);
        if object == *old {
            let verb = match verb {
                Verb::Configured => Verb::Unchanged,
                Verb::Patched => Verb::NotPatched,
                verb => verb,
            };
            return Written {
                verb,
                object,
                warnings,
            };
        }
        Written {
            verb,
            object: self.put(object, now),
            warnings,
        }
    }

    fn free_name(&self, object: &Object, names: &mut Rng) -> String {
        let mut key = object.key();
        for _ in 0..NAME_DRAWS {
            key.name = generate_name(&object.meta().generate_name, names);
            if self.get(&key).is_none() {
                break;
            }
        }
        key.name
    }
}

/// A namespaced object is in `default` unless it says otherwise; others are in none.
fn settled(mut object: Object) -> Object {
    let namespaced = object.kind().is_namespaced();
    if namespaced && object.meta().namespace.is_empty() {
        "default".clone_into(&mut object.meta_mut().namespace);
    } else if !namespaced && !object.meta().namespace.is_empty() {
        object.meta_mut().namespace.clear();
    }
    object
}

/// Whether it states a version that a stored object could have; others do not matter (S: `storage/etcd3/store.go`).
fn has_version(meta: &ObjectMeta) -> bool {
    let version = meta.resource_version.parse::<u64>();
    version.is_ok_and(|version| version > 0)
}

/// A version or identity that a request states must be the stored one (API-10, API-11).
fn check_version(key: &ObjectKey, new: &ObjectMeta, old: &ObjectMeta) -> Result<(), Status> {
    if !new.uid.is_empty() && new.uid != old.uid {
        return Err(Status::precondition(key, "UID", &new.uid, &old.uid));
    }
    if !new.resource_version.is_empty() && new.resource_version != old.resource_version {
        return Err(Status::modified(key));
    }
    Ok(())
}

fn check_preconditions(
    key: &ObjectKey,
    options: &DeleteOptions,
    meta: &ObjectMeta,
) -> Result<(), Status> {
    let pairs = [
        ("UID", &options.uid, &meta.uid),
        (
            "ResourceVersion",
            &options.resource_version,
            &meta.resource_version,
        ),
    ];
    for (what, wanted, found) in pairs {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != found) {
            return Err(Status::precondition(key, what, wanted, found));
        }
    }
    Ok(())
}

/// What the server maintains, and the status.
fn keep_what_users_do_not_write(object: &mut Object, old: &Object) {
    let (meta, before) = (object.meta_mut(), old.meta());
    meta.uid.clone_from(&before.uid);
    meta.creation_timestamp
        .clone_from(&before.creation_timestamp);
    meta.generation = before.generation;
    if before.is_terminating() {
        meta.deletion_timestamp
            .clone_from(&before.deletion_timestamp);
    }
    meta.deletion_grace_period_seconds = meta
        .deletion_grace_period_seconds
        .or(before.deletion_grace_period_seconds);
    if !meta.has_pinned_status() {
        object.take_status(old.clone());
    }
}
