//! DBG-26, DBG-28: there is no such Service here.

use std::sync::Arc;

use api::yaml::closest;
use api::{ApiServer, Kind, Object, ObjectKey, Service};

use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// Where it is instead, or what is here.
pub(crate) fn missing(api: &ApiServer, key: &ObjectKey) -> Vec<Finding> {
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
    let finding = |id, why: String, fix| Finding {
        id,
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: key.clone(),
        field: None,
        sees: format!("Clients in namespace {namespace} cannot resolve the name {name} (NXDOMAIN)"),
        why,
        fix,
        confirm: vec![
            Check::prints(
                format!("kubectl get service {name} -n {namespace}"),
                format!("services \"{name}\" not found"),
            ),
            Check::run("kubectl get services -A"),
        ],
    };
    if let Some(first) = elsewhere.first() {
        let domain = &api.config().dns_domain;
        let found = list(&elsewhere);
        let why = format!("namespace {namespace} has no Service {name}, but namespace {found} has");
        let fix = format!("use the name {name}.{first} or {name}.{first}.svc.{domain}");
        return vec![finding("DBG-26", why, fix)];
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
    vec![finding("DBG-28", why, fix)]
}
