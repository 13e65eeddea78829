//! DBG-75: the load balancer's address answers the clients of some ranges only.
//!
//! **Source of the semantics.** PROXY-28 (node ports are not filtered), PROXY-29 (which addresses rules know), PROXY-30.

use std::net::IpAddr;

use control::{OutsideConfig, Source};
use ipnet::IpNet;

use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// A client outside of `loadBalancerSourceRanges`; without a client, that there are such ranges.
pub(super) fn excluded(facts: &Facts<'_>) -> Vec<Finding> {
    let who = match facts.from {
        None => None,
        Some(Source::Outside(host)) => match facts.outside(host) {
            Some(host) => Some(host),
            None => return Vec::new(),
        },
        // Within the cluster one uses the ClusterIP, which nobody filters.
        Some(Source::Pod(_) | Source::Node(_)) => return Vec::new(),
    };
    let ranges: Vec<IpNet> = facts.service.source_ranges().collect();
    let is_filtered = |address: &IpAddr| {
        let is_v4 = address.is_ipv4();
        let own = ranges
            .iter()
            .filter(|range| range.addr().is_ipv4() == is_v4);
        let own: Vec<&IpNet> = own.collect();
        let comes_here = who.is_none_or(|who| who.address.is_ipv4() == is_v4);
        // A range that holds every address switches the filter off.
        let lets_in = |range: &&IpNet| {
            range.prefix_len() == 0 || who.is_some_and(|who| range.contains(&who.address))
        };
        comes_here && !own.is_empty() && !own.iter().any(lets_in)
    };
    let filtered: Vec<String> = facts
        .service
        .balancer_vips()
        .filter(is_filtered)
        .map(|address| address.to_string())
        .collect();
    if filtered.is_empty() {
        return Vec::new();
    }
    vec![finding(facts, who, &ranges, &list(&filtered))]
}

fn finding(
    facts: &Facts<'_>,
    who: Option<&OutsideConfig>,
    ranges: &[IpNet],
    addresses: &str,
) -> Finding {
    let told: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    let told = list(&told);
    let (severity, sees, why) = match who {
        Some(who) => (
            Severity::Fault,
            format!("outside/{} gets no answer from {addresses}", who.name),
            format!(
                "loadBalancerSourceRanges lets in {told} only, and {} is at {}: its packets are dropped",
                who.name, who.address
            ),
        ),
        None => (
            Severity::Pitfall,
            format!("Clients outside of {told} get no answer from {addresses}"),
            "loadBalancerSourceRanges lets in nobody else: their packets are dropped".to_owned(),
        ),
    };
    let name = &facts.service.metadata.name;
    Finding {
        id: "DBG-75",
        certainty: Certainty::Certain,
        severity,
        subject: facts.key.clone(),
        field: Some("spec.loadBalancerSourceRanges".to_owned()),
        sees,
        why,
        fix: "add the clients' range to spec.loadBalancerSourceRanges; node ports are not filtered by it".to_owned(),
        confirm: vec![Check::prints(
            facts.kubectl_get(&format!(
                "service {name} -o jsonpath='{{.spec.loadBalancerSourceRanges}}'"
            )),
            ranges[0].to_string(),
        )],
    }
}
