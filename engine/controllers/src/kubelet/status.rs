//! What a kubelet reports of a running Pod.
//!
//! **Source of the semantics.** API-77; S: `pkg/kubelet/status/generate.go`.

use std::net::IpAddr;

use api::{Condition, ContainerStatus, Pod, PodIp, timestamp};
use base::SimTime;
use serde_json::json;

use super::Sandbox;

/// The Pod with its status at `now`.
///
/// Its resourceVersion is left out: a kubelet patches the status whatever else has changed.
pub(super) fn running(sandbox: &Sandbox, node: &[IpAddr], now: SimTime) -> Pod {
    let mut pod = Pod::clone(&sandbox.pod);
    pod.metadata.resource_version.clear();
    let containers = container_statuses(&pod, sandbox, now);
    let gates = failing_gates(&pod);
    let status = &mut pod.status;
    "Running".clone_into(&mut status.phase);
    status.host_ip = node.first().map(ToString::to_string).unwrap_or_default();
    let addresses: Vec<String> = sandbox.addresses.iter().map(ToString::to_string).collect();
    status.pod_ip = addresses.first().cloned().unwrap_or_default();
    status.pod_ips = addresses.into_iter().map(|ip| PodIp { ip }).collect();
    status
        .start_time
        .get_or_insert_with(|| timestamp(sandbox.seen));
    let unready = unready(&containers);
    let ready = unready.clone().or(gates);
    for (name, reason) in [
        ("PodReadyToStartContainers", None),
        ("Initialized", None),
        ("Ready", ready),
        ("ContainersReady", unready),
        ("PodScheduled", None),
    ] {
        set_condition(&mut status.conditions, name, reason, now);
    }
    status.container_statuses = containers;
    pod
}

fn container_statuses(pod: &Pod, sandbox: &Sandbox, now: SimTime) -> Vec<ContainerStatus> {
    let containers = pod.spec.containers.iter().zip(&sandbox.health);
    let since = timestamp(sandbox.runs_since);
    containers
        .map(|(container, health)| {
            let mut entry = ContainerStatus {
                name: container.name.clone(),
                ready: health.is_ready(now),
                image: container.image.clone(),
                ..ContainerStatus::default()
            };
            let started = health.has_started(now);
            entry.rest.insert("started", started.into());
            let state = json!({"running": {"startedAt": since}});
            entry.rest.insert("state", state);
            entry
        })
        .collect()
}

/// Why a condition does not hold.
#[derive(Clone)]
struct Reason {
    reason: &'static str,
    message: String,
}

fn unready(containers: &[ContainerStatus]) -> Option<Reason> {
    let unready = containers.iter().filter(|container| !container.ready);
    let unready: Vec<&str> = unready.map(|container| container.name.as_str()).collect();
    (!unready.is_empty()).then(|| Reason {
        reason: "ContainersNotReady",
        message: format!("containers with unready status: [{}]", unready.join(" ")),
    })
}

fn failing_gates(pod: &Pod) -> Option<Reason> {
    let conditions = &pod.status.conditions;
    let failing = pod.spec.readiness_gates.iter().filter_map(|gate| {
        let name = &gate.condition_type;
        let found = conditions
            .iter()
            .find(|found| found.condition_type == *name);
        match found {
            None => Some(format!(
                "corresponding condition of pod readiness gate \"{name}\" does not exist."
            )),
            Some(found) if found.status != "True" => Some(format!(
                "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                found.status
            )),
            Some(_) => None,
        }
    });
    let failing: Vec<String> = failing.collect();
    (!failing.is_empty()).then(|| Reason {
        reason: "ReadinessGatesNotReady",
        message: failing.join(", "),
    })
}

/// Keeps the transition time of a condition that stays as it is.
fn set_condition(conditions: &mut Vec<Condition>, name: &str, fails: Option<Reason>, now: SimTime) {
    let status = if fails.is_none() { "True" } else { "False" };
    let place = conditions
        .iter()
        .position(|condition| condition.condition_type == name);
    let place = place.unwrap_or_else(|| {
        let condition = Condition {
            condition_type: name.to_owned(),
            ..Condition::default()
        };
        conditions.push(condition);
        conditions.len() - 1
    });
    let condition = &mut conditions[place];
    if condition.status != status {
        status.clone_into(&mut condition.status);
        condition.last_transition_time = Some(timestamp(now));
    }
    for field in ["reason", "message"] {
        condition.rest.remove(field);
    }
    if let Some(Reason { reason, message }) = fails {
        condition.rest.insert("reason", reason.into());
        condition.rest.insert("message", message.into());
    }
}
