//! DBG-48: a Service of type ExternalName, which is an alias in DNS and nothing else.

use std::net::IpAddr;

use api::{Kind, ObjectKey};

use crate::facts::Facts;
use crate::finding::Check;
use crate::{Certainty, Finding, Severity};

/// What an alias cannot do, or where it leads nowhere.
pub(crate) fn external_name(facts: &Facts<'_>) -> Vec<Finding> {
    let target = facts.service.spec.external_name.as_str();
    let finding = |severity, sees, why, fix: String| Finding {
        id: "DBG-48",
        certainty: Certainty::Certain,
        severity,
        subject: facts.key.clone(),
        field: Some("spec.externalName".to_owned()),
        sees,
        why,
        fix,
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!("service {}", facts.service.metadata.name)),
            target,
        )],
    };
    let mut findings = Vec::new();
    if target.parse::<IpAddr>().is_ok() {
        findings.push(finding(
            Severity::Fault,
            format!("{} cannot resolve its name", facts.clients()),
            format!("externalName {target} is an address, and DNS takes it for a name: nobody has that name"),
            "make it a Service without a selector, with an EndpointSlice that holds the address"
                .to_owned(),
        ));
    } else if let Some(inner) = absent_service(facts, target) {
        findings.push(finding(
            Severity::Fault,
            format!("{} cannot resolve its name (NXDOMAIN)", facts.clients()),
            format!("it is an alias of {target}, and there is no {inner}"),
            format!("create {inner}, or correct spec.externalName"),
        ));
    }
    let mapped = facts.service.spec.ports.iter().find(|port| {
        let target = port.target_port.as_ref().map(ToString::to_string);
        target.is_some_and(|target| target != port.port.to_string())
    });
    if let Some(port) = mapped {
        findings.push(Finding {
            field: Some("spec.ports".to_owned()),
            ..finding(
                Severity::Pitfall,
                format!(
                    "{} dial port {} at {target} itself",
                    facts.clients(),
                    port.port
                ),
                "the Service is an alias in DNS: no packet goes through it, so no port is mapped"
                    .to_owned(),
                "dial the port that the target listens on".to_owned(),
            )
        });
    }
    if findings.is_empty() {
        findings.push(finding(
            Severity::Pitfall,
            format!("{} connect to {target} itself", facts.clients()),
            "the Service is an alias in DNS: TLS certificates and HTTP hosts are those of the target, not of the \
             Service's name"
                .to_owned(),
            "use the target's own name where it is checked".to_owned(),
        ));
    }
    findings
}

/// The Service of this cluster that a name means, if there is none of that name.
fn absent_service(facts: &Facts<'_>, target: &str) -> Option<ObjectKey> {
    let domain = &facts.api.config().dns_domain;
    let inner = target.strip_suffix('.').unwrap_or(target);
    let inner = inner.strip_suffix(domain.as_str())?.strip_suffix(".svc.")?;
    let (name, namespace) = inner.split_once('.')?;
    let key = ObjectKey::new(Kind::Service, namespace, name);
    facts.api.get(&key).is_none().then_some(key)
}
