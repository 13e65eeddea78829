//! Objects that kubectl makes of a few words: `create deployment`, `create service`, `create namespace`, `run`, `expose`.
//!
//! **Source of the semantics.** kubectl 1.36, S: `pkg/cmd/create/create_{deployment,service,namespace}.go`,
//! `pkg/generate/versioned/run.go`, `pkg/cmd/expose/expose.go`.

use serde_json::{Map, Value as Json, json};

use super::kubectl::{Known, Named};

/// `kubectl create`, of words
#[derive(Debug, clap::Subcommand)]
pub(super) enum Generated {
    /// A Deployment
    #[command(visible_alias = "deploy")]
    Deployment(DeploymentOrder),
    /// A Service of the Pods with the label app=NAME
    #[command(subcommand, visible_alias = "svc")]
    Service(ServiceOrder),
    /// A namespace
    #[command(visible_alias = "ns")]
    Namespace {
        /// Its name
        name: String,
    },
}

/// `kubectl create deployment`
#[derive(Debug, clap::Args)]
pub(super) struct DeploymentOrder {
    /// Its name
    name: String,
    /// What its container runs, by name alone: it answers with the Pod's name
    #[arg(long)]
    image: String,
    /// How many Pods
    #[arg(long, short, default_value_t = 1)]
    replicas: u32,
    /// The port that its container listens on
    #[arg(long)]
    port: Option<u16>,
}

/// `kubectl create service`
#[derive(Debug, clap::Subcommand)]
pub(super) enum ServiceOrder {
    /// Of type ClusterIP
    #[command(name = "clusterip")]
    ClusterIp {
        #[command(flatten)]
        common: Common,
        /// An address, or None for a headless Service
        #[arg(long, value_name = "ADDRESS")]
        clusterip: Option<String>,
    },
    /// Of type NodePort
    #[command(name = "nodeport")]
    NodePort {
        #[command(flatten)]
        common: Common,
        /// The port of every node
        #[arg(long, value_name = "PORT")]
        node_port: Option<u16>,
    },
    /// Of type LoadBalancer
    #[command(name = "loadbalancer")]
    LoadBalancer {
        #[command(flatten)]
        common: Common,
    },
    /// Of type ExternalName
    #[command(name = "externalname")]
    ExternalName {
        #[command(flatten)]
        common: Common,
        /// What it is an alias of
        #[arg(long, value_name = "NAME")]
        external_name: String,
    },
}

/// What every Service is given.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Its name
    name: String,
    /// PORT, or PORT:TARGETPORT; several with commas between
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    tcp: Vec<String>,
}

/// `kubectl run`
#[derive(Debug, clap::Args)]
pub(super) struct RunOrder {
    /// The Pod's name
    name: String,
    /// What its container runs, by name alone: it answers with the Pod's name
    #[arg(long)]
    image: String,
    /// The port that its container listens on
    #[arg(long)]
    port: Option<u16>,
    /// Its labels [default: run=NAME]
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
}

/// `kubectl expose`
#[derive(Debug, clap::Args)]
pub(super) struct ExposeOrder {
    #[command(flatten)]
    objects: Named,
    /// The Service's name [default: the object's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The Service's port [default: the container's]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The container's port, by number or name [default: the Service's]
    #[arg(long, value_name = "PORT")]
    target_port: Option<String>,
    /// TCP, UDP or SCTP [default: the container's]
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// ClusterIP, NodePort or LoadBalancer
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// An address, or None for a headless Service
    #[arg(long = "cluster-ip", value_name = "ADDRESS")]
    cluster_ip: Option<String>,
}

impl Generated {
    /// What kubectl calls it where it could not be made; nothing of a namespace.
    pub(super) fn made(&self) -> Option<String> {
        match self {
            Self::Deployment(_) => Some("deployment".to_owned()),
            Self::Service(order) => Some(format!("{} service", order.parts().1)),
            Self::Namespace { .. } => None,
        }
    }

    /// The object.
    ///
    /// # Errors
    /// When a port is none.
    pub(super) fn object(&self) -> Result<Json, String> {
        match self {
            Self::Deployment(order) => Ok(order.object()),
            Self::Service(order) => order.object(),
            Self::Namespace { name } => {
                Ok(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
            }
        }
    }
}

impl DeploymentOrder {
    fn object(&self) -> Json {
        let labels = json!({"app": self.name});
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container(base_name(&self.image), &self.image, self.port)]},
                },
            },
        })
    }
}

/// `registry/team/web:1.2` is `web`.
fn base_name(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split([':', '@']).next().unwrap_or_default()
}

fn container(name: &str, image: &str, port: Option<u16>) -> Json {
    let mut container = json!({"name": name, "image": image});
    if let Some(port) = port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    container
}

impl ServiceOrder {
    /// What every Service is given, and the type.
    const fn parts(&self) -> (&Common, &'static str) {
        match self {
            Self::ClusterIp { common, .. } => (common, "ClusterIP"),
            Self::NodePort { common, .. } => (common, "NodePort"),
            Self::LoadBalancer { common } => (common, "LoadBalancer"),
            Self::ExternalName { common, .. } => (common, "ExternalName"),
        }
    }

    fn object(&self) -> Result<Json, String> {
        let (common, kind) = self.parts();
        let mut ports = common.ports()?;
        let labels = json!({"app": common.name});
        let mut spec = json!({"type": kind, "selector": labels});
        match self {
            Self::ClusterIp {
                clusterip: Some(address),
                ..
            } => spec["clusterIP"] = json!(address),
            Self::ExternalName { external_name, .. } => spec["externalName"] = json!(external_name),
            Self::NodePort {
                node_port: Some(port),
                ..
            } => {
                for one in &mut ports {
                    one["nodePort"] = json!(port);
                }
            }
            _ => {}
        }
        let needs_ports = spec["clusterIP"] != "None" && kind != "ExternalName";
        if ports.is_empty() && needs_ports {
            return Err("error: at least one tcp port specifier must be provided".to_owned());
        }
        spec["ports"] = ports.into();
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": common.name, "labels": labels},
            "spec": spec,
        }))
    }
}

impl Common {
    fn ports(&self) -> Result<Vec<Json>, String> {
        let port = |text: &String| {
            let (port, target) = text.split_once(':').unwrap_or((text, text));
            let number: u16 = port
                .parse()
                .map_err(|_| format!("error: {port:?} is no port"))?;
            // The name is what was written, with a dash.
            Ok(json!({
                "name": text.replace(':', "-"),
                "protocol": "TCP",
                "port": number,
                "targetPort": number_or_name(target),
            }))
        };
        self.tcp.iter().map(port).collect()
    }
}

fn number_or_name(port: &str) -> Json {
    port.parse::<u16>().map_or_else(|_| port.into(), Json::from)
}

impl RunOrder {
    /// The Pod.
    ///
    /// # Errors
    /// When a label is none.
    pub(super) fn object(&self) -> Result<Json, String> {
        let labels = self.labels.iter().map(|text| {
            let pair = text.split_once('=');
            let pair = pair.map(|(key, value)| (key.to_owned(), Json::from(value)));
            pair.ok_or_else(|| format!("error: unexpected label: {text}"))
        });
        let mut labels: Map<String, Json> = labels.collect::<Result<_, _>>()?;
        if labels.is_empty() {
            labels.insert("run".to_owned(), self.name.as_str().into());
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {"containers": [container(&self.name, &self.image, self.port)]},
        }))
    }
}

impl ExposeOrder {
    /// The Service.
    ///
    /// # Errors
    /// When there is no such object, or it tells nothing of Pods.
    pub(super) fn object(&self, known: &impl Known) -> Result<Json, String> {
        let object = known.object(&self.objects.reference()?)?;
        let meta = &object["metadata"];
        let mut spec = Map::from_iter([
            ("selector".to_owned(), selector(&object)?.clone()),
            ("ports".to_owned(), self.ports(&object)?),
        ]);
        let stated = [("type", &self.kind), ("clusterIP", &self.cluster_ip)];
        for (field, value) in stated {
            if let Some(value) = value {
                spec.insert(field.to_owned(), value.as_str().into());
            }
        }
        let name = self.name.as_deref().or(meta["name"].as_str());
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": meta["namespace"], "labels": meta["labels"]},
            "spec": spec,
        }))
    }

    fn ports(&self, object: &Json) -> Result<Json, String> {
        let known = ports(object);
        let ports: Vec<u64> = match self.port {
            Some(port) => vec![port.into()],
            None => known.iter().map(|(port, _)| *port).collect(),
        };
        if ports.is_empty() && self.cluster_ip.as_deref() != Some("None") {
            let why = "error: couldn't find port via --port flag or introspection";
            return Err(why.to_owned());
        }
        let several = ports.len() > 1;
        let ports = ports.iter().enumerate().map(|(index, port)| {
            let own = known.iter().find(|(known, _)| known == port);
            let own = own.map_or("TCP", |(_, protocol)| protocol);
            let mut entry = json!({
                "port": port,
                "protocol": self.protocol.as_deref().unwrap_or(own),
                "targetPort": self.target_port.as_deref().map_or_else(|| json!(port), number_or_name),
            });
            if several {
                entry["name"] = format!("port-{}", index + 1).into();
            }
            entry
        });
        Ok(ports.collect())
    }
}

/// The labels of the Pods that an object stands for.
fn selector(object: &Json) -> Result<&Json, String> {
    let spec = &object["spec"];
    let (found, why) = match object["kind"].as_str() {
        Some("Pod") => (
            &object["metadata"]["labels"],
            "error: the pod has no labels and cannot be exposed",
        ),
        Some("Service") => (
            &spec["selector"],
            "error: the service has no pod selector set",
        ),
        Some("Deployment" | "ReplicaSet") if !spec["selector"]["matchExpressions"].is_null() => {
            let expressions = &spec["selector"]["matchExpressions"];
            return Err(format!(
                "error: couldn't convert expressions - \"{expressions}\" to map-based selector format"
            ));
        }
        Some("Deployment" | "ReplicaSet") => (
            &spec["selector"]["matchLabels"],
            "error: the selector has no matchLabels",
        ),
        kind => {
            let kind = kind.unwrap_or_default();
            return Err(format!("error: cannot expose a {kind}"));
        }
    };
    let is_empty = found.as_object().is_none_or(Map::is_empty);
    if is_empty {
        Err(why.to_owned())
    } else {
        Ok(found)
    }
}

/// The ports of an object and their protocols.
fn ports(object: &Json) -> Vec<(u64, &str)> {
    let spec = &object["spec"];
    let (ports, field): (Vec<&Json>, _) = match object["kind"].as_str() {
        Some("Service") => (listed(&spec["ports"]).collect(), "port"),
        kind => {
            let pod = match kind {
                Some("Pod") => spec,
                _ => &spec["template"]["spec"],
            };
            let containers = listed(&pod["containers"]);
            let ports = containers.flat_map(|container| listed(&container["ports"]));
            (ports.collect(), "containerPort")
        }
    };
    let ports = ports.into_iter().filter_map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        Some((port[field].as_u64()?, protocol))
    });
    ports.collect()
}

fn listed(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}
