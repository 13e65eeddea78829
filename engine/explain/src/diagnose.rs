//! A diagnosis: what is found about one Service, and the verdict where nothing is.

use std::collections::BTreeSet;

use api::{ApiServer, Endpoint, EndpointSlice, Kind, Object, ObjectKey, ServicePort};
use control::Control;

use crate::diagnosis::Otherwise;
use crate::facts::{Facts, is_of_controller, sent_to, usable};
use crate::pods::{counted, list, spoken_port};
use crate::{Diagnosis, Finding, Question, check, freshness, limits};

/// What is wrong with a Service at this instant, by the API's objects and by the age of every node's rules.
#[must_use]
pub fn diagnose(control: &Control, question: &Question) -> Diagnosis {
    examine(control.api(), Some(control), question)
}

/// What is wrong with a Service by the API's objects alone.
#[must_use]
pub fn diagnose_objects(api: &ApiServer, question: &Question) -> Diagnosis {
    examine(api, None, question)
}

/// Every Service that somebody has made: not the API server's own, whose endpoints are no Pods.
#[must_use]
pub fn services(api: &ApiServer) -> Vec<ObjectKey> {
    let keys = api.list(Kind::Service, None).map(Object::key);
    let own = ObjectKey::new(Kind::Service, "default", "kubernetes");
    keys.filter(|key| *key != own).collect()
}

fn examine(api: &ApiServer, control: Option<&Control>, question: &Question) -> Diagnosis {
    let key = &question.service;
    if key.kind != Kind::Service {
        let unknown = Otherwise::Unknown(format!("{key} is not a Service."));
        return Diagnosis::of(key, Vec::new(), unknown);
    }
    let mut findings: Vec<Finding> = check::refused(api, key, question.refusal.as_deref())
        .into_iter()
        .collect();
    let Some(service) = api.get(key).and_then(Object::as_service) else {
        let absent = Otherwise::Unknown("There is no such Service.".to_owned());
        // What was refused is known to be missing, and why.
        if findings.is_empty() {
            findings.extend(check::missing(api, key));
        }
        findings.extend(freshness::stale_nodes(control, key, None));
        return Diagnosis::of(key, findings, absent);
    };
    let facts = Facts::of(api, control, question, service);
    if service.spec.service_type == "ExternalName" {
        let target = &service.spec.external_name;
        let unknown =
            format!("It is an alias of {target}: whether that answers is not known here.");
        findings.extend(check::external_name(&facts));
        findings.extend(check::of_name(&facts));
        return Diagnosis::of(key, findings, Otherwise::Unknown(unknown));
    }
    findings.extend(check::all(&facts));
    let (otherwise, unmodelled) = limits::beyond(&facts, by_endpoints(&facts));
    findings.extend(unmodelled);
    Diagnosis::of(key, findings, otherwise)
}

/// The verdict when nothing is found: healthy if slices have an endpoint to send to for each port (DBG-100).
fn by_endpoints(facts: &Facts<'_>) -> Otherwise {
    let (open, closed): (Vec<&ServicePort>, Vec<&ServicePort>) = facts
        .service
        .spec
        .ports
        .iter()
        .partition(|port| facts.slices.iter().any(|slice| serves(facts, slice, port)));
    let who = match facts.has_selector() {
        false if facts.is_of_api_server() => "Its endpoints are written by the API server itself",
        false => "Its endpoints are not written by Kubernetes (it has no selector)",
        true => "Its Pods are ready",
    };
    if open.is_empty() && !facts.service.spec.ports.is_empty() {
        return Otherwise::Unknown(format!("{who}, but no EndpointSlice has one to send to."));
    }
    if !closed.is_empty() {
        let ports: Vec<String> = closed.iter().map(|port| spoken_port(port)).collect();
        let open: Vec<String> = open.iter().map(|port| spoken_port(port)).collect();
        return Otherwise::Unknown(format!(
            "{who}, and no EndpointSlice has one for port {}; port {} has some.",
            list(&ports),
            list(&open)
        ));
    }
    Otherwise::Healthy(healthy(facts))
}

fn healthy(facts: &Facts<'_>) -> String {
    let ports = &facts.service.spec.ports;
    let serving =
        facts.slices.iter().copied().filter(|slice| {
            ports.is_empty() || ports.iter().any(|port| serves(facts, slice, port))
        });
    let serving: Vec<&EndpointSlice> = serving.collect();
    let addresses = of_each(&sent_to(&serving));
    let count = counted(addresses.len(), "endpoint");
    let is_ours = |slice: &&EndpointSlice| is_of_controller(slice);
    let claim = match (serving.iter().all(is_ours), addresses.len()) {
        (true, 1) => format!("{count} takes connections"),
        (true, _) => format!("{count} take connections"),
        // Whoever wrote them may have meant an address where nobody listens.
        (false, 1) => format!("{count} is ready according to the slices"),
        (false, _) => format!("{count} are ready according to the slices"),
    };
    format!(
        "No fault found in API objects and rules: {claim} ({}).",
        list(&addresses)
    )
}

/// One address of each endpoint: a Pod of two families is in slices of both.
fn of_each<'a>(endpoints: &[&'a Endpoint]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let mut addresses: Vec<&str> = endpoints
        .iter()
        .filter_map(|endpoint| {
            let address = endpoint.addresses.first()?;
            let who = endpoint
                .target_ref
                .as_ref()
                .map_or(address, |pod| &pod.name);
            seen.insert(who).then_some(address.as_str())
        })
        .collect();
    addresses.sort_unstable();
    addresses
}

/// Whether a slice has an endpoint for a port of its Service. Who resolves a headless Service's name dials any port.
fn serves(facts: &Facts<'_>, slice: &EndpointSlice, port: &ServicePort) -> bool {
    let is_dialled = facts.service.is_headless() && facts.is_kept_by_hand();
    (is_dialled || facts.offers(slice, port)) && usable(slice).next().is_some()
}
