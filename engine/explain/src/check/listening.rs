//! DBG-23, DBG-27, DBG-30: connections reach Pods, and nobody listens there.
//!
//! What an application listens on is known from the annotation `switchboard.dev/listen`; without it the declared
//! ports are taken for it, which Kubernetes does not do: so such a finding is likely, never certain (DBG-63). Pods
//! that declare no port at all may listen anywhere.

use api::{IntOrString, Pod, Protocol, ServicePort};
use controllers::{Application, Manners};

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::{declared, list, names};
use crate::{Certainty, Finding, Severity};

/// Says what a Pod's application listens on.
const ANNOTATION: &str = "switchboard.dev/listen";

/// Why a Pod that is sent connections refuses them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deaf {
    /// The port is open on the loopback interface only.
    Loopback,
    /// It is open for another protocol.
    OtherProtocol(Protocol),
    /// Others are open.
    OtherPorts(Vec<String>),
    /// Nothing says which are.
    NothingDeclared,
}

/// A finding for each port at which some Pod refuses.
pub(super) fn nobody(facts: &Facts<'_>) -> Vec<Finding> {
    // Without a virtual address the target port means nothing.
    if facts.service.is_headless() {
        return Vec::new();
    }
    let ports = facts.service.spec.ports.iter().enumerate();
    ports
        .filter_map(|(index, port)| refusing(facts, index, port))
        .collect()
}

fn refusing(facts: &Facts<'_>, index: usize, port: &ServicePort) -> Option<Finding> {
    let targets = facts
        .taking()
        .filter_map(|pod| Some((pod, target(pod, port)?)));
    let targets: Vec<(&Pod, i32)> = targets.collect();
    let deaf = targets
        .iter()
        .filter_map(|(pod, number)| Some((*pod, *number, deaf(pod, *number, port.transport())?)));
    let deaf: Vec<(&Pod, i32, Deaf)> = deaf.collect();
    let (first, number, why) = deaf.first()?.clone();
    let like_first: Vec<&Pod> = deaf
        .iter()
        .filter(|(_, _, other)| *other == why)
        .map(|(pod, ..)| *pod)
        .collect();
    let sees = match like_first.len() == targets.len() {
        true => format!(
            "{} port {} get \"connection refused\", from a Pod and not from the node",
            facts.clients(),
            port.port
        ),
        false => format!(
            "{} port {} get \"connection refused\" from a Pod, {} of {} times",
            facts.clients(),
            port.port,
            like_first.len(),
            targets.len()
        ),
    };
    let target_field = format!("spec.ports[{index}].targetPort");
    let who = list(&names(&like_first));
    let protocol = port.transport();
    let words = Words {
        number,
        protocol,
        who: &who,
        target_field: &target_field,
    };
    let endpoint = first.addresses().first().map(ToString::to_string);
    let mut finding = Finding {
        id: "DBG-23",
        certainty: certainty(first),
        severity: Severity::Fault,
        subject: facts.key.clone(),
        field: Some(target_field.clone()),
        sees,
        why: String::new(),
        fix: String::new(),
        confirm: vec![
            Check::prints(
                facts.kubectl_get(&format!("endpoints {}", facts.service.metadata.name)),
                format!(":{number}"),
            ),
            Check::run(facts.kubectl_get(&format!(
                "pod {} -o jsonpath='{{.spec.containers[*].ports}}'",
                first.metadata.name
            ))),
        ],
    };
    words.fill(&mut finding, &why, first, facts, endpoint.as_deref());
    Some(finding)
}

/// What sentences about a port are made of.
struct Words<'a> {
    number: i32,
    protocol: Protocol,
    who: &'a str,
    target_field: &'a str,
}

impl Words<'_> {
    fn fill(
        &self,
        finding: &mut Finding,
        why: &Deaf,
        pod: &Pod,
        facts: &Facts<'_>,
        endpoint: Option<&str>,
    ) {
        let Self {
            number,
            protocol,
            who,
            target_field,
        } = self;
        match why {
            Deaf::Loopback => {
                finding.id = "DBG-27";
                finding.subject =
                    api::ObjectKey::new(api::Kind::Pod, facts.namespace, &pod.metadata.name);
                finding.field = None;
                finding.why = format!(
                    "the application in {who} listens on {number}/{protocol} at its loopback address only: it answers \
                     itself and nobody else"
                );
                finding.fix =
                    "let the application listen at 0.0.0.0 or ::, not at 127.0.0.1 or localhost"
                        .to_owned();
                finding.confirm.push(Check::prints(
                    format!(
                        "kubectl exec {} -n {} -- netstat -tln",
                        pod.metadata.name, facts.namespace
                    ),
                    format!("127.0.0.1:{number}"),
                ));
            }
            Deaf::OtherProtocol(other) => {
                finding.id = "DBG-30";
                finding.field = Some(target_field.replace("targetPort", "protocol"));
                finding.why = format!(
                    "the Service sends {protocol} to port {number} of {who}, where they speak {other} only"
                );
                finding.fix = format!(
                    "change {} to {other}",
                    target_field.replace("targetPort", "protocol")
                );
            }
            Deaf::OtherPorts(open) => {
                finding.why = format!(
                    "the Service sends to port {number}/{protocol} of {who}, and their application listens on {}",
                    list(open)
                );
                finding.fix = self.fix_for(open);
            }
            Deaf::NothingDeclared => {
                finding.certainty = Certainty::Possible;
                let at = endpoint.unwrap_or("the Pod's address");
                finding.sees = format!(
                    "{} may get \"connection refused\", from a Pod and not from the node",
                    facts.clients()
                );
                finding.why = format!(
                    "no container of {who} declares a port, so nothing says that something listens on \
                     {number}/{protocol}"
                );
                finding.fix = format!(
                    "look whether {at}:{number} answers, and declare the port in spec.containers[].ports"
                );
            }
        }
    }
}

impl Words<'_> {
    /// What leads to a port that is open. Of another protocol it takes both fields, and is perhaps not what is meant.
    fn fix_for(&self, open: &[String]) -> String {
        let Self {
            number,
            protocol,
            target_field,
            ..
        } = self;
        let mut ports = open.iter().filter_map(|open| open.split_once('/'));
        let same = ports
            .clone()
            .find(|(_, other)| *other == protocol.to_string());
        match (same, ports.next()) {
            (Some((open, _)), _) => format!("change {target_field} to {open}"),
            (None, Some((open, other))) => format!(
                "let the application listen on {number}/{protocol}; or, if {other} is meant, change {} to {other} and \
                 {target_field} to {open}",
                target_field.replace("targetPort", "protocol")
            ),
            (None, None) => format!("correct {target_field}"),
        }
    }
}

/// The number that a Service's port means at a Pod.
pub(super) fn target(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let mut ports = declared(pod);
            ports
                .find(|(known, protocol, _)| known == name && *protocol == port.transport())
                .map(|(.., number)| number)
        }
    }
}

fn deaf(pod: &Pod, number: i32, protocol: Protocol) -> Option<Deaf> {
    let application = Application::of(pod);
    // Whoever ignores packets says so nowhere that others can read.
    if application.manners == Manners::Blackhole {
        return None;
    }
    let is_number = |open: &&controllers::ListenPort| i32::from(open.port) == number;
    let mut open = application.open_ports();
    if open.any(|open| is_number(&open) && open.protocol == protocol) {
        return None;
    }
    let mut all = application.ports.iter().filter(is_number);
    if all
        .clone()
        .any(|open| !open.is_reachable() && open.protocol == protocol)
    {
        return Some(Deaf::Loopback);
    }
    if let Some(other) = all.find(|open| open.protocol != protocol) {
        return Some(Deaf::OtherProtocol(other.protocol));
    }
    if application.ports.is_empty() {
        return Some(Deaf::NothingDeclared);
    }
    let open = application.open_ports();
    Some(Deaf::OtherPorts(
        open.map(|open| format!("{}/{}", open.port, open.protocol))
            .collect(),
    ))
}

fn certainty(pod: &Pod) -> Certainty {
    match pod.metadata.annotations.contains_key(ANNOTATION) {
        true => Certainty::Certain,
        false => Certainty::Likely,
    }
}
