//! ServiceCIDR: one range, or one of each family, for good; a second family can be added.
//!
//! **Source of the semantics.** ALLOC-38, ALLOC-39; S: `pkg/apis/networking/validation/validation.go`
//! (ValidateServiceCIDR, ValidateServiceCIDRUpdate), `apimachinery/pkg/util/validation/ip.go` (IsValidCIDR).

use ipnet::IpNet;
use serde_json::json;

use crate::field::FieldError;
use crate::object::ServiceCidr;
use crate::validate::{meta, text};

const FIELD: &str = "spec.cidrs";
const FIXED: &str = "field is immutable";

/// All complaints about a ServiceCIDR but those about its labels and annotations.
pub(super) fn errors(cidr: &ServiceCidr, old: Option<&ServiceCidr>) -> Vec<FieldError> {
    let ranges = &cidr.spec.cidrs;
    match old {
        Some(old) => change_errors(ranges, &old.spec.cidrs),
        None => {
            let name = &cidr.metadata.name;
            let found = text::subdomain(name);
            let found = if name.is_empty() { Vec::new() } else { found };
            let mut errors = meta::complaints("metadata.name", name, found);
            errors.extend(range_errors(ranges));
            errors
        }
    }
}

fn change_errors(ranges: &[String], old: &[String]) -> Vec<FieldError> {
    let fixed = |(index, (new, old)): (usize, (&String, &String))| {
        let error = || FieldError::invalid(format!("{FIELD}[{index}]"), new, FIXED);
        (new != old).then(error)
    };
    let mut errors: Vec<FieldError> = ranges
        .iter()
        .zip(old)
        .enumerate()
        .filter_map(fixed)
        .collect();
    if let ([_, _], [_]) = (ranges, old) {
        errors.extend(range_errors(ranges));
    } else if ranges.len() != old.len() {
        return vec![FieldError::invalid(FIELD, &ranges, FIXED)];
    }
    errors
}

fn range_errors(ranges: &[String]) -> Vec<FieldError> {
    if ranges.is_empty() {
        return vec![FieldError::required(FIELD, "at least one CIDR required")];
    }
    if ranges.len() > 2 {
        let shown = json!({ "CIDRs": ranges });
        let detail = "may only hold up to 2 values";
        return vec![FieldError::invalid(FIELD, &shown, detail)];
    }
    let mut errors = Vec::new();
    for (index, range) in ranges.iter().enumerate() {
        let found = canonical(range);
        errors.extend(meta::complaints(&format!("{FIELD}[{index}]"), range, found));
    }
    if let [first, second] = ranges
        && let (Some(first), Some(second)) = (is_v6(first), is_v6(second))
        && first == second
    {
        let detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(FIELD, &ranges, detail));
    }
    errors
}

fn canonical(range: &str) -> Vec<String> {
    let complaints = text::cidr(range);
    match range.parse::<IpNet>() {
        Ok(net) if complaints.is_empty() && net.to_string() != range => {
            vec![format!("must be in canonical form (\"{net}\")")]
        }
        _ => complaints,
    }
}

fn is_v6(range: &str) -> Option<bool> {
    let net: IpNet = range.parse().ok()?;
    Some(matches!(net, IpNet::V6(_)))
}
