//! Pods.
//!
//! **Source of the semantics.** S: `pkg/printers/internalversion/printers.go`, `printPod`.

use api::{ContainerStatus, Pod};
use base::SimTime;
use serde_json::Value;

use super::{AGE, Column, NAME, shown, wide};
use crate::fields::{given, number, text};
use crate::time::age;

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    shown("READY"),
    shown("STATUS"),
    shown("RESTARTS"),
    AGE,
    wide("IP"),
    wide("NODE"),
    wide("NOMINATED NODE"),
    wide("READINESS GATES"),
];

pub(super) fn cells(pod: &Pod, now: SimTime) -> Vec<String> {
    let seen = Seen::of(pod);
    let or_none = |text: &str| match text {
        "" => "<none>".to_owned(),
        text => text.to_owned(),
    };
    let restarts = match seen.last_restart {
        Some(at) if seen.restarts > 0 => {
            format!("{} ({} ago)", seen.restarts, age(Some(at), now))
        }
        _ => seen.restarts.to_string(),
    };
    let address = pod.status.pod_ips.first();
    let address = address.map_or(&pod.status.pod_ip, |first| &first.ip);
    vec![
        pod.metadata.name.clone(),
        format!("{}/{}", seen.ready, seen.containers),
        seen.reason,
        restarts,
        age(pod.metadata.creation_timestamp.as_deref(), now),
        or_none(address),
        or_none(&pod.spec.node_name),
        or_none(rest_text(&pod.status.rest, "nominatedNodeName")),
        gates(pod),
    ]
}

fn rest_text<'a>(rest: &'a api::Rest, field: &str) -> &'a str {
    let found = rest.get(field).and_then(Value::as_str);
    found.unwrap_or_default()
}

fn gates(pod: &Pod) -> String {
    let gates = &pod.spec.readiness_gates;
    let holds = |name: &str| {
        let mut conditions = pod.status.conditions.iter();
        conditions.any(|condition| condition.condition_type == name && condition.status == "True")
    };
    let holding = gates.iter().filter(|gate| holds(&gate.condition_type));
    match gates.is_empty() {
        true => "<none>".to_owned(),
        false => format!("{}/{}", holding.count(), gates.len()),
    }
}

/// What a Pod's containers tell of it.
struct Seen<'a> {
    ready: usize,
    containers: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<&'a str>,
}

impl<'a> Seen<'a> {
    fn of(pod: &'a Pod) -> Self {
        let status = &pod.status;
        let reason = match rest_text(&status.rest, "reason") {
            "" => status.phase.as_str(),
            reason => reason,
        };
        let mut seen = Self {
            ready: 0,
            containers: pod.serving_containers().count(),
            reason: reason.to_owned(),
            restarts: 0,
            last_restart: None,
        };
        let gated = status.conditions.iter().any(|condition| {
            condition.condition_type == "PodScheduled"
                && rest_text(&condition.rest, "reason") == "SchedulingGated"
        });
        if gated {
            "SchedulingGated".clone_into(&mut seen.reason);
        }
        let initialized = status.conditions.iter().any(|condition| {
            condition.condition_type == "Initialized" && condition.status == "True"
        });
        let initializing = seen.init_containers(pod);
        if !initializing || initialized {
            seen.containers(pod);
        }
        seen.deletion(pod);
        seen
    }

    /// Whether one of them has not done its work yet. Restarts of sidecars count as long as the Pod runs, those of
    /// others only until then.
    fn init_containers(&mut self, pod: &'a Pod) -> bool {
        let is_sidecar = |name: &str| {
            let mut containers = pod.spec.init_containers.iter();
            containers.any(|container| container.name == name && container.runs_on())
        };
        let (mut sidecars, mut last_of_sidecars) = (0, None);
        let mut waits = false;
        for (index, status) in pod.status.init_container_statuses.iter().enumerate() {
            let sidecar = is_sidecar(&status.name);
            let last = last_end(status);
            let restarts = i64::from(status.restart_count);
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(last);
            if sidecar {
                sidecars += restarts;
                last_of_sidecars = last_of_sidecars.max(last);
            }
            let state = status.rest.get("state");
            let terminated = state.and_then(|state| state.get("terminated"));
            if terminated.is_some_and(|ended| number(ended, "/exitCode") == 0) {
                continue;
            }
            if sidecar && status.rest.get("started") == Some(&Value::Bool(true)) {
                self.ready += usize::from(status.ready);
                continue;
            }
            let waiting = state.and_then(|state| given(state, "/waiting/reason"));
            self.reason = match (terminated, waiting) {
                (Some(ended), _) => format!("Init:{}", end(ended)),
                (None, Some(reason)) if reason != "PodInitializing" => format!("Init:{reason}"),
                _ => format!("Init:{index}/{}", pod.spec.init_containers.len()),
            };
            waits = true;
            break;
        }
        if !waits {
            self.restarts = sidecars;
            self.last_restart = last_of_sidecars;
        }
        waits
    }

    fn containers(&mut self, pod: &'a Pod) {
        let mut is_running = false;
        for status in pod.status.container_statuses.iter().rev() {
            self.restarts += i64::from(status.restart_count);
            self.last_restart = self.last_restart.max(last_end(status));
            match state(status) {
                State::Over(reason) => self.reason = reason,
                State::Running if status.ready => {
                    is_running = true;
                    self.ready += 1;
                }
                State::Running | State::Unknown => {}
            }
        }
        if self.reason == "Completed" && is_running {
            let reason = if pod.is_ready() {
                "Running"
            } else {
                "NotReady"
            };
            reason.clone_into(&mut self.reason);
        }
    }

    fn deletion(&mut self, pod: &Pod) {
        if !pod.metadata.is_terminating() {
            return;
        }
        if rest_text(&pod.status.rest, "reason") == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !pod.is_finished() {
            "Terminating".clone_into(&mut self.reason);
        }
    }
}

/// When a container's run before the present one ended.
fn last_end(status: &ContainerStatus) -> Option<&str> {
    given(status.rest.get("lastState")?, "/terminated/finishedAt")
}

enum State {
    Running,
    /// Waiting or terminated, and why.
    Over(String),
    Unknown,
}

fn state(status: &ContainerStatus) -> State {
    let Some(state) = status.rest.get("state") else {
        return State::Unknown;
    };
    if let Some(reason) = given(state, "/waiting/reason") {
        return State::Over(reason.to_owned());
    }
    match (state.get("terminated"), state.get("running")) {
        (Some(ended), _) => State::Over(end(ended)),
        (None, Some(_)) => State::Running,
        (None, None) => State::Unknown,
    }
}

/// Why a container ended.
fn end(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(spec: Value, status: Value, expected: [&str; 3]) {
        let pod: Pod =
            serde_json::from_value([("spec", spec), ("status", status)].into_iter().collect())
                .unwrap();
        let now = SimTime::from_nanos(60_000_000_000);
        assert_eq!(cells(&pod, now)[1..4], expected);
    }

    fn two() -> Value {
        json!({"containers": [{"name": "a"}, {"name": "b"}]})
    }

    #[test]
    fn running_and_waiting() {
        let running = |name: &str| json!({"name": name, "ready": true, "state": {"running": {}}});
        check(
            two(),
            json!({"phase": "Running", "containerStatuses": [running("a"), running("b")]}),
            ["2/2", "Running", "0"],
        );
        let failing = json!({
            "name": "b", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:50Z"}},
        });
        check(
            two(),
            json!({"phase": "Running", "containerStatuses": [running("a"), failing]}),
            ["1/2", "CrashLoopBackOff", "3 (10s ago)"],
        );
        check(two(), json!({"phase": "Pending"}), ["0/2", "Pending", "0"]);
        let ended = json!({"name": "a", "state": {"terminated": {"exitCode": 3}}});
        check(
            two(),
            json!({"phase": "Failed", "containerStatuses": [ended]}),
            ["0/2", "ExitCode:3", "0"],
        );
    }

    #[test]
    fn init_containers_and_sidecars() {
        let spec = json!({
            "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}],
        });
        check(
            spec.clone(),
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            ["0/2", "Init:0/2", "0"],
        );
        check(
            spec,
            json!({
                "phase": "Running",
                "initContainerStatuses": [
                    {"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}},
                    {"name": "s", "started": true, "ready": true, "state": {"running": {}}},
                ],
                "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}],
            }),
            ["2/2", "Running", "0"],
        );
    }
}
