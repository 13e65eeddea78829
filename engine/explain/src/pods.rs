//! Pods in words, and which of them can be an endpoint.

use api::{ObjectKey, Pod, Protocol, Service};

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
        return Some("is not scheduled to a node yet".to_owned());
    }
    if pod.addresses().is_empty() {
        return Some("has no address yet".to_owned());
    }
    if pod.is_ready() || service.spec.publish_not_ready_addresses {
        return None;
    }
    let mut conditions = pod.status.conditions.iter();
    let Some(ready) = conditions.find(|condition| condition.condition_type == "Ready") else {
        return Some("does not report Ready".to_owned());
    };
    let mut text = format!("has Ready={}", ready.status);
    if let Some(since) = &ready.last_transition_time {
        text.push_str(&format!(" since {since}"));
    }
    for field in ["reason", "message"] {
        if let Some(value) = ready.rest.get(field).and_then(|value| value.as_str()) {
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
