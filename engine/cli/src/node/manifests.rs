//! A cluster out of manifests: what a proxy's watch would have told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use api::yaml::{Problem, Source, split};
use api::{ApiConfig, ApiServer, Manifest, Namespace, Object, ObjectKey, ObjectMeta, decode};
use base::{Seed, SimTime};
use ipnet::IpNet;
use miette::Report;
use proxy::ViewBuilder;
use rules::ClusterView;

use crate::input;

/// What files of these names hold is read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// The state of a cluster.
pub(super) struct Cluster {
    server: ApiServer,
    pub(super) view: ClusterView,
    /// What the API server warned of.
    pub(super) warnings: Vec<String>,
}

impl Cluster {
    /// Applies the objects of a file, or of a folder's files in order of their names, as `kubectl apply -f` does.
    ///
    /// What only a server writes, and a dump of a real cluster has, is taken as it is: addresses of load balancers, and
    /// namespaces that hold something. The Service `default/kubernetes` counts only if it is among the objects.
    ///
    /// # Errors
    /// With the file and the line of what cannot be read or is not valid.
    pub(super) fn read(path: &Path, service_cidrs: Vec<IpNet>) -> Result<Self, Report> {
        let config = ApiConfig {
            service_cidrs: service_cidrs.clone(),
            // Which ports a cluster gives out is its own affair.
            node_port_range: 1..=u16::MAX,
            dns_domain: "cluster.local".to_owned(),
            seed: Seed::new(0),
        };
        let mut server = ApiServer::new(config, SimTime::ZERO);
        let built_in = server.revision();
        let mut warnings = Vec::new();
        for file in files(path)? {
            let source = Source::new(file.display().to_string(), input::text_of(&file)?);
            for manifest in manifests(&source)? {
                apply(&mut server, &source, manifest, &mut warnings)?;
            }
        }
        let mut builder = ViewBuilder::new(service_cidrs.into());
        for event in server.events_after(built_in) {
            builder.observe(event);
        }
        Ok(Self {
            view: builder.view().clone(),
            server,
            warnings,
        })
    }

    /// A Node among the objects.
    pub(super) fn node(&self, name: &str) -> Option<&Arc<api::Node>> {
        self.server.node(name)
    }

    /// Services that no slice gives endpoints to: nobody makes slices for them here.
    pub(super) fn without_slices(&self) -> Vec<String> {
        let names = self.view.services.keys();
        let alone = names.filter(|name| !self.view.slices.contains_key(*name));
        alone.map(ToString::to_string).collect()
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Report> {
    let cannot =
        |error: io::Error| input::error(format!("cannot read {}: {error}", path.display()), None);
    if !fs::metadata(path).map_err(cannot)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(cannot)? {
        let file = entry.map_err(cannot)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !file.is_dir() {
            found.insert(file);
        }
    }
    if found.is_empty() {
        let message = format!("there are no manifests in {}", path.display());
        let help =
            "expected files that end with .yaml, .yml or .json; folders in it are not looked into";
        return Err(input::error(message, Some(help)));
    }
    Ok(found.into_iter().collect())
}

fn manifests(source: &Source) -> Result<Vec<Manifest>, Report> {
    let failed = |problem: &Problem| input::report(problem, Some(&source.text));
    let mut all = Vec::new();
    for document in split(source).map_err(|problem| failed(&problem))? {
        all.extend(decode(&document).map_err(|failure| failed(&failure.problems()[0]))?);
    }
    Ok(all)
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
    let namespace = meta.namespace.clone();
    let written = ensure_namespace(server, &object, &namespace)
        .and_then(|()| server.apply(object.clone(), SimTime::ZERO))
        .and_then(|written| match has_status(&object) {
            true => server.update_status(object, SimTime::ZERO).map(|_| written),
            false => Ok(written),
        });
    let written = written.map_err(|status| {
        let problem = Problem {
            file: source.name.clone(),
            line: location.line,
            column: location.column,
            path: String::new(),
            message: status.kubectl_text(),
            help: None,
        };
        input::report(&problem, Some(&source.text))
    })?;
    warnings.extend(written.warnings);
    Ok(())
}

/// Namespaces come into being when something is in them: a dump of Services does not have them.
fn ensure_namespace(
    server: &mut ApiServer,
    object: &Object,
    namespace: &str,
) -> Result<(), api::Status> {
    let namespace = match namespace {
        "" if object.kind().is_namespaced() => "default",
        "" => return Ok(()),
        named => named,
    };
    let key = ObjectKey::new(api::Kind::Namespace, "", namespace);
    if server.get(&key).is_some() {
        return Ok(());
    }
    let made = Namespace {
        metadata: ObjectMeta::named("", namespace),
        ..Namespace::default()
    };
    let made = Object::Namespace(Arc::new(made));
    server.create(made, SimTime::ZERO).map(drop)
}

/// Whether an object has a status that decides about packets or names a node's addresses.
fn has_status(object: &Object) -> bool {
    match object {
        Object::Service(service) => !service.status.load_balancer.ingress.is_empty(),
        Object::Node(node) => !node.status.addresses.is_empty(),
        _ => false,
    }
}
