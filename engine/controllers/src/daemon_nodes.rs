//! Which nodes a DaemonSet's Pods belong on.
//!
//! **What.** A Pod of a daemon belongs on every node that it may run on: selector, required affinity and taints
//! decide. It bears taints that other Pods do not, and it is tied to its node by an affinity to the node's name.
//! **Source of the semantics.** S: `pkg/controller/daemon/daemon_controller.go` (NodeShouldRunDaemonPod),
//! `pkg/controller/daemon/util/daemonset_util.go` (AddOrUpdateDaemonPodTolerations,
//! ReplaceDaemonSetPodNodeNameNodeAffinity), `component-helpers/scheduling/corev1/nodeaffinity`.

use api::{Node, Pod, PodSpec, Toleration};
use serde_json::{Value, json};

use crate::node_selector::{NAME, NodeSelector, REQUIRED};
use crate::tolerations::{any_bears, taints};

/// Taints that daemons bear, with their effects.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// The taint that those on the node's own network bear, too.
const BORNE_BY_HOST: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a node means to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// A Pod is to be there.
    pub(crate) should_run: bool,
    /// A Pod that is there may stay.
    pub(crate) may_stay: bool,
}

/// What a template asks of nodes.
#[derive(Debug)]
pub(crate) struct Demands<'a> {
    node_name: &'a str,
    selector: NodeSelector,
    tolerations: Vec<Toleration>,
}

impl<'a> Demands<'a> {
    /// What the Pods of this template ask, as daemons.
    pub(crate) fn of(template: &'a PodSpec) -> Self {
        Self {
            node_name: &template.node_name,
            selector: NodeSelector::of(template),
            tolerations: tolerations(template),
        }
    }

    /// Whether such Pods belong on a node.
    pub(crate) fn verdict(&self, node: &Node) -> Verdict {
        if !self.is_meant(node) {
            return Verdict {
                should_run: false,
                may_stay: false,
            };
        }
        let taints = taints(node);
        let is_free_of = |effects: &[&str]| {
            let mut meant = taints
                .iter()
                .filter(|taint| effects.contains(&taint.effect.as_str()));
            meant.all(|taint| any_bears(&self.tolerations, taint))
        };
        Verdict {
            should_run: is_free_of(&["NoSchedule", "NoExecute"]),
            may_stay: is_free_of(&["NoExecute"]),
        }
    }

    /// Whether a node would do but for its taints.
    fn is_meant(&self, node: &Node) -> bool {
        let (name, labels) = (&node.metadata.name, &node.metadata.labels);
        (self.node_name.is_empty() || self.node_name == name) && self.selector.admits(name, labels)
    }
}

/// Whether two versions of a node are the same to every daemon.
pub(crate) fn are_alike(before: &Node, after: &Node) -> bool {
    before.metadata.labels == after.metadata.labels
        && before.spec.rest.get("taints") == after.spec.rest.get("taints")
}

/// Makes a template's `spec` that of the Pod of one node.
pub(crate) fn tie(spec: &mut PodSpec, node: &str) {
    let listed = tolerations(spec);
    spec.rest.insert("tolerations", json!(listed));
    let mut affinity: Value = spec.rest.get("affinity").cloned().unwrap_or_default();
    let name = json!({"key": NAME, "operator": "In", "values": [node]});
    let required = json!({"nodeSelectorTerms": [{"matchFields": [name]}]});
    if !affinity.is_object() {
        affinity = json!({});
    }
    match affinity
        .get_mut("nodeAffinity")
        .and_then(Value::as_object_mut)
    {
        Some(of_nodes) => drop(of_nodes.insert(REQUIRED.to_owned(), required)),
        None => {
            if let Some(fields) = affinity.as_object_mut() {
                fields.insert("nodeAffinity".to_owned(), json!({REQUIRED: required}));
            }
        }
    }
    spec.rest.insert("affinity", affinity);
}

/// The node that a Pod is on, or tied to until it is scheduled.
pub(crate) fn node_of(pod: &Pod) -> Option<String> {
    if !pod.spec.node_name.is_empty() {
        return Some(pod.spec.node_name.clone());
    }
    NodeSelector::of(&pod.spec).first_name().map(str::to_owned)
}

/// The tolerations of a template with those of every daemon.
fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut listed: Vec<Toleration> = spec.rest.typed("tolerations").unwrap_or_default();
    let of_host = spec.host_network.then_some(BORNE_BY_HOST);
    for (key, effect) in BORNE.into_iter().chain(of_host) {
        let borne = Toleration {
            key: key.to_owned(),
            operator: "Exists".to_owned(),
            effect: effect.to_owned(),
            ..Toleration::default()
        };
        let same = listed.iter_mut().find(|found| {
            let unlimited = Toleration {
                toleration_seconds: None,
                ..(*found).clone()
            };
            unlimited == borne
        });
        match same {
            Some(same) => *same = borne,
            None => listed.push(borne),
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(fields: Value) -> PodSpec {
        serde_json::from_value(fields).unwrap()
    }

    fn check(template: Value, node: Value, expected: (bool, bool)) {
        let shown = format!("{template} on {node}");
        let node: Node = serde_json::from_value(node).unwrap();
        let template = spec(template);
        let found = Demands::of(&template).verdict(&node);
        assert_eq!((found.should_run, found.may_stay), expected, "{shown}");
    }

    #[test]
    fn taints_decide() {
        let tainted = |key: &str, effect: &str| json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": key, "value": "v", "effect": effect}]}});
        let bears = |toleration: Value| json!({"tolerations": [toleration]});
        check(json!({}), json!({"metadata": {"name": "n1"}}), (true, true));
        check(json!({}), tainted("k", "PreferNoSchedule"), (true, true));
        check(json!({}), tainted("k", "NoSchedule"), (false, true));
        check(json!({}), tainted("k", "NoExecute"), (false, false));
        let equal = bears(json!({"key": "k", "value": "v"}));
        check(equal, tainted("k", "NoExecute"), (true, true));
        let other = bears(json!({"key": "k", "value": "w"}));
        check(other, tainted("k", "NoSchedule"), (false, true));
        let any = bears(json!({"operator": "Exists"}));
        check(any, tainted("k", "NoExecute"), (true, true));
        check(
            json!({}),
            tainted("node.kubernetes.io/not-ready", "NoExecute"),
            (true, true),
        );
        check(
            json!({}),
            tainted("node.kubernetes.io/unschedulable", "NoSchedule"),
            (true, true),
        );
        let network = tainted("node.kubernetes.io/network-unavailable", "NoSchedule");
        check(json!({}), network.clone(), (false, true));
        check(json!({"hostNetwork": true}), network, (true, true));
    }

    #[test]
    fn selector_affinity_and_name_decide() {
        let node = json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cpus": "8"}}});
        let requires = |terms: Value| json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}});
        let expression = |key: &str, operator: &str, values: Value| {
            requires(
                json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]),
            )
        };
        let (yes, no) = ((true, true), (false, false));
        for (template, expected) in [
            (json!({"nodeName": "n1"}), yes),
            (json!({"nodeName": "n2"}), no),
            (json!({"nodeSelector": {"disk": "ssd"}}), yes),
            (json!({"nodeSelector": {"disk": "hdd"}}), no),
            (expression("disk", "In", json!(["hdd", "ssd"])), yes),
            (expression("disk", "NotIn", json!(["ssd"])), no),
            (expression("gpu", "NotIn", json!(["a"])), yes),
            (expression("gpu", "Exists", json!([])), no),
            (expression("gpu", "DoesNotExist", json!([])), yes),
            (expression("cpus", "Gt", json!(["4"])), yes),
            (expression("cpus", "Lt", json!(["4"])), no),
            (expression("disk", "Gt", json!(["4"])), no),
            (expression("disk", "Like", json!(["ssd"])), no),
            (requires(json!([{}])), no),
            (requires(json!([])), no),
            (
                requires(
                    json!([{}, {"matchFields": [{"key": NAME, "operator": "In", "values": ["n1"]}]}]),
                ),
                yes,
            ),
        ] {
            check(template, node.clone(), expected);
        }
    }

    #[test]
    fn a_pod_is_tied_to_its_node() {
        let preferred = json!([{"weight": 1, "preference": {}}]);
        let mut pod = Pod {
            spec: spec(json!({
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
                "affinity": {"nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": preferred,
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]},
                }},
            })),
            ..Pod::default()
        };
        assert_eq!(node_of(&pod), None);
        tie(&mut pod.spec, "n1");
        assert_eq!(node_of(&pod).as_deref(), Some("n1"));
        let affinity = &pod.spec.rest.get("affinity").unwrap()["nodeAffinity"];
        assert_eq!(
            affinity["preferredDuringSchedulingIgnoredDuringExecution"],
            preferred
        );
        let tolerations: Vec<Toleration> = pod.spec.rest.typed("tolerations").unwrap();
        assert_eq!(tolerations.len(), BORNE.len());
        assert_eq!(tolerations[0].toleration_seconds, None, "borne for ever");
        let mut bare = PodSpec::default();
        tie(&mut bare, "n2");
        assert_eq!(NodeSelector::of(&bare).first_name(), Some("n2"));
    }
}
