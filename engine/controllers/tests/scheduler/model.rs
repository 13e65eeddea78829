//! No Pod is ever put where a filter forbids it, checked by rules that are written anew.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use api::{Change, DeleteOptions, Kind, Object, ObjectKey};
use proptest::prelude::*;

use super::cluster::{self, Cluster};
use super::{cluster_of, node, pod};

/// A node as the independent check sees it.
#[derive(Clone, Debug)]
struct NodeModel {
    zone: u8,
    has_disk: bool,
    effect: Option<&'static str>,
    is_cordoned: bool,
    cpu: Option<u32>,
    pods: Option<usize>,
}

#[derive(Clone, Debug)]
struct PodModel {
    app: u8,
    zones: Option<Vec<u8>>,
    wants_disk: bool,
    bears: bool,
    cpu: u32,
    port: Option<u16>,
    spreads: bool,
    averse: bool,
    is_owned: bool,
}

impl NodeModel {
    fn text(&self, name: &str) -> String {
        let disk = if self.has_disk { ", disk: ssd" } else { "" };
        let taint = self
            .effect
            .map(|effect| format!("{{key: own, effect: {effect}}}"));
        let cpu = self.cpu.map(|cpu| format!("cpu: {cpu}m"));
        let pods = self.pods.map(|pods| format!("pods: {pods}"));
        let room: Vec<String> = cpu.into_iter().chain(pods).collect();
        node(
            name,
            &format!("zone: z{}{disk}", self.zone),
            &format!(
                "unschedulable: {}, taints: [{}]",
                self.is_cordoned,
                taint.unwrap_or_default()
            ),
            &room.join(", "),
        )
    }
}

impl PodModel {
    fn text(&self, name: &str) -> String {
        let selector = format!("labelSelector: {{matchLabels: {{app: a{}}}}}", self.app);
        let mut meta = format!(", labels: {{app: a{}}}", self.app);
        if self.is_owned {
            meta += ", ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: o, uid: o, controller: true}]";
        }
        let mut container = String::new();
        if self.cpu > 0 {
            container += &format!(", resources: {{requests: {{cpu: {}m}}}}", self.cpu);
        }
        if let Some(port) = self.port {
            container += &format!(", ports: [{{containerPort: 1, hostPort: {port}}}]");
        }
        let mut affinity = Vec::new();
        if let Some(zones) = &self.zones {
            let zones: Vec<String> = zones.iter().map(|zone| format!("z{zone}")).collect();
            affinity.push(format!("nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{{matchExpressions: [{{key: zone, operator: In, values: [{}]}}]}}]}}}}", zones.join(", ")));
        }
        if self.averse {
            affinity.push(format!("podAntiAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: zone, {selector}}}]}}"));
        }
        let mut spec = format!(", affinity: {{{}}}", affinity.join(", "));
        if self.wants_disk {
            spec += ", nodeSelector: {disk: ssd}";
        }
        if self.bears {
            spec += ", tolerations: [{key: own, operator: Exists}]";
        }
        if self.spreads {
            spec += &format!(
                ", topologySpreadConstraints: [{{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, {selector}}}]"
            );
        }
        pod(name, &meta, &container, &spec)
    }

    fn selects(&self, node: &NodeModel) -> bool {
        (!self.wants_disk || node.has_disk)
            && self
                .zones
                .as_ref()
                .is_none_or(|zones| zones.contains(&node.zone))
    }
}

/// What is where, by name.
#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<String, NodeModel>,
    pods: BTreeMap<String, (PodModel, Option<String>)>,
}

impl Model {
    fn placed(&self) -> impl Iterator<Item = (&PodModel, &String, &NodeModel)> {
        self.pods.values().filter_map(|(pod, node)| {
            let node = node.as_ref()?;
            Some((pod, node, &self.nodes[node]))
        })
    }

    /// The filter that keeps a Pod from a node.
    fn forbids(&self, pod: &PodModel, name: &str) -> Option<&'static str> {
        let node = &self.nodes[name];
        let here = || self.placed().filter(|(_, node, _)| *node == name);
        let in_zone = || {
            self.placed()
                .filter(|(_, _, other)| other.zone == node.zone)
        };
        let used: u32 = here().map(|(pod, _, _)| pod.cpu).sum();
        let hard = matches!(node.effect, Some("NoSchedule" | "NoExecute"));
        let rules = [
            (node.is_cordoned, "cordon"),
            (hard && !pod.bears, "taint"),
            (!pod.selects(node), "selector"),
            (
                pod.port.is_some() && here().any(|(other, _, _)| other.port == pod.port),
                "port",
            ),
            (
                pod.cpu > 0 && node.cpu.is_some_and(|cpu| used + pod.cpu > cpu),
                "cpu",
            ),
            (node.pods.is_some_and(|pods| here().count() >= pods), "pods"),
            (
                pod.averse && in_zone().any(|(other, _, _)| other.app == pod.app),
                "aversion",
            ),
            (
                in_zone().any(|(other, _, _)| other.averse && other.app == pod.app),
                "repulsion",
            ),
            (pod.spreads && self.skew(pod, node.zone) > 1, "spread"),
        ];
        rules
            .into_iter()
            .find(|(holds, _)| *holds)
            .map(|(_, rule)| rule)
    }

    /// How many more of its like the zone would have than the emptiest one.
    fn skew(&self, pod: &PodModel, zone: u8) -> usize {
        let eligible = || self.nodes.iter().filter(|(_, node)| pod.selects(node));
        let count = |zone: u8| {
            let like = self.placed().filter(|(other, _, node)| {
                other.app == pod.app && node.zone == zone && pod.selects(node)
            });
            like.count()
        };
        let fewest = eligible()
            .map(|(_, node)| count(node.zone))
            .min()
            .unwrap_or(0);
        count(zone) + 1 - fewest.min(count(zone))
    }

    /// Follows the log, checking each placement against what was where at that moment.
    fn follow(&mut self, cluster: &Cluster, from: u64) -> Result<(), TestCaseError> {
        for event in cluster.api.events_after(from) {
            let Object::Pod(object) = &event.object else {
                continue;
            };
            let name = &object.metadata.name;
            if event.change == Change::Deleted {
                self.pods.remove(name);
                continue;
            }
            let Some((pod, None)) = self.pods.get(name).cloned() else {
                continue;
            };
            let to = &object.spec.node_name;
            if !to.is_empty() {
                let rule = self.forbids(&pod, to);
                prop_assert_eq!(rule, None, "{} on {}", name, to);
                self.pods.insert(name.clone(), (pod, Some(to.clone())));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Node(u8, NodeModel),
    Pod(u8, PodModel),
    Remove(u8),
}

fn node_model() -> impl Strategy<Value = NodeModel> {
    let effects = prop::sample::select(vec![
        None,
        None,
        Some("NoSchedule"),
        Some("NoExecute"),
        Some("PreferNoSchedule"),
    ]);
    (
        any::<bool>(),
        effects,
        prop::bool::weighted(0.2),
        prop::option::of(500..2000_u32),
        prop::option::of(1..4_usize),
    )
        .prop_map(|(has_disk, effect, is_cordoned, cpu, pods)| NodeModel {
            zone: 0,
            has_disk,
            effect,
            is_cordoned,
            cpu,
            pods,
        })
}

fn pod_model() -> impl Strategy<Value = PodModel> {
    (
        0..2_u8,
        prop::option::weighted(0.3, prop::collection::vec(0..3_u8, 1..3)),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop_oneof![Just(0), 100..1500_u32],
        prop::option::weighted(0.2, 80..82_u16),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.2),
        any::<bool>(),
    )
        .prop_map(
            |(app, zones, wants_disk, bears, cpu, port, spreads, averse, is_owned)| PodModel {
                app,
                zones,
                wants_disk,
                bears,
                cpu,
                port,
                spreads,
                averse,
                is_owned,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..5_u8, node_model()).prop_map(|(name, node)| Step::Node(name, node)),
        4 => (0..12_u8, pod_model()).prop_map(|(name, pod)| Step::Pod(name, pod)),
        1 => (0..12_u8).prop_map(Step::Remove),
    ]
}

/// Makes the node so, now or from now on.
fn set_node(cluster: &mut Cluster, name: &str, model: &NodeModel) {
    let objects = cluster::objects(&model.text(name));
    let key = ObjectKey::new(Kind::Node, "", name);
    let _ = cluster
        .api
        .delete(&key, &DeleteOptions::default(), cluster.now);
    for object in objects {
        cluster.put(object);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// No Pod is ever put where a filter forbids it, and none waits while there is a place for it.
    #[test]
    fn pods_are_where_they_may_be(steps in prop::collection::vec(step(), 1..40)) {
        let mut cluster = cluster_of("");
        let mut model = Model::default();
        for step in steps {
            let from = cluster.api.revision();
            match step {
                Step::Node(name, mut node) => {
                    node.zone = name % 3;
                    let name = format!("n{name}");
                    set_node(&mut cluster, &name, &node);
                    model.nodes.insert(name, node);
                }
                Step::Pod(name, pod) => {
                    let name = format!("p{name}");
                    if let Entry::Vacant(free) = model.pods.entry(name) {
                        cluster.apply(&pod.text(free.key()));
                        free.insert((pod, None));
                    }
                }
                Step::Remove(name) => cluster.remove_pod(&format!("p{name}")),
            }
            cluster.drain();
            model.follow(&cluster, from)?;
            for (name, (pod, node)) in &model.pods {
                if node.is_none() {
                    let place = model.nodes.keys().find(|node| model.forbids(pod, node).is_none());
                    prop_assert_eq!(place, None, "{} waits", name);
                }
            }
        }
    }
}
