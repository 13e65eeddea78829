//! What happened, in words: the lines of the timeline that nobody asked for.

use api::{Change, EndpointSlice, Object, Pod, Service, WatchEvent};
use base::format_duration;
use proxy::{SyncKind, SyncReport};
use rules::{ClusterView, ServiceName};

/// Names at most this many things before saying how many more there are.
const NAMED: usize = 4;

/// What an API write means to a person; `None` for what is only bookkeeping.
pub(crate) fn write(event: &WatchEvent) -> Option<String> {
    match (&event.object, event.change) {
        (Object::Service(service), change) => describe_service(service, change),
        (Object::EndpointSlice(slice), change) => Some(describe_slice(slice, change)),
        (Object::Pod(pod), change) => describe_pod(pod, change),
        _ => None,
    }
}

/// What a finished sync changed.
pub(crate) fn sync(report: &SyncReport, now: base::SimTime) -> String {
    let took = format_duration(now.since(report.started));
    let kind = match report.kind {
        SyncKind::Full => "first sync",
        SyncKind::Partial => "sync",
    };
    let changed = changed_services(&report.before, &report.after);
    let mut parts: Vec<String> = changed
        .iter()
        .take(NAMED)
        .map(|name| describe_rules(name, &report.after))
        .collect();
    if changed.len() > NAMED {
        parts.push(format!("and {} more Services", changed.len() - NAMED));
    }
    if parts.is_empty() {
        parts.push("nothing to change".to_owned());
    }
    format!("{kind} done in {took}: {}", parts.join("; "))
}

/// The Services whose rules may differ between two views, by name.
fn changed_services(before: &ClusterView, after: &ClusterView) -> Vec<ServiceName> {
    let services = before
        .services
        .diff(&after.services)
        .map(|item| diff_key(&item).clone());
    let slices = before
        .slices
        .diff(&after.slices)
        .map(|item| diff_key(&item).clone());
    let served = |name: &ServiceName| {
        before.services.contains_key(name) || after.services.contains_key(name)
    };
    let mut changed: Vec<ServiceName> = services.chain(slices).filter(served).collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn diff_key<'a, K, V>(item: &imbl::ordmap::DiffItem<'a, 'a, K, V>) -> &'a K {
    use imbl::ordmap::DiffItem::{Add, Remove, Update};
    match item {
        Add(key, _) | Remove(key, _) | Update { new: (key, _), .. } => key,
    }
}

fn describe_rules(name: &ServiceName, view: &ClusterView) -> String {
    let Some(service) = view.services.get(name) else {
        return format!("{name} is no longer served");
    };
    let vip = service
        .cluster_ips
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let slices = view.slices.get(name);
    let mut addresses: Vec<String> = slices
        .into_iter()
        .flat_map(|slices| slices.values())
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.ready)
        .map(|endpoint| endpoint.address.to_string())
        .collect();
    addresses.sort_unstable();
    format!("{name} {vip} → {}", list(&addresses, "no ready endpoint"))
}

fn describe_service(service: &Service, change: Change) -> Option<String> {
    let name = format!("{}/{}", service.metadata.namespace, service.metadata.name);
    let addresses: Vec<String> = service.addresses().map(|ip| ip.to_string()).collect();
    match (change, addresses.is_empty()) {
        (Change::Added, false) => Some(format!("Service {name} gets {}", addresses.join(", "))),
        (Change::Added, true) => Some(format!("Service {name} is headless: no virtual IP")),
        (Change::Deleted, false) => Some(format!(
            "Service {name} is gone, {} is free again",
            addresses.join(", ")
        )),
        (Change::Deleted, true) => Some(format!("Service {name} is gone")),
        (Change::Modified, _) => None,
    }
}

fn describe_slice(slice: &EndpointSlice, change: Change) -> String {
    let name = format!("{}/{}", slice.metadata.namespace, slice.metadata.name);
    if change == Change::Deleted {
        return format!("EndpointSlice {name} is deleted");
    }
    let addresses = |ready: bool| -> Vec<String> {
        let endpoints = slice
            .endpoints
            .iter()
            .filter(|e| e.conditions.is_ready() == ready);
        endpoints
            .filter_map(|endpoint| endpoint.addresses.first().cloned())
            .collect()
    };
    let ready = list(&addresses(true), "no ready endpoint");
    match addresses(false).as_slice() {
        [] => format!("EndpointSlice {name}: {ready}"),
        others => format!(
            "EndpointSlice {name}: {ready}; not ready: {}",
            list(others, "")
        ),
    }
}

fn describe_pod(pod: &Pod, change: Change) -> Option<String> {
    let name = format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
    match change {
        Change::Deleted => Some(format!("Pod {name} is gone")),
        Change::Modified if pod.metadata.is_terminating() => {
            Some(format!("Pod {name} is terminating"))
        }
        Change::Modified if !pod.status.pod_ip.is_empty() => {
            let ready = if pod.is_ready() { "ready" } else { "not ready" };
            Some(format!(
                "Pod {name} has {} and is {ready}",
                pod.status.pod_ip
            ))
        }
        Change::Added | Change::Modified => None,
    }
}

fn list(items: &[String], nothing: &str) -> String {
    match items.len() {
        0 => nothing.to_owned(),
        n if n > NAMED => format!("{} and {} more", items[..NAMED].join(", "), n - NAMED),
        _ => items.join(", "),
    }
}
