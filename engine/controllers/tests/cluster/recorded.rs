//! What a real cluster's controllers made of some objects.

use std::collections::BTreeMap;

use api::{Kind, ObjectKey};
use serde_json::Value;
use switchboard_controllers::Controller;

use super::{Cluster, NODES, objects};

/// A recording, and the cluster in which it was played again.
pub(crate) struct Recording {
    /// Its first line.
    pub(crate) head: String,
    pub(crate) cluster: Cluster,
    /// The slices of the real cluster.
    pub(crate) slices: Vec<Value>,
    /// Its Endpoints.
    pub(crate) endpoints: Vec<Value>,
}

impl Recording {
    /// Applies the manifests, plays the kubelet by their `oracle/…` annotations, and deletes what was deleted.
    pub(crate) fn replay(text: &str, controllers: Vec<Box<dyn Controller>>) -> Self {
        let (manifests, rest) = text.split_once("# ==== resulting EndpointSlices").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let (slices, endpoints) = rest.split_once("# ==== resulting Endpoints").unwrap();
        let (head, _) = manifests.split_once('\n').unwrap();
        let (_, namespace) = head.split_once("(namespace ").unwrap();
        let (namespace, _) = namespace.split_once(')').unwrap();
        let mut cluster = Cluster::new(controllers);
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}}}}}"
        ));
        cluster.apply(&nodes());
        for object in objects(manifests) {
            let annotations = object.meta().annotations.clone();
            let (name, is_pod) = (object.meta().name.clone(), object.kind() == Kind::Pod);
            cluster.put(object);
            if is_pod {
                report(&mut cluster, &name, &annotations);
            }
        }
        cluster.drain();
        for deleted in head.split("('del', '").skip(1) {
            let (name, _) = deleted.split_once('\'').unwrap();
            let key = ObjectKey::new(Kind::Pod, namespace, name);
            let now = cluster.now;
            cluster.api.delete(&key, &Default::default(), now).unwrap();
        }
        cluster.drain();
        Self {
            head: head.to_owned(),
            cluster,
            slices: documents(slices),
            endpoints: documents(endpoints),
        }
    }
}

/// Nodes node-1, node-2, node-3 in zones zone-a, zone-b, zone-c.
fn nodes() -> String {
    let mut nodes = NODES.replace("zone: ", "zone: zone-");
    for number in ["1", "2", "3"] {
        nodes = nodes.replace(&format!("n{number}"), &format!("node-{number}"));
    }
    nodes
}

fn report(cluster: &mut Cluster, name: &str, annotations: &BTreeMap<String, String>) {
    let told = |key: &str| {
        annotations
            .get(&format!("oracle/{key}"))
            .map(String::as_str)
    };
    let ip = if told("noip").is_some() {
        ""
    } else {
        told("ip").unwrap_or_default()
    };
    let phase = told("phase").unwrap_or("Running");
    let ready = phase == "Running" && told("ready") != Some("false");
    cluster.report(name, phase, ip, Some(ready));
}

fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("---\n").filter(|text| !text.trim().is_empty());
    let documents = documents.map(|text| serde_yaml::from_str(text).unwrap());
    documents.filter(Value::is_object).collect()
}
