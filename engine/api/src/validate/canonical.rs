//! Warnings about IPv6 texts that are not as RFC 5952 writes them.
//!
//! **Source of the semantics.** API-58; S: `apimachinery/pkg/util/validation/ip.go` (GetWarningsForIP,
//! GetWarningsForCIDR).

use std::net::IpAddr;

use ipnet::IpNet;

/// A warning about an address.
pub(crate) fn address(field: &str, text: &str) -> Option<String> {
    let canonical = text.parse::<IpAddr>().ok()?.to_string();
    (canonical != text).then(|| {
        format!("{field}: IPv6 address \"{text}\" should be in RFC 5952 canonical format (\"{canonical}\")")
    })
}

/// A warning about a range.
pub(crate) fn cidr(field: &str, text: &str) -> Option<String> {
    let range: IpNet = text.parse().ok()?;
    let canonical = range.to_string();
    (range.addr().is_ipv6() && canonical != text).then(|| {
        format!("{field}: IPv6 CIDR value \"{text}\" should be in RFC 5952 canonical format (\"{canonical}\")")
    })
}
