//! The steps of a diagnosis, in the order of DBG-61.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::yaml::closest;
use api::{
    ApiServer, EndpointPort, EndpointSlice, IntOrString, Kind, LABEL_MANAGED_BY, Object, ObjectKey,
    Pod, Service, ServicePort, matches,
};
use control::Control;

use crate::diagnosis::Otherwise;
use crate::near_miss::{Unmet, nearest};
use crate::pods::{counted, declared, list, names, obstacle, spoken};
use crate::{Certainty, Diagnosis, Finding, freshness, policies};

/// How the EndpointSlice controller signs the slices that it writes (EP-24).
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// What is wrong with a Service at this instant, by the API's objects and by the age of every node's rules.
#[must_use]
pub fn diagnose(control: &Control, service: &ObjectKey) -> Diagnosis {
    let (mut findings, otherwise) = examine(control.api(), service);
    findings.extend(freshness::stale_nodes(control, service));
    Diagnosis::of(service, findings, otherwise)
}

/// What is wrong with a Service by the API's objects alone.
#[must_use]
pub fn diagnose_objects(api: &ApiServer, service: &ObjectKey) -> Diagnosis {
    let (findings, otherwise) = examine(api, service);
    Diagnosis::of(service, findings, otherwise)
}

fn examine(api: &ApiServer, key: &ObjectKey) -> (Vec<Finding>, Otherwise) {
    if key.kind != Kind::Service {
        let unknown = Otherwise::Unknown(format!("{key} is not a Service"));
        return (Vec::new(), unknown);
    }
    let Some(service) = api.get(key).and_then(Object::as_service) else {
        let absent = Otherwise::Unknown("there is no such Service".to_owned());
        return (missing(api, key), absent);
    };
    if service.is_headless() || service.spec.service_type == "ExternalName" {
        let unknown = "it has no virtual IP; only Services with a ClusterIP are diagnosed";
        return (Vec::new(), Otherwise::Unknown(unknown.to_owned()));
    }
    if service.spec.selector.is_empty() {
        return (Vec::new(), by_endpoints(api, service));
    }
    let namespace = service.metadata.namespace.as_str();
    let all: Vec<&Pod> = pods(api, Some(namespace)).collect();
    let is_selected = |pod: &Pod| matches(&service.spec.selector, &pod.metadata.labels);
    let selected: Vec<&Pod> = all.iter().copied().filter(|pod| is_selected(pod)).collect();
    let findings = if selected.is_empty() {
        vec![none_selected(api, key, service, &all)]
    } else {
        let unready = none_ready(key, service, &selected);
        unready
            .into_iter()
            .chain(unnamed_ports(key, service, &selected))
            .collect()
    };
    let otherwise = policies::beyond(api, namespace, &selected, by_endpoints(api, service));
    (findings, otherwise)
}

/// DBG-26, DBG-28.
fn missing(api: &ApiServer, key: &ObjectKey) -> Vec<Finding> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let name = key.name.as_str();
    let services: Vec<&Arc<Service>> = api
        .list(Kind::Service, None)
        .filter_map(Object::as_service)
        .collect();
    let elsewhere = services
        .iter()
        .filter(|service| service.metadata.name == name);
    let elsewhere: Vec<&str> = elsewhere
        .map(|service| service.metadata.namespace.as_str())
        .collect();
    let seen =
        format!("Clients in namespace {namespace} cannot resolve the name {name} (NXDOMAIN)");
    let finding = |id, why: &str, fix| Finding {
        id,
        certainty: Certainty::Certain,
        subject: key.clone(),
        field: None,
        summary: format!("{seen}: {why}."),
        fix,
        confirm: vec![
            format!("kubectl -n {namespace} get service {name}"),
            format!("kubectl get services -A --field-selector metadata.name={name}"),
        ],
    };
    if let Some(first) = elsewhere.first() {
        let domain = &api.config().dns_domain;
        let found = list(&elsewhere);
        let why = format!("namespace {namespace} has no Service {name}, but namespace {found} has");
        let fix = format!("use the name {name}.{first} or {name}.{first}.svc.{domain}");
        return vec![finding("DBG-26", &why, fix)];
    }
    let here = services
        .iter()
        .filter(|service| service.metadata.namespace == namespace);
    let here: Vec<&str> = here.map(|service| service.metadata.name.as_str()).collect();
    let why = if api.namespace(namespace).is_none() {
        format!("there is no namespace {namespace}")
    } else if here.is_empty() {
        format!("namespace {namespace} has no Services")
    } else {
        format!(
            "namespace {namespace} has no Service {name}, only {}",
            list(&here)
        )
    };
    let fix = match closest(name, here) {
        Some(near) => format!("use the name {near}, if that is meant"),
        None => format!("create Service {name} in namespace {namespace}, or correct the name"),
    };
    vec![finding("DBG-28", &why, fix)]
}

/// DBG-21, with the near misses of DBG-77 and DBG-78.
fn none_selected(api: &ApiServer, key: &ObjectKey, service: &Service, all: &[&Pod]) -> Finding {
    let selector = &service.spec.selector;
    let terms: Vec<String> = selector
        .iter()
        .map(|(k, value)| format!("{k}={value}"))
        .collect();
    let terms = terms.join(",");
    let namespace = service.metadata.namespace.as_str();
    let near = nearest(selector, all);
    let elsewhere: BTreeSet<&str> = pods(api, None)
        .filter(|pod| matches(selector, &pod.metadata.labels))
        .map(|pod| pod.metadata.namespace.as_str())
        .collect();
    let elsewhere: Vec<&str> = elsewhere.into_iter().collect();
    let matched = match all.len() {
        0 => format!("namespace {namespace} has no Pods"),
        count => format!(
            "it selects {terms}, and 0 of {} match",
            counted(count, "Pod")
        ),
    };
    let (hint, fix) = if let Some(near) = &near {
        let pods = list(&names(&near.pods));
        let unmet: Vec<String> = near.unmet.iter().map(ToString::to_string).collect();
        let fixes: Vec<String> = near.unmet.iter().map(Unmet::fix).collect();
        let count = counted(near.pods.len(), "Pod");
        (
            format!(": {count} ({pods}) {}", unmet.join(" and ")),
            fixes.join("; "),
        )
    } else if let Some(first) = elsewhere.first() {
        let fix = format!("move the Service to namespace {first}, or the Pods to {namespace}");
        (
            format!("; Pods of namespace {} have these labels", list(&elsewhere)),
            fix,
        )
    } else {
        (
            String::new(),
            format!("label the Pods {terms}, or correct spec.selector"),
        )
    };
    let field = near
        .and_then(|near| near.unmet.into_iter().next())
        .map_or_else(
            || "spec.selector".to_owned(),
            |term| format!("spec.selector.{}", term.key),
        );
    Finding {
        id: "DBG-21",
        certainty: Certainty::Certain,
        subject: key.clone(),
        field: Some(field),
        summary: format!("{} {matched}{hint}.", refused(key)),
        fix,
        confirm: vec![
            format!("kubectl -n {namespace} get pods -l {terms}"),
            format!("kubectl -n {namespace} get pods --show-labels"),
        ],
    }
}

/// DBG-22, DBG-81.
fn none_ready(key: &ObjectKey, service: &Service, selected: &[&Pod]) -> Option<Finding> {
    let obstacles = selected
        .iter()
        .map(|pod| Some((*pod, obstacle(pod, service)?)));
    let obstacles: Vec<(&Pod, String)> = obstacles.collect::<Option<_>>()?;
    let (first, _) = obstacles.first()?;
    let namespace = service.metadata.namespace.as_str();
    let told = obstacles
        .iter()
        .map(|(pod, why)| format!("{} {why}", pod.metadata.name));
    let match_or_matches = if selected.len() == 1 {
        "matches"
    } else {
        "match"
    };
    Some(Finding {
        id: "DBG-22",
        certainty: Certainty::Certain,
        subject: ObjectKey::new(Kind::Pod, namespace, &first.metadata.name),
        field: Some("status.conditions".to_owned()),
        summary: format!(
            "{} {} {match_or_matches}, 0 ready: {}.",
            refused(key),
            counted(selected.len(), "Pod"),
            list(&told.collect::<Vec<_>>())
        ),
        fix: "make the Pods ready: look at their readiness probes, their logs, and whether they \
              are scheduled"
            .to_owned(),
        confirm: vec![
            format!(
                "kubectl -n {namespace} get pods {}",
                names(selected).join(" ")
            ),
            format!(
                "kubectl -n {namespace} describe pod {}",
                first.metadata.name
            ),
        ],
    })
}

/// DBG-24, for each port with a name for its `targetPort`.
fn unnamed_ports(key: &ObjectKey, service: &Service, selected: &[&Pod]) -> Vec<Finding> {
    let live: Vec<&Pod> = selected
        .iter()
        .copied()
        .filter(|pod| !pod.is_finished())
        .collect();
    let ports = service.spec.ports.iter().enumerate();
    ports
        .filter_map(|(index, port)| unnamed_port(key, service, (index, port), &live))
        .collect()
}

fn unnamed_port(
    key: &ObjectKey,
    service: &Service,
    (index, port): (usize, &ServicePort),
    live: &[&Pod],
) -> Option<Finding> {
    let Some(IntOrString::String(target)) = &port.target_port else {
        return None;
    };
    let protocol = port.transport();
    let declares =
        |pod: &&Pod| declared(pod).any(|(name, other, _)| name == target && other == protocol);
    let (with, without): (Vec<&Pod>, Vec<&Pod>) = live.iter().copied().partition(declares);
    let first = without.first()?;
    let instead = declared(first).filter(|(name, ..)| !name.is_empty());
    let instead: Vec<String> = instead
        .map(|(name, other, number)| format!("\"{name}\" ({number}/{other})"))
        .collect();
    let instead = match instead.len() {
        0 => "no port with a name".to_owned(),
        _ => list(&instead),
    };
    let lacking = list(&names(&without));
    let declare = if without.len() == 1 {
        "declares"
    } else {
        "declare"
    };
    let unmet = format!("targetPort \"{target}\" ({protocol}) is not declared by {lacking}");
    let seen = if with.is_empty() {
        port_refused(key, service, port)
    } else {
        format!(
            "Traffic to {} port {} reaches only {}:",
            spoken(key),
            port.port,
            list(&names(&with))
        )
    };
    let candidates: Vec<&str> = declared(first)
        .filter(|(name, other, _)| !name.is_empty() && *other == protocol)
        .map(|(name, ..)| name)
        .collect();
    let fix = match closest(target, candidates.iter().copied()).or(candidates.first().copied()) {
        Some(name) if with.is_empty() => format!("change spec.ports[{index}].targetPort to {name}"),
        _ => format!("name the container port of {lacking} \"{target}\" with protocol {protocol}"),
    };
    let namespace = service.metadata.namespace.as_str();
    Some(Finding {
        id: "DBG-24",
        certainty: Certainty::Certain,
        subject: key.clone(),
        field: Some(format!("spec.ports[{index}].targetPort")),
        summary: format!("{seen} {unmet}, which {declare} {instead}."),
        fix,
        confirm: vec![
            format!(
                "kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={}",
                key.name
            ),
            format!(
                "kubectl -n {namespace} get pod {} -o jsonpath='{{.spec.containers[*].ports}}'",
                first.metadata.name
            ),
        ],
    })
}

/// The verdict when nothing is found: healthy if slices have an endpoint to send to for each port (DBG-100).
fn by_endpoints(api: &ApiServer, service: &Service) -> Otherwise {
    let namespace = service.metadata.namespace.as_str();
    let slices = api
        .list(Kind::EndpointSlice, Some(namespace))
        .filter_map(Object::as_endpoint_slice);
    let own = slices.filter(|slice| slice.service_name() == Some(service.metadata.name.as_str()));
    let own: Vec<&EndpointSlice> = own.map(|slice| &**slice).collect();
    let (open, closed): (Vec<&ServicePort>, Vec<&ServicePort>) = service
        .spec
        .ports
        .iter()
        .partition(|port| own.iter().any(|slice| serves(slice, port)));
    let who = if service.spec.selector.is_empty() {
        "its endpoints are not written by Kubernetes (it has no selector)"
    } else {
        "its Pods are ready"
    };
    if open.is_empty() {
        return Otherwise::Unknown(format!("{who}, but no EndpointSlice has one to send to"));
    }
    if !closed.is_empty() {
        let ports: Vec<String> = closed.iter().map(|port| spoken_port(port)).collect();
        let open: Vec<String> = open.iter().map(|port| spoken_port(port)).collect();
        return Otherwise::Unknown(format!(
            "{who}, and no EndpointSlice has one for port {}; port {} has some",
            list(&ports),
            list(&open)
        ));
    }
    let serving = own.iter().filter(|slice| {
        let ports = &service.spec.ports;
        ports.iter().any(|port| serves(slice, port))
    });
    let serving: Vec<&EndpointSlice> = serving.copied().collect();
    let addresses: BTreeSet<&str> = serving.iter().flat_map(|slice| usable(slice)).collect();
    let addresses: Vec<&str> = addresses.into_iter().collect();
    let count = counted(addresses.len(), "endpoint");
    let is_ours = |slice: &&EndpointSlice| {
        let writer = slice.metadata.labels.get(LABEL_MANAGED_BY);
        writer.is_some_and(|writer| writer == CONTROLLER)
    };
    let claim = match (serving.iter().all(is_ours), addresses.len()) {
        (true, 1) => format!("{count} takes connections"),
        (true, _) => format!("{count} take connections"),
        // Whoever wrote them may have meant an address where nobody listens.
        (false, 1) => format!("{count} is ready according to the slices"),
        (false, _) => format!("{count} are ready according to the slices"),
    };
    Otherwise::Healthy(format!(
        "No fault found in API objects and rules: {claim} ({}).",
        list(&addresses)
    ))
}

/// The addresses of a slice that are sent to.
fn usable(slice: &EndpointSlice) -> impl Iterator<Item = &str> {
    let endpoints = slice.endpoints.iter().filter(|endpoint| {
        let conditions = endpoint.conditions;
        conditions.is_ready() || (conditions.is_serving() && conditions.is_terminating())
    });
    let addresses = endpoints.filter_map(|endpoint| endpoint.addresses.first());
    addresses.map(String::as_str)
}

/// Whether a slice has an endpoint for a port of its Service: they are matched by name.
fn serves(slice: &EndpointSlice, port: &ServicePort) -> bool {
    let is_it = |other: &EndpointPort| other.name.as_deref().unwrap_or_default() == port.name;
    slice.ports.iter().any(is_it) && usable(slice).next().is_some()
}

/// `81` or `81 (bad)`
fn spoken_port(port: &ServicePort) -> String {
    match port.name.as_str() {
        "" => port.port.to_string(),
        name => format!("{} ({name})", port.port),
    }
}

/// What clients of one port see; a Service with several is not dead because one is.
fn port_refused(key: &ObjectKey, service: &Service, port: &ServicePort) -> String {
    if service.spec.ports.len() == 1 {
        return refused(key);
    }
    format!(
        "Clients of {} port {} get \"connection refused\", because that port has no endpoint:",
        spoken(key),
        spoken_port(port)
    )
}

fn refused(key: &ObjectKey) -> String {
    format!(
        "Clients of {} get \"connection refused\", because it has no endpoint:",
        spoken(key)
    )
}

fn pods<'a>(api: &'a ApiServer, namespace: Option<&'a str>) -> impl Iterator<Item = &'a Pod> {
    let pods = api.list(Kind::Pod, namespace).filter_map(Object::as_pod);
    pods.map(|pod| &**pod)
}
