//! What happened, in words: the lines of the timeline that nobody asked for.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use api::{Change, EndpointSlice, Object, Pod, Service, WatchEvent};
use base::format_duration;
use proxy::{Basis, SyncKind, SyncReport};
use rules::{
    ExternalRoute, FrontendVerdict, LocalOutcome, NodeFacts, ServiceEntry, ServiceName,
    ServicePortPlan, TrafficPolicy, plan_service,
};
use ruleset::Family;

use crate::ProxyMode;

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

/// What a finished sync changed on its node.
pub(crate) fn sync<E>(report: &SyncReport<E>, mode: ProxyMode) -> String {
    let took = format_duration(report.ended.since(report.started));
    let kind = match report.kind {
        SyncKind::Full => "full sync",
        SyncKind::Partial => "sync",
    };
    let mut parts = Vec::new();
    let mut unnamed = 0;
    for name in concerned(&report.before, &report.after) {
        let plans = plans_of(name, &report.after);
        if plans == plans_of(name, &report.before) {
            continue;
        }
        if parts.len() < NAMED {
            parts.push(describe_plans(name, &plans, mode));
        } else {
            unnamed += 1;
        }
    }
    match (parts.is_empty(), unnamed) {
        (true, _) => parts.push("nothing to change".to_owned()),
        (false, 0) => {}
        (false, more) => parts.push(format!("and {more} more Services")),
    }
    format!("{kind} done in {took}: {}", parts.join("; "))
}

/// The Services for which a node may do something else than before: those that are others now, and where it knows itself as
/// another, those that depend on that.
fn concerned<'a>(before: &'a Basis, after: &'a Basis) -> BTreeSet<&'a ServiceName> {
    let (was, is) = (&before.view.services, &after.view.services);
    let mut names: BTreeSet<_> = was.diff(is).map(|(name, ..)| name).collect();
    if before.facts != after.facts {
        let moved = NodeFacts {
            zone: after.facts.zone.clone(),
            ..NodeFacts::clone(&before.facts)
        };
        let has_only_moved = moved == *after.facts;
        let all = is.entries();
        let concerned = all.filter(|(_, entry)| !has_only_moved || names_zones(entry));
        names.extend(concerned.map(|(name, _)| name));
    }
    names
}

/// Whether there is a hint for a zone.
fn names_zones(entry: &ServiceEntry) -> bool {
    let mut endpoints = entry.slices.values().flat_map(|slice| &slice.endpoints);
    endpoints.any(|endpoint| !endpoint.hints.zones().is_empty())
}

/// What a node does for a Service: the very plans that its rules are lowered from.
fn plans_of(name: &ServiceName, Basis { facts, view }: &Basis) -> Vec<ServicePortPlan> {
    let Some(ServiceEntry {
        service: Some(service),
        slices,
    }) = view.services.entry(name)
    else {
        return Vec::new();
    };
    let plan = |family| plan_service(name, service, slices, facts, family);
    Family::ALL.into_iter().flat_map(plan).collect()
}

/// `default/web: 10.96.0.40:80 → 10.244.1.5:8080, 10.244.2.7:8080`
fn describe_plans(name: &ServiceName, plans: &[ServicePortPlan], mode: ProxyMode) -> String {
    let ports = plans.iter().flat_map(|plan| describe_port(plan, mode));
    let described: Vec<String> = ports.take(NAMED).collect();
    match described.is_empty() {
        true => format!("{name} is no longer served"),
        false => format!("{name}: {}", described.join(", ")),
    }
}

/// One text a frontend.
fn describe_port(plan: &ServicePortPlan, mode: ProxyMode) -> Vec<String> {
    let set = |policy| {
        let endpoints = plan.endpoints(policy).iter();
        let addresses: Vec<String> = endpoints.map(|e| e.address.to_string()).collect();
        format!("→ {}", list(&addresses, "nobody"))
    };
    // Where policy Local has nobody on the node, a virtual server has all endpoints instead, if anything of the Service
    // uses those, or else none (PROXY-15).
    let nobody_here = |reason| match (mode, plan.external.is_some()) {
        (ProxyMode::Ipvs, true) => set(TrafficPolicy::Cluster),
        (ProxyMode::Ipvs, false) => format!("refused, {reason}"),
        _ => format!("dropped, {reason}"),
    };
    let cluster_ip = SocketAddr::new(plan.cluster_ip.address, plan.port);
    let verdict = match plan.cluster_ip.verdict {
        FrontendVerdict::Balance(policy) => set(policy),
        FrontendVerdict::Reject(reason) => format!("refused, {reason}"),
        FrontendVerdict::Drop(reason) => nobody_here(reason),
    };
    let mut described = vec![format!("{cluster_ip} {verdict}")];
    let Some(external) = &plan.external else {
        return described;
    };
    let verdict = match &external.route {
        ExternalRoute::Cluster => set(TrafficPolicy::Cluster),
        ExternalRoute::Local {
            others: LocalOutcome::Balance,
            ..
        } => set(TrafficPolicy::Local),
        ExternalRoute::Local {
            others: LocalOutcome::Drop(reason),
            ..
        } => nobody_here(*reason),
        ExternalRoute::Reject(reason) => format!("refused, {reason}"),
    };
    let addresses = external
        .external_ips
        .iter()
        .chain(&external.load_balancer_ips);
    let addresses = addresses.map(|ip| SocketAddr::new(*ip, plan.port).to_string());
    let node_port = external
        .node_port
        .as_ref()
        .map(|node| format!("node port {}", node.port));
    described.extend(
        addresses
            .chain(node_port)
            .map(|frontend| format!("{frontend} {verdict}")),
    );
    described
}

fn describe_service(service: &Service, change: Change) -> Option<String> {
    let name = format!("{}/{}", service.metadata.namespace, service.metadata.name);
    let addresses: Vec<String> = service.addresses().map(|ip| ip.to_string()).collect();
    match (change, addresses.is_empty()) {
        (Change::Added, true) if !service.is_headless() => None,
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
