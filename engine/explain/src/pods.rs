//! Pods in words, and which of them can be an endpoint.

use api::{Condition, ObjectKey, Pod, Protocol, Service, ServicePort, StringMap};

/// How many names are listed before "and N more".
const NAMES_MAX: usize = 3;

/// `shop/web`
pub(crate) fn spoken(key: &ObjectKey) -> String {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", key.name)
}

/// `web-1, web-2`, and no more than a few.
pub(crate) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

pub(crate) fn names<'a>(pods: &[&'a Pod]) -> Vec<&'a str> {
    pods.iter().map(|pod| pod.metadata.name.as_str()).collect()
}

/// `app=web,tier=backend`
pub(crate) fn terms(selector: &StringMap) -> String {
    let terms: Vec<String> = selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    terms.join(",")
}

/// `81` or `81 (bad)`
pub(crate) fn spoken_port(port: &ServicePort) -> String {
    match port.name.as_str() {
        "" => port.port.to_string(),
        name => format!("{} ({name})", port.port),
    }
}

/// `1 Pod`, `2 Pods`
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// Why no connection is sent to the Pod; `None` if it takes some (EP-10, DBG-81).
pub(crate) fn obstacle(pod: &Pod, service: &Service) -> Option<String> {
    if pod.is_finished() {
        return Some(format!("has run to its end ({})", pod.status.phase));
    }
    if pod.spec.node_name.is_empty() {
        return Some(unscheduled(pod));
    }
    if pod.addresses().is_empty() {
        return Some("has no address yet".to_owned());
    }
    if pod.is_ready() || service.spec.publish_not_ready_addresses {
        return None;
    }
    if let Some(reason) = waiting_reason(pod) {
        return Some(format!("waits to start its container ({reason})"));
    }
    if let Some(gate) = unmet_gate(pod) {
        return Some(format!(
            "has a readiness gate, condition {gate}, that nobody has set to True"
        ));
    }
    let Some(ready) = condition(pod, "Ready") else {
        return Some("does not report Ready".to_owned());
    };
    let mut text = format!("has Ready={}", ready.status);
    if let Some(since) = &ready.last_transition_time {
        text.push_str(&format!(" since {since}"));
    }
    for field in ["reason", "message"] {
        if let Some(value) = text_of(ready, field) {
            text.push_str(&format!(", {field} {value}"));
        }
    }
    Some(text)
}

/// The ports that a Pod declares where a Service may name them (EP-17): name, protocol, number.
pub(crate) fn declared(pod: &Pod) -> impl Iterator<Item = (&str, Protocol, i32)> {
    let ports = pod
        .serving_containers()
        .flat_map(|container| &container.ports);
    ports.map(|port| (port.name.as_str(), port.transport(), port.container_port))
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a Condition> {
    let mut conditions = pod.status.conditions.iter();
    conditions.find(|condition| condition.condition_type == name)
}

fn text_of<'a>(condition: &'a Condition, field: &str) -> Option<&'a str> {
    condition.rest.get(field).and_then(|value| value.as_str())
}

fn unscheduled(pod: &Pod) -> String {
    let message =
        condition(pod, "PodScheduled").and_then(|condition| text_of(condition, "message"));
    match message {
        Some(message) => format!("is not scheduled to a node ({message})"),
        None => "is not scheduled to a node yet".to_owned(),
    }
}

/// `CrashLoopBackOff`, `ImagePullBackOff` …
fn waiting_reason(pod: &Pod) -> Option<&str> {
    let status = &pod.status;
    let mut statuses = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses);
    statuses.find_map(|status| {
        status
            .rest
            .get("state")?
            .get("waiting")?
            .get("reason")?
            .as_str()
    })
}

/// A condition of `readinessGates` that does not stand at True, where the containers are ready (API-77).
fn unmet_gate(pod: &Pod) -> Option<&str> {
    let is_true = |name: &str| condition(pod, name).is_some_and(|found| found.status == "True");
    let gates = pod.spec.readiness_gates.iter();
    let mut gates = gates.map(|gate| gate.condition_type.as_str());
    let unmet = gates.find(|gate| !is_true(gate))?;
    is_true("ContainersReady").then_some(unmet)
}
