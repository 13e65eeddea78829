//! NetworkPolicy: defaults and checks.
//!
//! **Source of the semantics.** S: `pkg/apis/networking/v1/defaults.go`,
//! `pkg/apis/networking/validation/validation.go` (ValidateNetworkPolicySpec).

use ipnet::IpNet;

use crate::field::FieldError;
use crate::object::{
    IntOrString, IpBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use crate::validate::{Errors, canonical, meta, one_of, port_or_name, selector, text};

const POLICY_TYPES: [&str; 2] = ["Ingress", "Egress"];
/// In the order in which this kind's messages list them.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

pub(super) fn complete(policy: &mut NetworkPolicy) {
    let spec = &mut policy.spec;
    let ingress = spec.ingress.iter_mut().flat_map(|rule| &mut rule.ports);
    let egress = spec.egress.iter_mut().flat_map(|rule| &mut rule.ports);
    for port in ingress.chain(egress) {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
    if spec.policy_types.is_empty() {
        spec.policy_types.push("Ingress".to_owned());
        if !spec.egress.is_empty() {
            spec.policy_types.push("Egress".to_owned());
        }
    }
}

pub(super) fn errors(policy: &NetworkPolicy) -> Errors {
    let spec = &policy.spec;
    let mut errors = selector::errors(&spec.pod_selector, "spec.podSelector");
    for rule in rules(spec) {
        for (index, entry) in rule.ports.iter().enumerate() {
            errors.extend(port_errors(
                entry,
                &format!("{}.ports[{index}]", rule.field),
            ));
        }
        for (field, peer) in rule.peers() {
            errors.extend(peer_errors(peer, &field));
        }
    }
    if spec.policy_types.len() > POLICY_TYPES.len() {
        let detail = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(
            "spec.policyTypes",
            &spec.policy_types,
            detail,
        ));
        return errors;
    }
    for (index, kind) in spec.policy_types.iter().enumerate() {
        errors.extend(one_of(
            &format!("spec.policyTypes[{index}]"),
            kind,
            &POLICY_TYPES,
        ));
    }
    errors
}

/// Ranges that are not written as they should be.
pub(super) fn warnings(policy: &NetworkPolicy) -> Vec<String> {
    let mut warnings = Vec::new();
    for rule in rules(&policy.spec) {
        for (field, peer) in rule.peers() {
            let Some(block) = &peer.ip_block else {
                continue;
            };
            warnings.extend(canonical::cidr(
                &format!("{field}.ipBlock.cidr"),
                &block.cidr,
            ));
            for (index, hole) in block.except.iter().enumerate() {
                let field = format!("{field}.ipBlock.except[{index}]");
                warnings.extend(canonical::cidr(&field, hole));
            }
        }
    }
    warnings
}

/// A rule of either direction.
struct Rule<'a> {
    field: String,
    side: &'static str,
    ports: &'a [NetworkPolicyPort],
    peers: &'a [NetworkPolicyPeer],
}

impl<'a> Rule<'a> {
    fn peers(&self) -> impl Iterator<Item = (String, &'a NetworkPolicyPeer)> {
        let (field, side) = (&self.field, self.side);
        let peers = self.peers.iter().enumerate();
        peers.map(move |(index, peer)| (format!("{field}.{side}[{index}]"), peer))
    }
}

fn rules(spec: &NetworkPolicySpec) -> impl Iterator<Item = Rule<'_>> {
    let ingress = spec.ingress.iter().enumerate().map(|(index, rule)| Rule {
        field: format!("spec.ingress[{index}]"),
        side: "from",
        ports: &rule.ports,
        peers: &rule.from,
    });
    let egress = spec.egress.iter().enumerate().map(|(index, rule)| Rule {
        field: format!("spec.egress[{index}]"),
        side: "to",
        ports: &rule.ports,
        peers: &rule.to,
    });
    ingress.chain(egress)
}

fn port_errors(entry: &NetworkPolicyPort, field: &str) -> Errors {
    let mut errors = Errors::new();
    if let Some(protocol) = &entry.protocol {
        errors.extend(one_of(&format!("{field}.protocol"), protocol, &PROTOCOLS));
    }
    let at_end = format!("{field}.endPort");
    let end_error = |end: &i32, detail| FieldError::invalid(&at_end, end, detail);
    match (&entry.port, &entry.end_port) {
        (Some(port @ IntOrString::Int(first)), end) => {
            errors.extend(port_or_name(&format!("{field}.port"), port));
            if let Some(end) = end {
                if end < first {
                    errors.push(end_error(end, "must be greater than or equal to `port`"));
                }
                errors.extend(crate::validate::port(&at_end, *end));
            }
        }
        (Some(name), end) => {
            let detail = "may not be specified when `port` is non-numeric";
            errors.extend(end.iter().map(|end| end_error(end, detail)));
            errors.extend(port_or_name(&format!("{field}.port"), name));
        }
        (None, end) => {
            let detail = "may not be specified when `port` is not specified";
            errors.extend(end.iter().map(|end| end_error(end, detail)));
        }
    }
    errors
}

fn peer_errors(peer: &NetworkPolicyPeer, field: &str) -> Errors {
    let mut errors = Errors::new();
    let selectors = [
        ("podSelector", &peer.pod_selector),
        ("namespaceSelector", &peer.namespace_selector),
    ];
    let mut count = 0;
    for (part, chosen) in selectors {
        if let Some(chosen) = chosen {
            count += 1;
            errors.extend(selector::errors(chosen, &format!("{field}.{part}")));
        }
    }
    match &peer.ip_block {
        Some(block) => {
            errors.extend(block_errors(block, &format!("{field}.ipBlock")));
            if count > 0 {
                let detail = "may not specify both ipBlock and another peer";
                errors.push(FieldError::forbidden(field, detail));
            }
        }
        None if count == 0 => errors.push(FieldError::required(field, "must specify a peer")),
        None => {}
    }
    errors
}

fn block_errors(block: &IpBlock, field: &str) -> Errors {
    let at_range = format!("{field}.cidr");
    if block.cidr.is_empty() {
        return vec![FieldError::required(at_range, "")];
    }
    let mut errors = meta::complaints(&at_range, &block.cidr, text::cidr(&block.cidr));
    let Ok(range) = block.cidr.parse::<IpNet>() else {
        return errors;
    };
    for (index, hole) in block.except.iter().enumerate() {
        let field = format!("{field}.except[{index}]");
        errors.extend(meta::complaints(&field, hole, text::cidr(hole)));
        let Ok(parsed) = hole.parse::<IpNet>() else {
            continue;
        };
        let inside = range.contains(&parsed.network()) && range.prefix_len() < parsed.prefix_len();
        if !inside {
            let detail = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(field, hole, detail));
        }
    }
    errors
}
