//! What Kubernetes warns about in a Service that it takes.
//!
//! **Source of the semantics.** API-58; S: `pkg/api/service/warnings.go`.

use crate::object::Service;
use crate::validate::canonical;

const ANNOTATION_HINTS: &str = "service.kubernetes.io/topology-aware-hints";

/// The warnings, in the order in which kubectl prints them.
pub(crate) fn warnings(service: &Service) -> Vec<String> {
    let spec = &service.spec;
    let mut warnings = Vec::new();
    let external = !spec.external_ips.is_empty();
    let is_alias = !service.needs_cluster_ip();
    if service.metadata.annotations.contains_key(ANNOTATION_HINTS) {
        warnings.push(format!(
            "annotation {ANNOTATION_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    for (index, ip) in spec.cluster_ips.iter().enumerate() {
        warnings.extend(canonical::address(&format!("spec.clusterIPs[{index}]"), ip));
    }
    if service.is_headless() {
        for (given, field) in [
            (!spec.load_balancer_ip.is_empty(), "spec.loadBalancerIP"),
            (external, "spec.externalIPs"),
            (spec.session_affinity != "None", "spec.SessionAffinity"),
        ] {
            if given {
                warnings.push(format!("{field} is ignored for headless services"));
            }
        }
    }
    for (index, ip) in spec.external_ips.iter().enumerate() {
        warnings.extend(canonical::address(
            &format!("spec.externalIPs[{index}]"),
            ip,
        ));
    }
    if external && !service.is_headless() && !is_alias {
        warnings.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
                .to_owned(),
        );
    }
    warnings.extend(canonical::address(
        "spec.loadBalancerIP",
        &spec.load_balancer_ip,
    ));
    for (index, cidr) in spec.load_balancer_source_ranges.iter().enumerate() {
        let field = format!("spec.loadBalancerSourceRanges[{index}]");
        warnings.extend(canonical::cidr(&field, cidr));
    }
    let mut warn = |text: &str| warnings.push(text.to_owned());
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
