//! Manifests without a scenario: what `--in` takes beside scenarios.
//!
//! **What.** A file or folder of manifests becomes a scenario of its own: a cluster of default settings, in which they are
//! applied, and time until it is at rest. **Why.** So every question that can be asked of a scenario can be asked of a
//! user's own files. **Source of the semantics.** The command line's contract.
//!
//! The cluster has the nodes that the manifests name, as Nodes or as the `nodeName` of Pods; two if they name none.
//! A file with an object that has a `uid` is what a cluster printed: it is taken as it is, not applied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use api::yaml::{Source, split};
use api::{Kind, Object, decode_stored};
use miette::Report;
use scenario::{API_VERSION, Scenario};
use serde_json::{Map, Value, json};

use crate::input;

/// What files of these names hold is read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// The nodes of a cluster of which nobody names any.
const NODES: [&str; 2] = ["node-a", "node-b"];

/// The scenarios of a file, or the one that manifests make.
pub(crate) fn scenarios(path: &Path) -> Result<Vec<Scenario>, Report> {
    let files = files(path)?;
    let mut texts = Vec::new();
    for file in &files {
        texts.push(input::text_of(file)?);
    }
    let mut with_scenario = files
        .iter()
        .zip(&texts)
        .filter(|(_, text)| holds_scenario(text));
    match (with_scenario.next(), with_scenario.next()) {
        (Some((file, text)), None) => input::load_text(file, text.clone()),
        (Some(_), Some(_)) => {
            let message = format!("several files of {} hold scenarios", path.display());
            Err(input::error(message, Some("name one of them")))
        }
        (None, _) => {
            let named = files
                .iter()
                .zip(&texts)
                .filter_map(|(file, text)| Some((file.file_name()?.to_str()?, text.as_str())));
            let named: Vec<(&str, &str)> = named.collect();
            let text = around(&named).to_string();
            let folder = files[0].parent().unwrap_or(Path::new(""));
            // They have been read, and standard input cannot be read again.
            let mut read = |name: &str| {
                let mut known = named.iter().filter(|(known, _)| *known == name);
                let text = known.next().map(|(_, text)| (*text).to_owned());
                text.ok_or_else(|| "it is not among the files".to_owned())
            };
            input::load_with(&folder.join("manifests"), text, &mut read)
        }
    }
}

/// The files of a folder in order of their names; or a file itself.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Report> {
    let cannot =
        |error: io::Error| input::error(format!("cannot read {}: {error}", path.display()), None);
    if input::is_stdin(path) || !fs::metadata(path).map_err(cannot)?.is_dir() {
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

/// Whether there is a scenario in a text. What is no YAML at all, or no object, may have been meant to be one.
fn holds_scenario(text: &str) -> bool {
    let (group, _) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
    let Ok(documents) = split(&Source::new("", text)) else {
        return true;
    };
    let is_scenario =
        |version: Option<&str>| version.is_none_or(|version| version.starts_with(group));
    documents.is_empty()
        || documents.iter().any(|document| {
            let field = |key| document.value.get(key).and_then(|value| value.as_str());
            // A repair stands beside the scenario that awaits it.
            is_scenario(field("apiVersion")) && field("kind") != Some("Repair")
        })
}

/// A scenario in which these files are applied, or are there from the start.
fn around(files: &[(&str, &str)]) -> Value {
    let (mut state, mut manifests) = (Vec::new(), Vec::new());
    let mut has_nodes = false;
    for (name, text) in files {
        let objects = stored(text);
        // Only what a cluster printed has one.
        if objects.iter().any(|object| !object.meta().uid.is_empty()) {
            has_nodes |= objects.iter().any(|object| object.kind() == Kind::Node);
            state.push(*name);
        } else {
            manifests.push(*name);
        }
    }
    let mut cluster = Map::new();
    // The nodes of a dump are read with it.
    if !has_nodes {
        cluster.insert("nodes".to_owned(), nodes(files).into());
    }
    let mut spec = json!({
        "cluster": cluster,
        "manifests": manifests,
        "steps": [{"wait": "converged"}],
    });
    if !state.is_empty() {
        spec["state"] = json!(state);
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": "Scenario",
        "metadata": {"name": "manifests"},
        "spec": spec,
    })
}

/// The objects of a text. What cannot be decoded is complained of later, at its line.
fn stored(text: &str) -> Vec<Object> {
    let documents = split(&Source::new("", text)).unwrap_or_default();
    let manifests = documents
        .iter()
        .filter_map(|document| decode_stored(document).ok());
    manifests
        .flatten()
        .map(|manifest| manifest.object)
        .collect()
}

/// The nodes that manifests name.
fn nodes(files: &[(&str, &str)]) -> Vec<Value> {
    let mut nodes: BTreeMap<String, Value> = BTreeMap::new();
    for object in files.iter().flat_map(|(_, text)| stored(text)) {
        match &object {
            Object::Node(node) => {
                nodes.insert(node.metadata.name.clone(), settings(node));
            }
            Object::Pod(pod) if !pod.spec.node_name.is_empty() => {
                let name = &pod.spec.node_name;
                nodes
                    .entry(name.clone())
                    .or_insert_with(|| json!({ "name": name }));
            }
            _ => {}
        }
    }
    match nodes.is_empty() {
        true => NODES.map(|name| json!({ "name": name })).to_vec(),
        false => nodes.into_values().collect(),
    }
}

fn settings(node: &api::Node) -> Value {
    let mut settings = Map::new();
    settings.insert("name".to_owned(), node.metadata.name.clone().into());
    if let Some(zone) = node.zone() {
        settings.insert("zone".to_owned(), zone.into());
    }
    let addresses = node.internal_addresses().map(|address| address.to_string());
    let ranges = node.pod_ranges().into_iter().map(|range| range.to_string());
    let lists: [(&str, Vec<String>); 2] = [
        ("addresses", addresses.collect()),
        ("podCIDRs", ranges.collect()),
    ];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        settings.insert(key.to_owned(), list.into());
    }
    settings.into()
}
