//! A cluster out of manifests: what a proxy's watch would have told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use api::yaml::{Problem, Source, split};
use api::{
    ApiConfig, ApiServer, DeleteOptions, Manifest, Namespace, Object, ObjectKey, ObjectMeta,
    Service, WatchEvent, decode,
};
use base::{Seed, SimTime};
use ipnet::IpNet;
use miette::Report;
use proxy::ViewBuilder;
use rules::ClusterView;

use crate::{input, manifests};

/// Files that have changed are read until they stay the same for so long, but not more often than this.
const SETTLING: Duration = Duration::from_millis(20);
const SETTLING_MAX: usize = 50;

/// The state of a cluster.
pub(super) struct Cluster {
    server: ApiServer,
    /// The revision of the server when it was empty.
    built_in: u64,
    builder: ViewBuilder,
    /// What a proxy sees of it.
    view: ClusterView,
    /// The files that were read last, be they good or not.
    sources: Arc<[Source]>,
    /// What the manifests have put into the server.
    keys: BTreeSet<ObjectKey>,
    /// What the API server warned of when the manifests were applied last.
    pub(super) warnings: Vec<String>,
}

impl Cluster {
    /// Applies the objects of a file, or of a folder's files in order of their names, as `kubectl apply -f` does.
    ///
    /// What only a server writes, and a dump of a real cluster has, is taken as it is: addresses of load balancers, and
    /// namespaces that hold something. The Service `default/kubernetes` counts only if it is among the objects.
    ///
    /// Addresses and ports that a server would choose must be stated: another choice than the real cluster's would be
    /// wrong, and it would change whenever a Service comes before in the files.
    ///
    /// # Errors
    /// With the file and the line of what cannot be read, is not valid, or leaves something to be chosen.
    pub(super) fn read(path: &Path, service_cidrs: Vec<IpNet>) -> Result<Self, Report> {
        let config = ApiConfig {
            service_cidrs: service_cidrs.clone(),
            // Which ports a cluster gives out is its own affair.
            node_port_range: 1..=u16::MAX,
            dns_domain: "cluster.local".to_owned(),
            api_servers: Vec::new(),
            seed: Seed::new(0),
        };
        let server = ApiServer::new(config, SimTime::ZERO);
        let empty = Self {
            built_in: server.revision(),
            server,
            builder: ViewBuilder::new(service_cidrs.into()),
            view: ClusterView::default(),
            sources: Arc::new([]),
            keys: BTreeSet::new(),
            warnings: Vec::new(),
        };
        empty.with(sources(path)?.into())
    }

    /// The cluster that the files make now: what has changed is applied, and what is in no file any more is deleted.
    /// `None` while the files are those of the last time, be they good or not.
    ///
    /// # Errors
    /// As [`Self::read`]. Files that are the same the next time are not tried again.
    pub(super) fn follow(&mut self, path: &Path) -> Result<Option<Self>, Report> {
        let found = self.changed_sources(path).inspect_err(|_| {
            // Whatever can be read the next time is new.
            self.sources = Arc::new([]);
        })?;
        let Some(found) = found else {
            return Ok(None);
        };
        self.sources = found.into();
        self.with(Arc::clone(&self.sources)).map(Some)
    }

    fn changed_sources(&self, path: &Path) -> Result<Option<Vec<Source>>, Report> {
        // A file may be gone since the folder was listed: then the next look is right.
        let mut found = sources(path).or_else(|_| {
            thread::sleep(SETTLING);
            sources(path)
        })?;
        if *found == *self.sources {
            return Ok(None);
        }
        // Somebody may be writing at this moment.
        for _ in 0..SETTLING_MAX {
            thread::sleep(SETTLING);
            let again = sources(path)?;
            if again == found {
                break;
            }
            found = again;
        }
        Ok(Some(found))
    }

    /// The cluster that other files make of this one.
    fn with(&self, sources: Arc<[Source]>) -> Result<Self, Report> {
        let mut server = self.server.clone();
        let mut objects = Vec::new();
        for source in &*sources {
            for manifest in decoded(source)? {
                objects.push((source, manifest));
            }
        }
        let keys = objects.iter().map(|(_, manifest)| manifest.object.key());
        let keys: BTreeSet<ObjectKey> = keys.collect();
        for key in self.keys.difference(&keys) {
            remove(&mut server, key);
        }
        let mut warnings = Vec::new();
        for (source, manifest) in objects {
            apply(&mut server, source, manifest, &mut warnings)?;
        }
        let mut builder = self.builder.clone();
        for event in server.events_after(self.revision()) {
            builder.observe(event);
        }
        Ok(Self {
            built_in: self.built_in,
            server,
            view: builder.view().clone(),
            builder,
            sources,
            keys,
            warnings,
        })
    }

    /// What has happened after a revision, at first that of the empty server.
    pub(super) fn events_after(&self, revision: Option<u64>) -> &[WatchEvent] {
        self.server.events_after(revision.unwrap_or(self.built_in))
    }

    /// The revision of the last event.
    pub(super) fn revision(&self) -> u64 {
        self.server.revision()
    }

    /// What a proxy sees of it.
    pub(super) const fn view(&self) -> &ClusterView {
        &self.view
    }

    /// A Node among the objects.
    pub(super) fn node(&self, name: &str) -> Option<&Arc<api::Node>> {
        self.server.node(name)
    }
}

fn sources(path: &Path) -> Result<Vec<Source>, Report> {
    let read = |file: &PathBuf| {
        let text = input::text_of(file)?;
        Ok(Source::new(file.display().to_string(), text))
    };
    manifests::files(path)?.iter().map(read).collect()
}

fn decoded(source: &Source) -> Result<Vec<Manifest>, Report> {
    let failed = |problem: &Problem| input::report(problem, Some(&source.text));
    let mut all = Vec::new();
    for document in split(source).map_err(|problem| failed(&problem))? {
        all.extend(decode(&document).map_err(|failure| failed(&failure.problems()[0]))?);
    }
    for manifest in &mut all {
        if let Some(problem) = no_manifest(manifest) {
            return Err(failed(&problem));
        }
        let object = &mut manifest.object;
        if object.kind().is_namespaced() && object.meta().namespace.is_empty() {
            "default".clone_into(&mut object.meta_mut().namespace);
        }
    }
    Ok(all)
}

/// A scenario, which is none of the cluster's objects: taken for one, it would stand for a cluster without Services.
fn no_manifest(manifest: &Manifest) -> Option<Problem> {
    let custom = manifest.object.custom_kind()?;
    (custom.group() == "switchboard.dev").then(|| Problem {
        file: manifest.file.clone(),
        line: manifest.location.line,
        column: manifest.location.column,
        path: String::new(),
        message: format!("a {} is no manifest", custom.kind),
        help: Some("give manifests of Services, EndpointSlices and Nodes".to_owned()),
    })
}

fn apply(
    server: &mut ApiServer,
    source: &Source,
    manifest: Manifest,
    warnings: &mut Vec<String>,
) -> Result<(), Report> {
    let Manifest {
        mut object,
        location,
        ..
    } = manifest;
    let meta = object.meta_mut();
    // A dump has what its own server wrote there.
    meta.resource_version.clear();
    meta.uid.clear();
    meta.generation = None;
    meta.creation_timestamp = None;
    meta.finalizers.clear();
    let namespace = meta.namespace.clone();
    let problem = |path: String, message, help| {
        let problem = Problem {
            file: source.name.clone(),
            line: location.line,
            column: location.column,
            path,
            message,
            help,
        };
        input::report(&problem, Some(&source.text))
    };
    let stated = object.as_service().cloned();
    let written = ensure_namespace(server, &namespace)
        .and_then(|()| server.apply(object.clone(), SimTime::ZERO))
        .and_then(|written| match has_status_that_counts(&object) {
            true => server.update_status(object, SimTime::ZERO).map(|_| written),
            false => Ok(written),
        });
    let written = written.map_err(|status| problem(String::new(), status.kubectl_text(), None))?;
    if let (Some(stated), Some(complete)) = (stated, written.object.as_service())
        && let Some(field) = chosen(&stated, complete)
    {
        let service = &complete.metadata.name;
        let message = format!("Service {service} does not say what its cluster gave it");
        let help = format!(
            "state {field}, as kubectl get service {service} -n {namespace} -o yaml shows it"
        );
        return Err(problem(field, message, Some(help)));
    }
    warnings.extend(written.warnings);
    Ok(())
}

/// The first address or port of a stored Service that its manifest leaves to the server (ALLOC-20, ALLOC-50, ALLOC-57).
fn chosen(stated: &Service, complete: &Service) -> Option<String> {
    let (spec, complete) = (&stated.spec, &complete.spec);
    let addresses = spec
        .cluster_ips
        .len()
        .max(usize::from(!spec.cluster_ip.is_empty()));
    if addresses < complete.cluster_ips.len() {
        return Some(match addresses {
            0 => "spec.clusterIP".to_owned(),
            index => format!("spec.clusterIPs[{index}]"),
        });
    }
    let mut ports = spec.ports.iter().zip(&complete.ports);
    let open = ports.position(|(own, complete)| own.node_port != complete.node_port);
    let checked = spec.health_check_node_port == complete.health_check_node_port;
    open.map(|index| format!("spec.ports[{index}].nodePort"))
        .or_else(|| (!checked).then(|| "spec.healthCheckNodePort".to_owned()))
}

/// Namespaces come into being when something is in them: a dump of Services does not have them.
fn ensure_namespace(server: &mut ApiServer, namespace: &str) -> Result<(), api::Status> {
    let key = ObjectKey::new(api::Kind::Namespace, "", namespace);
    if namespace.is_empty() || server.get(&key).is_some() {
        return Ok(());
    }
    let made = Namespace {
        metadata: ObjectMeta::named("", namespace),
        ..Namespace::default()
    };
    let made = Object::Namespace(Arc::new(made));
    server.create(made, SimTime::ZERO).map(drop)
}

/// Of which objects the status decides about packets or names a node's addresses: it is a part of the manifest, and gone
/// when it is no longer there.
const fn has_status_that_counts(object: &Object) -> bool {
    matches!(object, Object::Service(_) | Object::Node(_))
}

/// Whatever it is, nobody has to be asked or waited for. What the server does not let go stays: its own namespaces do,
/// and those that hold something.
fn remove(server: &mut ApiServer, key: &ObjectKey) {
    let mut kinds = api::Kind::all().filter(|kind| kind.is_namespaced());
    let is_namespace = key.kind == api::Kind::Namespace;
    if is_namespace && kinds.any(|kind| server.list(kind, Some(&key.name)).next().is_some()) {
        return;
    }
    let now = DeleteOptions {
        grace: Some(0),
        ..DeleteOptions::default()
    };
    let removed = server.delete(key, &now, SimTime::ZERO);
    if is_namespace && removed.is_ok() {
        drop(server.finalize(key, SimTime::ZERO));
    }
}
