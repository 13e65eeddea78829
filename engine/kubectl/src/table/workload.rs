//! Deployments, ReplicaSets, StatefulSets and DaemonSets.

use api::{Container, DaemonSet, Deployment, LabelSelector, PodSpec, ReplicaSet, StatefulSet};

use super::{AGE, Column, NAME, shown, wide};
use crate::selector::{pairs, spelled};

const CONTAINERS: Column = wide("CONTAINERS");
const IMAGES: Column = wide("IMAGES");
const SELECTOR: Column = wide("SELECTOR");

pub(super) const DEPLOYMENT: &[Column] = &[
    NAME,
    shown("READY"),
    shown("UP-TO-DATE"),
    shown("AVAILABLE"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const REPLICA_SET: &[Column] = &[
    NAME,
    shown("DESIRED"),
    shown("CURRENT"),
    shown("READY"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
pub(super) const STATEFUL_SET: &[Column] = &[NAME, shown("READY"), AGE, CONTAINERS, IMAGES];
pub(super) const DAEMON_SET: &[Column] = &[
    NAME,
    shown("DESIRED"),
    shown("CURRENT"),
    shown("READY"),
    shown("UP-TO-DATE"),
    shown("AVAILABLE"),
    shown("NODE SELECTOR"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) fn deployment(deployment: &Deployment, age: String) -> Vec<String> {
    let (spec, status) = (&deployment.spec, &deployment.status);
    let desired = spec.replicas.unwrap_or(1);
    let mut cells = vec![
        deployment.metadata.name.clone(),
        format!("{}/{desired}", status.ready_replicas),
        status.updated_replicas.to_string(),
        status.available_replicas.to_string(),
        age,
    ];
    cells.extend(made(&spec.template.spec, spec.selector.as_ref()));
    cells
}

pub(super) fn replica_set(set: &ReplicaSet, age: String) -> Vec<String> {
    let mut cells = vec![
        set.metadata.name.clone(),
        set.spec.replicas.unwrap_or(1).to_string(),
        set.status.replicas.unwrap_or(0).to_string(),
        set.status.ready_replicas.to_string(),
        age,
    ];
    cells.extend(made(&set.spec.template.spec, set.spec.selector.as_ref()));
    cells
}

pub(super) fn stateful_set(set: &StatefulSet, age: String) -> Vec<String> {
    let desired = set.spec.replicas.unwrap_or(1);
    let ready = format!("{}/{desired}", set.status.ready_replicas);
    let containers = &set.spec.template.spec.containers;
    let mut cells = vec![set.metadata.name.clone(), ready, age];
    cells.extend(names_and_images(containers));
    cells
}

pub(super) fn daemon_set(set: &DaemonSet, age: String) -> Vec<String> {
    let (spec, status) = (&set.spec, &set.status);
    let node_selector = spec.template.spec.rest.get("nodeSelector").cloned();
    let node_selector = node_selector.and_then(|value| serde_json::from_value(value).ok());
    let mut cells = vec![set.metadata.name.clone()];
    let counts = [
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.updated_number_scheduled,
        status.number_available,
    ];
    cells.extend(counts.map(|count| count.to_string()));
    cells.extend([pairs(&node_selector.unwrap_or_default()), age]);
    cells.extend(made(&spec.template.spec, spec.selector.as_ref()));
    cells
}

fn made(template: &PodSpec, selector: Option<&LabelSelector>) -> Vec<String> {
    let mut cells = names_and_images(&template.containers).to_vec();
    cells.push(spelled(selector));
    cells
}

fn names_and_images(containers: &[Container]) -> [String; 2] {
    let joined =
        |of: fn(&Container) -> &str| containers.iter().map(of).collect::<Vec<_>>().join(",");
    [
        joined(|container| &container.name),
        joined(|container| &container.image),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_counts_its_pods() {
        let made: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 3,
                "selector": {
                    "matchLabels": {"app": "web"},
                    "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}],
                },
                "template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]}},
            },
            "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
        }))
        .unwrap();
        assert_eq!(
            deployment(&made, "5s".to_owned()),
            [
                "web",
                "2/3",
                "1",
                "2",
                "5s",
                "a,b",
                "i,j",
                "a in (x,y),app=web"
            ]
        );
    }

    #[test]
    fn a_daemon_set_shows_its_nodes() {
        let made: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "agent"},
            "spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
            "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1,
                       "numberMisscheduled": 0},
        }))
        .unwrap();
        let cells = daemon_set(&made, "5s".to_owned());
        assert_eq!(
            cells[..8],
            ["agent", "3", "2", "1", "0", "0", "disk=ssd", "5s"]
        );
    }
}
