//! DBG-25, DBG-30: the client dials a port that the Service does not have (PROXY-16).

use api::ServicePort;
use control::ProxyMode;

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::{list, spoken_port};
use crate::{AskedPort, Certainty, Finding, Severity};

/// Judged only where a port was asked about.
pub(super) fn unknown_port(facts: &Facts<'_>) -> Vec<Finding> {
    let ports = &facts.service.spec.ports;
    let Some(asked) = facts.port.filter(|_| !facts.service.is_headless()) else {
        return Vec::new();
    };
    let is_number = |port: &&ServicePort| port.port == i32::from(asked.number);
    let same_number: Vec<&ServicePort> = ports.iter().filter(is_number).collect();
    if same_number
        .iter()
        .any(|port| port.transport() == asked.protocol)
    {
        return Vec::new();
    }
    let (id, why, fix) = match same_number.first() {
        Some(other) => (
            "DBG-30",
            format!(
                "port {} exists only as {}, and the client uses {}",
                asked.number,
                other.transport(),
                asked.protocol
            ),
            format!(
                "add a port {} with protocol {} to spec.ports, or let the client use {}",
                asked.number,
                asked.protocol,
                other.transport()
            ),
        ),
        None => {
            let (why, fix) = other_number(facts, asked);
            ("DBG-25", why, fix)
        }
    };
    vec![Finding {
        id,
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some("spec.ports".to_owned()),
        sees: sees(facts, asked),
        why,
        fix,
        confirm: vec![Check::run(
            facts.kubectl_get(&format!("service {}", facts.service.metadata.name)),
        )],
    }]
}

/// DBG-99.
fn other_number(facts: &Facts<'_>, asked: AskedPort) -> (String, String) {
    let ports = &facts.service.spec.ports;
    let known: Vec<String> = ports.iter().map(arrow).collect();
    let why = format!("the Service has no port {asked}; it has {}", list(&known));
    let is_target = |port: &&ServicePort| {
        let target = port.target_port.as_ref().map(ToString::to_string);
        target.is_some_and(|target| target == asked.number.to_string())
    };
    let meant = ports.iter().find(is_target).or(ports.first());
    let fix = match meant {
        Some(meant) => format!("use port {}", spoken_port(meant)),
        None => "give the Service that port".to_owned(),
    };
    (why, fix)
}

/// `80 → 8080`
fn arrow(port: &ServicePort) -> String {
    match &port.target_port {
        Some(target) => format!("{} → {target}", port.port),
        None => port.port.to_string(),
    }
}

/// In iptables mode no rule is about the packet, and it leaves the node; other modes refuse it. Where proxies of either
/// kind may be met, or none is known, both are told.
fn sees(facts: &Facts<'_>, asked: AskedPort) -> String {
    let clients = facts.clients();
    let modes = facts.proxy_modes();
    let is_silent = |mode: &ProxyMode| *mode == ProxyMode::Iptables;
    match (modes.iter().any(is_silent), modes.iter().all(is_silent)) {
        (true, true) => {
            format!("{clients} port {asked} get no answer: the packet leaves the node for nowhere")
        }
        (false, false) => {
            format!("{clients} port {asked} get \"connection refused\", from the node")
        }
        _ => format!(
            "{clients} port {asked} get no answer (iptables), or \"connection refused\" from the node (nftables)"
        ),
    }
}
