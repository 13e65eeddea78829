//! What Kubernetes warns about in a Service that it takes.
//!
//! **Source of the semantics.** API-58; S: `pkg/api/service/warnings.go`,
//! `apimachinery/pkg/util/validation/ip.go` (GetWarningsForIP, GetWarningsForCIDR).

use std::net::IpAddr;

use ipnet::IpNet;

use crate::object::Service;

const ANNOTATION_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// The warnings, in the order in which kubectl prints them.
pub(crate) fn warnings(service: &Service) -> Vec<String> {
    let spec = &service.spec;
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_owned());
    let external = !spec.external_ips.is_empty();
    let is_alias = !service.needs_cluster_ip();
    if service.metadata.annotations.contains_key(ANNOTATION_HINTS) {
        warn(&format!(
            "annotation {ANNOTATION_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    for (index, ip) in spec.cluster_ips.iter().enumerate() {
        not_canonical(&format!("spec.clusterIPs[{index}]"), ip, &mut warn);
    }
    if service.is_headless() {
        for (given, field) in [
            (!spec.load_balancer_ip.is_empty(), "spec.loadBalancerIP"),
            (external, "spec.externalIPs"),
            (spec.session_affinity != "None", "spec.SessionAffinity"),
        ] {
            if given {
                warn(&format!("{field} is ignored for headless services"));
            }
        }
    }
    for (index, ip) in spec.external_ips.iter().enumerate() {
        not_canonical(&format!("spec.externalIPs[{index}]"), ip, &mut warn);
    }
    if external && !service.is_headless() && !is_alias {
        warn("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
    }
    not_canonical("spec.loadBalancerIP", &spec.load_balancer_ip, &mut warn);
    for (index, cidr) in spec.load_balancer_source_ranges.iter().enumerate() {
        let field = format!("spec.loadBalancerSourceRanges[{index}]");
        cidr_not_canonical(&field, cidr, &mut warn);
    }
    if external && is_alias {
        warn("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    }
    if !spec.external_name.is_empty() && !is_alias {
        warn("spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        warn("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
    }
    warnings
}

fn not_canonical(field: &str, ip: &str, warn: &mut impl FnMut(&str)) {
    let Ok(address) = ip.parse::<IpAddr>() else {
        return;
    };
    let canonical = address.to_string();
    if canonical != ip {
        warn(&format!(
            "{field}: IPv6 address \"{ip}\" should be in RFC 5952 canonical format (\"{canonical}\")"
        ));
    }
}

fn cidr_not_canonical(field: &str, cidr: &str, warn: &mut impl FnMut(&str)) {
    let Ok(range) = cidr.parse::<IpNet>() else {
        return;
    };
    let canonical = range.to_string();
    if range.addr().is_ipv6() && canonical != cidr {
        warn(&format!(
            "{field}: IPv6 CIDR value \"{cidr}\" should be in RFC 5952 canonical format (\"{canonical}\")"
        ));
    }
}
