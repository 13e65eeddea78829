//! What a kubelet reports of a Pod that runs, or has run.
//!
//! **Source of the semantics.** API-77; S: `pkg/kubelet/status/generate.go`.

use std::net::IpAddr;
use std::time::Duration;

use api::{Condition, Container, ContainerStatus, Pod, PodIp, timestamp};
use base::SimTime;
use serde_json::{Value as Json, json};

use super::process::{End, Process, Run};
use super::sandbox::Sandbox;

/// The Pod with its status at `now`. An `is_unready` one is not ready, whatever its probes say.
///
/// Its resourceVersion is left out: a kubelet patches the status whatever else has changed.
pub(super) fn of(sandbox: &Sandbox, node: &[IpAddr], is_unready: bool, now: SimTime) -> Pod {
    let mut pod = Pod::clone(&sandbox.pod);
    pod.metadata.resource_version.clear();
    let containers = container_statuses(&pod, sandbox, is_unready, now);
    let (containers, sidecars) =
        containers.split_at(pod.spec.containers.len().min(containers.len()));
    let initial = init_statuses(&pod, sandbox, sidecars, now);
    let gates = failing_gates(&pod);
    let phase = sandbox.phase();
    let status = &mut pod.status;
    phase.clone_into(&mut status.phase);
    status.host_ip = node.first().map(ToString::to_string).unwrap_or_default();
    // Where a Pod has been stays with it when it is over.
    if !sandbox.is_over() {
        let addresses: Vec<String> = sandbox.addresses.iter().map(ToString::to_string).collect();
        status.pod_ip = addresses.first().cloned().unwrap_or_default();
        status.pod_ips = addresses.into_iter().map(|ip| PodIp { ip }).collect();
    }
    status
        .start_time
        .get_or_insert_with(|| timestamp(sandbox.seen));
    let unready = match phase {
        "Failed" => Some(Reason::bare("PodFailed")),
        "Succeeded" => Some(Reason::bare("PodCompleted")),
        _ => unready(sidecars.iter().chain(containers)),
    };
    let ready = unready.clone().or(gates);
    let is_cut_off = sandbox.addresses.is_empty() || sandbox.is_over();
    for (name, reason) in [
        (
            "PodReadyToStartContainers",
            is_cut_off.then(|| Reason::bare("")),
        ),
        ("Initialized", None),
        ("Ready", ready),
        ("ContainersReady", unready),
        ("PodScheduled", None),
    ] {
        set_condition(&mut status.conditions, name, reason, now);
    }
    status.init_container_statuses = initial;
    status.container_statuses = containers.to_vec();
    pod
}

/// Those of `spec.initContainers`, in order; what is no sidecar has done its work.
fn init_statuses(
    pod: &Pod,
    sandbox: &Sandbox,
    sidecars: &[ContainerStatus],
    now: SimTime,
) -> Vec<ContainerStatus> {
    if sandbox.processes.is_empty() {
        return Vec::new();
    }
    let mut sidecars = sidecars.iter().cloned();
    let containers = pod.spec.init_containers.iter();
    let statuses = containers.filter_map(|container| match container.runs_on() {
        true => sidecars.next(),
        false => Some(done(pod, container, now)),
    });
    statuses.collect()
}

/// An init container that has ended well: as its status says, or else now.
fn done(pod: &Pod, container: &Container, now: SimTime) -> ContainerStatus {
    let code = |status: &&ContainerStatus| {
        status
            .rest
            .get("state")?
            .pointer("/terminated/exitCode")?
            .as_i64()
    };
    let stated = pod.container_status(&container.name);
    if let Some(stated) = stated.filter(|status| code(status) == Some(0)) {
        return stated.clone();
    }
    let mut entry = blank(container);
    entry.ready = true;
    entry.rest.insert("started", false.into());
    let end = End {
        started: now,
        finished: now,
        code: 0,
    };
    entry.rest.insert("state", terminated(end));
    entry
}

fn blank(container: &Container) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone(),
        ..ContainerStatus::default()
    }
}

/// Those of the containers, then of the sidecars.
fn container_statuses(
    pod: &Pod,
    sandbox: &Sandbox,
    is_unready: bool,
    now: SimTime,
) -> Vec<ContainerStatus> {
    sandbox
        .containers()
        .map(|(container, process)| {
            let stated = pod.container_status(&container.name);
            let stated = stated.filter(|_| process.is_old);
            let mut entry = stated.cloned().unwrap_or_else(|| blank(container));
            let health = process.health();
            entry.ready = !is_unready && health.is_some_and(|health| health.is_ready(now));
            entry.restart_count = process.restarts;
            let started = health.is_some_and(|health| health.has_started(now));
            entry.rest.insert("started", started.into());
            let is_stated =
                stated.is_some() && process.is_alive() && entry.rest.get("state").is_some();
            if !is_stated {
                let (state, last) = states(pod, container, process);
                entry.rest.insert("state", state);
                if let Some(last) = last {
                    entry.rest.insert("lastState", terminated(last));
                }
            }
            entry
        })
        .collect()
}

/// What a container is doing, and how it ended before.
fn states(pod: &Pod, container: &Container, process: &Process) -> (Json, Option<End>) {
    match process.run {
        Run::Running { since, .. } | Run::Dying { since, .. } => (
            json!({"running": {"startedAt": timestamp(since)}}),
            process.last,
        ),
        Run::Ended {
            end,
            wait: Some(wait),
            ..
        } => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                go_duration(wait),
                container.name,
                named(pod)
            );
            let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
            (waiting, Some(end))
        }
        Run::Ended { end, .. } => (terminated(end), process.last),
    }
}

fn terminated(end: End) -> Json {
    let reason = match end.code {
        0 => "Completed",
        End::LOST => "Unknown",
        _ => "Error",
    };
    json!({"terminated": {
        "exitCode": end.code,
        "reason": reason,
        "startedAt": timestamp(end.started),
        "finishedAt": timestamp(end.finished),
    }})
}

/// A Pod as kubelets name it (S: `pkg/kubelet/util/format/pod.go`).
pub(super) fn named(pod: &Pod) -> String {
    let meta = &pod.metadata;
    format!("{}_{}({})", meta.name, meta.namespace, meta.uid)
}

/// A number of seconds as Go prints it.
fn go_duration(span: Duration) -> String {
    match (span.as_secs() / 60, span.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// Why a condition does not hold.
#[derive(Clone)]
struct Reason {
    reason: &'static str,
    message: String,
}

impl Reason {
    const fn bare(reason: &'static str) -> Self {
        Self {
            reason,
            message: String::new(),
        }
    }
}

/// Sidecars are told of first, as they are given (GenerateContainersReadyCondition).
fn unready<'a>(containers: impl Iterator<Item = &'a ContainerStatus>) -> Option<Reason> {
    let unready = containers.filter(|container| !container.ready);
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
    let texts = fails.map(|fails| [fails.reason.to_owned(), fails.message]);
    for (field, text) in ["reason", "message"]
        .into_iter()
        .zip(texts.into_iter().flatten())
    {
        if !text.is_empty() {
            condition.rest.insert(field, text.into());
        }
    }
}
