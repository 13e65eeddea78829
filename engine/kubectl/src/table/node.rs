//! Nodes.

use std::collections::BTreeSet;

use api::Node;
use serde_json::Value;

use super::{AGE, Column, NAME, shown, wide};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    shown("STATUS"),
    shown("ROLES"),
    AGE,
    shown("VERSION"),
    wide("INTERNAL-IP"),
    wide("EXTERNAL-IP"),
    wide("OS-IMAGE"),
    wide("KERNEL-VERSION"),
    wide("CONTAINER-RUNTIME"),
];

pub(super) fn cells(node: &Node, age: String) -> Vec<String> {
    let info = |field: &str| {
        let info = node.status.rest.get("nodeInfo");
        let text = info.and_then(|info| info.get(field)?.as_str());
        text.unwrap_or_default().to_owned()
    };
    let known = |field: &str| Some(info(field)).filter(|text| !text.is_empty());
    let unknown = || "<unknown>".to_owned();
    let kernel = known("kernelVersion").map(|kernel| match known("architecture") {
        Some(architecture) => format!("{kernel} ({architecture})"),
        None => kernel,
    });
    vec![
        node.metadata.name.clone(),
        status(node),
        roles(node),
        age,
        info("kubeletVersion"),
        address(node, "InternalIP"),
        address(node, "ExternalIP"),
        known("osImage").unwrap_or_else(unknown),
        kernel.unwrap_or_else(unknown),
        known("containerRuntimeVersion").unwrap_or_else(unknown),
    ]
}

fn status(node: &Node) -> String {
    let conditions = &node.status.conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.condition_type == "Ready");
    let ready = match ready.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node.spec.rest.get("unschedulable").and_then(Value::as_bool) {
        Some(true) => format!("{ready},SchedulingDisabled"),
        _ => ready.to_owned(),
    }
}

fn address(node: &Node, address_type: &str) -> String {
    let mut addresses = node.status.addresses.iter();
    let found = addresses.find(|address| address.address_type == address_type);
    found.map_or_else(|| "<none>".to_owned(), |found| found.address.clone())
}

/// The roles that its labels give a node; `<none>` without any.
pub(crate) fn roles(node: &Node) -> String {
    let labels = node.metadata.labels.iter();
    let roles: BTreeSet<&str> = labels
        .filter_map(|(key, value)| match key.as_str() {
            "kubernetes.io/role" => Some(value.as_str()),
            key => key.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    crate::selector::joined(roles.into_iter())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_and_roles() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"labels": {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        }))
        .unwrap();
        let cells = cells(&node, "1m".to_owned());
        assert_eq!(cells[1..3], ["NotReady,SchedulingDisabled", "edge,worker"]);
        assert_eq!(
            cells[5..],
            ["<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"]
        );
        let bare = super::cells(&Node::default(), String::new());
        assert_eq!(bare[1..3], ["Unknown", "<none>"]);
    }
}
